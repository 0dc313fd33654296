"""The air-gap bundle: all that a closed network needs of a K3S release, in one file.

A bundle is a plain tar (what is in it is compressed already): `manifest.json`, then the files of
the release under their own names. Every byte of it follows from the lock and the files: the same
input gives the same bundle. So `verify` can hold every byte against the manifest, and an unpacked
bundle serves as a folder of artifacts.

The manifest carries its own digest, which finds damage. Against forgery stands the lock: nothing
is installed from a bundle whose bytes are not those of the committed lock.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import settings
from xops.k3s.release.bundle_layout import (
    FORMAT,
    MOST_DEFECTS,
    BundledFile,
    DamagedBundleError,
    ListedBy,
    Manifest,
    Place,
    copy,
    digest_of,
    first_member,
    layout,
    length,
    manifest_of,
    open_bundle,
    padded,
    read_manifest,
)
from xops.k3s.release.bundle_verification import Inspection, differences_from_lock
from xops.k3s.release.file_checks import (
    Meter,
    MismatchError,
    Progress,
    check_bytes,
    matches,
    translate_write_errors,
)
from xops.k3s.release.images import image_list, images_in
from xops.k3s.release.lock import Architecture, Artifact, ExtraImages, Kind, Lock
from xops.k3s.release.sources import (
    IMAGE_LIST,
    Folder,
    MissingFileError,
    Origin,
    fetch,
    hold_file_lock,
)

_NO_ARCHITECTURE = Finding("architectures", "", "none is named")


async def build(
    version: str,
    archs: Sequence[Architecture],
    source: Origin,
    lock: Lock,
    output: Path,
    on_progress: Progress | None = None,
    *,
    extra_images: Sequence[Path] = (),
) -> Manifest:
    """Write the bundle of a release, and say what is in it.

    It is written beside `output` and then renamed: there is a whole bundle or none. An existing
    one is replaced.

    Args:
        version: of K3S, as in the lock.
        archs: for which machines.
        source: where the files come from; they are compared with the lock.
        lock: what the files must be.
        output: the bundle.
        on_progress: told of each file that is fetched, then of the bundle being written.
        extra_images: where the archives are that the lock has and no release; those that are not
            here are taken from `source`, if it is a folder.

    Raises:
        InputError: no architecture is named, or an archive that the lock does not have.
        NotLockedError, MismatchError, MissingFileError: as `fetch`.
        PermanentError: an archive does not hold the images that the lock lists.
    """
    if not archs:
        raise InputError(f"building a bundle of K3S {version}", [_NO_ARCHITECTURE])
    given = {path.name: path for path in extra_images}
    _refuse_unlocked(version, given, archs, lock)
    paths: dict[str, Path] = {}
    files: list[BundledFile] = []
    lists: dict[Architecture, tuple[tuple[str, ...], ListedBy]] = {}
    for arch in sorted(set(archs)):
        for kind in Kind:
            artifact = lock.artifact(version, arch, kind)
            path = await fetch(source, lock, version, arch, kind, on_progress)
            paths[artifact.name] = path
            files.append(_bundled(artifact, arch, kind, path.stat().st_size))
        own, listed_by = await _images(source, lock, version, arch, path)
        extra = lock.extra_images(version)[arch]
        for archive in extra:
            path = await _obtain_extra(source, version, archive, given, on_progress)
            paths[archive.name] = path
            files.append(_bundled(archive, arch, Kind.IMAGES, path.stat().st_size))
        more = {image for archive in extra for image in archive.images}
        lists[arch] = (tuple(sorted({*own, *more})) if more else own, listed_by)
    manifest = _manifest(version, files, lists, lock)
    await asyncio.to_thread(_write, output, manifest, paths, on_progress)
    return manifest


def _refuse_unlocked(
    version: str, given: Mapping[str, Path], archs: Sequence[Architecture], lock: Lock
) -> None:
    locked = {each.name for arch in archs for each in lock.extra_images(version).get(arch, ())}
    found = [
        Finding("argument --images", "", f"{path}: the lock has no such archive of {version}")
        for name, path in given.items()
        if name not in locked
    ]
    if found:
        remedy = f"Lock it first, and review it: `xops bundle lock --k3s {version} --images FILE`."
        raise InputError(f"building a bundle of K3S {version}", found, remedy)


async def _obtain_extra(
    source: Origin,
    version: str,
    archive: ExtraImages,
    given: Mapping[str, Path],
    on_progress: Progress | None,
) -> Path:
    """An archive that no release has: it was given, or lies in the folder of the others.

    Raises:
        MissingFileError: it is nowhere.
        MismatchError: its bytes, or its images, are not those of the lock.
    """
    if path := given.get(archive.name):
        await check_bytes(path, archive, on_progress)
    elif isinstance(source, Folder):
        path = await source.file(version, archive, on_progress)
    else:
        raise MissingFileError(
            f"taking {archive.name} ({', '.join(archive.images)}) into the bundle",
            "the lock has it, and no release of K3S does",
            f"Name it: `--images PATH/{archive.name}`.",
        )
    inside = await asyncio.to_thread(images_in, path)
    if inside is not None and set(inside) != set(archive.images):
        raise _other_images(path, set(inside), set(archive.images))
    return path


def _bundled(artifact: Artifact, arch: Architecture, kind: Kind, size: int) -> BundledFile:
    return BundledFile(name=artifact.name, arch=arch, kind=kind, sha256=artifact.sha256, size=size)


async def _images(
    source: Origin, lock: Lock, version: str, arch: Architecture, archive: Path
) -> tuple[tuple[str, ...], ListedBy]:
    """The images of an archive, from the best recorder there is."""
    locked = lock.entry(version)[arch].image_list
    inside = await asyncio.to_thread(images_in, archive)
    if inside is not None and locked is not None and set(inside) != set(locked):
        raise _other_images(archive, set(inside), set(locked))
    if inside is not None:
        return inside, "archive"
    if locked is not None:
        return locked, "lock"
    return image_list(await source.text(version, IMAGE_LIST)), "k3s-images.txt"


def _other_images(archive: Path, inside: set[str], locked: set[str]) -> PermanentError:
    missing = ", ".join(sorted(locked - inside)) or "none"
    extra = ", ".join(sorted(inside - locked)) or "none"
    return PermanentError(
        f"comparing the images in {archive} with the lock",
        f"not in the archive: {missing}; not in the lock: {extra}",
        "Correct the list in the lock; that of K3S's own archive may be left out: it is then read"
        " from the archive.",
    )


def _manifest(
    version: str,
    files: Sequence[BundledFile],
    lists: Mapping[Architecture, tuple[tuple[str, ...], ListedBy]],
    lock: Lock,
) -> Manifest:
    values: dict[str, object] = {
        "format": FORMAT,
        "k3s_version": version,
        "files": [file.model_dump(mode="json") for file in sorted(files, key=lambda f: f.name)],
        "images": {arch: list(images) for arch, (images, _) in lists.items()},
        "images_listed_by": {arch: by for arch, (_, by) in lists.items()},
        "lock": lock.digest(version),
        "tool": f"xops {importlib.metadata.version('xops')}",
    }
    return Manifest.model_validate({**values, "digest": digest_of(values)})


def _write(
    output: Path, manifest: Manifest, paths: Mapping[str, Path], on_progress: Progress | None
) -> None:
    meter = Meter(output.name, manifest.size, on_progress)
    with translate_write_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        try:
            with os.fdopen(handle, "wb") as bundle:
                _fill(bundle, manifest, paths, meter)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(output)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _fill(bundle: IO[bytes], manifest: Manifest, paths: Mapping[str, Path], meter: Meter) -> None:
    bundle.write(first_member(manifest))
    for place in layout(manifest):
        bundle.write(place.header)
        path = paths[place.file.name]
        with path.open("rb") as source:
            found = copy(source, bundle, place.file.size, meter)
        if found != place.file.sha256:
            raise _changed_meanwhile(path)
        bundle.write(bytes(padded(place.file.size) - place.file.size))
    bundle.write(bytes(length(manifest) - bundle.tell()))


def _changed_meanwhile(path: Path) -> MismatchError:
    return MismatchError(
        f"putting {path} into the bundle",
        "the file was changed while it was read; no bundle was written",
        "Let nobody write to that folder and build it again.",
    )


def verify(path: Path, lock: Lock | None = None, on_progress: Progress | None = None) -> Manifest:
    """Hold every byte of a bundle against its manifest, and the manifest against the lock.

    Args:
        path: the bundle.
        lock: the lock that the files must be of; None to look at the bundle alone.
        on_progress: told of the bytes read.

    Raises:
        DamagedBundleError: with all defects at once.
    """
    with open_bundle(path) as file:
        manifest = read_manifest(path, file)
        meter = Meter(path.name, manifest.size, on_progress)
        found = chain(
            Inspection(file, manifest, meter).defects(), differences_from_lock(manifest, lock)
        )
        defects = list(islice(found, MOST_DEFECTS))
    if defects:
        raise DamagedBundleError(path, defects)
    return manifest


def _cache() -> Path:
    return settings.home() / "cache" / "bundles"


@dataclass(frozen=True)
class Bundle:
    """A bundle as a source: its files are unpacked once, into `cache/bundles/<digest>`.

    Only what is asked for is read, and it is compared with the lock; `verify` looks at the whole.
    """

    path: Path
    cache: Path = field(default_factory=_cache)

    async def file(
        self, version: str, artifact: Artifact, on_progress: Progress | None = None
    ) -> Path:
        """As `Source.file`.

        Raises:
            MissingFileError: the bundle is of another version or lacks this file.
            MismatchError: its file is not that of the lock.
            DamagedBundleError: its file is not that of its manifest.
        """
        manifest = await asyncio.to_thread(manifest_of, self.path)
        place = self._place(manifest, version, artifact)
        target = self.cache / manifest.digest / artifact.name
        with translate_write_errors(target):
            async with hold_file_lock(target):
                if not await matches(target, artifact):
                    await asyncio.to_thread(self._unpack, place, target, on_progress)
        return target

    def _place(self, manifest: Manifest, version: str, artifact: Artifact) -> Place:
        attempted = f"taking {artifact.name} of K3S {version} from the bundle {self.path}"
        places = {place.file.name: place for place in layout(manifest)}
        if manifest.k3s_version != version:
            raise MissingFileError(
                attempted,
                f"the bundle is of {manifest.k3s_version}",
                f"Name the bundle of {version}, or build it with `xops bundle build --k3s"
                f" {version}`.",
            )
        if artifact.name not in places:
            raise MissingFileError(
                attempted,
                f"the bundle has {', '.join(places)}",
                "Build it anew from the lock of this checkout, for all architectures of the hosts:"
                " `--arch amd64 --arch arm64`.",
            )
        file = places[artifact.name].file
        if file.sha256 != artifact.sha256:
            raise MismatchError(
                attempted,
                f"expected SHA-256 {artifact.sha256}, the bundle has {file.sha256}; nothing was"
                " installed",
                "Build the bundle anew from the lock of this checkout, or take the lock that the"
                " bundle was built from.",
            )
        if artifact.size not in (None, file.size):
            raise MismatchError(
                attempted,
                f"expected {artifact.size} bytes, the bundle has {file.size}; nothing was"
                " installed",
                "Copy the bundle again from where it was built.",
            )
        return places[artifact.name]

    def _unpack(self, place: Place, target: Path, on_progress: Progress | None) -> None:
        partial = target.with_name(f"{target.name}.part")
        meter = Meter(target.name, place.file.size, on_progress)
        with open_bundle(self.path) as bundle, partial.open("wb") as file:
            bundle.seek(place.offset)
            found = copy(bundle, file, place.file.size, meter)
        if found != place.file.sha256:
            partial.unlink()
            raise DamagedBundleError(self.path, [f"{place.file.name}: not that of the manifest"])
        partial.replace(target)
