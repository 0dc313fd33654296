"""One embedded stack for all end-to-end tests, brought up the way a newcomer does it."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import OUTPUT, Embedded, FirstRun, free_port


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Nothing runs yet; whatever a test has started is stopped at the end."""
    stack = Embedded(tmp_path_factory.mktemp("xops-home"), free_port(), free_port())
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
