"""What `xops` does of the process that it is: variables, encodings, modes of files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.cli.shell import Shell
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT

XOPS = [sys.executable, "-c", "from xops.cli import main; main()"]
PLAN = ["ecs", "plan", "--environment", "local"]

WRONG = [
    ("XOPS_AWS_PORT", "abc", ["down"]),
    ("XOPS_AWS_PORT", "0", ["up", "--once"]),
    ("XOPS_AWS_PORT", "65536", ["clean"]),
    ("XOPS_AWS_PORT", "\u0661", ["down"]),
    ("XOPS_PREFECT_PORT", "-1", ["up", "--once"]),
    ("XOPS_PREFECT_PORT", "", ["down"]),
    ("XOPS_DOWN_WAIT", "abc", ["down"]),
    ("XOPS_DOWN_WAIT", "-1", ["clean"]),
    *(("XOPS_AWS_ENDPOINT", value, PLAN) for value in (
        "x", "http://", "http://[", "http://127.0.0.1:abc", "ftp://127.0.0.1", "127.0.0.1:4577",
    )),
    ("XOPS_DATABASE_URL", "postgresql://u:canary@127.0.0.1/x?nope=1", ["up", "--once"]),
    ("XOPS_DATABASE_URL", "postgresql://u:canary@127.0.0.1:abc/x", ["up", "--once"]),
    ("XOPS_TRIGGERS_HISTORY", "postgresql://u:canary@127.0.0.1/x?nope=1", ["triggers", "verify"]),
    ("XOPS_TRIGGERS_HISTORY", "nonsense", ["triggers", "verify"]),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "value", "words"), WRONG)
def test_a_wrong_variable_is_bad_input(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    ended = shell.run(words)
    assert ended.code == ExitCode.BAD_INPUT, ended.err
    assert variable in ended.err
    assert "canary" not in ended.err


@pytest.mark.parametrize("variable", ["XOPS_AWS_PORT", "XOPS_PREFECT_PORT", "XOPS_GITHUB_PORT"])
def test_the_doctor_tells_of_a_port_that_is_none(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "abc")
    ended = shell.run(["doctor"])
    assert ended.code == ExitCode.FINDINGS
    assert f"variable {variable}: 'abc' is no port" in ended.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict", "utf-8"])
def test_what_an_encoding_lacks_is_said_in_another_way(tmp_path: Path, encoding: str) -> None:
    done = subprocess.run(
        [*XOPS, "decision", "sensitivity"],
        env={**os.environ, "PYTHONIOENCODING": encoding, "XOPS_HOME": str(tmp_path)},
        capture_output=True,
        cwd=ROOT,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (ExitCode.DONE, b"")
    assert "±".encode(encoding.partition(":")[0], "backslashreplace") in done.stdout


@pytest.mark.parametrize("found", ["/dev/null", "/proc/version", "/proc/1/no/such/folder"])
@pytest.mark.parametrize("words", [["down"], ["up", "--once"], ["doctor"], ["forget"]])
def test_a_home_that_cannot_be_one_is_told(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, found: str, words: list[str]
) -> None:
    monkeypatch.setenv("XOPS_HOME", found)
    ended = shell.run(words)
    assert ended.code in (ExitCode.FAILED, ExitCode.FINDINGS, ExitCode.DONE)
    assert ended.code == ExitCode.DONE or found in ended.err + ended.out


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_a_command_makes_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "home" / "below"
    done = subprocess.run(
        [*XOPS, "triggers", "verify"],
        env={**os.environ, "XOPS_HOME": str(home)},
        umask=umask,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=50,
        check=False,
    )
    assert done.returncode == ExitCode.INCOMPLETE, done.stderr  # nothing is in it yet
    made = [home.parent, home, *home.rglob("*")]
    assert [path for path in made if path.stat().st_mode & 0o077] == []
    assert any(path.is_file() for path in made)
