"""One embedded stack for all end-to-end tests, brought up the way a newcomer does it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import OUTPUT, Embedded, FirstRun, free_port


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Nothing runs yet; whatever a test has started is stopped at the end.

    XOPS_TEST_HOME names the home of a stack that is up already: a developer who works on these
    tests keeps one, since bringing it up takes minutes.
    """
    if kept := os.environ.get("XOPS_TEST_HOME"):
        yield Embedded.found(Path(kept))
        return
    stack = Embedded(tmp_path_factory.mktemp("xops-home"), free_port(), free_port(), free_port())
    yield stack
    stack.xops("down")


@pytest.fixture(scope="session")
def first_run(embedded: Embedded) -> FirstRun:
    """`xops up --once` from nothing."""
    done = embedded.xops("up", "--once")
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "first-run.txt").write_text(done.stderr + done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return FirstRun(embedded, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def stack(first_run: FirstRun) -> Embedded:
    """The embedded stack with `local` provisioned."""
    return first_run.stack
