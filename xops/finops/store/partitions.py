"""The folder of the store: a folder a billing period, and a manifest in it that says what counts.

    billing_period=2026-05/manifest.json
    billing_period=2026-05/<export>/part-<content>-0001.parquet

A part has a name of its own and is never changed. What a manifest does not name does not count:
it is what a run left that was killed. So replacing a manifest, which is one rename, replaces a
month. Engines that read the folders themselves find the same, since left-overs are removed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.files.validation import Model, Moment
from xops.finops.configuration import Name
from xops.finops.store.examination import Total
from xops.finops.store.sources import disk_error

MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 64 << 20
INCOMING = ".incoming"
"""Where parts are written before they count; the point keeps engines from reading them."""

_PREFIX = "billing_period="
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
PartName = Annotated[str, Field(pattern=r"^part-[0-9a-f]{16}-\d{4,}\.parquet$")]


class Label(StrEnum):
    """How sure charges are."""

    ACTUAL = "actual"
    """As the provider exported them."""
    ESTIMATED = "estimated"
    """As Cost Explorer says: by day and service, and not final before the invoice."""
    SAMPLE = "sample"
    """Made up."""


class SourceFile(Model):
    """A file that a partition was made of.

    Attributes:
        seen_as: what it looks like in a listing.
        content: what identifies its content: a SHA-256, or S3's entity tag.
    """

    name: str
    seen_as: str
    content: str


class Partition(Model):
    """The charges of one export in one billing period.

    Attributes:
        export_id: the export's name.
        address: where it was read.
        execution: AWS's id of the refresh, where there is one.
        content: what identifies all of its content.
        parts: the names of its files.
    """

    export_id: Name
    month: Month
    address: str
    label: Label
    execution: str | None = None
    content: str
    files: tuple[SourceFile, ...]
    parts: tuple[PartName, ...]
    totals: tuple[Total, ...]
    taken_in_at: Moment

    @property
    def rows(self) -> int:
        """Of all currencies."""
        return sum(total.rows for total in self.totals)


class Manifest(Model):
    """What counts of a billing period."""

    version: Literal[1] = 1
    month: Month
    partitions: tuple[Partition, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [one.export_id for one in self.partitions]
        if len(set(names)) < len(names) or any(one.month != self.month for one in self.partitions):
            raise ValueError("has an export twice, or one of another month")
        return self

    def of(self, export_id: str) -> Partition | None:
        """An export's charges."""
        return next((one for one in self.partitions if one.export_id == export_id), None)


def months(folder: Path) -> list[str]:
    """The billing periods of which something is kept."""
    manifests = folder.glob(f"{_PREFIX}*/{MANIFEST}")
    found = [manifest.parent.name.removeprefix(_PREFIX) for manifest in manifests]
    return sorted(month for month in found if _MONTH.fullmatch(month))


def month_folder(folder: Path, month: str) -> Path:
    """Where a billing period's files are."""
    return folder / f"{_PREFIX}{month}"


def read_manifest(folder: Path, month: str) -> Manifest:
    """What counts of a month; nothing, where there is no manifest.

    Raises:
        InputError: somebody changed it.
    """
    file = month_folder(folder, month) / MANIFEST
    return read_manifest_file(file) if file.exists() else Manifest(month=month)


def read_manifest_file(file: Path) -> Manifest:
    """A manifest.

    Raises:
        InputError: it is none.
    """
    try:
        text = read_text(file, MOST_MANIFEST_BYTES)
    except UnusableTextError as error:
        raise settings.unusable(file, error) from None
    return settings.load_json(Manifest, file, text)


def part_files(folder: Path, partition: Partition) -> list[Path]:
    """The files of a partition."""
    place = month_folder(folder, partition.month) / partition.export_id
    return [place / name for name in partition.parts]


def replace_month(folder: Path, manifest: Manifest, parts: Mapping[Path, Path]) -> None:
    """Make a manifest count.

    Args:
        parts: where each new part lies, and where the manifest says it is.

    Raises:
        DiskFullError, PermanentError: it cannot be written; what counted before still counts.
    """
    place = month_folder(folder, manifest.month)
    try:
        for written, part in parts.items():
            part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sync(written)
            written.replace(part)
        for changed in {part.parent for part in parts.values()}:
            _sync(changed)
        write_private(place / MANIFEST, manifest.model_dump_json(indent=1))
    except OSError as error:
        raise disk_error(f"keeping the charges of {manifest.month} in {folder}", error) from None


def remove_leftovers(folder: Path) -> None:
    """Remove what no manifest names: parts that were replaced, and those of killed runs.

    Raises:
        InputError: a manifest is none, so that nobody can say what counts.
        PermanentError: it cannot be removed.
    """
    try:
        shutil.rmtree(folder / INCOMING, ignore_errors=True)
        for place in sorted(folder.glob(f"{_PREFIX}*")):
            month = place.name.removeprefix(_PREFIX)
            if _MONTH.fullmatch(month):
                _remove_unnamed(place, read_manifest(folder, month), folder)
    except OSError as error:
        raise disk_error(f"removing left-overs in {folder}", error) from None


def remove_replaced(folder: Path, before: Manifest, after: Manifest) -> None:
    """Remove the parts that a manifest named and the one in its place does not.

    Raises:
        PermanentError: they cannot be removed; they count no longer all the same.
    """
    still = {file for one in after.partitions for file in part_files(folder, one)}
    try:
        for one in before.partitions:
            for file in part_files(folder, one):
                if file not in still:
                    file.unlink(missing_ok=True)
        for empty in _empty_folders(month_folder(folder, before.month)):
            empty.rmdir()
    except OSError as error:
        raise disk_error(f"removing what was replaced in {folder}", error) from None


def _remove_unnamed(place: Path, manifest: Manifest, folder: Path) -> None:
    named = {file for one in manifest.partitions for file in part_files(folder, one)}
    for file in [*place.glob("*/part-*.parquet"), *place.glob(f".{MANIFEST}.*")]:
        if file not in named:
            file.unlink()
    for empty in _empty_folders(place):
        empty.rmdir()


def _empty_folders(place: Path) -> Iterator[Path]:
    folders: Sequence[Path] = [path for path in place.iterdir() if path.is_dir()]
    yield from (path for path in folders if not any(path.iterdir()))


def missing_parts(folder: Path, partition: Partition) -> PermanentError | None:
    """What to say where files of a partition are gone."""
    gone = [file for file in part_files(folder, partition) if not file.is_file()]
    if not gone:
        return None
    return PermanentError(
        f"reading the charges of {partition.month} by {partition.export_id}",
        f"{len(gone)} of {len(partition.parts)} files are gone: {gone[0]}",
        f"Remove {gone[0].parent.parent / MANIFEST}, then take the month in again.",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
