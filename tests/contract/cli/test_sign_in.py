"""What lets a person in is shown on a terminal, and nowhere that is kept."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.local.stack import SIGN_IN_FILE

COMMAND = [sys.executable, "-c", "from xops.cli import main; main()", "up", "--show-secret"]


def environ(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "XOPS_HOME": str(home), "TERM": "xterm", "COLUMNS": "100"}


def test_it_is_shown_whole_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            COMMAND, env=environ(tmp_path), cwd=ROOT, stdout=theirs, timeout=50, check=False
        )
        shown = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    secret = (tmp_path / SIGN_IN_FILE).read_text().strip()
    assert done.returncode == ExitCode.DONE
    assert secret in shown
    assert secret.startswith("xops:")


def test_elsewhere_the_place_is_told_instead(tmp_path: Path) -> None:
    done = subprocess.run(
        COMMAND, env=environ(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == ExitCode.FAILED
    assert str(tmp_path / SIGN_IN_FILE) in said.replace("\n", "")
    file = tmp_path / SIGN_IN_FILE
    assert not file.exists() or file.read_text().strip() not in said
