"""Which container images an archive holds, read from the archive itself.

An archive is what `docker save` or `ctr images export` writes: a tar with Docker's manifest.json,
with an OCI index.json, or with both, plain or compressed. K3S imports .tar, .tar.gz and .tar.zst.

Sources: moby image specification 1.2 (manifest.json); OCI image layout 1.0 (index.json);
containerd, core/images/annotations.go (the annotation with the full name).
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import re
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.bounded_json import parse_json

type Opener = Callable[[Path], Any]
"""Gives the unpacked bytes as a file."""

_NAME_ANNOTATION = "io.containerd.image.name"
_LARGEST_INDEX = 4 << 20
"""Bytes. A real one has some kB; an archive that claims more is not read into memory."""

_LARGEST_UNPACKED = 4 << 30
_LARGEST_RATIO = 64
_ALWAYS_UNPACKED = 64 << 20
"""Bytes that an archive may unpack to: 64 times its own, besides these, and never more than that.
Images shrink to a third or a fifth; a bomb to a thousandth."""

_MOST_MEMBERS = 10_000
_LARGEST_HEADER = 1 << 20
"""Bytes of a member's name, or of what pax says of it, which tarfile reads into memory."""

_MOST_FINDINGS = 50

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Both have the interface of the standard library of Python 3.14.
_ZSTANDARD_MODULES = ("compression.zstd", "backports.zstd")


def image_list(text: str) -> tuple[str, ...]:
    """The images that a `k3s-images.txt` names, in full and in order, each once.

    Raises:
        InputError: every line that names no image.
    """
    lines = {n: line.partition("#")[0].strip() for n, line in enumerate(text.split("\n"), 1)}
    wrong = [
        Finding("k3s-images.txt", "", f"names no image: {line[:80]!r}", number)
        for number, line in lines.items()
        if line and not _REFERENCE.fullmatch(line)
    ]
    if wrong:
        raise InputError("reading the release's list of images", wrong[:_MOST_FINDINGS])
    return tuple(sorted({full_name(line) for line in lines.values() if line}))


def full_name(image: str) -> str:
    """An image with its registry: `rancher/pause:3.6` is `docker.io/rancher/pause:3.6`.

    Source: github.com/distribution/reference, the normalisation that Docker and containerd share.
    """
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    if "." in first or ":" in first or first == "localhost":
        return image
    return f"docker.io/{image}"


def openers() -> Mapping[bytes, Opener]:
    """How to open a compressed file, by its first bytes, as far as this Python can."""
    known: dict[bytes, Opener] = {_GZIP: partial(gzip.open, mode="rb")}
    if zstandard := _zstandard():
        known[_ZSTANDARD] = partial(zstandard.open, mode="rb")
    return known


def _zstandard() -> Any:
    for name in _ZSTANDARD_MODULES:
        package, _, _ = name.partition(".")
        if importlib.util.find_spec(package) and importlib.util.find_spec(name):
            return importlib.import_module(name)
    return None


def _damages() -> tuple[type[Exception], ...]:
    """What reading a damaged archive raises."""
    zstandard = _zstandard()
    others = (zstandard.ZstdError,) if zstandard else ()
    return (tarfile.TarError, ValueError, TypeError, EOFError, OSError, zlib.error, *others)


def images_in(archive: Path, known: Mapping[bytes, Opener] | None = None) -> tuple[str, ...] | None:
    """The images in an archive, in full and in order; None if it cannot be unpacked here.

    Args:
        archive: .tar, .tar.gz or .tar.zst; its first bytes say which, not its name.
        known: the compressions that can be read; `openers()` if None.

    Raises:
        PermanentError: it is no archive of images, is damaged, or names no image.
    """
    names = _read(archive, known, lambda tar: {full_name(name) for name in _names(tar)})
    if names is not None and not names:
        raise _unreadable(archive, "it names no image")
    return None if names is None else tuple(sorted(names))


