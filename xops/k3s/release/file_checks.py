"""Files of a release on this machine: their bytes beside the lock, and for which machines."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xops.core.errors import PermanentError
from xops.k3s.release.lock import Architecture, Artifact

type Progress = Callable[[str, int, int], None]
"""Called with what is being moved, bytes done and bytes in all, about once a MiB."""

LARGEST_UNKNOWN = 2 << 30
"""Bytes of a file whose size the lock does not say."""

LARGEST_FILE = 8 << 30
"""Bytes of any file, whatever a lock says."""

_BLOCK = 1 << 20

# e_machine of the ELF header. Source: System V ABI, <elf.h>.
_MACHINES = {3: "386", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}


class MismatchError(PermanentError):
    """A file does not have the bytes that the lock says."""


class WrongArchitectureError(PermanentError):
    """A binary is for other machines than those it was locked for."""


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


def most_bytes(artifact: Artifact) -> int:
    """How large a file may be; read or received is never more."""
    return min(artifact.size or LARGEST_UNKNOWN, LARGEST_FILE)


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
    if size > most_bytes(artifact):
        return f"expected at most {most_bytes(artifact)} bytes, found {size}"
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
