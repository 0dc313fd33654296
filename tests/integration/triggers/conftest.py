"""A PostgreSQL server of the tests' own for the history, and a GitHub to collect from."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import TOKEN, GitHubServer
from tests.integration.triggers.collecting import AS_OF, NAME, POLICY, SYDNEY, Collect
from tests.secret_sources import allowing
from xops.github.client import Client
from xops.triggers.connection import access
from xops.triggers.facts import Facts
from xops.triggers.measure.collect import collect
from xops.triggers.policy import Policy

_VERSIONS = Path("/usr/lib/postgresql")


def _programs() -> Path | None:
    """Where the newest PostgreSQL of the distribution has its programs."""
    found = sorted(_VERSIONS.glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _account() -> str | None:
    """Who runs the server: it refuses to run as root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Postgres:
    """A throw-away cluster on the loopback address."""

    def __init__(self, programs: Path, account: str, folder: Path) -> None:
        self._programs, self._account, self._folder = programs, account, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(
            command, user=self._account if not os.geteuid() else None, cwd="/", check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        secret = self._folder / "secret"
        secret.write_text("canary")
        secret.chmod(0o644)
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", "xops", "--auth=scram-sha-256", "--no-sync",
                  f"--pwfile={secret}")  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c fsync=off"
        sockets = f"-c unix_socket_directories={self._folder}"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", f"{options} {sockets}", "start")

    def stop(self) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def sql(self, statement: str) -> None:
        """One statement, by who owns everything."""
        self._run("psql", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url())

    def dump(self, database: str, file: Path) -> None:
        """All of a database as one file."""
        copy = self._folder / file.name
        self._run("pg_dump", "--format=custom", f"--file={copy}", self.url(database=database))
        shutil.move(copy, file)

    def restore(self, database: str, file: Path) -> None:
        """A dump into an empty database."""
        copy = shutil.copy(file, self._folder / f"{file.name}.copy")
        shutil.chown(copy, self._account)
        self._run("pg_restore", "--exit-on-error", "-d", self.url(database=database), str(copy))

    def url(self, account: str = "xops:canary", database: str = "postgres") -> str:
        return f"postgresql://{account}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server; skips where none can be run."""
    programs, account = _programs(), _account()
    if programs is None or account is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not below pytest's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="xops-postgres-"))
    shutil.chown(folder, account)
    server = Postgres(programs, account, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def web(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture
def policy(github: GitHubServer, tmp_path: Path) -> Callable[..., Policy]:
    """`policy(*repositories, weeks=1, zone=, select=, more="  branches: [...]")` reads one."""

    def written(
        *names: str, weeks: int = 1, zone: str = SYDNEY.key, select: str = "", more: str = ""
    ) -> Policy:
        file = tmp_path / "triggers.yaml"
        listed = ", ".join(names or (() if select else (NAME,)))
        values = {"url": github.url, "repositories": f"[{listed}]", "weeks": weeks, "zone": zone}
        more = f"  select: {select}\n{more}" if select else more
        file.write_text(POLICY.format(**values, more=more))
        return Policy.load(file, environ={})

    return written


@pytest.fixture
def read(github: GitHubServer, tmp_path: Path, policy: Callable[..., Policy]) -> Iterator[Collect]:
    """`read(*names, as_of=..., token=..., **policy)` collects facts, as a new process would."""
    with ExitStack() as stack:

        def once(
            *names: str, as_of: date = AS_OF, token: str = TOKEN, cross_check: bool = False,
            patience: float = 900, now: datetime | None = None, folder: str = "cache",
            **given: Any,
        ) -> Facts:  # fmt: skip
            chosen = policy(*names, **given)
            assert chosen.github
            reached = access(chosen.github)
            client = Client(
                type(reached)(reached.api_url, reached.credential, patience_seconds=patience),
                environ={"XOPS_GITHUB_TOKEN": token},
                sources=allowing(github.url),
                sleep=lambda _: None,
            )
            stack.enter_context(client)
            return collect(
                chosen, as_of, client, folder=tmp_path / folder, cross_check=cross_check,
                now=lambda: now or datetime.now(UTC),
            )  # fmt: skip

        yield once
