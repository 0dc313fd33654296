"""The one module that starts processes.

Tools run with an argument list (never a shell), a deadline and streamed output. Their output goes
to a file that is followed, not to a pipe: a tool whose reader dies must not die of a broken pipe
in the middle of writing state. On any interruption the tool gets one SIGINT, is drained and
waited for, and is then left to itself in its own session; it is never killed.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO

import psutil

from xops.core.errors import PermanentError, TemporaryError

logger = logging.getLogger(__name__)

GRACE_SECONDS = 25.0
"""How long an interrupted tool is waited for: Prefect kills a cancelled run after 30 s."""

_POLL_SECONDS = 0.05
_TELLING = 8
REDACTED = "***"

# Runs what follows with the default action of SIGINT, and of what Python itself ignores; tells by
# the file descriptor in its first argument, which closes as the tool starts, why it does not start.
_WITH_DEFAULT_SIGNALS = """
import os, signal, sys
report, argv = int(sys.argv[1]), sys.argv[2:]
os.set_inheritable(report, False)
for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
try:
    os.execvp(argv[0], argv)
except OSError as error:
    os.write(report, str(error.errno).encode())
"""

LineHandler = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        argv: the program and its arguments; argv[0] must exist.
        cwd: folder to run in.
        env: the whole environment of the process (nothing is inherited unless it is in here).
        deadline: seconds after which the tool is interrupted.
        log: file that receives stdout and stderr as they come, mode 0600; a temporary file
            that is removed afterwards if None.
        secrets: values that must not appear in lines handed on, nor in errors.
        inherits: file descriptors that the tool gets as well. A lock (flock) on one of them is
            held until the tool has ended, also where it outlives us.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    deadline: float
    log: Path | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
    inherits: Sequence[int] = ()

    def __str__(self) -> str:
        return redact(shlex.join(self.argv), self.secrets)


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code, its output lines (redacted) and seconds taken."""

    command: Command
    returncode: int
    lines: tuple[str, ...]
    seconds: float

    @property
    def text(self) -> str:
        """All output as one string."""
        return "\n".join(self.lines)


