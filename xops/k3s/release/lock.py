"""The files of a K3S release: which bytes are the right ones.

The lock, `deployments/clusters/k3s.lock.yaml`, holds the SHA-256 of the binary and of the archive
of images by version and architecture. `xops.k3s.release.sources` brings files to this machine, and
hands out none whose bytes are not those of the lock.

Names of the files: K3S documentation, "Air-Gap Install"; form of the checksum files:
k3s-io/k3s, `.github/workflows/release.yml`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import canonical_json, settings
from xops.core.files.validation import Model

FILE = settings.ROOT / "deployments" / "clusters" / "k3s.lock.yaml"

type Architecture = Literal["amd64", "arm64"]
type Progress = Callable[[str, int, int], None]
"""Called with what is being moved, bytes done and bytes in all, about once a MiB."""

ARCHITECTURES: tuple[Architecture, ...] = ("amd64", "arm64")

_BINARIES = {"amd64": "k3s", "arm64": "k3s-arm64"}
# K3S imports all three; the smallest comes first.
_COMPRESSIONS = (".zst", ".gz", "")
_VERSION = r"v\d+\.\d+\.\d+(-rc\d+)?\+k3s\d+"
_CHECKSUM = re.compile(r"([0-9A-Fa-f]{64}) [ *](\S+)")
_BLOCK = 1 << 20

# e_machine of the ELF header. Source: System V ABI, <elf.h>.
_MACHINES = {3: "386", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}


class NotLockedError(PermanentError):
    """The lock does not say which bytes this file must have."""


class MismatchError(PermanentError):
    """A file does not have the bytes that the lock says."""


class WrongArchitectureError(PermanentError):
    """A binary is for other machines than those it was locked for."""


class Kind(StrEnum):
    """What a host needs: the program, and the images of what K3S brings along."""

    BINARY = "binary"
    IMAGES = "images"


FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern=f"^{_VERSION}$")]
Image = Annotated[str, Field(pattern=r"^([^\s/]*[.:][^\s/]*|localhost)/\S+$")]


class Artifact(Model):
    """One file of a release. `size` is in bytes, None where whoever gave the hash does not say."""

    name: FileName
    sha256: Sha256
    size: Annotated[int, Field(gt=0)] | None = None


class LockedFiles(Model):
    """What a release has for one architecture.

    `images` is the archive; `image_list` says what is in it, None where that is not known.
    """

    binary: Artifact
    images: Artifact
    image_list: tuple[Image, ...] | None = None

    def artifact(self, kind: Kind) -> Artifact:
        """The file of this kind."""
        return self.binary if kind is Kind.BINARY else self.images


type Entry = dict[Architecture, LockedFiles]
"""What the lock says of one version."""


class Lock(Model):
    """Which bytes the files of each release have. `versions` maps versions to entries."""

    versions: dict[Version, Entry] = {}

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        for version, entry in self.versions.items():
            names = [row.artifact(kind).name for row in entry.values() for kind in Kind]
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

    def digest(self, version: str) -> str:
        """SHA-256 of what is locked of a version, in its canonical form: names, hashes, lists."""
        entry = {arch: row.model_dump(mode="json") for arch, row in self.entry(version).items()}
        return canonical_json.digest_of(entry)


@contextmanager
def translate_write_errors(target: Path) -> Iterator[None]:
    """Say what to do when a file cannot be written.

    Raises:
        PermanentError: no space is left, or the folder may not be written to.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise PermanentError(
            f"writing {target}",
            str(error),
            "Make room on that disk; what has come is kept."
            if full
            else "Make the folder writable, or name another one; XOPS_HOME moves the caches.",
        ) from error


class Meter:
    """Counts bytes and tells about them now and then; silent while the total is not known."""

    def __init__(
        self, what: str, total: int | None, on_progress: Progress | None, done: int = 0
    ) -> None:
        self.done = done
        self._what = what
        self._total = total
        self._on_progress = on_progress
        self._told = done

    def add(self, count: int) -> None:
        """Count bytes that were moved."""
        self.done += count
        if self._on_progress is None or self._total is None:
            return
        if self.done - self._told >= _BLOCK or self.done == self._total:
            self._told = self.done
            self._on_progress(self._what, self.done, self._total)


