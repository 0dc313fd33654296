"""The lock: which bytes the files of each K3S release have.

`deployments/clusters/k3s.lock.yaml` holds the SHA-256 of the binary and of the archives of images
by version and architecture. `sources` brings files to this machine, and hands out none whose bytes
are not those of the lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xops.core.errors import PermanentError
from xops.core.files import canonical_json, settings
from xops.core.files.validation import Model

FILE = settings.ROOT / "deployments" / "clusters" / "k3s.lock.yaml"

type Architecture = Literal["amd64", "arm64"]

ARCHITECTURES: tuple[Architecture, ...] = ("amd64", "arm64")

VERSION_PATTERN = r"v\d+\.\d+\.\d+(-rc\d+)?\+k3s\d+"


class NotLockedError(PermanentError):
    """The lock does not say which bytes this file must have."""


class Kind(StrEnum):
    """What a host needs: the program, and the images of what K3S brings along."""

    BINARY = "binary"
    IMAGES = "images"


FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern=f"^{VERSION_PATTERN}$")]
Image = Annotated[str, Field(pattern=r"^([^\s/]*[.:][^\s/]*|localhost)/\S+$")]


class Artifact(Model):
    """One file of a release. `size` is in bytes, None where whoever gave the hash does not say."""

    name: FileName
    sha256: Sha256
    size: Annotated[int, Field(gt=0)] | None = None


class ExtraImages(Artifact):
    """An archive of images that are none of K3S's own, and which they are."""

    images: Annotated[tuple[Image, ...], Field(min_length=1)]


class LockedFiles(Model):
    """What a release has for one architecture.

    `images` is the archive; `image_list` says what is in it, None where that is not known.
    `extra_images` are archives that no release has, for hosts without internet access.
    """

    binary: Artifact
    images: Artifact
    image_list: tuple[Image, ...] | None = None
    # Left out where there are none: what was locked before has the digest that it had.
    extra_images: Annotated[
        tuple[ExtraImages, ...], Field(exclude_if=lambda archives: not archives)
    ] = ()

    def artifact(self, kind: Kind) -> Artifact:
        """The file of this kind that the release has."""
        return self.binary if kind is Kind.BINARY else self.images

    @property
    def files(self) -> tuple[tuple[Kind, Artifact], ...]:
        """All of them."""
        extra = ((Kind.IMAGES, archive) for archive in self.extra_images)
        return ((Kind.BINARY, self.binary), (Kind.IMAGES, self.images), *extra)


type Entry = dict[Architecture, LockedFiles]
"""What the lock says of one version."""


class Lock(Model):
    """Which bytes the files of each release have. `versions` maps versions to entries."""

    versions: dict[Version, Entry] = {}

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        for version, entry in self.versions.items():
            names = [artifact.name for row in entry.values() for _, artifact in row.files]
            for name in sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{version}: {name} stands for two files")
        return self

    @classmethod
    def load(cls, file: Path = FILE) -> Lock:
        """The committed lock, or another one.

        Raises:
            InputError: everything that is wrong with it, with path and line.
        """
        return settings.load(cls, file, prefix="XOPS_K3S_LOCK__", environ={}, arguments={})

    @classmethod
    def configured(cls, environ: Mapping[str, str]) -> Lock:
        """That of the variable XOPS_K3S_LOCK, else the project's own.

        Raises:
            InputError: as `load`.
        """
        return cls.load(Path(environ.get("XOPS_K3S_LOCK", FILE)))

    def entry(self, version: str) -> Entry:
        """What is locked of a version.

        Raises:
            NotLockedError: nothing is.
        """
        if version in self.versions:
            return self.versions[version]
        known = ", ".join(self.versions) or "no version at all"
        raise NotLockedError(
            f"looking up K3S {version} in the lock",
            f"it has {known}",
            f"Run `xops bundle lock --k3s {version}`: it writes the entry from the release's own"
            " checksum files. Review it and commit it.",
        )

    def artifact(self, version: str, arch: Architecture, kind: Kind) -> Artifact:
        """One file as it must be.

        Raises:
            NotLockedError: the lock does not have it.
        """
        entry = self.entry(version)
        if arch in entry:
            return entry[arch].artifact(kind)
        raise NotLockedError(
            f"looking up K3S {version} for {arch} in the lock",
            f"it has this version for {' and '.join(entry) or 'no architecture'} only",
            f"Run `xops bundle lock --k3s {version}`, review the entry and commit it.",
        )

    def extra_images(self, version: str) -> dict[Architecture, tuple[ExtraImages, ...]]:
        """Archives of images that no release has; none of a version that is not locked."""
        return {arch: row.extra_images for arch, row in self.versions.get(version, {}).items()}

    def digest(self, version: str) -> str:
        """SHA-256 of what is locked of a version, in its canonical form: names, hashes, lists."""
        entry = {arch: row.model_dump(mode="json") for arch, row in self.entry(version).items()}
        return canonical_json.digest_of(entry)
