"""Running tools: nothing is lost, nothing leaks, and an interrupted tool is left to finish."""

import fcntl
import logging
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import running
from tests.waiting import Eventually
from xops.core import process
from xops.core.errors import PermanentError, TemporaryError
from xops.core.process import Command, DeadlineError, ServiceProcess

ENVIRONMENT = {"PATH": os.environ["PATH"]}
CANARY = "canary-4f1d"

# Says when it is ready, counts the signals it gets, and ends when it is told to.
STUBBORN = """
trap 'echo interrupted' INT
echo $$ > pid
echo ready
while [ ! -e release ]; do sleep 0.02; done
echo finished
"""


def shell(folder: Path, script: str, *, deadline: float = 30.0, **fields: object) -> Command:
    return Command(["sh", "-c", script], folder, ENVIRONMENT, deadline, **fields)  # type: ignore[arg-type]


class OnceReady(float):
    """A deadline of 5 s that has passed as soon as the tool has said `ready`: no time is guessed.

    `run` adds it to the moment at which the tool was started.
    """

    def __new__(cls, log: Path) -> "OnceReady":
        return super().__new__(cls, 5.0)

    def __init__(self, log: Path) -> None:
        self.log = log

    def __radd__(self, started: float) -> float:
        while "ready" not in self.log.read_text():
            time.sleep(0.01)
        return started


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits 25 s for a tool that a test knows not to end."""
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)


@pytest.fixture
def stubborn(tmp_path: Path, eventually: Eventually) -> Iterator[Command]:
    """A tool that goes on after an interrupt, until `release` exists; ended after the test."""
    yield shell(tmp_path, STUBBORN, log=tmp_path / "log")
    (tmp_path / "release").touch()
    eventually(lambda: "finished" in (tmp_path / "log").read_text())


@pytest.fixture
def sigint_ignored() -> Iterator[None]:
    """As in a process that a shell without job control has started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_lines_and_exit_code_are_given_back(tmp_path: Path) -> None:
    finished = process.run(shell(tmp_path, "echo one; echo two >&2; printf three; exit 7"))

    assert finished.returncode == 7
    assert finished.lines == ("one", "two", "three")
    assert finished.text == "one\ntwo\nthree"
    assert finished.seconds > 0


def test_lines_are_handed_on_while_the_tool_runs(tmp_path: Path) -> None:
    """The tool waits for what its first line brings about: it ends only if that line comes."""
    seen: list[str] = []

    def on_line(line: str) -> None:
        seen.append(line)
        (tmp_path / "seen").touch()

    waiting = "echo first; while [ ! -e seen ]; do sleep 0.02; done; echo second"
    finished = process.run(shell(tmp_path, waiting), on_line)

    assert seen == ["first", "second"]
    assert finished.returncode == 0


def test_a_line_that_comes_in_pieces_is_handed_on_whole(tmp_path: Path) -> None:
    waiting = "printf 'né'; echo go; while [ ! -e seen ]; do sleep 0.02; done; printf 'a\\303'"
    script = f"{waiting}; while [ ! -e more ]; do sleep 0.02; done; printf '\\251b\\r\\nrest'"
    handler = {0: lambda: (tmp_path / "seen").touch()}
    seen: list[str] = []

    def on_line(line: str) -> None:
        handler.get(len(seen), lambda: None)()
        seen.append(line)
        (tmp_path / "more").touch()

    process.run(shell(tmp_path, script), on_line)

    assert seen == ["négo", "aéb", "rest"]


def test_output_that_is_no_text_does_not_stop_the_tool(tmp_path: Path) -> None:
    assert process.run(shell(tmp_path, "printf 'a\\377b\\n'; echo end")).lines == ("a�b", "end")


def test_the_log_is_followed_from_before_the_tool_starts(tmp_path: Path) -> None:
    """Else what a quick tool writes before its log is opened would be taken for an older run's."""
    order: list[str] = []

    class Watched(type(tmp_path)):  # type: ignore[misc]
        def open(self, mode: str = "r", *rest: object) -> object:
            order.append(mode)
            return super().open(mode, *rest)

    process.run(shell(tmp_path, "echo one", log=Watched(tmp_path / "log")))

    assert order == ["rb", "ab"]


