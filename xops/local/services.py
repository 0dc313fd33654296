"""Servers in the background: each is started once, found again later, and stopped by name.

What runs is told by the process itself (its id and start time, kept in a small file) and by its
health address, never by the file alone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import settings
from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import read_bytes
from xops.core.process import Command, ServiceProcess, find_processes, start_service
from xops.local.home import make_private
from xops.prefect_server.profile import LISTENER_VARIABLE

START_DEADLINE = 600.0
"""Seconds. A server that ends is noticed at once, so this is for one that hangs. A machine with two
processors that did other work as well took over 180 s to bring up the Prefect server."""

_SAY_SECONDS = 30.0


_SHUTDOWN_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_RECORD_BYTES = 4096
_TAIL_BYTES = 16384
_CLOCK_SECONDS = 60.0
"""How far a clock may have been set since a record of the release before was written."""


@contextmanager
def starting_alone(home: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Let one command at a time start the servers of a home; another waits and finds them.

    Args:
        home: the installation.
        on_wait: told once which process is waited for.
    """
    make_private(home)
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
        environ: its environment; nothing is inherited.
        secrets: gives what else it is told, when it is started: who only looks makes no secret.
        port: the port it listens on; None for one that only calls out.
        keeps_port: a port that no other user can take while it runs: its own, or that of a server
            to which it sends a secret, and which may have died.
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
    keeps_port: int | None = None
    fast_shutdown: bool = False
    folder: Path = field(default_factory=lambda: settings.home() / "services")
    secrets: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)

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
        if self.process() is not None or self._adopt():
            return False
        self.refuse_foreign_port()
        self._start()
        return True

    def refuse_foreign_port(self) -> None:
        """Refuse to start where its port is taken, unless by itself.

        Raises:
            PermanentError: its port is taken by another program.
        """
        if self.port is None or self.process() is not None or port_is_free(self.port):
            return
        if not self._find():
            raise self._port_taken(self.port)

    def is_up(self) -> bool:
        """Whether it is healthy, and it is this very process that answers for it.

        Another user's program may have been faster to take the port, and may answer as ours does.
        """
        return self.healthy() and self.answers_alone()

    def answers_alone(self) -> bool:
        """Whether its process, and no other one, listens on its port; so without a port."""
        if self.port is None:
            return True
        running, found = self.process(), listeners(self.port, "tcp4")
        ours = [row.pid for row in ([running] if running is not None else self._find())]
        return bool(ours) and (found is None or (len(found) == 1 and found[0] in ours))

    def has_other_secrets(self) -> bool:
        """Whether it runs and was told other secrets than it would be told now."""
        # What it was not told, a release before started without: that is told by other means.
        return any(self.told(name, value) != value for name, value in self.secrets().items())

    def told(self, name: str, otherwise: str) -> str:
        """What its process was told in a variable; `otherwise` where none runs or it was not."""
        running = self.process()
        try:
            environ = {} if running is None else psutil.Process(running.pid).environ()
        except psutil.Error:  # it ended between the two looks, or may not be looked into
            return otherwise
        return environ.get(name, otherwise)

    def wait(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Wait until it is healthy.

        Args:
            say: told now and then for how long it has been waited for.

        Raises:
            PermanentError: it is not running, ended, or never got healthy.
        """
        started = time.monotonic()
        said = 0.0
        while not self.is_up():
            waited = time.monotonic() - started
            if waited - said > _SAY_SECONDS:
                said = waited
                say(f"{self.name} is not healthy yet after {waited:.0f} s; its log: {self.log}")
            if self.process() is None:
                raise self._failed("it has ended")
            if waited > START_DEADLINE:
                raise self._failed(f"it did not become healthy within {START_DEADLINE:.0f} s")
            time.sleep(0.2)

    def stop(self) -> bool:
        """End it, and others like it that no record knows; whether any was running."""
        recorded = self.process()
        found = self._find(any_port=True)
        running = dict.fromkeys([*([recorded] if recorded else []), *found])
        for process in running:
            self.end(process)
        self._record.unlink(missing_ok=True)
        return bool(running)

    def _adopt(self) -> bool:
        """Take over what runs as this server already without a record; whether anything does.

        Whoever started it was killed before it could write the record, or somebody has removed
        that: a second worker would poll beside it.
        """
        if self.fast_shutdown or (self.port is not None and port_is_free(self.port)):
            return False
        found = self._find()
        for process in found[:1]:
            self._keep(process)
        return bool(found)

    def end(self, process: ServiceProcess) -> None:
        """End a process of this server in the way that it takes."""
        if self.fast_shutdown:
            process.stop(_SHUTDOWN_SECONDS, signal.SIGINT, alone=True)
        else:
            process.stop()

    def _find(self, *, any_port: bool = False) -> list[ServiceProcess]:
        """The processes of this installation with this server's command line."""
        before = ("", *self.argv)

        def is_ours(argv: Sequence[str], environ: Mapping[str, str]) -> bool | None:
            same = len(argv) == len(self.argv) and all(
                own == word or (any_port and last == "--port")
                for last, own, word in zip(before, self.argv, argv, strict=False)
            )
            return (same and home_of(environ) == self.folder.parent) or None

        return [row.process for row, _ in find_processes(is_ours)]

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._kept_port() as handles:
            to_listen = {LISTENER_VARIABLE: str(handles[0])} if handles and self.port else {}
            command = Command(
                self.argv,
                cwd=settings.ROOT,
                env={**self.environ, **self.secrets(), **to_listen},
                deadline=0,
                log=self.log,
                inherits=handles,
            )
            running = start_service(command)
        try:
            self._keep(running)
        except BaseException:
            self.end(running)  # it has the port, and the person has been told that it failed
            raise

    @contextmanager
    def _kept_port(self) -> Iterator[Sequence[int]]:
        """The handle of the port that it keeps from others, for its process."""
        if self.keeps_port is None:
            yield ()
            return
        try:
            kept = _bound(self.keeps_port, listens=self.port is not None)
        except OSError:
            raise self._port_taken(self.keeps_port) from None
        with kept:
            yield (kept.fileno(),)

    def _keep(self, running: ServiceProcess) -> None:
        write_private(self._record, json.dumps({**asdict(running), "port": self.port}))

    def _failed(self, found: str) -> PermanentError:
        tail = "\n    ".join(_last_lines(self.log))
        return PermanentError(
            f"starting {self.name}",
            f"{found}; the end of its log:\n    {tail}",
            f"Fix what the log names (all of it: {self.log}), then run it again.",
        )

    def _port_taken(self, port: int) -> PermanentError:
        return PermanentError(
            f"starting {self.name}",
            f"port {port} is in use by {port_holder(port)}; nothing was sent to it",
            "End that program (`xops down`, if it is xOps' own), or choose another port:"
            f" {self.port_setting}=<port>.",
        )


@dataclass(frozen=True)
class Record:
    """A service that runs: its process and the port it was given."""

    process: ServiceProcess
    port: int | None


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(-min(_TAIL_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read().decode(errors="replace").splitlines()[-8:]


def _record_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def home_of(environ: Mapping[str, str]) -> Path:
    """The installation that a process of xOps with these variables works for."""
    return (settings.ROOT / environ.get("XOPS_HOME", ".xops")).resolve()


def read_record(folder: Path, name: str) -> Record | None:
    """What runs under this name, or None. A record of another shape counts as none.

    A full disk has cut it short, or another program has written it: what runs is still found by
    its command line when it is to be started or ended.
    """
    try:
        row = parse_json(read_bytes(_record_file(folder, name), _RECORD_BYTES))
        process, port = _recorded_process(row), row["port"]
        if port is not None and port not in range(1, 2**16):
            return None
        return Record(process, port) if process is not None and process.alive() else None
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def recorded_port(folder: Path, name: str) -> int | None:
    """The port that a service was given last, also where it has died since."""
    with suppress(ValueError, TypeError, LookupError):
        port = parse_json(read_bytes(_record_file(folder, name), _RECORD_BYTES))["port"]
        return port if type(port) is int and port in range(1, 2**16) else None
    return None


def _recorded_process(row: Mapping[str, Any]) -> ServiceProcess | None:
    pid = int(row["pid"])
    if "boot" in row:
        return ServiceProcess(pid, float(row["start"]), str(row["boot"]))
    # As the release before wrote it: the time of day, which follows the clock.
    created = float(row["created"])

    def is_it(argv: Sequence[str]) -> bool:
        return any("xops" in word or "prefect" in word for word in argv)

    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        found = psutil.Process(pid)
        if abs(found.create_time() - created) < _CLOCK_SECONDS and is_it(found.cmdline()):
            return ServiceProcess.find(pid)
    return None


def port_of(environ: Mapping[str, str], variable: str, default: int) -> int:
    """The port that a variable names, or else the default.

    Raises:
        InputError: it is no port that a server may listen on.
    """
    given = environ.get(variable, str(default))
    if given.isdecimal() and given.isascii() and int(given) in range(1, 2**16):
        return int(given)
    finding = Finding(f"variable {variable}", "", f"{given!r} is no port: 1 to 65535")
    raise InputError("reading the environment variables", [finding])


def port_is_free(port: int) -> bool:
    """Whether a server of ours could listen on this port of the loopback address now.

    It could where a process of ours only keeps it from others.
    """
    try:
        _bound(port, listens=True).close()
    except OSError:
        return False
    with socket.socket() as probe:
        probe.settimeout(_CONNECT_SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def _bound(port: int, *, listens: bool) -> socket.socket:
    """A socket that has this port of the loopback address, and does not listen on it yet.

    With SO_REUSEPORT it is shared among sockets of one user that all ask for that; who connects
    gets to the one that listens, and to nobody where none does (socket(7), on Linux).

    Raises:
        OSError: another program or user has it.
    """
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listens:  # what only keeps a port must not give way to whoever asks for this
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


def listeners(port: int, kind: str = "tcp") -> list[int | None] | None:
    """The processes that listen on this port, None for one of another user's; None if unknown."""
    try:
        connections = psutil.net_connections(kind)
    except psutil.AccessDenied:
        return None
    return [
        row.pid
        for row in connections
        if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port
    ]


def port_holder(port: int) -> str:
    """The program that listens on this port, as far as we may know it."""
    found = listeners(port)
    if found is None:
        return "another program (whose name this user may not see)"
    for pid in found:
        if pid is None:
            return "another user's program (whose name this user may not see)"
        with suppress(psutil.NoSuchProcess):  # it may have ended by now
            return _described(psutil.Process(pid))
    return "another program"


def _described(process: psutil.Process) -> str:
    others = process.uids().effective != os.geteuid()
    owner = f" of user {process.username()}" if others else ""
    return f"{process.name()} (process {process.pid}{owner})"


def answers(url: str, seconds: float = 5.0) -> bool:
    """Whether a GET of this address gives a 2xx."""
    try:
        return httpx.get(url, timeout=seconds).is_success
    except httpx.HTTPError:
        return False


def python(*module_and_arguments: str) -> list[str]:
    """The argument list that runs a module with this very Python."""
    return [sys.executable, "-m", *module_and_arguments]
