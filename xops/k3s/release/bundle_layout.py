"""How a bundle is laid out: the manifest, and where each file stands.

The manifest is the first member of the tar; all else follows from it, to the byte.
"""

from __future__ import annotations

import errno
import hashlib
import json
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from xops.core.errors import PermanentError
from xops.core.files.validation import Model
from xops.k3s.release.file_checks import Meter
from xops.k3s.release.lock import Architecture, FileName, Image, Kind, Sha256, Version

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK = tarfile.BLOCKSIZE
MOST_DEFECTS = 200
"""So many are looked for: a bundle of gigabytes can have one in each of its blocks."""

type ListedBy = Literal["archive", "lock", "k3s-images.txt"]

_COPIED = 1 << 20
_LARGEST_MANIFEST = 4 << 20
"""Bytes; a real one has some kB."""

_LARGEST_FILE = 8 << 30
"""Bytes; what a header of ustar can state."""

_SHOWN = 50
_LONGEST = 200
"""Characters of what a bundle says that are shown in one place."""
_MODES = {Kind.BINARY: 0o755, Kind.IMAGES: 0o644}


class DamagedBundleError(PermanentError):
    """A bundle is not as it was built. `defects` has all that is wrong with it, a line each."""

    def __init__(self, path: Path, defects: Sequence[str]) -> None:
        self.defects = tuple(defects)
        count = "1 defect" if len(defects) == 1 else f"{len(defects)} defects"
        listed = "".join(f"\n  {defect}" for defect in defects[:_SHOWN])
        more = f"\n  and {len(defects) - _SHOWN} more" if len(defects) > _SHOWN else ""
        super().__init__(
            f"verifying the bundle {path}",
            f"{count}{listed}{more}",
            "Copy it again from where it was built and verify it there too; install nothing from"
            " this one.",
        )


class BundledFile(Model):
    """One file in a bundle; `size` in bytes."""

    name: FileName
    arch: Architecture
    kind: Kind
    sha256: Sha256
    size: Annotated[int, Field(gt=0, lt=_LARGEST_FILE)]


class Manifest(Model):
    """What a bundle holds, written as its first member.

    Attributes:
        format: of the bundle; another number means another layout.
        k3s_version: the release.
        files: in the order of the bundle, which is that of their names.
        images: the images in each architecture's archives.
        images_listed_by: who says so, the archive itself wherever it could be read.
        lock: SHA-256 of what was locked of this version when the bundle was built.
        tool: the xOps that built it.
        digest: SHA-256 of the manifest without this line.
    """

    format: Literal[1]
    k3s_version: Version
    files: Annotated[tuple[BundledFile, ...], Field(min_length=1)]
    images: dict[Architecture, tuple[Image, ...]]
    images_listed_by: dict[Architecture, ListedBy]
    lock: Sha256
    tool: str
    digest: Sha256

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [file.name for file in self.files]
        if names != sorted(set(names)) or MANIFEST in names:
            raise ValueError("files are not in the order of their names, or one stands twice")
        for arch in self.architectures:
            kinds = [file.kind for file in self.files if file.arch == arch]
            if kinds.count(Kind.BINARY) != 1 or Kind.IMAGES not in kinds:
                raise ValueError("an architecture has not one binary and an archive of images")
        if not set(self.images) == set(self.images_listed_by) == set(self.architectures):
            raise ValueError("the lists of images are not those of the architectures")
        if self.digest != digest_of(self.model_dump(mode="json")):
            raise ValueError("its digest is not that of its text: it was changed")
        return self

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Those it has files for, in order."""
        return tuple(sorted({file.arch for file in self.files}))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def text(self) -> str:
        """As it stands in the bundle."""
        return _text(self.model_dump(mode="json"))


def _text(values: Mapping[str, object]) -> str:
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def digest_of(values: Mapping[str, object]) -> str:
    """A manifest's digest, from its values, the digest itself left out."""
    rest = {key: value for key, value in values.items() if key != "digest"}
    return hashlib.sha256(_text(rest).encode()).hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a file's content stands in the bundle, and what comes before it."""

    file: BundledFile
    header: bytes
    offset: int

    @property
    def begins(self) -> int:
        """Where its header stands."""
        return self.offset - BLOCK

    @property
    def ends(self) -> int:
        """Where the next header stands."""
        return self.offset + padded(self.file.size)