def sha256_of(path: Path, on_progress: Progress | None = None) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest, meter = hashlib.sha256(), Meter(path.name, path.stat().st_size, on_progress)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            meter.add(len(block))
    return digest.hexdigest()


async def matches(path: Path, artifact: Artifact) -> bool:
    """Whether the file exists and has the bytes of `artifact`."""
    return path.is_file() and await _difference(path, artifact) is None


async def check_bytes(
    path: Path, artifact: Artifact, on_progress: Progress | None = None, origin: str = ""
) -> None:
    """Hold a file against the lock; `origin` says where it is from, if not from `path`.

    Raises:
        MismatchError: says what the lock has and what was found.
    """
    if difference := await _difference(path, artifact, on_progress):
        raise MismatchError(
            f"comparing {origin or path} with the lock",
            f"{difference}; nothing was installed",
            "Do not use this file: it was changed on the way, or it is of another release. Take it"
            " from the release again; if it stays so, compare the lock with the release's"
            " sha256sum-<architecture>.txt.",
        )


async def _difference(
    path: Path, artifact: Artifact, on_progress: Progress | None = None
) -> str | None:
    size = path.stat().st_size
    if artifact.size not in (None, size):
        return f"expected {artifact.size} bytes, found {size}"
    found = await asyncio.to_thread(sha256_of, path, on_progress)
    if found == artifact.sha256:
        return None
    return f"expected SHA-256 {artifact.sha256}, found {found}"


def check_architecture(path: Path, arch: Architecture) -> None:
    """Look into the header of a binary: which machines is it for?

    Raises:
        WrongArchitectureError: for others than `arch`, or it is no Linux program.
    """
    with path.open("rb") as file:
        header = file.read(20)
    found = _machine(header)
    if found != arch:
        raise WrongArchitectureError(
            f"checking that {path} runs on {arch}",
            f"it is a program for {found}" if found else "it is no Linux program (no ELF header)",
            f"The lock has the hash of another file as the binary for {arch}: compare it with the"
            f" release's sha256sum-{arch}.txt. Nothing was installed.",
        )


def _machine(header: bytes) -> str | None:
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    number = int.from_bytes(header[18:20], "big" if header[5] == 2 else "little")
    return _MACHINES.get(number, f"machine {number}")


def check_version(version: str) -> None:
    """Refuse what cannot be a version of K3S.

    Raises:
        InputError: it is not written like one.
    """
    if not re.fullmatch(_VERSION, version):
        finding = Finding("version", "", f"{version!r} is not like v1.36.4+k3s1")
        raise InputError("reading the K3S version", [finding], "Write it as K3S's releases do.")


def lock_from_checksums(
    version: str,
    texts: Mapping[Architecture, str],
    images: tuple[str, ...] | None = None,
) -> Entry:
    """What the lock shall say of a version, from the texts of its `sha256sum-<arch>.txt`.

    Of the image archives the smallest is taken: .tar.zst, .tar.gz, .tar.

    Raises:
        InputError: every line that is no checksum and every file without one.
    """
    check_version(version)
    findings: list[Finding] = []
    entry: Entry = {}
    for arch, text in texts.items():
        sums = _checksums(f"sha256sum-{arch}.txt", text, findings)
        binary = _artifact([_BINARIES[arch]], sums)
        names = [f"k3s-airgap-images-{arch}.tar{suffix}" for suffix in _COMPRESSIONS]
        archive = _artifact(names, sums)
        for artifact, name in ((binary, _BINARIES[arch]), (archive, names[0])):
            if artifact is None:
                findings.append(Finding(f"sha256sum-{arch}.txt", "", f"has no line for {name}"))
        if binary and archive:
            entry[arch] = LockedFiles(binary=binary, images=archive, image_list=images)
    if findings:
        raise InputError(
            f"reading the checksum files of K3S {version}",
            findings,
            "Take the files from the release as they are, and run it again.",
        )
    return entry