def test_a_log_is_appended_to_and_only_the_new_lines_are_given_back(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "plan.log"

    process.run(shell(tmp_path, "echo one", log=log))
    finished = process.run(shell(tmp_path, "echo two", log=log))

    assert finished.lines == ("two",)
    assert log.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_without_a_log_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    process.run(shell(tmp_path, "echo one"))

    assert list(tmp_path.iterdir()) == []


def test_only_the_given_environment_and_no_input_reach_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_STRAY", "stray")
    command = Command(
        ["sh", "-c", "env; cat; pwd"], tmp_path, {**ENVIRONMENT, "GIVEN": "yes"}, deadline=30
    )

    finished = process.run(command)

    assert "GIVEN=yes" in finished.lines
    assert "stray" not in finished.text
    assert finished.lines[-1] == str(tmp_path)


@pytest.mark.parametrize(
    ("argv", "folder", "found"),
    [
        (["no-such-tool"], ".", "no-such-tool: No such file or directory"),
        (["sh"], "no-such-folder", "no-such-folder: No such file or directory"),
        (["./plain"], ".", "./plain: Permission denied"),
    ],
)
@pytest.mark.parametrize("sigint", ["heard", "ignored"])
def test_a_tool_that_cannot_be_started_says_what_is_missing(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    argv: list[str],
    folder: str,
    found: str,
    sigint: str,
) -> None:
    if sigint == "ignored":
        request.getfixturevalue("sigint_ignored")
    (tmp_path / "plain").write_text("no program")

    with pytest.raises(PermanentError) as caught:
        process.run(Command(argv, tmp_path / folder, ENVIRONMENT, deadline=30))

    assert caught.value.attempted == f"starting {argv[0]}"
    assert caught.value.found.endswith(found)


# What Terraform gets when Prefect cancels a run, or a person presses Ctrl-C.


def test_after_the_deadline_the_tool_is_interrupted_once_and_then_left(
    tmp_path: Path, stubborn: Command, short_grace: None, eventually: Eventually
) -> None:
    with pytest.raises(DeadlineError) as caught:
        process.run(replace(stubborn, deadline=OnceReady(tmp_path / "log")))

    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    assert (tmp_path / "log").read_text() == "ready\ninterrupted\n"
    assert f"is still finishing as process {pid}" in caught.value.found
    assert isinstance(caught.value, TemporaryError)
    assert caught.value.retry_after == 60


def test_a_tool_can_be_interrupted_by_us_though_we_cannot_be_ourselves(
    tmp_path: Path, sigint_ignored: None
) -> None:
    log = tmp_path / "log"
    command = shell(tmp_path, "echo ready; exec sleep 60", deadline=OnceReady(log), log=log)

    with pytest.raises(DeadlineError, match="it was interrupted and ended"):
        process.run(command)

    assert log.read_text() == "ready\n"


def test_what_python_ignores_is_ignored_by_no_tool(tmp_path: Path, sigint_ignored: None) -> None:
    """A tool must end when it writes into a closed pipe, as everywhere."""
    finished = process.run(shell(tmp_path, "grep SigIgn /proc/self/status"))

    ignored = int(finished.text.split()[1], 16)
    numbers = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
    assert [number for number in numbers if ignored & 1 << number - 1] == []


def test_a_tool_that_ends_when_interrupted_is_waited_for(tmp_path: Path) -> None:
    script = "trap 'echo saving; exit 3' INT; echo ready; while :; do sleep 0.02; done"
    log = tmp_path / "log"

    with pytest.raises(DeadlineError, match="it was interrupted and ended") as caught:
        process.run(shell(tmp_path, script, deadline=OnceReady(log), log=log))

    assert "did not end within 5 s" in str(caught.value)
    assert log.read_text() == "ready\nsaving\n"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError, TimeoutError])
def test_an_exception_of_the_handler_interrupts_the_tool_once_and_is_raised_again(
    tmp_path: Path, stubborn: Command, short_grace: None, kind: type[BaseException]
) -> None:
    calls: list[str] = []

    def on_line(line: str) -> None:
        calls.append(line)
        raise kind

    with pytest.raises(kind):
        process.run(stubborn, on_line)

    assert calls == ["ready"]
    assert (tmp_path / "log").read_text() == "ready\ninterrupted\n"
    assert psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_signal_to_us_reaches_the_tool_as_one_sigint(
    tmp_path: Path, stubborn: Command, short_grace: None
) -> None:
    """As Ctrl-C arrives: in the middle of the wait, not in a handler; and not in its session."""
    ready: list[str] = []

    def on_line(line: str) -> None:
        if not ready:
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        ready.append(line)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(stubborn, on_line)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert (tmp_path / "log").read_text() == "ready\ninterrupted\n"
    pid = int((tmp_path / "pid").read_text())
    assert os.getsid(pid) == pid


