"""The store of charges: what was spent, by billing period and export."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.finops.configuration import COST_EXPLORER
from xops.finops.focus.columns import COLUMNS
from xops.finops.store import partitions
from xops.finops.store.acceptance import notes_about, refuse_mixtures, without_exported_months
from xops.finops.store.changes import Ingested, MonthChange, is_restated
from xops.finops.store.engine import (
    named,
    open_engine,
    parquet,
    quoted,
    translate_engine_errors,
    view,
)
from xops.finops.store.exports.deliveries import Delivery, find_deliveries, identity
from xops.finops.store.exports.staging import Stage, Staged, Told, tell_nobody
from xops.finops.store.exports.typed_reading import SQL_TYPES
from xops.finops.store.partitions import INCOMING, Manifest, Partition
from xops.finops.store.sources import Source, disk_error
from xops.finops.store.store_lock import WAIT_SECONDS, locked

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

_VIEW = "xops_charges"
_TAKE_IN_AGAIN = (
    "Remove the manifest.json of the month that it names, or the whole folder, then take in again."
)


@dataclass(frozen=True)
class CostStore:
    """Charges in a folder.

    Attributes:
        folder: where; made when something is taken in.
        wait_seconds: how long another run that changes it is waited for.
    """

    folder: Path
    wait_seconds: float = WAIT_SECONDS

    @classmethod
    def open(cls, folder: Path | None = None) -> CostStore:
        """The store in a folder; by default that of this installation."""
        return cls(settings.home() / "costs" if folder is None else folder)

    def months(self) -> list[str]:
        """The billing periods that something is known of, as YYYY-MM."""
        return partitions.months(self.folder)

    def partitions(self, months: Sequence[str] | None = None) -> list[Partition]:
        """What counts, by month and export.

        Raises:
            InputError: somebody changed a manifest.
            PermanentError: files are gone.
        """
        chosen = self.months() if months is None else sorted(set(months))
        manifests = [partitions.read_manifest(self.folder, month) for month in chosen]
        found = [one for manifest in manifests for one in manifest.partitions]
        for one in found:
            if problem := partitions.missing_parts(self.folder, one):
                raise problem
        return found

    def currencies(self, months: Sequence[str] | None = None) -> list[str]:
        """Those of the months' charges."""
        totals = (total for one in self.partitions(months) for total in one.totals)
        return sorted({total.currency for total in totals})

    def table(
        self, engine: Backend, months: Sequence[str] | None = None, currency: str | None = None
    ) -> Table:
        """The charges as a table: all columns, `billing_period` (YYYY-MM) and `export_id`.

        Args:
            months: of these billing periods; None: of all.
            currency: of this one only. It must be given where there are several: amounts of two
                currencies do not add up.

        Raises:
            InputError: there are several currencies and none is given.
            PermanentError: files are gone.
        """
        found = self.partitions(months)
        if currency is None and len(several := self.currencies(months)) > 1:
            shown = f"it holds charges in {', '.join(several)}"
            raise InputError(
                f"reading the charges in {self.folder}",
                [Finding(str(self.folder), "BillingCurrency", shown)],
                "Name one of the currencies.",
            )
        chosen = [str(self.folder), currency or "", *("all" if months is None else months)]
        name = f"{_VIEW}_{identity(chosen)[:16]}"
        return view(engine, name, self._selected(found, currency))

    def _selected(self, found: Sequence[Partition], currency: str | None) -> str:
        columns = ", ".join(named(column.name) for column in COLUMNS)
        condition = "" if currency is None else f" WHERE BillingCurrency = {quoted(currency)}"
        parts = [
            f"SELECT {columns}, {quoted(one.month)} AS billing_period,"  # noqa: S608 - quoted
            f" {quoted(one.export_id)} AS export_id FROM {parquet(files)}{condition}"
            for one in found
            if (files := partitions.part_files(self.folder, one))
        ]
        return " UNION ALL ".join(parts or [_nothing()])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """No ingest replaces anything for as long as the block goes on.

        Raises:
            TemporaryError: one is under way, for longer than is waited.
            PermanentError: a part is damaged.
        """
        attempted = f"reading the charges in {self.folder}"
        with (
            locked(self.folder, shared=True, wait_seconds=self.wait_seconds),
            translate_engine_errors(attempted, _TAKE_IN_AGAIN),
        ):
            yield

    def ingest(
        self,
        source: Source,
        export_id: str,
        *,
        now: datetime,
        told: Told = tell_nobody,
        apart: bool = False,
        tags: Sequence[str] = (),
    ) -> Ingested:
        """Take an export in: the months that changed replace what was there of the same export.

        Args:
            source: where it lies.
            export_id: the name under which its charges are kept.
            now: when this is.
            told: hears of the progress.
            apart: whether charges in several currencies may be kept.
            tags: keys that rows should carry; that none does is noted.

        Raises:
            InputError: a file of it cannot be taken, or its charges are there already by another
                name, or in another currency. Nothing of it is taken in.
            TemporaryError: a refresh of it is under way, or another run changes the store.
            DiskFullError: there is no room; what was there before still counts.
        """
        known: set[str] = set()
        empty: list[str] = []

        def stage(engine: Backend, folder: Path) -> list[Staged]:
            deliveries = find_deliveries(source)
            fresh = [one for one in deliveries if not self._is_known(one, export_id)]
            for one in deliveries:
                known.update(self._kept_of(one, export_id) if one not in fresh else ())
            staged = Stage(engine, source, folder, told).read(fresh)
            if fresh and not staged:
                empty.append("there are no rows, so that no month is known of")
            return staged

        found = self.keep(stage, export_id, source.address(), now=now, apart=apart, tags=tags)
        unchanged = tuple(sorted({*known, *found.unchanged}))
        return replace(found, unchanged=unchanged, notes=(*empty, *found.notes))

    def keep(
        self,
        stage: Callable[[Backend, Path], list[Staged]],
        export_id: str,
        address: str,
        *,
        now: datetime,
        apart: bool = False,
        tags: Sequence[str] = (),
    ) -> Ingested:
        """Take in what `stage` writes into a folder; else as `ingest`."""
        with locked(self.folder, shared=False, wait_seconds=self.wait_seconds):
            partitions.remove_leftovers(self.folder)
            attempted = f"taking in the charges of {export_id}"
            with self._incoming() as (engine, folder), translate_engine_errors(attempted):
                staged, notes = without_exported_months(
                    self.folder, export_id, stage(engine, folder)
                )
                changed = [one for one in staged if not self._is_same(one, export_id)]
                refuse_mixtures(engine, self.folder, export_id, changed, apart=apart)
                notes += notes_about(engine, changed, tags)
                changes = tuple(self._replace(one, export_id, address, now) for one in changed)
        same = tuple(one.month for one in staged if one not in changed)
        return Ingested(export_id, address, changes, same, tuple(notes))

    def _is_known(self, delivery: Delivery, export_id: str) -> bool:
        """Whether it looks as it did when it was taken in."""
        seen = self._kept_of(delivery, export_id)
        now = {(file.name, file.version) for file in delivery.files}
        # Of a month that one of its files is left of, all of them have to be.
        return bool(now) and now == {file for files in seen.values() for file in files}

    def _kept_of(self, delivery: Delivery, export_id: str) -> dict[str, set[tuple[str, str]]]:
        """The months that any of its files were taken in for, each with all of its files then."""
        chosen = self.months() if delivery.month is None else [delivery.month]
        found = (partitions.read_manifest(self.folder, month).of(export_id) for month in chosen)
        files = {one.month: {(f.name, f.seen_as) for f in one.files} for one in found if one}
        now = {(file.name, file.version) for file in delivery.files}
        return {month: seen for month, seen in files.items() if delivery.month or seen & now}

    @contextmanager
    def _incoming(self) -> Iterator[tuple[Backend, Path]]:
        """An engine and a folder for parts on the store's own disk; both end with the block."""
        top = self.folder / INCOMING
        try:
            top.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = Path(tempfile.mkdtemp(dir=top))
        except OSError as error:
            raise disk_error(f"preparing to write to {self.folder}", error) from None
        engine = open_engine(spill=folder / "spill")
        try:
            yield engine, folder
        finally:
            engine.disconnect()
            shutil.rmtree(folder, ignore_errors=True)

    def _is_same(self, staged: Staged, export_id: str) -> bool:
        found = partitions.read_manifest(self.folder, staged.month).of(export_id)
        return found is not None and found.content == staged.content

    def _replace(self, staged: Staged, export_id: str, address: str, now: datetime) -> MonthChange:
        """Make a month's charges count, in place of those of the same export and of estimates."""
        manifest = partitions.read_manifest(self.folder, staged.month)
        before = manifest.of(export_id)
        estimate = None if export_id == COST_EXPLORER else manifest.of(COST_EXPLORER)
        partition = _partition(staged, export_id, address, now)
        kept = [one for one in manifest.partitions if one not in (before, estimate)]
        after = Manifest(month=staged.month, partitions=(*kept, partition))
        files = partitions.part_files(self.folder, partition)
        partitions.replace_month(self.folder, after, dict(zip(staged.parts, files, strict=True)))
        partitions.remove_replaced(self.folder, manifest, after)
        return MonthChange(
            month=staged.month,
            export_id=export_id,
            before=None if before is None else before.totals,
            after=partition.totals,
            label=partition.label,
            restated=is_restated(before, partition),
            replaced=None if estimate is None else estimate.totals,
        )


def _partition(staged: Staged, export_id: str, address: str, now: datetime) -> Partition:
    stem = identity([staged.content, now.isoformat()])[:16]
    return Partition(
        export_id=export_id,
        month=staged.month,
        address=address,
        label=staged.label,
        execution=staged.execution,
        content=staged.content,
        files=tuple(staged.files),
        parts=tuple(f"part-{stem}-{n:04d}.parquet" for n in range(1, len(staged.parts) + 1)),
        totals=staged.total,
        taken_in_at=now,
    )


def _nothing() -> str:
    columns = (f"CAST(NULL AS {SQL_TYPES[c.kind]}) AS {named(c.name)}" for c in COLUMNS)
    ours = ("CAST(NULL AS VARCHAR) AS billing_period", "CAST(NULL AS VARCHAR) AS export_id")
    return f"SELECT {', '.join((*columns, *ours))} WHERE false"