def _checksums(source: str, text: str, findings: list[Finding]) -> dict[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        row = _CHECKSUM.fullmatch(line.strip())
        if row and sums.setdefault(row[2], row[1].lower()) != row[1].lower():
            findings.append(Finding(source, "", f"{row[2]} has two checksums", number))
        elif not row and line.strip():
            shown = line.strip()[:80]
            findings.append(Finding(source, "", f"is no SHA-256 checksum: {shown!r}", number))
    return sums


def _artifact(names: Sequence[str], sums: Mapping[str, str]) -> Artifact | None:
    found = next((name for name in names if name in sums), None)
    return Artifact(name=found, sha256=sums[found]) if found else None


def write_entry(file: Path, version: str, entry: Entry) -> bool:
    """Write what the lock says of a version into its file; False if it said so already.

    Raises:
        InputError: the file is no lock.
        MismatchError: a file of this version has another hash than the one that is locked.
    """
    before = Lock.load(file).versions.get(version, {})
    if before == entry:
        return False
    _refuse_other_bytes(version, _hashes(before), _hashes(entry))
    text = with_entry(file.read_text(encoding="utf-8"), version, entry)
    partial = file.with_name(f".{file.name}.part")
    with translate_write_errors(file):
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    return True


def _hashes(entry: Entry) -> dict[str, str]:
    artifacts = [row.artifact(kind) for row in entry.values() for kind in Kind]
    return {artifact.name: artifact.sha256 for artifact in artifacts}


def _refuse_other_bytes(version: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    changed = [
        f"{name}: {old}, now {now[name]}"
        for name, old in before.items()
        if now.get(name, old) != old
    ]
    if changed:
        raise MismatchError(
            f"locking K3S {version}",
            f"the lock has other hashes already: {'; '.join(changed)}",
            "Find out which is right before anything is installed: a release does not change. To"
            " take the new ones, remove this version from the lock first.",
        )


def with_entry(text: str, version: str, entry: Entry) -> str:
    """The lock's text with this entry. Other entries and their comments stay as they are.

    Raises:
        InputError: `versions` is written in braces, and there are entries in it.
    """
    editor = YAML()
    editor.preserve_quotes, editor.width = True, 4096
    document = editor.load(text)
    if not document.get("versions"):
        document["versions"] = CommentedMap()
    versions: CommentedMap = document["versions"]
    if versions.fa.flow_style():
        finding = Finding("lock", "versions", "is written in braces", versions.lc.line + 1)
        raise InputError(f"adding K3S {version} to the lock", [finding])
    before = version if version in versions else next(reversed(versions), None)
    following = _take_following_comment(versions[before]) if before else None
    versions[version] = _editable(
        {arch: row.model_dump(mode="json", exclude_none=True) for arch, row in entry.items()}
    )
    if following:
        collection, key, slot = _last_value(versions[version])
        collection.ca.items[key] = [following if at == slot else None for at in range(4)]
    edited = io.StringIO()
    editor.dump(document, edited)
    return edited.getvalue()


def _editable(value: Any) -> Any:
    """A JSON value as the editor takes it, so that YAML 1.1 and 1.2 read the same from it."""
    if isinstance(value, dict):
        return CommentedMap({key: _editable(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return CommentedSeq(map(_editable, value))
    if isinstance(value, str) and yaml.safe_load(value) != value:  # a hash of digits alone
        return SingleQuotedScalarString(value)
    return value


def _take_following_comment(entry: CommentedMap) -> CommentToken | None:
    """Remove the lines of comment that stand behind an entry: they are about the next one.

    ruamel.yaml keeps them with the entry's last value, behind that value's own comment.
    """
    collection, key, slot = _last_value(entry)
    token: CommentToken | None = collection.ca.items.pop(key, [None] * 4)[slot]
    _, newline, lines = token.value.partition("\n") if token else ("", "", "")
    if token is None or not lines.strip():
        return None
    token.value = newline + lines
    return token


def _last_value(node: CommentedMap | CommentedSeq) -> tuple[Any, Any, int]:
    """The innermost collection that ends a node, its last key, and the slot of its comment."""
    is_list = isinstance(node, CommentedSeq)
    key = len(node) - 1 if is_list else next(reversed(node))
    inner = node[key]
    if isinstance(inner, CommentedMap | CommentedSeq) and inner and not inner.fa.flow_style():
        return _last_value(inner)
    return node, key, 0 if is_list else 2
