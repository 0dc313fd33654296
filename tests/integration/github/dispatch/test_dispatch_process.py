"""The dispatcher as a process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import running
from tests.waiting import Eventually
from xops.core.errors import InputError, PermanentError
from xops.core.files.settings import ROOT
from xops.prefect_server.dispatch import run
from xops.prefect_server.dispatcher_beat import read_beat
from xops.prefect_server.profile import API_VARIABLE

_LOADED = """
import json, sys
import xops.prefect_server.dispatch
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_it_holds_no_client_of_prefect_github_or_a_cloud() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(ended.stdout))
    assert "httpx" in loaded
    assert not loaded & {"prefect", "githubkit", "boto3", "botocore", "moto", "asyncssh"}


def test_it_lives_while_prefect_and_the_inbox_are_down_says_so_and_ends_when_told(
    tmp_path: Path, eventually: Eventually
) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "XOPS_HOME": str(tmp_path),
        "XOPS_GITHUB_DATABASE": "postgresql://nobody:nothing@127.0.0.1:9/inbox",
        API_VARIABLE: "http://127.0.0.1:9/api",
    }
    argv = [sys.executable, "-m", "xops.cli", "github", "dispatch"]
    with running(argv, env=environ, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        beat = eventually(lambda: read_beat(tmp_path), 60)
        assert beat is not None
        assert (beat.pid, beat.waiting) == (process.pid, None)
        eventually(lambda: (found := read_beat(tmp_path)) and found.failing, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("api", ["", "prefect.example.com"])
def test_an_address_that_is_none_is_told_at_once(tmp_path: Path, api: str) -> None:
    with pytest.raises(InputError, match=API_VARIABLE):
        run({"XOPS_HOME": str(tmp_path), API_VARIABLE: api})


def test_an_inbox_that_cannot_be_used_ends_it_with_one_message(tmp_path: Path) -> None:
    file = tmp_path / "inbox.db"
    file.write_text("this is no database, and was never one")
    environ = {
        "XOPS_HOME": str(tmp_path),
        "XOPS_GITHUB_DATABASE": f"sqlite:///{file}",
        API_VARIABLE: "http://127.0.0.1:9/api",
    }
    with pytest.raises(PermanentError, match="not a database"):
        run(environ)
