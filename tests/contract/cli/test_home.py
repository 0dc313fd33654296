"""`xops clean` and `xops forget`: what can be made again goes, the rest only when it is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.cli.shell import Shell
from xops.core.errors import ExitCode
from xops.core.process import ServiceProcess
from xops.local.home import KEPT, REMADE

XOPS = [sys.executable, "-c", "from xops.cli import main; main()"]


@pytest.fixture
def filled(home: Path) -> Path:
    for name in (*REMADE, *KEPT, "a-person-s-own"):
        (home / name).mkdir(parents=True)
    (home / "clusters" / "onprem" / "kubeconfig").parent.mkdir()
    (home / "clusters" / "onprem" / "kubeconfig").write_text("kind: Config")
    for secret in ("prefect-secret", "embedded-aws-key", "fingerprint-key", "up.lock"):
        (home / secret).rmdir()
    return home


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_clean_names_what_it_removes_and_what_it_leaves(shell: Shell, filled: Path) -> None:
    ended = shell.run(["clean", "--json"])
    assert ended.code == ExitCode.DONE
    found = json.loads(ended.out)
    left = {*KEPT, "a-person-s-own"} - {"fingerprint-key"}
    assert {Path(path).name for path in found["kept"]} == left == names(filled)
    assert {Path(path).name for path in found["removed"]} >= {"services", "prefect", "cache"}
    assert (filled / "clusters" / "onprem" / "kubeconfig").exists()


def test_clean_says_so_to_people(shell: Shell, filled: Path) -> None:
    ended = shell.run(["clean"])
    assert f"kept    {filled}/clusters: tokens, kubeconfigs and host keys of clusters" in ended.out
    assert "`xops forget` removes the state of real systems." in ended.out


@pytest.mark.parametrize("typed", ["", "yes", "y", "clusters", "."])
def test_forget_removes_nothing_unless_the_home_is_named(
    shell: Shell, filled: Path, typed: str
) -> None:
    ended = shell.run(["forget", "--confirm", typed])
    assert ended.code == ExitCode.BAD_INPUT
    assert "Nothing was removed" in ended.err
    assert f"{filled}/evidence: the records of what was planned" in ended.err
    assert names(filled) >= KEPT.keys() - {"fingerprint-key"}


def test_forget_removes_what_xops_has_made_and_nothing_else(shell: Shell, filled: Path) -> None:
    ended = shell.run(["forget", "--confirm", str(filled), "--json"])
    assert ended.code == ExitCode.DONE
    assert names(filled) & KEPT.keys() == set()
    assert "a-person-s-own" in names(filled)
    assert shell.run(["forget"]).out == "There was nothing to forget.\n"


@pytest.mark.parametrize(
    ("typed", "code"), [("HOME", ExitCode.DONE), ("yes", ExitCode.BAD_INPUT), (None, 1)]
)
def test_forget_asks(filled: Path, typed: str | None, code: int) -> None:
    given = None if typed is None else f"{filled if typed == 'HOME' else typed}\n"
    done = subprocess.run(
        [*XOPS, "forget"],
        env=dict(os.environ),
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert f"Type {filled} to remove it" in done.stderr
    assert ("clusters" in names(filled)) is (code != ExitCode.DONE)


def test_forget_waits_until_nothing_is_running(shell: Shell, filled: Path) -> None:
    """This very process stands for a server."""
    me = ServiceProcess.find(os.getpid())
    assert me is not None
    (filled / "services" / "aws.json").write_text(json.dumps({**vars(me), "port": None}))
    ended = shell.run(["forget", "--confirm", str(filled)])
    assert ended.code == ExitCode.FAILED
    assert "aws is running" in ended.err
    assert "clusters" in names(filled)
