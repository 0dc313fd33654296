"""Where exports lie: a folder, or a bucket. What is listed can be fetched as a file of ours."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from xops.aws.errors import translate_aws_errors
from xops.core.errors import DiskFullError, Finding, InputError, PermanentError, TemporaryError
from xops.core.files.reading import UnusableTextError, open_regular, read_handle

MOST_FILES = 100_000
"""Of an export, with all its months and executions."""

_PIECE = 8 << 20
_CHANGED = frozenset({"PreconditionFailed", "412", "NoSuchKey", "404"})
_UNDER_WAY = "A refresh is under way: run it again when it is over."

Heard = Callable[[int], None]
"""Hears how many bytes more were read."""


@dataclass(frozen=True)
class Listed:
    """A file as it is listed.

    Attributes:
        name: from the source's top, with `/`.
        changed_at: when it was written last.
        version: what tells two contents of it apart, as far as that can be told without reading.
    """

    name: str
    size: int
    changed_at: datetime
    version: str


class Source(Protocol):
    """A place with files below it."""

    @property
    def dates_are_deliveries(self) -> bool:
        """Whether `changed_at` is when the provider delivered it: a copy may have other dates."""

    def address(self, name: str = "") -> str:
        """The whole path of a file in it, for people."""

    def list(self) -> list[Listed]:
        """Every file below it, by name."""

    def read(self, file: Listed, most: int) -> bytes:
        """The content of a small file."""

    def fetch(self, file: Listed, into: Path, heard: Heard) -> tuple[Path, str]:
        """A file on this machine with that content, and what identifies the content."""


class Folder:
    """A folder on this machine. Links are not followed: a file that is one is refused when read.

    Args:
        path: it, or a single file.
    """

    dates_are_deliveries = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._top = path.parent if path.is_file() else path

    def address(self, name: str = "") -> str:
        """The path."""
        return str(self._top / name) if name else str(self._path)

    def list(self) -> list[Listed]:
        """The files below it; what begins with a point is left out.

        Raises:
            InputError: there is no such folder, or it has more files than an export.
        """
        found: list[Listed] = []
        try:
            for file in self._walk():
                found.append(self._listed(file))
                if len(found) > MOST_FILES:
                    raise _unusable(self.address(), f"has more than {MOST_FILES} files")
        except OSError as error:
            raise _unusable(self.address(), f"cannot be read: {error.strerror}") from None
        return sorted(found, key=lambda one: one.name)

    def read(self, file: Listed, most: int) -> bytes:
        """The content.

        Raises:
            InputError: it cannot be read, or is larger.
        """
        try:
            with open_regular(self._top / file.name, follow=False) as handle:
                return read_handle(handle, most)
        except UnusableTextError as error:
            raise _unusable(self.address(file.name), error.problem) from None

    def fetch(self, file: Listed, into: Path, heard: Heard) -> tuple[Path, str]:
        """The file itself, and the SHA-256 of its content.

        Raises:
            InputError: it cannot be read.
            TemporaryError: it changed meanwhile.
        """
        path = self._top / file.name
        digest = hashlib.sha256()
        try:
            with open_regular(path, follow=False) as handle:
                while piece := os.read(handle, _PIECE):
                    digest.update(piece)
                    heard(len(piece))
        except UnusableTextError as error:
            raise _unusable(str(path), error.problem) from None
        except OSError as error:
            raise _unusable(str(path), f"cannot be read: {error.strerror}") from None
        if not is_still(path, file):
            raise TemporaryError(f"reading {path}", "it changed while it was read", _UNDER_WAY)
        return path, digest.hexdigest()

    def _walk(self) -> Iterator[Path]:
        if self._path.is_file():
            yield self._path
            return
        if not self._path.is_dir():
            raise _unusable(self.address(), "is no folder and no file")
        for folder, folders, files in os.walk(self._path, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = (Path(folder) / name for name in files if not name.startswith("."))
            yield from (path for path in paths if path.is_file())

    def _listed(self, path: Path) -> Listed:
        return _listed(path, path.relative_to(self._top).as_posix())


class Bucket:
    """What is below a prefix of an S3 bucket.

    Args:
        client: boto3's S3 client.
        bucket: its name.
        prefix: up to and with the export's name; only whole parts of names count.
    """

    dates_are_deliveries = True

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def address(self, name: str = "") -> str:
        """The object's S3 URI."""
        return f"s3://{self._bucket}/{self._prefix}{name}"

    def list(self) -> list[Listed]:
        """The objects.

        Raises:
            CredentialsError, ThrottledError, UnreachableError, TemporaryError: S3 does not let us.
            PermanentError: there is no such bucket.
            InputError: there is nothing, or more than an export has.
        """
        found: list[Listed] = []
        with translate_aws_errors(f"listing {self.address()}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                found += [self._listed(entry) for entry in page.get("Contents", ())]
                if len(found) > MOST_FILES:
                    raise _unusable(self.address(), f"has more than {MOST_FILES} objects")
        return sorted((one for one in found if one.name), key=lambda one: one.name)

    def read(self, file: Listed, most: int) -> bytes:
        """The content.

        Raises:
            TemporaryError: it changed meanwhile, or S3 does not let us.
            InputError: it is larger.
        """
        if file.size > most:
            raise _unusable(self.address(file.name), f"is larger than {most >> 20} MiB")
        with translate_aws_errors(f"reading {self.address(file.name)}"):
            body: bytes = self._open(file).read(most)
        return body

    def fetch(self, file: Listed, into: Path, heard: Heard) -> tuple[Path, str]:
        """A copy below `into`, and the object's entity tag.

        Raises:
            TemporaryError: it changed meanwhile, or S3 does not let us.
            DiskFullError: there is no room for it.
        """
        name = hashlib.sha256(file.name.encode()).hexdigest()[:16]
        path = into / f"{name}{''.join(Path(file.name).suffixes[-2:])}"
        with translate_aws_errors(f"reading {self.address(file.name)}"):
            body = self._open(file)
            try:
                with path.open("xb") as output:
                    for piece in body.iter_chunks(_PIECE):
                        output.write(piece)
                        heard(len(piece))
            except OSError as error:
                raise disk_error(f"fetching {self.address(file.name)}", error) from None
        return path, file.version

    def _open(self, file: Listed) -> Any:
        key = f"{self._prefix}{file.name}"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, IfMatch=file.version)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _CHANGED:
                address = self.address(file.name)
                found = "it was replaced or removed since it was listed"
                raise TemporaryError(f"reading {address}", found, _UNDER_WAY) from error
            raise
        return answer["Body"]

    def _listed(self, entry: dict[str, Any]) -> Listed:
        name = str(entry["Key"]).removeprefix(self._prefix)
        return Listed(name, entry["Size"], entry["LastModified"], entry["ETag"])


def is_still(path: Path, listed: Listed) -> bool:
    """Whether a file of this machine is as it was listed; it may be gone."""
    try:
        return _listed(path, listed.name) == listed
    except OSError:
        return False


def _listed(path: Path, name: str) -> Listed:
    seen = path.stat()
    changed_at = datetime.fromtimestamp(seen.st_mtime, UTC)
    return Listed(name, seen.st_size, changed_at, f"{seen.st_size}-{seen.st_mtime_ns}")


def disk_error(attempted: str, error: OSError) -> PermanentError:
    """An error of the file system, with a full disk told apart."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "Free disk space, then run it again; what was there before is as it was."
        return DiskFullError(attempted, "there is no room left on the disk", remedy)
    found = error.strerror or type(error).__name__
    return PermanentError(attempted, found, "See that the folder can be written, and run it again.")


def _raise(error: OSError) -> None:
    raise error


def _unusable(address: str, problem: str) -> InputError:
    return InputError(f"reading {address}", [Finding(address, "", problem)])
