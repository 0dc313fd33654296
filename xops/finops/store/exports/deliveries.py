"""What an export has delivered, told from the names of its files and from its manifests.

AWS Data Exports write `data/BILLING_PERIOD=YYYY-MM/...` and, once all files of a refresh are
there, `metadata/BILLING_PERIOD=YYYY-MM/<export>-Manifest.json`, which names them. Where each
refresh is kept, its files lie in a folder of the execution, and the manifest right below the
period is that of the newest. Source: AWS, "Understanding export delivery" and "Data Exports
manifest file reference".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xops.core.errors import Finding, InputError, TemporaryError
from xops.core.files.bounded_json import parse_json
from xops.core.files.reading import UnusableTextError
from xops.finops.store.sources import Listed, Source

SUFFIXES = (".parquet", ".csv.gz", ".csv")
MOST_MANIFEST_BYTES = 4 << 20

_DATA = re.compile(r"(?:.*/)?data/BILLING_PERIOD=(\d{4}-(?:0[1-9]|1[0-2]))/.*", re.DOTALL)
_MANIFEST = re.compile(
    r"(?:.*/)?metadata/BILLING_PERIOD=(\d{4}-(?:0[1-9]|1[0-2]))/[^/]*Manifest\.json", re.DOTALL
)
_LATER = "Run it again when the refresh is over: AWS writes the manifest last."


@dataclass(frozen=True)
class Delivery:
    """Files that are one refresh of an export.

    Attributes:
        month: the billing period as YYYY-MM; None where no name tells it, and the rows do.
        files: all of its data.
        execution: AWS's id of the refresh; None where there is no manifest.
    """

    month: str | None
    files: tuple[Listed, ...]
    execution: str | None = None

    @property
    def seen_as(self) -> str:
        """What it looks like in the listing: the same again means the same content."""
        return identity(f"{_base(file)} {file.size} {file.version}" for file in self.files)


def identity(parts: Iterable[str]) -> str:
    """One name for several, whatever their order."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def find_deliveries(source: Source) -> list[Delivery]:
    """The deliveries that are complete, by month.

    Raises:
        InputError: there is none, or a manifest is none.
        TemporaryError: a refresh is under way.
    """
    listed = source.list()
    if any(_DATA.fullmatch(one.name) or _MANIFEST.fullmatch(one.name) for one in listed):
        return _of_aws(source, listed)
    files = tuple(one for one in listed if one.name.lower().endswith(SUFFIXES))
    if odd := [one for one in files if not one.name.endswith(SUFFIXES)]:
        endings = f"does not end with {', '.join(SUFFIXES)} in small letters"
        raise InputError(
            f"reading {source.address()}",
            [Finding(source.address(one.name), "", endings) for one in odd],
            "Rename it, or move it to another folder.",
        )
    if not files:
        found = f"has no file that ends with {', '.join(SUFFIXES)}"
        raise InputError(
            f"reading {source.address()}", [Finding(source.address(), "", found)],
            "Name the folder of an export, up to and with the export's name.",
        )  # fmt: skip
    return [Delivery(None, files)]


def _of_aws(source: Source, listed: Sequence[Listed]) -> list[Delivery]:
    manifests = _by_month(source, listed)
    data: dict[str, list[Listed]] = {}
    for one in listed:
        if (found := _DATA.fullmatch(one.name)) and one.name.endswith(SUFFIXES):
            data.setdefault(found[1], []).append(one)
    if unfinished := sorted(data.keys() - manifests.keys()):
        raise TemporaryError(
            f"reading {source.address()}",
            f"{', '.join(unfinished)}: there are files and no manifest yet",
            _LATER,
        )
    by_name = {one.name: one for files in data.values() for one in files}
    return [_complete(source, month, one, by_name) for month, one in sorted(manifests.items())]


def _by_month(source: Source, listed: Sequence[Listed]) -> dict[str, Listed]:
    manifests: dict[str, Listed] = {}
    for one in listed:
        if found := _MANIFEST.fullmatch(one.name):
            if found[1] in manifests:
                names = f"{manifests[found[1]].name} and {one.name}"
                raise InputError(
                    f"reading {source.address()}",
                    [Finding(source.address(), "", f"is of two exports: {names}")],
                    "Name one of them, up to and with the export's name.",
                )
            manifests[found[1]] = one
    return manifests


def _complete(
    source: Source, month: str, manifest: Listed, by_name: Mapping[str, Listed]
) -> Delivery:
    """The files that a manifest names.

    Raises:
        TemporaryError: one is not there, or was written after the manifest.
    """
    execution, paths = _read_manifest(source, manifest)
    top = manifest.name.rpartition("metadata/BILLING_PERIOD=")[0]
    # A file that is named twice is one file: its charges count once.
    paths = list(dict.fromkeys(paths))
    names = [_name_in(source, path, top, month) for path in paths]
    lacking = [path for path, name in zip(paths, names, strict=True) if name not in by_name]
    attempted = f"reading the refresh that {source.address(manifest.name)} names"
    if lacking:
        found = f"{len(lacking)} of its {len(paths)} files are not there: {', '.join(lacking[:3])}"
        raise TemporaryError(attempted, found, _LATER)
    files = tuple(by_name[name] for name in dict.fromkeys(names))
    newer = [one.name for one in files if one.changed_at > manifest.changed_at]
    if newer and source.dates_are_deliveries:
        found = f"{len(newer)} of its {len(paths)} files are newer than it: {', '.join(newer[:3])}"
        raise TemporaryError(attempted, found, _LATER)
    return Delivery(month, files, execution)


def _read_manifest(source: Source, manifest: Listed) -> tuple[str | None, list[str]]:
    address = source.address(manifest.name)
    try:
        found: Any = parse_json(source.read(manifest, MOST_MANIFEST_BYTES))
    except UnusableTextError as error:
        raise _no_manifest(address, error.problem) from None
    paths = found.get("dataFiles") if isinstance(found, dict) else None
    if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise _no_manifest(address, "has no list dataFiles of texts")
    execution = found.get("executionId")
    return execution if isinstance(execution, str) else None, paths


def _name_in(source: Source, path: str, top: str, month: str) -> str:
    """A file that a manifest names, from the source's top.

    What lies before `data/` is the bucket's part of it: a copy in a folder lies elsewhere.
    """
    marker = f"data/BILLING_PERIOD={month}/"
    _, found, rest = path.rpartition(marker)
    if not found or ".." in rest.split("/"):
        raise _no_manifest(source.address(top), f"names a file of no place in {marker}: {path}")
    return f"{top}{marker}{rest}"


def _no_manifest(address: str, problem: str) -> InputError:
    return InputError(f"reading {address}", [Finding(address, "", problem)])


def _base(file: Listed) -> str:
    """The name without the folders: that of the execution is another one each time."""
    return file.name.rpartition("/")[2]
