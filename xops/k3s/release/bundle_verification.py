"""Looks for damage: every byte of a bundle is held against what its manifest says must be there."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

from xops.k3s.release.bundle_layout import (
    BLOCK,
    Manifest,
    copy,
    layout,
    length,
    member_of,
    padded,
)
from xops.k3s.release.file_checks import Meter
from xops.k3s.release.lock import Lock

_READ = 1 << 20


def differences_from_lock(manifest: Manifest, lock: Lock | None) -> Iterator[str]:
    """Files of a bundle that are not those of the lock, and archives of images that it lacks."""
    if lock is None:
        return
    version = manifest.k3s_version
    if version not in lock.versions:
        yield f"{version}: not in the lock"
        return
    for file in manifest.files:
        files = lock.versions[version].get(file.arch)
        locked = {(kind, each.name): each for kind, each in (files.files if files else ())}
        artifact = locked.get((file.kind, file.name))
        if artifact is None:
            yield f"{file.name}: the lock has no such file for {file.arch}"
        elif artifact.sha256 != file.sha256:
            yield f"{file.name}: SHA-256 {file.sha256}, the lock has {artifact.sha256}"
    there = {(file.arch, file.name) for file in manifest.files}
    for arch, archives in lock.extra_images(version).items():
        for archive in archives if any(of == arch for of, _ in there) else ():
            if (arch, archive.name) not in there:
                yield f"{archive.name}: missing, and the lock has it for {arch}: build it anew"


class Inspection:
    """Goes through a bundle member by member; every byte is held against what must be there."""

    def __init__(self, file: IO[bytes], manifest: Manifest, meter: Meter) -> None:
        self._file = file
        self._manifest = manifest
        self._meter = meter
        self._places = {place.file.name: place for place in layout(manifest)}
        self._by_begin = {place.begins: place for place in self._places.values()}
        self._seen: list[str] = []

    def defects(self) -> Iterator[str]:
        """All defects, in the order of the bundle."""
        yield from self._about_members()
        for name in self._places:
            if name not in self._seen:
                yield f"{name}: missing"
        if self._seen != list(self._places) and sorted(self._seen) == list(self._places):
            yield "the files are not in the order in which xOps writes them"

    def _about_members(self) -> Iterator[str]:
        while True:
            begins = self._file.tell()
            block = self._file.read(BLOCK)
            if len(block) < BLOCK:
                yield f"truncated: {begins + len(block)} of {length(self._manifest)} bytes"
                return
            if not any(block):
                yield from self._about_end(begins)
                return
            member, place = member_of(block), self._by_begin.get(begins)
            if member is not None:
                name, size = member.name, member.size
            elif place is not None:  # its header is damaged: go on behind it
                name, size = place.file.name, place.file.size
            else:
                yield f"byte {begins}: neither a file nor the end; what follows cannot be read"
                return
            yield from self._about_header(name, member, block)
            if size < 0:
                yield f"{name}: cannot have {size} bytes; what follows cannot be read"
                return
            yield from self._about_content(name, size)

    def _about_header(
        self, name: str, member: tarfile.TarInfo | None, block: bytes
    ) -> Iterator[str]:
        shown = _shown(name)
        if _leads_out(name):
            yield f"{shown}: refused: the name leads out of the bundle"
        elif member is not None and not member.isreg():
            yield f"{shown}: refused: not a plain file"
        elif name not in self._places:
            yield f"{shown}: extra: the manifest does not have it"
        elif name in self._seen:
            yield f"{shown}: stands twice"
        elif member is None or block != self._places[name].header:
            size = self._places[name].file.size
            if member is not None and member.size != size:
                yield f"{shown}: {member.size} bytes instead of {size}"
            else:
                yield f"{shown}: its header was changed"
        self._seen.append(name)

    def _about_content(self, name: str, size: int) -> Iterator[str]:
        begins = self._file.tell()
        found = copy(self._file, None, size, self._meter)
        read = self._file.tell() - begins
        place = self._places.get(name)
        if read < size:
            yield f"{_shown(name)}: truncated: {read} of {size} bytes"
        elif place is not None and found != place.file.sha256:
            yield f"{name}: SHA-256 {found} instead of {place.file.sha256}"
        if any(self._file.read(padded(size) - size)):
            yield f"{_shown(name)}: something is hidden behind it"

    def _about_end(self, begins: int) -> Iterator[str]:
        rest = begins + BLOCK
        hidden = False
        while piece := self._file.read(_READ):
            hidden = hidden or any(piece)
            rest += len(piece)
        if hidden:
            yield f"byte {begins}: something is hidden behind the end"
        elif self._seen == list(self._places) and rest != length(self._manifest):
            yield f"{rest} bytes instead of {length(self._manifest)}"


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:200]


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or "\\" in name or ".." in name.split("/")