def layout(manifest: Manifest) -> Iterator[Place]:
    """The places of the files, which follow from the manifest alone."""
    offset = len(first_member(manifest))
    for file in manifest.files:
        header = _header(file.name, file.size, _MODES[file.kind])
        place = Place(file, header, offset + BLOCK)
        yield place
        offset = place.ends


def length(manifest: Manifest) -> int:
    """Bytes of the whole bundle: tar ends with two empty blocks and fills its last record."""
    ends = [place.ends for place in layout(manifest)][-1]
    return _rounded(ends + 2 * BLOCK, tarfile.RECORDSIZE)


def padded(size: int) -> int:
    """What so many bytes take up in a tar."""
    return _rounded(size, BLOCK)


def _rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _header(name: str, size: int, mode: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = mode
    return member.tobuf(tarfile.USTAR_FORMAT)


def manifest_of(path: Path) -> Manifest:
    """What a bundle says it holds; the files themselves are not looked at.

    Raises:
        DamagedBundleError: it is no bundle, of an unknown format, or its manifest was changed.
    """
    with open_bundle(path) as file:
        return read_manifest(path, file)


def open_bundle(path: Path) -> IO[bytes]:
    """The bundle, to be read.

    Raises:
        PermanentError: it cannot be opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, "it is a folder, device or pipe, and no file", str(path))
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"opening the bundle {path}",
            str(error),
            "Name the file that `xops bundle build` wrote.",
        ) from error


def read_manifest(path: Path, file: IO[bytes]) -> Manifest:
    """The manifest, and nothing else of the bundle. Leaves `file` behind it.

    Raises:
        DamagedBundleError: the manifest cannot be relied on, so nothing of the bundle can.
    """
    header = file.read(BLOCK)
    member = member_of(header)
    if member is None or member.name != MANIFEST or not member.isreg():
        raise DamagedBundleError(path, [f"does not begin with {MANIFEST}: no bundle of xOps"])
    if not 0 < member.size <= _LARGEST_MANIFEST:
        raise DamagedBundleError(path, [f"{MANIFEST}: cannot have {member.size} bytes"])
    content = file.read(padded(member.size))
    try:
        manifest = Manifest.model_validate(_values(content[: member.size]))
    except ValidationError as error:
        raise DamagedBundleError(
            path, list(islice(_describe_errors(error), MOST_DEFECTS))
        ) from None
    except _UnusableManifestError as error:
        raise DamagedBundleError(path, [f"{MANIFEST}: {error}"]) from None
    if header + content != first_member(manifest):
        raise DamagedBundleError(path, [f"{MANIFEST}: not as xOps writes it: it was changed"])
    return manifest


class _UnusableManifestError(Exception):
    """Says what is wrong with a manifest."""


def _values(text: bytes) -> object:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise _UnusableManifestError("no JSON: it was changed") from None
    stated = values.get("format") if isinstance(values, dict) else None
    if stated != FORMAT:
        raise _UnusableManifestError(
            f"format {repr(stated)[:40]} is unknown; this xOps knows {FORMAT}"
        )
    return values


def first_member(manifest: Manifest) -> bytes:
    """The manifest with its header, as they stand in the bundle."""
    text = manifest.text().encode()
    return _header(MANIFEST, len(text), 0o644) + text.ljust(padded(len(text)), b"\0")


def _describe_errors(error: ValidationError) -> Iterator[str]:
    for row in error.errors(include_url=False):
        where = ".".join(str(part) for part in (MANIFEST, *row["loc"]))
        yield f"{where[:_LONGEST]}: {row['msg'].removeprefix('Value error, ')[:_LONGEST]}"


def member_of(block: bytes) -> tarfile.TarInfo | None:
    """A header, or None if the block is none."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def copy(source: IO[bytes], target: IO[bytes] | None, size: int, meter: Meter) -> str:
    """Copy `size` bytes, or what there is; the SHA-256 of what was read."""
    digest, rest = hashlib.sha256(), size
    while rest and (piece := source.read(min(rest, _COPIED))):
        if target is not None:
            target.write(piece)
        digest.update(piece)
        meter.add(len(piece))
        rest -= len(piece)
    return digest.hexdigest()
