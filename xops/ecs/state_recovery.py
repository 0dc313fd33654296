"""A state that a run could not write: put back on request, or removed when it is of no use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from xops.core.evidence.log import RecordKind
from xops.core.files.private_file import write_private
from xops.ecs import orphaned_terraform
from xops.ecs.stream1 import Stream1
from xops.ecs.unsaved_state import Standing, StateVersion, UnsavedState, UnsavedStateError


@dataclass(frozen=True)
class Settled:
    """What was done: `state` says which it was and how it compared with the state then."""

    subject: str
    run: str
    state: str
    evidence: str


def push_state(stream: Stream1, run: str | None) -> Settled:
    """Make the state that this run could not write the state again.

    Args:
        stream: the environment.
        run: the run's name; None where one state only is kept.

    Raises:
        UnsavedStateError: none is kept of this run, or it is not newer than the state.
        TerraformAtWorkError: a Terraform may write the state still.
        StateLockedError: somebody else holds the state's lock.
    """
    found, current = _find(stream, run)
    if found.standing(current) is not Standing.NEWER:
        raise _not_so(stream, found, current, "putting back")
    file = stream.folder.path / "unsaved.tfstate"
    write_private(file, found.body)
    stream.push_state(file)
    file.unlink()
    return _settle(stream, found, current, RecordKind.STATE_PUSH)


def drop_state(stream: Stream1, run: str | None) -> Settled:
    """Remove a state that was kept and that nobody needs.

    Args:
        stream: the environment.
        run: the run's name; None where one state only is kept.

    Raises:
        UnsavedStateError: none is kept of this run, or it is newer than the state.
    """
    found, current = _find(stream, run)
    if found.standing(current) is Standing.NEWER:
        raise _not_so(stream, found, current, "removing")
    return _settle(stream, found, current, RecordKind.STATE_DROP)


def _find(stream: Stream1, run: str | None) -> tuple[UnsavedState, StateVersion | None]:
    orphaned_terraform.wait(stream.folder.path, stream.watcher.note, stream.patience)
    exists = stream.bucket.exists()
    kept = stream.unsaved.find(bucket_exists=exists)
    chosen = [state for state in kept if run in (None, state.run)]
    if not exists or len(chosen) != 1:
        names = ", ".join(state.run for state in kept) or "none"
        raise UnsavedStateError(
            f"looking for a state of {stream.environment.subject} that could not be written",
            f"kept: {names}" if exists else f"there is no bucket {stream.bucket.name}",
            "Name one of them with --run." if kept else "Plan again: there is nothing to settle.",
        )
    return chosen[0], stream.unsaved.current()


def _not_so(
    stream: Stream1, found: UnsavedState, current: StateVersion | None, what: str
) -> UnsavedStateError:
    return UnsavedStateError(
        f"{what} the state of run {found.run}",
        found.describe(current, stream.unsaved.where(found)),
        stream.unsaved.remedy(found, current),
    )


def _settle(
    stream: Stream1, found: UnsavedState, current: StateVersion | None, kind: RecordKind
) -> Settled:
    state = found.describe(current, stream.unsaved.where(found))
    digest = hashlib.sha256(found.body).hexdigest()
    body = {**stream.facts(), "state_run": found.run, "state": state}
    record = stream.log.append(kind, digest, body)
    stream.unsaved.remove(found)
    evidence = stream.log.address(record)
    return Settled(stream.environment.subject, found.run, state, evidence)
