"""The folder that one run works in, and when it may go.

A run holds a lock on its folder (flock, which the kernel frees when the process ends, however it
ends). Terraform holds another one on a file in it, through a descriptor that it inherits: so the
kernel tells whether it still works after whoever started it was killed.

A run that ends in good order marks its folder `finished`; one without that mark and without a lock
was killed, or interrupted half-way. Only finished folders are ever removed, by age and by number.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from xops.core import process
from xops.core.errors import XopsError

KEPT = 20
"""How many folders of finished runs an environment keeps."""

DAYS = 30
"""How long the folder of a finished run is kept at most."""

UNSTORED = "unstored"
"""The folder in a run's own for what must still be stored elsewhere. Whatever lies there holds the
run's folder: it is neither called finished nor removed."""

FACTS = "run.json"
"""The file that says which state a run works on."""

ERRORED_STATE = "errored.tfstate"
"""Where Terraform puts a state that it could not write, in the folder that it runs in."""

Say = Callable[[str], None]
"""Takes a line for people."""

_FINISHED = "finished"
_TERRAFORM = "terraform.lock"


class RunFolder:
    """A folder of mode 0700 that stays its run's own for as long as this value lives.

    As a context it marks the folder finished, unless the run was interrupted: by a signal, or by
    an exception that is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Under a hidden name until it is locked: a folder that is seen without a lock is a dead
        # run's.
        hidden = path.with_name(f".{path.name}")
        hidden.mkdir(mode=0o700)
        handle = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY)
        self._release = weakref.finalize(self, os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_EX)
        hidden.rename(path)

    @classmethod
    def create(cls, parent: Path) -> RunFolder:
        """Add a folder for this run below `parent`."""
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(parent / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}")

    def __enter__(self) -> Self:
        """The run begins."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """The run ends."""
        if kind is None or issubclass(kind, XopsError):
            mark_finished(self.path)


def mark_finished(folder: Path) -> bool:
    """Say that nobody needs this folder any longer; whether that is so."""
    if needed(folder) or terraform_at_work(folder):
        return False
    (folder / _FINISHED).touch(mode=0o600)
    return True


def needed(folder: Path) -> list[Path]:
    """What is in a run's folder and nowhere else."""
    states = folder.glob(f"terraform/stacks/*/{ERRORED_STATE}")
    return sorted([*states, *folder.glob(f"{UNSTORED}/*")])


def killed_runs(own: Path) -> list[Path]:
    """The folders of runs on the same state that were killed or interrupted, oldest first.

    Args:
        own: the folder of the run that asks; those of its environment's others lie beside it.
    """
    return [
        folder
        for folder in folders(own.parent)
        if not (folder / _FINISHED).exists() and of_one_state(folder, own) and _is_free(folder)
    ]


def of_one_state(folder: Path, own: Path) -> bool:
    """Whether two runs work on one state; yes where one does not say, as in earlier releases.

    An environment has a state on each target, and the folders of all its runs lie together.
    """
    facts = [place / FACTS for place in (folder, own) if (place / FACTS).exists()]
    return len({file.read_bytes() for file in facts}) < 2


def folders(parent: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    found = (path for path in parent.glob("[!.]*") if path.is_dir() and not path.is_symlink())
    return sorted(found)


def close_killed_runs(own: Path, say: Say) -> None:
    """Call the runs finished that were killed or interrupted and have nothing left to do.

    Args:
        own: the folder of a run that has taken over: it has read the facts live and has made its
            plan of them.
        say: takes a line for people.
    """
    for folder in killed_runs(own):
        if mark_finished(folder):
            say(f"run {folder.name} was killed or interrupted; nothing of it is left to do")


def prune(parent: Path, say: Say, now: datetime | None = None) -> None:
    """Remove the folders of finished runs whose time has come, and say which.

    Another run may be removing the same folders: what is gone already is as good as removed.
    """
    ended = [(folder, _finished_at(folder)) for folder in folders(parent)]
    finished = [(folder, moment) for folder, moment in ended if moment is not None]
    due = past_their_time(finished, now or datetime.now(UTC))
    if removed := [folder.name for folder in due if _remove(folder)]:
        say(
            f"removed the folders of finished runs, of which {KEPT} are kept for {DAYS} days:"
            f" {', '.join(removed)}"
        )


def past_their_time(finished: Sequence[tuple[Path, datetime]], now: datetime) -> list[Path]:
    """Which folders may go: all but the newest `KEPT`, and those of them older than `DAYS`.

    Args:
        finished: folders, oldest run first, and when each was finished.
        now: the present moment.
    """
    few = {folder for folder, _ in finished[-KEPT:]}
    recent = {folder for folder, moment in finished if now - moment <= timedelta(days=DAYS)}
    return [folder for folder, _ in finished if folder not in few & recent]


@contextmanager
def terraform_lock(folder: Path) -> Iterator[int]:
    """A descriptor for Terraform to inherit: its lock lasts until Terraform and we are done."""
    handle = os.open(folder / _TERRAFORM, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Shared: one who looks whether it is free tries for all of it, for a moment.
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield handle
    finally:
        os.close(handle)


def terraform_at_work(folder: Path) -> bool:
    """Whether a Terraform that was started in this folder still runs."""
    try:
        handle = os.open(folder / _TERRAFORM, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        if _lock(handle):
            return False
    finally:
        os.close(handle)
    # What Terraform started itself has the descriptor as well and may outlive it, a provider after
    # a SIGKILL for one: that works on no state.
    holders = terraform_holders(folder)
    return not holders or any(holder.leads for holder in holders)


def terraform_holders(folder: Path) -> list[process.FileHolder]:
    """Who has Terraform's lock, as far as we may know; Terraform itself first."""
    found = process.file_holders(folder / _TERRAFORM)
    return sorted(found, key=lambda holder: not holder.leads)


def _finished_at(folder: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp((folder / _FINISHED).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _remove(folder: Path) -> bool:
    with _locked(folder) as free:
        if not free or needed(folder) or terraform_at_work(folder):
            return False
        _open_folders(folder)
        shutil.rmtree(folder, onexc=_raise_unless_gone)
        return True


def _open_folders(folder: Path) -> None:
    """Let us into all folders below: a branch's code may have shut some, so that they stay."""
    for above, names, _ in os.walk(folder):
        for path in (Path(above, name) for name in names):
            with suppress(FileNotFoundError):  # another run removes the same
                if not path.is_symlink():
                    path.chmod(0o700)


def in_use(folder: Path) -> bool:
    """Whether the run still goes on whose folder it is, or a Terraform that it has started."""
    return not _is_free(folder) or terraform_at_work(folder)


def _is_free(folder: Path) -> bool:
    with _locked(folder) as free:
        return free


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the folder, which is then locked; False also where it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _raise_unless_gone(_function: object, _path: str, error: BaseException) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
