"""What the owners of a folder said last about each of its files, from the commits to it.

The commits of all others change nothing in it. So what stands in the folder can be held against
what the owners said, and neither a record that somebody else added nor one that somebody else took
away passes for the owners' own.

A commit knows all that its ancestors said. Where branches meet, what neither side knew of stays
beside the other: two owners may disagree, until one of them commits the file again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from xops.triggers.measure.git_log import Change, Commit


@dataclass(frozen=True)
class Declaration[Record]:
    """What an owner said about a file.

    Attributes:
        commit: by which.
        record: what it holds since; None if the owner deleted it.
        known: the declarations about it that the owner built upon, by commit.
    """

    commit: str
    record: Record | None
    known: frozenset[str] = frozenset()


type Declared[Record] = Mapping[str, tuple[Declaration[Record], ...]]
"""By name of the file; several where owners said it side by side."""


class Blobs[Record](Protocol):
    """What files held and hold."""

    def record(self, blob: str) -> Record | None:
        """The record in a blob; None where it is none."""
        ...

    def files(self, sha: str) -> Mapping[str, str]:
        """The files as of a commit: name to blob."""
        ...


def agreed[Record](said: Iterable[Declaration[Record]]) -> Record | None:
    """The record that all of them declare; None where they differ or it is deleted."""
    found = {one.record for one in said}
    return found.pop() if len(found) == 1 else None


def declared[Record](
    commits: Iterable[Commit], is_owners: Callable[[Commit], bool], blobs: Blobs[Record]
) -> Declared[Record]:
    """What the owners said last, as of the last commit.

    Args:
        commits: parents first.
        is_owners: whether a commit is proven to be an owner's.
        blobs: what files hold.
    """
    states: dict[str, Declared[Record]] = {}
    last: Declared[Record] = {}
    for commit in commits:
        known = _merged([states[parent] for parent in commit.parents])
        disputed = _disputed(known) if len(commit.parents) > 1 else []
        if (commit.changes or disputed) and is_owners(commit):
            known = {**known, **dict(_said(commit, known, disputed, blobs))}
        last = states[commit.sha] = known
    return last


def _merged[Record](states: Sequence[Declared[Record]]) -> Declared[Record]:
    """All that the parents know, without what one of them knows to be out of date."""
    first, *others = states or [{}]
    if all(other is first for other in others):
        return first
    names = {name for state in states for name in state}
    return {name: _newest(one for state in states for one in state.get(name, ())) for name in names}


def _newest[Record](
    said: Iterable[Declaration[Record]],
) -> tuple[Declaration[Record], ...]:
    found = {one.commit: one for one in said}
    old = {commit for one in found.values() for commit in one.known}
    return tuple(one for commit, one in sorted(found.items()) if commit not in old)


def _disputed[Record](known: Declared[Record]) -> list[str]:
    return [name for name, said in known.items() if len({one.record for one in said}) > 1]


def _said[Record](
    commit: Commit, known: Declared[Record], disputed: Sequence[str], blobs: Blobs[Record]
) -> Iterator[tuple[str, tuple[Declaration[Record], ...]]]:
    """What an owner's commit says."""

    def says(name: str, record: Record | None) -> tuple[str, tuple[Declaration[Record], ...]]:
        before = known.get(name, ())
        old = frozenset(old for one in before for old in (one.commit, *one.known))
        return name, (Declaration(commit.sha, record, old),)

    for change in commit.changes:
        for name in _moved(commit, change, known, blobs):
            yield says(name, None)
        record = blobs.record(change.blob) if change.blob else None
        if record is not None or not change.blob:  # what is no record says nothing
            yield says(change.name, record)
    changed = {change.name for change in commit.changes}
    for name in set(disputed) - changed:  # a merge that takes one side as it is decides as well
        blob = blobs.files(commit.sha).get(name)
        yield says(name, blobs.record(blob) if blob else None)


def _moved[Record](
    commit: Commit, change: Change, known: Declared[Record], blobs: Blobs[Record]
) -> list[str]:
    """The names under which owners declared what this file held before, and which are gone.

    Somebody had moved the file; who changes it where it is now changes that record.
    """
    held = {blobs.record(blob) for blob in change.before if blob} - {None}
    names = [name for name, said in known.items() if name != change.name and agreed(said) in held]
    return [name for name in names if held and name not in blobs.files(commit.sha)]
