"""Files of a delivery as typed parts beside the store: checked, and not counted yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from xops.core.errors import Finding, InputError, TemporaryError
from xops.finops.focus.sample import is_sample
from xops.finops.store.engine import quoted
from xops.finops.store.examination import (
    MONTH,
    SAME_CHARGES,
    Total,
    Typed,
    add_up,
    examine,
    parts,
    share_in_common,
)
from xops.finops.store.exports.deliveries import SUFFIXES, Delivery, identity
from xops.finops.store.exports.typed_reading import DataFile, copy_to, write_typed
from xops.finops.store.partitions import Label, SourceFile
from xops.finops.store.sources import Listed, Source, is_still

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

Told = Callable[[str, float | None], None]
"""Hears what is being done, and how far it is in percent, if that is known."""

_LOOK_SECONDS = 0.5
_FETCHED = 0.1
"""The share of a file's time that fetching it takes, for progress."""


def tell_nobody(message: str, percent: float | None) -> None:
    """For who does not want to hear of progress."""


@dataclass
class Staged:
    """A month's charges as they were delivered, in parts that do not count yet."""

    month: str
    parts: list[Path] = field(default_factory=list)
    files: list[SourceFile] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)
    label: Label = Label.ACTUAL
    execution: str | None = None

    @property
    def content(self) -> str:
        """What identifies all of it."""
        return identity(file.content for file in self.files)

    @property
    def total(self) -> tuple[Total, ...]:
        """By currency."""
        return add_up(self.totals)


class Stage:
    """Reads deliveries of one export into a folder.

    Args:
        engine: does the work.
        source: where the export lies.
        folder: an empty one, on the store's own disk.
        told: hears of the progress.
    """

    def __init__(self, engine: Backend, source: Source, folder: Path, told: Told) -> None:
        self._engine = engine
        self._source = source
        self._folder = folder
        self._told = told
        self._count = 0
        self._all = self._done = 0

    def read(self, deliveries: Sequence[Delivery]) -> list[Staged]:
        """The charges by month.

        Raises:
            InputError: a file cannot be taken; nothing of the export is.
            TemporaryError: a file changed meanwhile.
            DiskFullError: there is no room for the parts.
        """
        self._all = sum(one.size for delivery in deliveries for one in delivery.files) or 1
        staged: dict[str, Staged] = {}
        for delivery in deliveries:
            self._read(delivery, staged)
        found = [staged[month] for month in sorted(staged)]
        refuse_copies(self._engine, self._source, found)
        return found

    def _read(self, delivery: Delivery, staged: dict[str, Staged]) -> None:
        if delivery.month:
            staged[delivery.month] = Staged(delivery.month, execution=delivery.execution)
        for listed in delivery.files:
            typed, content = self._typed(listed)
            file = SourceFile(name=listed.name, seen_as=listed.version, content=content)
            totals = examine(self._engine, typed, delivery.month)
            if delivery.month:
                totals.setdefault(delivery.month, [])  # of a file without a row, too
            for month, part in self._by_month(typed, list(totals)):
                one = staged.setdefault(month, Staged(month, execution=delivery.execution))
                one.parts.append(part)
                one.files.append(file)
                one.totals += totals[month]
                if is_sample(part):
                    one.label = Label.SAMPLE

    def _typed(self, listed: Listed) -> tuple[Typed, str]:
        address = self._source.address(listed.name)
        got = 0

        def tell(share: float) -> None:
            self._told(f"reading {address}", 100 * (self._done + share * listed.size) / self._all)

        def heard(count: int) -> None:
            nonlocal got
            got += count
            tell(_FETCHED * got / (listed.size or 1))

        tell(0.0)
        path, content = self._source.fetch(listed, self._folder, heard)
        part = self._next_part()
        is_copy = path.parent == self._folder
        with (
            watched(self._engine, lambda share: tell(_FETCHED + (1 - _FETCHED) * share)),
            nullcontext() if is_copy else unchanged(path, listed, address),
        ):
            write_typed(self._engine, DataFile(path, address), part)
        if is_copy:
            path.unlink()  # room for the next one
        self._done += listed.size
        return Typed(part, address), content

    def _by_month(self, typed: Typed, months: Sequence[str]) -> Iterator[tuple[str, Path]]:
        if len(months) == 1:
            yield months[0], typed.part
            return
        for month in months:
            part = self._next_part()
            selected = f"SELECT * FROM {parts([typed.part])} WHERE {MONTH} = {quoted(month)}"  # noqa: S608
            copy_to(self._engine, selected, part, sample=is_sample(typed.part))
            yield month, part
        typed.part.unlink()

    def _next_part(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count:06d}.parquet"


def refuse_copies(engine: Backend, source: Source, staged: Sequence[Staged]) -> None:
    """Refuse files that have the same charges: a copy, or the same export in two formats.

    Raises:
        InputError: there are some.
    """
    findings = [
        Finding(source.address(file.name), one.month, f"has the charges of {other.name} again")
        for one in staged
        for other, file in _copies(engine, one)
    ]
    if findings:
        raise InputError(
            f"reading {source.address()}",
            findings,
            "Remove one of the two: together they would count everything twice.",
        )


def _copies(engine: Backend, staged: Staged) -> Iterator[tuple[SourceFile, SourceFile]]:
    first: dict[str, SourceFile] = {}
    kinds: dict[str, list[tuple[SourceFile, Path]]] = {}
    for file, part in zip(staged.files, staged.parts, strict=True):
        if not pq.read_metadata(part).num_rows:
            continue  # two headers are alike and count nothing
        if file.content in first:
            yield first[file.content], file
        first.setdefault(file.content, file)
        kind = next(suffix for suffix in SUFFIXES if file.name.endswith(suffix))
        kinds.setdefault(kind, []).append((file, part))
    for one, other in combinations(kinds.values(), 2):
        files = ([part for _, part in those] for those in (one, other))
        if share_in_common(engine, *files) >= SAME_CHARGES:
            yield one[0][0], other[0][0]


@contextmanager
def unchanged(path: Path, listed: Listed, address: str) -> Iterator[None]:
    """A file of somebody else's that is read within the block, and is to be the same at its end.

    Raises:
        TemporaryError: it was replaced or removed meanwhile, whatever became of the reading.
    """
    try:
        yield
    finally:
        if not is_still(path, listed):
            raise TemporaryError(
                f"reading {address}",
                "it was replaced or removed while it was read",
                "A refresh is under way: run it again when it is over.",
            )


@contextmanager
def watched(engine: Backend, tell: Callable[[float], None]) -> Iterator[None]:
    """Tell how far the engine is with what the block has it do, from 0 to 1.

    A large file takes it minutes, within one statement.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_SECONDS):
            tell(max(0.0, engine.con.query_progress()) / 100)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
