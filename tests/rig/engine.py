"""The container engine under the test hosts: the machine's own, or one started for the tests.

An engine of the tests' own keeps its data in the cache folder, listens on a socket there and is
shared by all test sessions of this user. Each session holds a shared lock; whoever ends last
stops the engine. A session that is killed cannot clean up, so each has a guard: a process
that waits for that lock, then removes what is left and stops the engine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LABEL = "xops.rig"
"""Everything made for tests carries this label; its value says which process made it."""

ROOT = Path(__file__).resolve().parents[2]
_MACHINE_SOCKET = Path("/var/run/docker.sock")
_START_SECONDS = 60.0
_GROUP = "xops-rig"
_PRECEDENCE = f"""\
set -eu
cd /sys/fs/cgroup
if [ -d cpu ]; then
    mkdir -p cpu/{_GROUP}
    echo 16384 > cpu/{_GROUP}/cpu.shares
else
    echo +cpu > cgroup.subtree_control
    mkdir -p {_GROUP}
    echo 1600 > {_GROUP}/cpu.weight
fi
"""
"""Sixteen times what a group has by itself: version 1 counts from 1024, version 2 from 100."""
_KINDS = {"container": ("rm", "--force", "--volumes"), "network": ("rm",), "volume": ("rm",)}


class RigError(Exception):
    """The machinery of the tests failed, not what is under test."""


def cache_folder() -> Path:
    """Where images, binaries and the engine's data outlive a run (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "xops-rig"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _search_path() -> str:
    """Where programs are, those of the administrator included."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def find_program(name: str) -> str | None:
    """The path of a program, if the machine has it."""
    return shutil.which(name, path=_search_path())


def as_root(argv: Sequence[str | Path]) -> list[str]:
    """The command, with `sudo -n` before it where these are not root's tests."""
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *map(str, argv)]


def interruptible(argv: Sequence[str | Path]) -> list[str]:
    """The command with every signal's own effect.

    A shell starts what it runs in the background with SIGINT ignored, and so would each process
    below it be.
    """
    return ["env", "--default-signal", *map(str, argv)]


def run(
    argv: Sequence[str | Path],
    *,
    given: str | bytes | None = None,
    deadline: float = 120.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the rig's own to its end.

    Raises:
        RigError: it could not be started, took longer than `deadline` seconds, or failed.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            input=given.encode() if isinstance(given, str) else given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=deadline,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"{' '.join(command)}: {error}") from error
    out, err = (part.decode(errors="replace") for part in (done.stdout, done.stderr))
    if check and done.returncode:
        raise RigError(f"{' '.join(command)}: exit {done.returncode}\n{out}{err}")
    return subprocess.CompletedProcess(command, done.returncode, out, err)


def why_not() -> str | None:
    """What this machine lacks to run test hosts, in one line; None if it lacks nothing."""
    if sys.platform != "linux":
        return "test hosts are containers, which need Linux"
    wanted = ["docker", "debootstrap", "ssh", "ssh-keygen"]
    wanted += [] if os.environ.get("XOPS_TEST_K3S") else ["go"]
    wanted += [] if _answers(_MACHINE_SOCKET) else ["dockerd"]
    if missing := [name for name in wanted if not find_program(name)]:
        return f"test hosts need {', '.join(missing)}: `.ci/run` says which packages have them"
    if os.geteuid() and run(as_root(["true"]), check=False).returncode:
        return "test hosts need root, or sudo without a password"
    return None


def _answers(socket: Path) -> bool:
    """Whether a usable engine listens there."""
    if not socket.exists() or not find_program("docker"):
        return False
    return not run(_client(socket, "version"), check=False, deadline=30).returncode


def _client(socket: Path, *argv: str) -> list[str]:
    return [find_program("docker") or "docker", "--host", f"unix://{socket}", *argv]


