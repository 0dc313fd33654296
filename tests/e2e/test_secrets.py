"""Secrets that the person's environment holds are found nowhere that anything was written."""

import subprocess
from pathlib import Path

import psutil

from tests.e2e.stack import CANARY, Embedded
from xops.local import postgresql


def dumped(stack: Embedded) -> str:
    """All that the database holds, as SQL: in its files long values are compressed."""
    programs = postgresql.programs()
    assert programs is not None
    where = ["--host", str(postgresql.socket_folder(stack.home)), "--username", "xops", "postgres"]
    done = subprocess.run(
        [programs / "pg_dump", *where], capture_output=True, text=True, timeout=60, check=True
    )
    assert "COPY public.flow_run " in done.stdout
    return done.stdout


def content(file: Path) -> bytes:
    """What a file holds; nothing where the database has removed it since the folder was read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def test_a_secret_of_the_environment_is_in_no_file_database_log_or_argv(stack: Embedded) -> None:
    files = [file for file in stack.home.rglob("*") if file.is_file() and not file.is_symlink()]
    assert CANARY not in dumped(stack)
    assert any(file.name == "worker.log" for file in files)
    assert any(file.suffix == ".json" and "evidence" in file.parts for file in files)
    holding = [str(file) for file in files if CANARY.encode() in content(file)]
    assert holding == []
    argvs = [
        " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    assert any("xops.local.aws" in argv for argv in argvs)
    assert [argv for argv in argvs if CANARY in argv] == []


def test_what_holds_plans_and_records_is_for_its_owner_alone(stack: Embedded) -> None:
    records = list((stack.home / "evidence").rglob("*.json"))
    logs = list((stack.home / "runs").rglob("*.log"))
    assert records
    assert logs
    assert {oct(file.stat().st_mode & 0o777) for file in [*records, *logs]} == {"0o600"}
    folders = [*(stack.home / "runs").iterdir(), *(stack.home / "runs").glob("*/*")]
    assert {oct(folder.stat().st_mode & 0o777) for folder in folders} == {"0o700"}
