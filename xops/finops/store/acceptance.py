"""What may be kept beside what is there: one currency, no charge twice, nothing made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from xops.core.errors import Finding, InputError
from xops.finops.configuration import COST_EXPLORER
from xops.finops.store import partitions
from xops.finops.store.examination import (
    SAME_CHARGES,
    Total,
    carries,
    late_usage,
    share_in_common,
    tag_keys,
)
from xops.finops.store.exports.staging import Staged
from xops.finops.store.partitions import Label, Partition

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def without_exported_months(
    folder: Path, export_id: str, staged: Sequence[Staged]
) -> tuple[list[Staged], list[str]]:
    """What is kept of it, and what is said: an export's month takes no estimates of it."""
    if export_id != COST_EXPLORER:
        return list(staged), []
    kept, notes = [], []
    for one in staged:
        exports = [
            other.export_id
            for other in partitions.read_manifest(folder, one.month).partitions
            if other.export_id != COST_EXPLORER
        ]
        if exports:
            notes.append(f"{one.month}: not kept, since {', '.join(exports)} has its charges")
        else:
            kept.append(one)
    return kept, notes


def refuse_mixtures(
    engine: Backend, folder: Path, export_id: str, staged: Sequence[Staged], *, apart: bool
) -> None:
    """Refuse what would make a sum of the store wrong.

    Raises:
        InputError: charges in several currencies, made-up ones beside real ones, or the same ones
            by two names.
    """
    if not staged:
        return
    replaced = {(one.month, export_id) for one in staged}
    kept = [
        one
        for month in partitions.months(folder)
        for one in partitions.read_manifest(folder, month).partitions
        if (one.month, one.export_id) not in replaced
    ]
    if not apart:
        _refuse_currencies(export_id, staged, kept)
    _refuse_samples(export_id, staged, kept)
    _refuse_doubles(engine, folder, export_id, staged, kept)


def _refuse_currencies(export_id: str, staged: Sequence[Staged], kept: Sequence[Partition]) -> None:
    found = [
        *((total, one.month, export_id) for one in staged for total in one.total),
        *((total, one.month, one.export_id) for one in kept for total in one.totals),
    ]
    if len({total.currency for total, _, _ in found}) < 2:
        return
    findings = [
        Finding(name, month, f"{total.rows} rows, {total.billed:f} {total.currency}")
        for total, month, name in sorted(found, key=lambda one: one[1:])
    ]
    raise InputError(
        "keeping charges in several currencies",
        findings,
        "Take in one currency, or set `currencies: apart` in deployments/costs.yaml: then they"
        " are kept, and never added up.",
    )


def _refuse_samples(export_id: str, staged: Sequence[Staged], kept: Sequence[Partition]) -> None:
    found = [
        *((export_id, one.month, one.label) for one in staged),
        *((one.export_id, one.month, one.label) for one in kept),
    ]
    if len({label is Label.SAMPLE for _, _, label in found}) < 2:
        return
    findings = [Finding(name, month, f"is {label}") for name, month, label in found]
    raise InputError(
        "keeping sample data beside real charges",
        findings,
        "Use another XOPS_HOME for one of them.",
    )


def _refuse_doubles(
    engine: Backend,
    folder: Path,
    export_id: str,
    staged: Sequence[Staged],
    kept: Sequence[Partition],
) -> None:
    findings = list(_doubles(engine, folder, staged, kept))
    if findings:
        raise InputError(
            f"keeping the charges of {export_id}",
            findings,
            "Take in one of the exports only: together they would count everything twice.",
        )


def _doubles(
    engine: Backend, folder: Path, staged: Sequence[Staged], kept: Sequence[Partition]
) -> Iterator[Finding]:
    for one in staged:
        for other in kept:
            if other.month != one.month or other.export_id == COST_EXPLORER or not one.parts:
                continue
            files = partitions.part_files(folder, other)
            share = share_in_common(engine, one.parts, files) if files else Decimal(0)
            if share >= SAME_CHARGES:
                message = f"{share:.0%} of the charges are those of {other.export_id} already"
                yield Finding(other.address, one.month, message)


def notes_about(engine: Backend, staged: Sequence[Staged], tags: Sequence[str]) -> list[str]:
    """What somebody should know of what was taken in."""
    notes = [f"{one.month}: there are no rows" for one in staged if not _rows(one.total)]
    newest = next((one for one in reversed(staged) if _rows(one.total)), None)
    if newest is not None and newest.label is not Label.ESTIMATED:
        keys = tag_keys(engine, newest.parts)
        notes += [
            f"{newest.month}: no row carries the tag {key}: activate it as a cost allocation tag"
            " in the payer's account; it counts from a day later on, and not for days before"
            for key in tags
            if not carries(keys, key)
        ]
    for one in staged:
        if late := late_usage(engine, one.parts):
            notes.append(
                f"{one.month}: {late} rows are usage of earlier months, billed in this one"
            )
        notes += [
            f"{one.month}: {total.currency} comes to {total.billed:f}: credits and refunds exceed"
            " the charges"
            for total in one.total
            if total.billed < 0
        ]
    return notes


def _rows(totals: Sequence[Total]) -> int:
    return sum(total.rows for total in totals)
