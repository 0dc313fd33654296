"""Builds: ended when they get no further, however long they take; kept files are checked."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.rig.builds import Patience, Progress, is_whole, kept, run_build
from tests.rig.engine import RigError

pytestmark = pytest.mark.timeout(60)

_CHATTY = "import time\nfor n in range(12): print(n, flush=True); time.sleep(0.1)"
_BUSY = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
_CIRCLES = "print('compiling', flush=True)\nwhile True: pass"
_WAITS = """\
import subprocess, sys, time
print('downloading', flush=True)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(child.pid, flush=True)
time.sleep(600)
"""


def writer(text: str) -> Callable[[Path], None]:
    def write(to: Path) -> None:
        to.write_text(text)

    return write


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_speaks_goes_on_past_the_time_it_may_be_idle(tmp_path: Path) -> None:
    run_build(python(_CHATTY), tmp_path / "log", Patience(idle=0.8))
    assert (tmp_path / "log").read_text().split() == [str(n) for n in range(12)]


def test_what_computes_goes_on_past_the_time_it_may_be_idle(tmp_path: Path) -> None:
    run_build(python(_BUSY), tmp_path / "log", Patience(idle=0.8))


def test_what_waits_for_ever_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"did nothing for 1\.5 s\ndownloading"):
        run_build(python(_WAITS), tmp_path / "log", Patience(idle=1.5))
    child = int((tmp_path / "log").read_text().split()[1])
    assert not psutil.pid_exists(child)


def test_what_goes_round_in_circles_is_ended(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"said nothing in 1 processor seconds\ncompiling"):
        run_build(python(_CIRCLES), tmp_path / "log", Patience(silent=1))


def test_a_failed_build_says_what_the_compiler_said(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="exit 3\nundefined: x"):
        run_build(python("print('undefined: x'); raise SystemExit(3)"), tmp_path / "log")


def test_a_starved_build_has_all_the_time_it_needs() -> None:
    """A word now and then, hours apart in all: each look sees a little."""
    progress = Progress(Patience(idle=300, silent=900), now=0)
    for look in range(1, 200):
        assert progress.stall(said=look // 40, used=look * 20, now=look * 250) is None
    assert progress.stall(said=4, used=199 * 20, now=199 * 250 + 299) is None
    stalled = progress.stall(said=4, used=199 * 20, now=199 * 250 + 301)
    assert stalled == "it did nothing for 300 s"


def test_a_kept_file_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(to: Path) -> None:
        made.append(to)
        to.write_text("program")

    for _ in range(2):
        assert kept(tmp_path / "k3s", make).read_text() == "program"
    assert len(made) == 1


@pytest.mark.parametrize("damage", ["cut off", "flipped", "no note", "empty note"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    """As a full disk or a crash leaves it."""
    file = kept(tmp_path / "k3s", writer("program"))
    note = tmp_path / "k3s.sha256"
    match damage:
        case "cut off":
            file.write_bytes(b"prog")
        case "flipped":
            file.write_bytes(b"prograM")
        case "no note":
            note.unlink()
        case _:
            note.write_text("")
    assert not is_whole(file)
    kept(file, writer("again"))
    assert file.read_bytes() == b"again"
    assert is_whole(file)


def test_a_build_that_failed_leaves_no_file_to_use(tmp_path: Path) -> None:
    def make(to: Path) -> None:
        to.write_bytes(b"half")
        raise RigError("the disk is full")

    with pytest.raises(RigError, match="full"):
        kept(tmp_path / "k3s", make)
    assert not (tmp_path / "k3s").exists()


def test_one_builds_while_the_others_wait(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(to: Path) -> None:
        made.append(to)
        time.sleep(0.2)
        to.write_text("program")

    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda _: kept(tmp_path / "k3s", make).read_text(), range(3)))
    assert files == ["program"] * 3
    assert len(made) == 1