class DeadlineError(TemporaryError):
    """The tool did not end within its deadline; it was interrupted once."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with every non-empty secret replaced, longest first.

    Output is read line by line, so each line of a secret of several lines (a private key) is
    a secret too; the shortest, such as a closing brace, are not telling and are left.
    """
    whole = [secret for secret in secrets if secret]
    lines = [line for secret in whole for line in secret.splitlines() if len(line) >= _TELLING]
    for secret in sorted({*whole, *lines}, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text


def run(command: Command, on_line: LineHandler | None = None) -> Finished:
    """Run a tool to its end, handing on each line of its output as it appears.

    Must be called on the main thread where cancelling matters: only there do Ctrl-C and Prefect's
    TerminationSignal arrive. Any exception that interrupts the wait, `on_line`'s own included,
    sends one SIGINT, waits `GRACE_SECONDS` and is raised again.

    Raises:
        PermanentError: the program cannot be started.
        DeadlineError: the deadline passed.
    """
    with _log_file(command) as log:
        started = time.monotonic()
        # Before the tool starts: what it writes before its log is followed would be lost.
        follower = _Follower(log, command.secrets, on_line)
        with follower.closing():
            process = _start(command, log)
            try:
                _follow_to_end(process, follower, started + command.deadline)
            except subprocess.TimeoutExpired:
                ended = _interrupt(command, process, follower)
                raise _deadline_error(command, process, ended) from None
            except BaseException:
                _interrupt(command, process, follower)
                raise
        return Finished(
            command, process.returncode, tuple(follower.lines), time.monotonic() - started
        )


def _start(command: Command, log: Path) -> subprocess.Popen[bytes]:
    logger.debug("running %s", command)
    with log.open("ab") as output:
        try:
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                return _spawn_with_default_signals(command, output)
            return _spawn(command, command.argv, output)
        except OSError as error:
            raise PermanentError(
                f"starting {command.argv[0]}",
                f"{error.filename or command.argv[0]}: {error.strerror or error}",
                "Install it, or correct the setting that names it; `xops doctor` checks both.",
            ) from error


def _spawn(
    command: Command, argv: Sequence[str], output: IO[bytes], pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv),
        cwd=command.cwd,
        env=dict(command.env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=[*command.inherits, *pass_fds],
    )


def _spawn_with_default_signals(command: Command, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a tool that SIGINT interrupts, from a process that ignores it (`nohup xops ... &`).

    What is ignored stays ignored in every child. `preexec_fn` could change that, but it may
    deadlock in a process with threads; a second program between the two cannot.
    """
    read, write = os.pipe()
    with open(read, "rb") as report:
        between = [sys.executable, "-I", "-S", "-c", _WITH_DEFAULT_SIGNALS, str(write)]
        try:
            process = _spawn(command, [*between, *command.argv], output, (write,))
        finally:
            os.close(write)
        if reason := report.read():
            process.wait()
            raise OSError(int(reason), os.strerror(int(reason)), command.argv[0])
    return process


@contextmanager
def _log_file(command: Command) -> Iterator[Path]:
    if command.log is not None:
        command.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        command.log.touch(mode=0o600)
        yield command.log
        return
    handle, name = tempfile.mkstemp(prefix="xops-output-")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink()


class _Follower:
    """Reads what a growing log has gained since the last look, in whole lines."""

    def __init__(self, log: Path, secrets: Sequence[str], on_line: LineHandler | None) -> None:
        self.lines: list[str] = []
        self._secrets = secrets
        self._on_line = on_line
        self._rest = b""
        self._file = log.open("rb")
        self._file.seek(0, os.SEEK_END)

    def read(self, *, last: bool = False) -> None:
        """Hand on the new whole lines; with `last`, an unfinished one as well."""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        if last and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        for raw in whole:
            line = redact(raw.decode(errors="replace").rstrip("\r"), self._secrets)
            self.lines.append(line)
            if self._on_line is not None:
                self._on_line(line)

    def drain(self) -> None:
        """Read on without a handler: its own failure may be why the tool is being stopped."""
        self._on_line = None
        self.read()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Stop following at the end of the block."""
        with self._file:
            yield


def _follow_to_end(process: subprocess.Popen[bytes], follower: _Follower, deadline: float) -> None:
    while process.poll() is None:
        follower.read()
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(process.args, deadline)
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    follower.read(last=True)


def _interrupt(command: Command, process: subprocess.Popen[bytes], follower: _Follower) -> bool:
    """Send SIGINT once and wait; whether the tool ended in time."""
    if process.poll() is None:
        logger.warning("interrupting %s (process %d)", command, process.pid)
        process.send_signal(signal.SIGINT)
    give_up = time.monotonic() + GRACE_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        follower.drain()
        time.sleep(_POLL_SECONDS)
    follower.drain()
    if process.poll() is None:
        logger.warning("process %d is still finishing; it was left to end by itself", process.pid)
    return process.poll() is not None


def _deadline_error(
    command: Command, process: subprocess.Popen[bytes], ended: bool
) -> DeadlineError:
    after = "and ended" if ended else f"and is still finishing as process {process.pid}"
    return DeadlineError(
        f"running {command}",
        f"it did not end within {command.deadline:.0f} s; it was interrupted {after}",
        "Look at what it was waiting for in its output, then run it again.",
        retry_after=60.0,
    )


@dataclass(frozen=True)
class ServiceProcess:
    """A process, known by its id and by what the kernel noted of its start.

    Ids are used again, and the time of day at which a process was started is reckoned from a clock
    that may be set: neither tells whether it is still the same one.

    Attributes:
        pid: its id.
        start: on Linux the clock ticks from the boot to its start; elsewhere the moment of its
            start in seconds since 1970, as the kernel noted it then.
        boot: the id of the boot that the ticks count from; empty where the kernel keeps a moment.
    """

    pid: int
    start: float
    boot: str

    @classmethod
    def find(cls, pid: int) -> ServiceProcess | None:
        """The process that has this id now; None if there is none."""
        try:
            return cls(pid, _start_of(pid), _boot())
        except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            return None

    def alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return self._found() is not None

    @property
    def leads(self) -> bool:
        """Whether it leads a session, as every tool and server does that was started here."""
        return _session(self.pid) == self.pid

    def stop(
        self,
        patience: float = 10.0,
        number: signal.Signals = signal.SIGTERM,
        *,
        alone: bool = False,
    ) -> None:
        """End it and what it has started in its own session.

        SIGTERM, and SIGKILL for what is left after `patience` seconds. A process in another
        session is never signalled: a tool, which leads one, is interrupted by who runs it, once,
        and a second signal would make Terraform lose its state.

        For our own servers only; a tool that holds a lock is never stopped this way.

        Args:
            patience: seconds.
            number: another signal that asks it to end.
            alone: leave its children to it, to whom the signal may mean something else.
        """
        top = self._found()
        if top is None:
            return
        family = [top] if alone else [top, *_others_of_session(top)]
        for member in family:
            _signal_quietly(member, number)
        left = _left(family, patience)
        for member in left:
            _signal_quietly(member, signal.SIGKILL)
        _left(left, patience)

    def ask_to_end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it one signal, and to nothing else; whoever has its id by now gets none."""
        if (found := self._found()) is not None:
            _signal_quietly(found, number)

    def sessions_below(self) -> list[Started]:
        """The leaders of sessions among its children, their children and so on: tools of its own.

        What a tool has started in its session (a provider, a provisioner) is not among them.
        """
        top = self._found()
        below = [] if top is None else _children(top)
        return [row for each in below for row in _started(each) if row.process.leads]

    def _found(self) -> psutil.Process | None:
        # psutil notes what the kernel keeps of the process that it finds, and signals no other.
        try:
            found = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            return None
        return found if ServiceProcess.find(self.pid) == self and _runs(found) else None


def _start_of(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not sys.platform.startswith("linux"):
        return psutil.Process(pid).create_time()
    # Its name, in brackets, may hold blanks and brackets; the start is the 22nd field (proc(5)).
    return float(stat.read_bytes().rpartition(b")")[2].split()[19])


@cache
def _boot() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _others_of_session(top: psutil.Process) -> list[psutil.Process]:
    """What runs in the session of a process and descends from it.

    Where it leads the session, also what its children have left behind when they died.
    """
    session = _session(top.pid)
    leads = session == top.pid
    return [
        member
        for member in (psutil.process_iter() if leads else _children(top))
        if member.pid != top.pid and session is not None and _session(member.pid) == session
    ]


def _children(top: psutil.Process) -> list[psutil.Process]:
    try:
        return top.children(recursive=True)
    except psutil.NoSuchProcess:  # it ended between the two looks
        return []


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


@dataclass(frozen=True)
class Started:
    """A running process as people are told of it: its name and when it was started (UTC)."""

    process: ServiceProcess
    name: str
    started: datetime

    def __str__(self) -> str:
        since = f"{self.started:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.name} (process {self.process.pid}, since {since})"


def _started(found: psutil.Process) -> list[Started]:
    try:
        process = ServiceProcess.find(found.pid)
        at = datetime.fromtimestamp(found.create_time(), UTC)
        return [] if process is None else [Started(process, found.name(), at)]
    except psutil.NoSuchProcess:  # it ended between the two looks
        return []


@dataclass(frozen=True)
class FileHolder(Started):
    """A process that has a file open.

    `leads` says whether it leads a session: what a tool has started itself (a provider, a
    provisioner) does not.
    """

    leads: bool


def file_holders(file: Path) -> list[FileHolder]:
    """The processes that have this file open, as far as we may look into them."""
    path = str(file.resolve())
    return [
        holder
        for found in psutil.process_iter(["open_files"])
        if any(row.path == path for row in found.info["open_files"] or ())
        for holder in _file_holder(found)
    ]


def _file_holder(found: psutil.Process) -> list[FileHolder]:
    return [
        FileHolder(row.process, row.name, row.started, row.process.leads) for row in _started(found)
    ]


def find_processes[Told](
    told: Callable[[Sequence[str], Mapping[str, str]], Told | None],
) -> list[tuple[Started, Told]]:
    """This user's processes of which something is told, and that.

    Of another user's nothing counts: whoever starts a process chooses what it says of itself.

    Args:
        told: takes a process's argument list and environment; None for one that is not wanted.
    """
    seen = [
        (found, told(found.info["cmdline"], found.info["environ"] or {}))
        for found in psutil.process_iter(["cmdline", "environ", "uids"])
        if found.info["cmdline"] and found.info["uids"].effective == os.geteuid() and _runs(found)
    ]
    return [(row, said) for found, said in seen if said is not None for row in _started(found)]


def _left(family: Sequence[psutil.Process], patience: float) -> list[psutil.Process]:
    """Those of them that still run after `patience` seconds; returns as soon as none does."""
    give_up = time.monotonic() + patience
    left = [member for member in family if _runs(member)]
    while left and time.monotonic() < give_up:
        time.sleep(_POLL_SECONDS)
        left = [member for member in left if _runs(member)]
    return left


def _runs(process: psutil.Process) -> bool:
    # A zombie has ended; in a container nobody may ever reap it.
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal_quietly(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        logger.debug("process %d had already ended", process.pid)


def start_service(command: Command) -> ServiceProcess:
    """Start a server in the background, in its own session, its output appended to `command.log`.

    Raises:
        PermanentError: the program cannot be started.
    """
    with _log_file(command) as log:
        process = _start(command, log)
    # Nobody has waited for it: even one that has ended is still there to be looked at.
    return ServiceProcess(process.pid, _start_of(process.pid), _boot())
