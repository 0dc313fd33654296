"""The suite's own promises: a test that hangs is ended, what is skipped is told or has failed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from xops.core.files import settings

Suite = Callable[..., str]

HANGS = """
import os, signal, sys
from pathlib import Path
import pytest
from tests.processes import running
from xops.core import process

def wait_for_what_never_comes():
    while True:
        pass

@pytest.fixture
def server():
    with running([sys.executable, "-c", "import time; time.sleep(600)"]) as started:
        Path("server").write_text(str(started.pid))
        yield

@pytest.mark.timeout(2, func_only=True)
def test_own_code(server):
    wait_for_what_never_comes()

@pytest.mark.timeout(2, func_only=True)
def test_a_tool():
    command = ["sh", "-c", "echo $$ > tool; exec sleep 600"]
    process.run(process.Command(command, Path.cwd(), dict(os.environ), deadline=600))
"""
GROUPED = "import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test_one(n): pass\n"
FAILS = "def test_fails(): assert 1 == 2, 'why'\ndef test_passes(): pass\n"
SKIPS = "import pytest\ndef test_skips(): pytest.skip('no such program: install it')\n"


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Run a file of tests as one of ours, in a folder of its own; what pytest says."""

    def run(text: str, *more: str, **environ: str) -> str:
        folder = tmp_path / "tests" / "integration"
        folder.mkdir(parents=True)
        for shared in (settings.ROOT / "tests").glob("*.py"):
            shutil.copy(shared, tmp_path / "tests")
        (folder / "test_it.py").write_text(text)
        configuration = f"--config-file={settings.ROOT}/pyproject.toml"
        options = [f"--rootdir={tmp_path}", "-q", "-p", "no:cacheprovider"]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "XOPS_"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", configuration, *options, *more, str(folder)],
            cwd=tmp_path,
            env={**inherited, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    return run


def test_a_group_stays_on_one_worker(suite: Suite) -> None:
    """What starts a server is a fixture of a worker's own: scattered, a group starts many."""
    said = suite(GROUPED, "-n", "2", "--dist", "loadgroup", "-vv")

    assert "8 passed" in said, said
    assert ("[gw0]" in said) != ("[gw1]" in said)


def test_a_test_that_hangs_is_ended_with_its_stack_and_leaves_no_process(
    suite: Suite, tmp_path: Path
) -> None:
    said = suite(HANGS)

    assert "2 failed" in said, said
    assert said.count("Failed: Timeout (>2.0s) from pytest-timeout") >= 2
    assert "in wait_for_what_never_comes" in said or "def wait_for_what_never_comes" in said
    started = [int((tmp_path / name).read_text()) for name in ("server", "tool")]
    assert [pid for pid in started if psutil.pid_exists(pid)] == []


def test_one_limit_is_as_much_longer_as_all_is_waited_for(suite: Suite) -> None:
    said = suite(HANGS, XOPS_PATIENCE="1.5")

    assert said.count("Failed: Timeout (>3.0s) from pytest-timeout") >= 2


def test_a_failure_is_named_when_it_happens(suite: Suite) -> None:
    said = suite(FAILS, "-n", "1")

    at_once, whole = said.split("= FAILURES =")
    assert "test_it.py::test_fails failed in call after 0 s: AssertionError: why" in at_once
    assert "assert 1 == 2" in whole


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 failed")])
def test_what_is_skipped_is_told_and_in_ci_has_failed(
    suite: Suite, required: str, outcome: str
) -> None:
    said = suite(SKIPS, XOPS_REQUIRE_ALL=required)

    assert outcome in said, said
    assert "no such program: install it" in said
