"""Servers in the background: each is started once, found again later, and stopped by name.

What runs is told by the process itself (its id and start time, kept in a small file) and by its
health address, never by the file alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.process import Command, ServiceProcess, start_service

START_DEADLINE = 180.0
"""Seconds. A busy machine with two cores took 53 s to bring up the Prefect server."""


_SHUTDOWN_SECONDS = 60.0


@contextmanager
def starting_alone(home: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Let one command at a time start the servers of a home; another waits and finds them.

    Args:
        home: the installation.
        on_wait: told once which process is waited for.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            on_wait(f"waiting for process {lock.read()}, which is starting this installation")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@dataclass(frozen=True)
class Service:
    """One server of the embedded stack.

    Attributes:
        name: its name in commands and files.
        argv: how it is started.
        environ: its whole environment; nothing is inherited.
        port: the port it listens on; None for one that only calls out.
        healthy: asks it whether it is up; must not raise.
        port_setting: the variable that moves it to another port.
        fast_shutdown: PostgreSQL's way to be ended: SIGINT to its first process, which ends its
            sessions and writes what they have done.
    """

    name: str
    argv: Sequence[str]
    environ: Mapping[str, str]
    healthy: Callable[[], bool]
    port: int | None = None
    port_setting: str = ""
    fast_shutdown: bool = False
    folder: Path = field(default_factory=lambda: settings.home() / "services")

    @property
    def at(self) -> str:
        """` on port N` after its name, where it has one."""
        return f" on port {self.port}" if self.port else ""

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return _record_file(self.folder, self.name)

    def process(self) -> ServiceProcess | None:
        """The running process, or None."""
        record = read_record(self.folder, self.name)
        return record.process if record is not None else None

    def launch(self) -> bool:
        """Start it unless it runs, without waiting for its health; whether it was started now.

        Raises:
            PermanentError: its port is taken by another program.
        """
        if self.process() is not None:
            return False
        self._refuse_taken_port()
        self._start()
        return True

    def wait(self) -> None:
        """Wait until it is healthy.

        Raises:
            PermanentError: it is not running, ended, or never got healthy.
        """
        started = time.monotonic()
        while not self.healthy():
            waited = time.monotonic() - started
            if self.process() is None:
                raise self._failed("it has ended")
            if waited > START_DEADLINE:
                raise self._failed(f"it did not become healthy within {START_DEADLINE:.0f} s")
            time.sleep(0.2)

    def stop(self) -> bool:
        """End it; whether it was running."""
        running = self.process()
        if running is not None and self.fast_shutdown:
            running.stop(_SHUTDOWN_SECONDS, signal.SIGINT, alone=True)
        elif running is not None:
            running.stop()
        self._record.unlink(missing_ok=True)
        return running is not None

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = Command(
            self.argv,
            cwd=settings.ROOT,
            env=self.environ,
            deadline=0,
            log=self.log,
        )
        running = start_service(command)
        self._record.write_text(json.dumps({**vars(running), "port": self.port}))

    def _failed(self, found: str) -> PermanentError:
        tail = "\n    ".join(self.log.read_text(errors="replace").splitlines()[-8:])
        return PermanentError(
            f"starting {self.name}",
            f"{found}; the end of its log:\n    {tail}",
            f"Mend what the log names (all of it: {self.log}), then run it again.",
        )

    def _refuse_taken_port(self) -> None:
        if self.port is None or port_is_free(self.port):
            return
        raise PermanentError(
            f"starting {self.name}",
            f"port {self.port} is in use by {port_holder(self.port)}",
            f"End that program, or choose another port: {self.port_setting}=<port>.",
        )


@dataclass(frozen=True)
class Record:
    """A service that runs: its process and the port it was given."""

    process: ServiceProcess
    port: int | None


def _record_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def read_record(folder: Path, name: str) -> Record | None:
    """What runs under this name, or None. A record cut short by a full disk counts as none."""
    try:
        row = json.loads(_record_file(folder, name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    process = ServiceProcess(row["pid"], row["created"])
    return Record(process, row["port"]) if process.alive() else None


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_holder(port: int) -> str:
    """The program that listens on this port, as far as we may know it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another program (whose name this user may not see)"
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            if connection.pid is None:
                break
            return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"


def answers(url: str, seconds: float = 5.0) -> bool:
    """Whether a GET of this address gives a 2xx."""
    try:
        return httpx.get(url, timeout=seconds).is_success
    except httpx.HTTPError:
        return False


def python(*module_and_arguments: str) -> list[str]:
    """The argument list that runs a module with this very Python."""
    return [sys.executable, "-m", *module_and_arguments]