def test_the_tool_outlives_a_killed_parent_and_goes_on_writing(
    tmp_path: Path, eventually: Eventually
) -> None:
    parent = """
import os, sys
from pathlib import Path
from xops.core.process import Command, run
folder = Path(sys.argv[1])
script = (folder / "script").read_text()
run(Command(["sh", "-c", script], folder, dict(os.environ), 60, log=folder / "log"))
"""
    (tmp_path / "script").write_text(STUBBORN + "echo done > state\n")
    log = tmp_path / "log"
    try:
        with running([sys.executable, "-c", parent, str(tmp_path)]) as killed:
            eventually(lambda: log.exists() and "ready" in log.read_text())
        assert killed.returncode == -signal.SIGKILL
    finally:
        (tmp_path / "release").touch()

    eventually(lambda: (tmp_path / "state").exists())
    assert log.read_text() == "ready\nfinished\n"


# Secrets


def test_secrets_are_in_no_line_no_text_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    log = tmp_path / "log"
    script = f"echo a {CANARY} b; echo ready; exec sleep 60"
    command = shell(tmp_path, script, deadline=OnceReady(log), log=log, secrets=(CANARY, ""))

    with pytest.raises(DeadlineError) as caught:
        process.run(command, seen.append)

    assert seen == ["a *** b", "ready"]
    assert CANARY not in str(command)
    assert f"secrets=('{CANARY}'" not in repr(command)
    assert CANARY not in str(caught.value)
    assert "interrupting sh -c" in caplog.text
    assert CANARY not in caplog.text


def test_the_longer_secret_goes_first() -> None:
    assert process.redact("xy xyz", ["xy", "xyz"]) == "*** ***"


def test_every_telling_line_of_a_secret_of_several_lines_is_a_secret() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n}\n"

    assert process.redact("read MIIEvQIBADANBg", [key]) == "read ***"
    assert process.redact("a } b", [key]) == "a } b"


@given(
    st.text("ab 1", max_size=30),
    st.lists(st.text("ab 1\n", min_size=1, max_size=12), max_size=4),
)
def test_no_secret_is_left_in_any_text(text: str, secrets: list[str]) -> None:
    redacted = process.redact(text, secrets)

    assert all(secret not in redacted for secret in secrets)


# Our own servers


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    started = process.start_service(
        shell(tmp_path, "sleep 60 & echo $! > child; echo up; wait", log=tmp_path / "log")
    )
    yield started
    started.stop(patience=0)


def test_a_service_is_alive_until_it_is_stopped_with_its_children(
    service: ServiceProcess, tmp_path: Path, eventually: Eventually
) -> None:
    eventually(lambda: (tmp_path / "log").read_text() == "up\n")
    child = int((tmp_path / "child").read_text())
    assert service.alive()
    worker = ServiceProcess.find(child)
    assert worker is not None
    assert worker.alive()

    service.stop()

    assert not service.alive()
    assert not worker.alive()
    service.stop()  # nothing to stop is no error


