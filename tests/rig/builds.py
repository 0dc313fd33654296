"""What takes minutes to make: ended when it gets no further, kept, and checked before use."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.rig.engine import RigError, as_root

_LOOK_SECONDS = 1.0
_END_SECONDS = 10.0
_LINES = 60  # of what a build said, in the error
_ALIVE = 0.02  # processor seconds between two looks below which a process does nothing


@dataclass(frozen=True)
class Patience:
    """How long a build may get no further. How busy the machine is does not count.

    Attributes:
        idle: seconds in which it says nothing and uses no processor: it waits for what never comes.
        silent: processor seconds that it uses without a word: it goes round in circles.
    """

    idle: float = 300.0
    silent: float = 900.0


class Progress:
    """Whether a build still gets further, from looks at what it said and used."""

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._said, self._used = 0, 0.0
        self._idle_since, self._silent = now, 0.0

    def stall(self, said: int, used: float, now: float) -> str | None:
        """Why it gets no further; None while it does.

        Args:
            said: bytes of output so far.
            used: processor seconds so far, of all its processes.
            now: the moment of this look in seconds.
        """
        step = abs(used - self._used)  # one that ends unwaited for takes its seconds along
        if said != self._said:
            self._silent = 0.0
        if said != self._said or step > _ALIVE:
            self._idle_since = now
        self._silent += step
        self._said, self._used = said, used
        if now - self._idle_since > self._patience.idle:
            return f"it did nothing for {self._patience.idle:g} s"
        if self._silent > self._patience.silent:
            return f"it said nothing in {self._patience.silent:g} processor seconds"
        return None


def run_build(argv: Sequence[str | Path], log: Path, patience: Patience = Patience()) -> None:
    """Run a command for as long as it gets further; what it says goes to a file.

    Raises:
        RigError: it failed or got no further; the end of what it said is in it.
    """
    command = [str(part) for part in argv]
    with log.open("wb") as output, _started(command, output.fileno()) as build:
        reason = _wait(build, log, patience)
    if reason or build.returncode:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES:])
        raise RigError(f"{' '.join(command)}: {reason or f'exit {build.returncode}'}\n{said}")


def _wait(build: subprocess.Popen[bytes], log: Path, patience: Patience) -> str | None:
    progress = Progress(patience, time.monotonic())
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            build.wait(timeout=min(_LOOK_SECONDS, patience.idle / 4))
            return None
        used = _processor_seconds(build.pid)
        if reason := progress.stall(log.stat().st_size, used, time.monotonic()):
            return reason


@contextmanager
def _started(command: Sequence[str], output: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone at the end of the context, with all that it has started."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            _end_tree(process.pid)
        process.wait()


def _tree(number: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(number)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _processor_seconds(number: int) -> float:
    """Of a process and its descendants, those included that have ended and were waited for."""
    total = 0.0
    for process in _tree(number):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def _end_tree(number: int) -> None:
    """Ask them to end, then make them; some are root's, where a build needs that."""
    left = _tree(number)
    for how in (signal.SIGTERM, signal.SIGKILL):
        wanted = [str(process.pid) for process in left if process.is_running()]
        if wanted:
            subprocess.run(as_root(["kill", f"-{how}", *wanted]), check=False, capture_output=True)
        _, left = psutil.wait_procs(left, timeout=_END_SECONDS)


# What is kept


def kept(file: Path, make: Callable[[Path], None]) -> Path:
    """The file: as it is if it is whole, else as `make(path)` writes it.

    One process at a time makes something in a folder; the others wait for what it makes.
    """
    with locked(file.with_name("build.lock")):
        if not is_whole(file):
            partial = file.with_name(f"{file.name}.partial")
            make(partial)
            _keep(partial, file)
    return file


def is_whole(file: Path) -> bool:
    """Whether it is there and has the SHA-256 that was noted when it was made.

    A file that a full disk or a crash cut off has another.
    """
    try:
        return noted_sha256(file) == _sha256(file)
    except FileNotFoundError:
        return False


def noted_sha256(file: Path) -> str:
    """The SHA-256 that the file had when it was made."""
    return _note(file).read_text().strip()


def _keep(partial: Path, file: Path) -> None:
    """The note comes last, so that a file without one is one that was never finished."""
    _note(file).unlink(missing_ok=True)
    _write_through(partial)
    partial.rename(file)
    note = _note(file).with_suffix(".new")
    note.write_text(f"{_sha256(file)}\n")
    _write_through(note)
    note.rename(_note(file))


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _write_through(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the others wait for what the first has made."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
