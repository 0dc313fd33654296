"""A PostgreSQL server of the tests' own, which can be killed and started again."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import psutil
import pytest

from tests.mounts import small_file_system

_VERSIONS = Path("/usr/lib/postgresql")
_SMALL = "small"


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
        self._emptied: str | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(
            command, user=self._account if not os.geteuid() else None, cwd="/", check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def initialise(self) -> None:
        secret = self._folder / "secret"
        secret.write_text("canary")
        secret.chmod(0o644)
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", "xops", "--auth=scram-sha-256", "--no-sync",
                  f"--pwfile={secret}")  # fmt: skip

    def start(self) -> None:
        data = str(self._folder / "data")
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c fsync=off"
        sockets = f"-c unix_socket_directories={self._folder}"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", f"{options} {sockets}", "start")

    def stop(self) -> None:
        """At once, as if it was killed: the next start recovers from its log."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and answers none of them within the block."""
        file = self._folder / "data" / "postmaster.pid"
        first = psutil.Process(int(file.read_text().split()[0]))
        stopped = [first, *first.children()]
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def sql(self, statement: str) -> None:
        """One statement, by who owns everything."""
        self._run("psql", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url())

    def new_database(self) -> str:
        """The address of a database that is empty."""
        name = f"t{uuid4().hex}"
        asyncio.run(_execute(self.url(), f"CREATE DATABASE {name}"))
        return self.url(database=name)

    def emptied_database(self) -> str:
        """The address of one that is always the same: emptying is faster than making another."""
        if self._emptied is None:
            self._emptied = self.new_database()
        asyncio.run(_execute(self._emptied, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        return self._emptied

    @contextmanager
    def database_on_small_disk(self, size: str) -> Iterator[tuple[str, Path]]:
        """The address of a database whose tables have that much room (`2m`), and where they lie."""
        folder = Path(tempfile.mkdtemp(prefix="xops-small-"))
        try:
            with small_file_system(folder, size):
                yield self._database_in(folder), folder
                self.sql(f"DROP DATABASE {_SMALL} WITH (FORCE)")
                self.sql(f"DROP TABLESPACE {_SMALL}")
        finally:
            folder.rmdir()

    def _database_in(self, folder: Path) -> str:
        inside = folder / "tables"
        inside.mkdir()
        for each in (folder, inside):
            shutil.chown(each, self._account)
        self.sql(f"CREATE TABLESPACE {_SMALL} LOCATION '{inside}'")
        self.sql(f"CREATE DATABASE {_SMALL}")
        self.sql(f"ALTER DATABASE {_SMALL} SET default_tablespace = {_SMALL}")
        return self.url(database=_SMALL)

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


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server within the block; skips where none can be run."""
    programs, account = _programs(), _account()
    if programs is None or account is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not below pytest's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="xops-postgres-"))
    shutil.chown(folder, account)
    server = Postgres(programs, account, folder)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