def test_a_service_that_ignores_sigterm_is_killed_after_the_patience(
    tmp_path: Path, eventually: Eventually
) -> None:
    log = tmp_path / "log"
    deaf = process.start_service(
        shell(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.05; done", log=log)
    )
    try:
        eventually(lambda: log.read_text() == "up\n")
    finally:
        deaf.stop(patience=0.2)

    assert not deaf.alive()


def test_a_service_that_has_ended_is_not_alive_though_nobody_has_reaped_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    ended = process.start_service(shell(tmp_path, "exit 0", log=tmp_path / "log"))

    eventually(lambda: not ended.alive())


def test_an_id_that_another_process_has_now_is_left_alone() -> None:
    """This very process stands for the other one: it is still here afterwards."""
    me = ServiceProcess.find(os.getpid())
    assert me is not None
    for reused in (replace(me, start=me.start - 1), replace(me, boot="another")):
        assert not reused.alive()
        reused.stop()
        reused.ask_to_end()
        assert reused.sessions_below() == []
    assert me.alive()


def test_an_id_that_no_process_has_is_not_alive() -> None:
    assert ServiceProcess.find(2**22 + 1) is None
    assert not ServiceProcess(2**22 + 1, 0.0, "").alive()


def test_a_process_is_the_same_whatever_is_done_to_the_clock(tmp_path: Path) -> None:
    """Where the time since the boot is reckoned from is what a set clock changes: `btime`."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the kernel keeps another moment here")
    service = process.start_service(shell(tmp_path, "sleep 60", log=tmp_path / "log"))
    try:
        stat = Path("/proc/stat").read_text()
        shifted = tmp_path / "proc"
        shifted.mkdir()
        for own in ("self", str(service.pid)):
            (shifted / own).symlink_to(f"/proc/{own}")
        btime = re.search(r"btime (\d+)", stat)
        assert btime is not None
        later = f"btime {int(btime[1]) + 3600}"
        (shifted / "stat").write_text(stat.replace(btime[0], later))
        seen = subprocess.run(
            [
                sys.executable,
                "-c",
                SEEN_WITH_ANOTHER_CLOCK,
                str(shifted),
                *map(str, astuple(service)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        started, alive = seen.stdout.split()
        assert float(started) - psutil.Process(service.pid).create_time() == pytest.approx(
            3600, abs=2
        )
        assert alive == "True"
    finally:
        service.stop()


SEEN_WITH_ANOTHER_CLOCK = """
import sys
import psutil
from xops.core.process import ServiceProcess
psutil.PROCFS_PATH = sys.argv[1]
pid = int(sys.argv[2])
found = ServiceProcess(pid, float(sys.argv[3]), sys.argv[4])
print(psutil.Process(pid).create_time(), found.alive())
"""


def test_what_leads_a_session_of_its_own_is_not_stopped_with_the_service_that_started_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    """As Terraform does below a worker: it is told, but never signalled."""
    waits = "while [ ! -e release ]; do sleep 0.02; done"
    below = f"trap 'echo got >> signals' TERM INT; echo $$ > tool; {waits}"
    script = f"sleep 60 & echo $! > child; setsid sh -c {shlex.quote(below)} & echo up; wait"
    service = process.start_service(shell(tmp_path, script, log=tmp_path / "log"))
    eventually(lambda: (tmp_path / "tool").exists() and (tmp_path / "tool").read_text())
    tool, child = (
        ServiceProcess.find(int((tmp_path / name).read_text())) for name in ("tool", "child")
    )
    assert tool is not None
    assert child is not None
    try:
        assert [row.process for row in service.sessions_below()] == [tool]
        assert tool.leads
        service.stop()
        assert [service.alive(), child.alive(), tool.alive()] == [False, False, True]
        assert not (tmp_path / "signals").exists()
    finally:
        (tmp_path / "release").touch()
    eventually(lambda: not tool.alive())


def test_what_a_dead_child_has_left_in_the_session_is_stopped_too(
    tmp_path: Path, eventually: Eventually
) -> None:
    script = "sh -c 'sleep 60 & echo $! > left'; echo up; sleep 60"
    service = process.start_service(shell(tmp_path, script, log=tmp_path / "log"))
    eventually(lambda: (tmp_path / "log").read_text() == "up\n")
    left = ServiceProcess.find(int((tmp_path / "left").read_text()))
    assert left is not None

    service.stop()

    assert not left.alive()


def test_a_service_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no-such-server: No such file"):
        process.start_service(Command(["no-such-server"], tmp_path, ENVIRONMENT, deadline=1))


@pytest.mark.parametrize("sigint", ["heard", "ignored"])
def test_a_lock_on_a_descriptor_that_a_tool_inherits_lasts_as_long_as_the_tool(
    tmp_path: Path, sigint: str, request: pytest.FixtureRequest
) -> None:
    if sigint == "ignored":
        request.getfixturevalue("sigint_ignored")
    file = tmp_path / "lock"
    seen: list[process.FileHolder] = []

    def look(line: str) -> None:
        os.close(handles.pop())
        seen.extend(process.file_holders(file))
        assert is_locked(file)
        (tmp_path / "release").touch()

    handles = [os.open(file, os.O_RDWR | os.O_CREAT)]
    fcntl.flock(handles[0], fcntl.LOCK_SH)
    script = "echo $$; while [ ! -e release ]; do sleep 0.02; done"
    finished = process.run(shell(tmp_path, script, inherits=tuple(handles)), look)

    # Its `sleep` has it as well, and does not lead.
    assert [str(row.process.pid) for row in seen if row.leads] == [finished.text]
    assert not is_locked(file)
    assert process.file_holders(file) == []


def is_locked(file: Path) -> bool:
    with file.open("rb+") as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_who_has_a_file_open_is_told_only_of_that_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).touch()
    with (tmp_path / "one").open():
        assert os.getpid() in [row.process.pid for row in process.file_holders(tmp_path / "one")]
        assert process.file_holders(tmp_path / "two") == []