@dataclass(frozen=True)
class Engine:
    """A running container engine.

    Attributes:
        socket: where it listens.
        folder: its own data, if it was started for tests; None for the machine's own.
    """

    socket: Path
    folder: Path | None = None

    def docker(
        self,
        *argv: str,
        given: str | bytes | None = None,
        deadline: float = 120.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker client on it.

        Raises:
            RigError: as `run`.
        """
        command = _client(self.socket, *argv)
        return run(command, given=given, deadline=deadline, check=check)

    def labelled(self, kind: str) -> dict[str, str]:
        """All containers, networks or volumes of tests: name or id -> the process that made it."""
        options = ["--all"] if kind == "container" else []
        key = {"container": "ID", "network": "ID", "volume": "Name"}[kind]
        shown = "{{.%s}} {{.Label %s}}" % (key, json.dumps(LABEL))  # noqa: UP031
        found = self.docker(
            kind, "ls", *options, "--filter", f"label={LABEL}", "--format", shown
        ).stdout
        return dict(line.split(" ", 1) for line in found.splitlines())

    def reap(self, *, mine: bool = False) -> None:
        """Remove everything whose process is gone: leftovers of sessions that were killed.

        Args:
            mine: also what this process has made.
        """
        for kind, remove in _KINDS.items():
            made = self.labelled(kind).items()
            left = [name for name, by in made if not _lives(by) or (mine and by == owner())]
            if left:
                self.docker(kind, *remove, *left, check=False)


def owner() -> str:
    """This process, as a label says it: its id may be used again, its start makes it unique."""
    return f"{os.getpid()}-{psutil.Process().create_time():.2f}"


def _lives(label: str) -> bool:
    number, _, started = label.partition("-")
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" == started
    except (psutil.NoSuchProcess, ValueError):
        return False


def _engine_folder() -> Path:
    folder = cache_folder() / "engine"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def _lock(name: str) -> int:
    """An open lock file; closing it gives the lock up, and so does the end of the process."""
    return os.open(_engine_folder() / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """An engine for the length of a test session."""
    sessions = _lock("sessions.lock")
    try:
        fcntl.flock(sessions, fcntl.LOCK_SH)
        waiting = _start_guard()
        engine = _find_or_start()
        engine.reap()
        try:
            yield engine
        finally:
            engine.reap(mine=True)
    finally:
        last = _leave(sessions)
        os.close(sessions)
    if last:  # else the guard waits for the other sessions
        with contextlib.suppress(subprocess.TimeoutExpired):
            waiting.wait(timeout=5)


def _leave(sessions: int) -> bool:
    """Stop the tests' engine if no other session uses it; whether that is so."""
    try:
        fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    _stop_own()
    return True


def _start_guard() -> subprocess.Popen[bytes]:
    """Outlives this session by a moment, Ctrl-C included: it is in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.rig.engine"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def guard() -> None:
    """Wait until no test session lives, then leave nothing behind."""
    sessions = _lock("sessions.lock")
    fcntl.flock(sessions, fcntl.LOCK_EX)
    if _answers(_MACHINE_SOCKET):
        Engine(_MACHINE_SOCKET).reap()
    _stop_own()
    os.close(sessions)


def _find_or_start() -> Engine:
    if _answers(_MACHINE_SOCKET):
        return Engine(_MACHINE_SOCKET)
    starting = _lock("start.lock")
    try:
        fcntl.flock(starting, fcntl.LOCK_EX)
        return _start_own()
    finally:
        os.close(starting)


def _own() -> Engine:
    folder = _engine_folder()
    return Engine(folder / "docker.sock", folder)


def _daemon_pid() -> int | None:
    """The process id of the tests' engine, if it lives; a stale file may name any process."""
    try:
        number = int((_engine_folder() / "dockerd.pid").read_text())
        return number if psutil.Process(number).name() == "dockerd" else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def _start_own() -> Engine:
    own = _own()
    if _daemon_pid() is None:
        for stale in ("dockerd.pid", "docker.sock"):
            run(as_root(["rm", "-f", _engine_folder() / stale]))
        _launch(_engine_folder())
    _wait_for(own)
    return own


def _give_precedence() -> None:
    """Let the hosts' processes come before those that merely use the machine.

    The kernel shares processors among groups, and each session and each service is one: all hosts
    together would get as much as one server of another test. An etcd that waits for seconds loses
    its leader, on any machine.
    """
    run(as_root(["sh", "-c", _PRECEDENCE]))


def _launch(folder: Path) -> None:
    _give_precedence()
    # No docker0 bridge: the only networks are those that tests make.
    argv = interruptible(as_root([
        find_program("dockerd") or "dockerd",
        "--data-root", folder / "data", "--exec-root", folder / "run",
        "--host", f"unix://{folder / 'docker.sock'}", "--pidfile", folder / "dockerd.pid",
        "--group", str(os.getgid()), "--bridge", "none", "--log-level", "warn",
        "--cgroup-parent", f"/{_GROUP}",
    ]))  # fmt: skip
    with (folder / "dockerd.log").open("wb") as log:
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": _search_path()},
        )


def _wait_for(own: Engine) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not _answers(own.socket):
        if time.monotonic() > give_up:
            log = (_engine_folder() / "dockerd.log").read_text()[-2000:]
            raise RigError(f"dockerd does not answer after {_START_SECONDS:.0f} s; it said:\n{log}")
        time.sleep(0.1)


def _stop_own() -> None:
    """Remove every test's things and stop the tests' engine, if it runs."""
    if (number := _daemon_pid()) is None:
        return
    with contextlib.suppress(RigError):
        _own().reap()
    run(as_root(["kill", str(number)]), check=False)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(number).wait(timeout=60)
    groups = ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*/{_GROUP}*"]
    run(as_root([*groups, "-exec", "rmdir", "{}", ";"]), check=False)


if __name__ == "__main__":
    guard()