def architecture_of(archive: Path, known: Mapping[bytes, Opener] | None = None) -> str | None:
    """For which machines all images of an archive are; None if it says none or several.

    Source: OCI image specification 1.0, config.md, `architecture`.

    Raises:
        PermanentError: as `images_in`.
    """
    # Docker writes the index behind what it names: two passes.
    names = _read(archive, known, lambda tar: set(_configurations(tar)))
    if not names:
        return None
    found = _read(archive, known, lambda tar: set(_architectures(tar, names)))
    return found.pop() if found and len(found) == 1 else None


def _read[Read](
    archive: Path, known: Mapping[bytes, Opener] | None, read: Callable[[tarfile.TarFile], Read]
) -> Read | None:
    """What is read from the unpacked archive; None if it cannot be unpacked here."""
    opener = _opener(archive, openers() if known is None else known)
    if opener is None:
        return None
    try:
        most = _ALWAYS_UNPACKED + _LARGEST_RATIO * archive.stat().st_size
        with opener(archive) as file:
            bounded: Any = _Bounded(file, min(most, _LARGEST_UNPACKED))
            with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Header) as tar:
                return read(tar)
    except _damages() as error:
        raise _unreadable(archive, f"it is damaged or no archive of images: {error}") from error


class _Bounded:
    """The unpacked bytes of an archive, so many at most."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._left = most

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError("it unpacks to far more than images do")
        return piece


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENSIONS and not 0 <= found.size <= _LARGEST_HEADER:
            raise ValueError(f"a header has {found.size} bytes")
        return found


_EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


def _opener(archive: Path, known: Mapping[bytes, Opener]) -> Opener | None:
    with archive.open("rb") as file:
        start = file.read(4)
    for magic in (_GZIP, _ZSTANDARD):
        if start.startswith(magic):
            return known.get(magic)
    return partial(Path.open, mode="rb")


def _names(tar: tarfile.TarFile) -> Iterator[str]:
    for name, content in _contents(tar, _READERS.keys()):
        yield from _READERS[name](content)


def _contents(tar: tarfile.TarFile, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Files in JSON, by name."""
    # To the end, though all may have been seen: so a damaged archive is noticed.
    seen: set[str] = set()
    for count, member in enumerate(tar, 1):
        if count > _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS} files")
        name = member.name.removeprefix("./")
        if name in wanted and member.isreg():
            if name in seen or not 0 <= member.size <= _LARGEST_INDEX:
                raise ValueError(f"{name} stands twice, or has {member.size} bytes")
            seen.add(name)
            content = tar.extractfile(member)
            yield name, parse_json(content.read() if content else b"")


def _configurations(tar: tarfile.TarFile) -> Iterator[str]:
    for _, manifest in _contents(tar, {"manifest.json"}):
        for row in _rows(manifest):
            if not isinstance(row.get("Config"), str):
                raise TypeError("Config is no name of a file")
            yield row["Config"]


def _architectures(tar: tarfile.TarFile, names: Collection[str]) -> Iterator[str]:
    for name, configuration in _contents(tar, names):
        named = configuration.get("architecture") if isinstance(configuration, dict) else None
        if not isinstance(named, str):
            raise TypeError(f"{name[:80]} names no architecture")
        yield named


def _docker(manifest: Any) -> Iterator[str]:
    for row in _rows(manifest):
        tags = row.get("RepoTags") or []
        if not isinstance(tags, list):
            raise TypeError("RepoTags is no list")
        yield from map(_reference, tags)


def _oci(index: Any) -> Iterator[str]:
    for row in _rows(index.get("manifests") if isinstance(index, dict) else None):
        annotations = row.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise TypeError("annotations are no mapping")
        name = annotations.get(_NAME_ANNOTATION)
        if name is not None:
            yield _reference(name)


def _rows(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError("its index has another form than Docker's and OCI's")
    return value


def _reference(name: Any) -> str:
    if not isinstance(name, str) or not _REFERENCE.fullmatch(name):
        raise ValueError(f"{str(name)[:80]!r} is no name of an image")
    return name


_READERS = {"manifest.json": _docker, "index.json": _oci}


def _unreadable(archive: Path, found: str) -> PermanentError:
    return PermanentError(
        f"looking which images are in {archive}",
        found,
        "Take the archive from the release again. One of your own is what `docker save` writes.",
    )
