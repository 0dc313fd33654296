"""The files of a release that hosts lack, brought to this machine: from where, and which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from xops.k3s.cluster_file.choices import FolderArtifacts, MirrorArtifacts
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.release.file_checks import Progress
from xops.k3s.release.lock import Architecture, Artifact, Kind, Lock

# What fetches and unpacks is imported where it is used: most runs find that hosts lack nothing, and
# to import an HTTP client takes longer than to look at them.
if TYPE_CHECKING:
    from xops.k3s.release.sources import Source


@dataclass(frozen=True)
class ReleaseFiles:
    """Files of one release on this machine, by architecture; each was compared with the lock.

    `extra_images` are archives that no release has, by their names.
    """

    binaries: Mapping[Architecture, Path]
    images: Mapping[Architecture, Path]
    extra_images: Mapping[str, Path] = field(default_factory=dict)


def source_of(cluster: Cluster, environ: Mapping[str, str]) -> Source:
    """Where the files of the cluster's release come from, as its file says."""
    from xops.k3s.release.bundle import Bundle
    from xops.k3s.release.sources import Folder, Release

    if cluster.air_gap:
        return Bundle(cluster.air_gap.bundle)
    if isinstance(cluster.artifacts, FolderArtifacts):
        return Folder(cluster.artifacts.folder)
    if isinstance(cluster.artifacts, MirrorArtifacts):
        return Release(cluster.artifacts.url)
    return Release.configured(environ)


async def obtain_files(
    source: Source,
    lock: Lock,
    version: str,
    *,
    binaries: Iterable[Architecture],
    images: Iterable[Architecture],
    extra_images: Iterable[Artifact] = (),
    on_progress: Progress,
) -> ReleaseFiles:
    """Fetch binaries and archives of images for these architectures, one after the other.

    Raises:
        NotLockedError, MismatchError, MissingFileError, TemporaryError: as `fetch`.
    """
    from xops.k3s.release.sources import fetch

    async def fetch_all(kind: Kind, archs: Iterable[Architecture]) -> dict[Architecture, Path]:
        return {
            arch: await fetch(source, lock, version, arch, kind, on_progress)
            for arch in sorted(set(archs))
        }

    wanted = {archive.name: archive for archive in extra_images}
    return ReleaseFiles(
        await fetch_all(Kind.BINARY, binaries),
        await fetch_all(Kind.IMAGES, images),
        {name: await source.file(version, wanted[name], on_progress) for name in sorted(wanted)},
    )
