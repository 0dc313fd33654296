"""Killed with SIGKILL anywhere in an apply that waits for a person, then run once more.

On a stack that takes seconds, with the evidence in the very bucket that the apply makes.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.ecs.mortal import MOMENTS
from tests.soak import ROUNDS
from xops.aws.access import Aws
from xops.aws.evidence import S3Store
from xops.core.evidence.log import EvidenceLog, verify_chain
from xops.core.files.settings import ROOT

_NUMBERS = itertools.count(1)

ASKS_AGAIN = {"planned", "before question", "after question", "before answer"}
"""Moments at which nothing is approved yet."""


def run(endpoint: str, home: Path, bucket: str, moment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.integration.ecs.mortal", endpoint, bucket, moment],
        env={**os.environ, "XOPS_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def kinds(log: EvidenceLog) -> list[str]:
    return [log.read(key).kind for key in log.list_keys()]


def killed_then_run_again(
    endpoint: str, aws: Aws, home: Path, moment: str
) -> tuple[int, EvidenceLog]:
    """How often the second run asked, and the evidence after it."""
    bucket = f"kill-{os.getpid()}-{next(_NUMBERS)}"
    killed = run(endpoint, home, bucket, moment)
    if not moment[0].isdigit():
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    again = run(endpoint, home, bucket, "never")
    assert again.returncode == 0, again.stderr
    asked, status, resources = again.stdout.split()
    assert status in ("applied", "unchanged")
    assert int(resources) == 2
    log = EvidenceLog(S3Store(aws.client("s3"), bucket, "evidence"), "ecs/test")
    assert verify_chain(log) == []
    assert log.find_open() == []
    assert kinds(log).count("apply") >= 1
    assert not list((home / "evidence-waiting").rglob("*.json"))
    return int(asked), log


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_boundary_one_more_run_ends_the_same_with_whole_evidence(
    endpoint: str, aws: Aws, tmp_path: Path, moment: str
) -> None:
    asked, log = killed_then_run_again(endpoint, aws, tmp_path, moment)
    assert asked == (1 if moment in ASKS_AGAIN else 0)
    assert kinds(log).count("approval") == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(2 if ROUNDS == 1 else 10))
def test_killed_at_a_random_moment_one_more_run_ends_the_same_with_whole_evidence(
    endpoint: str, aws: Aws, tmp_path: Path, number: int
) -> None:
    seconds = random.uniform(0.0, 4.0)  # noqa: S311 - no secret
    asked, log = killed_then_run_again(endpoint, aws, tmp_path, f"{seconds:.2f}")
    assert kinds(log).count("approval") == 1, seconds
    assert asked <= 1
