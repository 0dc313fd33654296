"""What the process of a run makes is for its owner alone, whatever umask its worker has."""

import os
import subprocess
import sys

import pytest

from xops.core.files.settings import ROOT

LOOK = "import flows, os; print(oct(os.umask(0)))"


@pytest.mark.parametrize(
    ("variables", "umask"),
    [({"PREFECT__FLOW_RUN_ID": "f525db2a-dd81-480b-8bc0-10c76e48c345"}, "0o77"), ({}, "0o22")],
    ids=["a run", "who only reads a flow"],
)
def test_a_run_sets_its_umask(variables: dict[str, str], umask: str) -> None:
    kept = {name: value for name, value in os.environ.items() if "PREFECT__" not in name}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**kept, **variables},
        umask=0o022,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=50,
        check=True,
    )
    assert done.stdout.strip() == umask
