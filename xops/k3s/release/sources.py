"""Where the files of K3S releases come from: a release, a mirror, a folder; a bundle beside them.

`fetch` brings one file to this machine and compares it with the lock at every call.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote

import httpx

from xops.core.errors import Finding, InputError, PermanentError, TemporaryError
from xops.core.files import settings
from xops.core.files.reading import UnusableTextError, read_bytes
from xops.k3s.release.file_checks import (
    LARGEST_FILE,
    Meter,
    MismatchError,
    Progress,
    check_architecture,
    check_bytes,
    matches,
    most_bytes,
    translate_write_errors,
)
from xops.k3s.release.images import image_list
from xops.k3s.release.lock import (
    ARCHITECTURES,
    Architecture,
    Artifact,
    Entry,
    Kind,
    Lock,
    LockedFiles,
)
from xops.k3s.release.lock_entry import check_version, lock_from_checksums

RELEASES = "https://github.com/k3s-io/k3s/releases/download"
"""Where K3S publishes its releases; the files of one lie below `<address>/<version>/`."""

IMAGE_LIST = "k3s-images.txt"

LARGEST_TEXT = 256 * 1024
"""Bytes of a checksum file or a list of images; real ones have a few kB."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/", re.ASCII)
_CONTENT_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
_RETRY_AFTER = re.compile(r"\d{1,4}", re.ASCII)
_MOST_REDIRECTS = 10
_CONNECT_SECONDS = 15.0
_SILENCE_SECONDS = 60.0
"""A server that sends nothing for so long is given up,"""

_LEAST_BYTES = 64 * 1024
"""and one that sends less than this in that time."""

_TEXT_SECONDS = 120.0

_CLOSED_NETWORK = (
    "Where this machine has no way to the release, build a bundle on one that has"
    " (`xops bundle build`)."
)


class MissingFileError(PermanentError):
    """A source does not have this file, and will not have it the next time."""


class Source(Protocol):
    """Where files of releases come from."""

    async def file(
        self, version: str, artifact: Artifact, on_progress: Progress | None = None
    ) -> Path:
        """The file on this machine, its bytes compared with `artifact` in this very call.

        Raises:
            MismatchError: the bytes are others.
            MissingFileError: there is no such file.
            TemporaryError: it could not be reached.
        """
        ...


class Origin(Source, Protocol):
    """A source that has all that a release publishes, the checksum files among it."""

    async def text(self, version: str, name: str) -> str:
        """A small text file. Its bytes are as trustworthy as the source."""
        ...

    async def size(self, version: str, name: str) -> int | None:
        """A file's size in bytes, None if the source does not say."""
        ...


async def fetch(
    source: Source,
    lock: Lock,
    version: str,
    arch: Architecture,
    kind: Kind,
    on_progress: Progress | None = None,
) -> Path:
    """Bring one file of a release to this machine.

    The bytes are compared with the lock at every call, also of a file that was fetched before.

    Raises:
        NotLockedError, MismatchError, MissingFileError, WrongArchitectureError: no file is
            handed out.
        TemporaryError: the source could not be reached; what was received is kept, and resumed.
    """
    artifact = lock.artifact(version, arch, kind)
    path = await source.file(version, artifact, on_progress)
    if kind is Kind.BINARY:
        check_architecture(path, arch)
    return path


@dataclass(frozen=True)
class Folder:
    """Files in a folder, under the names they have in a release."""

    folder: Path

    async def file(
        self, version: str, artifact: Artifact, on_progress: Progress | None = None
    ) -> Path:
        """As `Source.file`; the file stays where it is."""
        path = self._existing(version, artifact.name)
        await check_bytes(path, artifact, on_progress)
        return path

    async def text(self, version: str, name: str) -> str:
        """As `Origin.text`."""
        path = self._existing(version, name)
        try:
            return read_bytes(path, LARGEST_TEXT).decode("utf-8", "replace")
        except UnusableTextError as error:
            raise _too_large(f"reading {path}", f"it {error.problem}") from None

    async def size(self, version: str, name: str) -> int | None:
        """As `Origin.size`."""
        return self._existing(version, name).stat().st_size

    def _existing(self, version: str, name: str) -> Path:
        path = self.folder / name
        if path.is_file():
            return path
        raise MissingFileError(
            f"taking {name} of K3S {version} from {self.folder}",
            "there is no such file in the folder",
            f"Put the release's {name} there, under that name.",
        )


def _cache() -> Path:
    return settings.home() / "cache" / "k3s"


@dataclass(frozen=True)
class Release:
    """Files that are downloaded once, into `cache/k3s/<version>` below `settings.home()`.

    `address` is the one of K3S or that of a mirror with the same layout, http or https.
    """

    address: str = RELEASES
    cache: Path = field(default_factory=_cache)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^\s?#]+", self.address):
            finding = Finding(
                "address of the K3S releases", "", f"not an http(s) address: {self.address!r}"
            )
            raise InputError("reading where K3S comes from", [finding])

    @classmethod
    def configured(cls, environ: Mapping[str, str]) -> Release:
        """The one that `XOPS_K3S_RELEASES` names, else K3S's own."""
        return cls(environ.get("XOPS_K3S_RELEASES") or RELEASES)

    async def file(
        self, version: str, artifact: Artifact, on_progress: Progress | None = None
    ) -> Path:
        """As `Source.file`; an interrupted download is resumed."""
        target = self.cache / version / artifact.name
        with translate_write_errors(target):
            async with hold_file_lock(target):
                if not await matches(target, artifact):
                    await self._download(version, artifact, target, on_progress)
        return target

    async def text(self, version: str, name: str) -> str:
        """As `Origin.text`."""
        url = self._url(version, name)
        async with _answer("GET", url, within=_TEXT_SECONDS) as response:
            _refuse(response, url)
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > LARGEST_TEXT:
                    raise _too_large(f"fetching {url}", f"it has more than {LARGEST_TEXT} bytes")
            return body.decode("utf-8", "replace")

    async def size(self, version: str, name: str) -> int | None:
        """As `Origin.size`."""
        url = self._url(version, name)
        async with _answer("HEAD", url, within=_TEXT_SECONDS) as response:
            _refuse(response, url)
            size = _content_length(response)
        if size is not None and size > LARGEST_FILE:
            raise _too_large(f"asking for the size of {url}", f"it has {size} bytes")
        return size

    def _url(self, version: str, name: str) -> str:
        # The + of a version would be read as a space by some servers.
        return f"{self.address.rstrip('/')}/{quote(version, safe='')}/{quote(name, safe='')}"

    async def _download(
        self, version: str, artifact: Artifact, target: Path, on_progress: Progress | None
    ) -> None:
        url, partial = self._url(version, artifact.name), target.with_name(f"{target.name}.part")
        kept = _size(partial)
        try:
            await _transfer(url, partial, artifact, on_progress)
            if kept and not await matches(partial, artifact):
                # What was kept may be of another file: the whole of it, once.
                partial.unlink()
                await _transfer(url, partial, artifact, on_progress)
            await check_bytes(partial, artifact, origin=url)
        except MismatchError:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(target)


async def _transfer(
    url: str, partial: Path, artifact: Artifact, on_progress: Progress | None
) -> None:
    kept = _size(partial)
    if kept and kept == artifact.size:
        return
    if artifact.size is not None and kept > artifact.size:
        partial.unlink()
        kept = 0
    asked = {"Range": f"bytes={kept}-"} if kept else {}
    async with _answer("GET", url, asked, partial) as response:
        if not _unusable_rest(response, kept):
            _refuse(response, url)
            await _receive(response, partial, artifact, on_progress)
            return
    partial.unlink()
    await _transfer(url, partial, artifact, on_progress)


def _unusable_rest(response: httpx.Response, kept: int) -> bool:
    """The server has no rest from there on, or sends another part than was asked for."""
    if kept and response.status_code == httpx.codes.PARTIAL_CONTENT:
        begins = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        return not begins or int(begins[1]) != kept
    return bool(kept) and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE


async def _receive(
    response: httpx.Response, partial: Path, artifact: Artifact, on_progress: Progress | None
) -> None:
    # A server that does not know Range sends the whole of it, with 200.
    kept = _size(partial) if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
    url, rest, most = str(response.url), _content_length(response), most_bytes(artifact)
    if kept + (rest or 0) > most:
        raise _more_than_locked(url, artifact, f"found {kept + (rest or 0)}")
    total = artifact.size or (None if rest is None else kept + rest)
    meter, pace = Meter(artifact.name, total, on_progress, kept), Pace(url)
    with partial.open("ab" if kept else "wb") as file:
        async for piece in response.aiter_raw():
            if meter.done + len(piece) > most:
                raise _more_than_locked(url, artifact, "found more")
            file.write(piece)
            meter.add(len(piece))
            pace.hold(meter.done)
    if artifact.size is not None and meter.done < artifact.size:
        missing = artifact.size - meter.done
        raise _broken_off(url, f"it ended {missing} bytes too early", meter.done)


class Pace:
    """Gives a server up that sends just enough not to be silent: it would keep us for years.

    Args:
        url: what it sends.
        seconds: how often is looked,
        least: and how many bytes must have come since the last look.
    """

    def __init__(
        self, url: str, seconds: float = _SILENCE_SECONDS, least: int = _LEAST_BYTES
    ) -> None:
        self._url, self._seconds, self._least = url, seconds, least
        self._since, self._then = time.monotonic(), 0

    def hold(self, done: int) -> None:
        """Tell it how many bytes have come.

        Raises:
            TemporaryError: too few since the last look.
        """
        if time.monotonic() - self._since < self._seconds:
            return
        if done - self._then < self._least:
            found = f"less than {self._least >> 10} KiB came in {self._seconds:.0f} s"
            raise _broken_off(self._url, found, done)
        self._since, self._then = time.monotonic(), done


def _more_than_locked(url: str, artifact: Artifact, found: str) -> MismatchError:
    most = most_bytes(artifact)
    return MismatchError(
        f"fetching {url}",
        f"expected {'' if most == artifact.size else 'at most '}{most} bytes, {found}; nothing was"
        " installed",
        "Do not use this source: it has another file than the release. If that is right, correct"
        f" the size of {artifact.name} in the lock, or write it there.",
    )


def _too_large(attempted: str, found: str) -> PermanentError:
    return PermanentError(
        attempted, found, "Look at the source: it is not the release's, or its mirror is wrong."
    )


@asynccontextmanager
async def _answer(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    partial: Path | None = None,
    *,
    within: float | None = None,
) -> AsyncIterator[httpx.Response]:
    """What a server answers, its body not read yet.

    Args:
        method: of HTTP.
        url: what is asked for.
        headers: to send.
        partial: where what has come is kept, to be told if it breaks off.
        within: seconds for the whole of it; a file may take as long as it comes.
    """
    try:
        async with (
            _translate_http_errors(url, partial),
            asyncio.timeout(within),
            _client() as client,
        ):
            response = await _followed(client, client.build_request(method, url, headers=headers))
            try:
                yield response
            finally:
                await response.aclose()
    except TimeoutError:
        raise _broken_off(url, f"it took more than {within} s", 0) from None


async def _followed(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The answer at the end of all redirects. httpx itself would read their bodies, of any size."""
    for _ in range(_MOST_REDIRECTS + 1):
        response = await _sent(client, request)
        following = response.next_request
        if following is None:
            return response
        await response.aclose()
        if following.url.scheme not in ("https", request.url.scheme):
            raise PermanentError(
                f"fetching {request.url}",
                f"the server sends us on from {request.url.scheme} to {following.url.scheme}",
                "Name another source: on that way anybody could answer in its place.",
            )
        request = following
    raise httpx.TooManyRedirects("too many redirects", request=request)


async def _sent(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    host, port = request.url.host, request.url.port
    if host and (port is None or 0 < port < 65536):
        try:
            return await client.send(request, stream=True)
        # A name that is none (IDNA), an address to go on to that is none.
        except (ValueError, httpx.InvalidURL) as error:
            found = str(error)
    else:
        found = "it has no host, or a port that is none"
    raise PermanentError(
        f"fetching {str(request.url)[:500]}",
        f"no server can be asked, or it sends us on to no address: {found[:200]}",
        "Look at the address, and at what it leads to, in a browser.",
    )


def _client() -> httpx.AsyncClient:
    # Bytes are compared as they are published: no compression on the way.
    return httpx.AsyncClient(
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
    )


@asynccontextmanager
async def _translate_http_errors(url: str, partial: Path | None = None) -> AsyncIterator[None]:
    """Turn what goes wrong on the way into an error that says what to do."""
    try:
        yield
    except httpx.TooManyRedirects as error:
        raise PermanentError(
            f"fetching {url}", "too many redirects", "Look at the address in a browser."
        ) from error
    except httpx.TransportError as error:
        found = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in found:
            raise PermanentError(
                f"fetching {url}",
                f"the server's certificate is not trusted: {found}",
                "Name the authority that signed it: SSL_CERT_FILE=<file with its certificate>.",
            ) from error
        raise _broken_off(url, found, _size(partial) if partial else 0) from error


def _broken_off(url: str, found: str, kept: int) -> TemporaryError:
    return TemporaryError(
        f"fetching {url}",
        f"the connection failed: {found}" + (f"; {kept} bytes are kept" if kept else ""),
        f"Run it again: it goes on from what is kept. {_CLOSED_NETWORK}",
    )


def _refuse(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if response.is_success:
        return
    found = f"the server answered {status} {response.reason_phrase[:80]}".rstrip()
    if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        after = response.headers.get("Retry-After", "")
        raise TemporaryError(
            f"fetching {url}",
            found,
            "Run it again later.",
            retry_after=float(after) if _RETRY_AFTER.fullmatch(after) else 30.0,
        )
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise MissingFileError(
            f"fetching {url}",
            found,
            "Check that this version was released and that XOPS_K3S_RELEASES, if set, names a"
            " mirror that has it.",
        )
    raise PermanentError(f"fetching {url}", found, f"Ask for access. {_CLOSED_NETWORK}")


def _content_length(response: httpx.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if _CONTENT_LENGTH.fullmatch(length) else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@asynccontextmanager
async def hold_file_lock(target: Path) -> AsyncIterator[None]:
    """Make `target` while no other task or process on this machine makes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        while not _try_lock(lock):
            await asyncio.sleep(0.2)
        yield


def _try_lock(lock: IO[Any]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def read_entry(
    origin: Origin, version: str, archs: Sequence[Architecture] = ARCHITECTURES
) -> Entry:
    """What the lock shall say of a version, from the release's own checksum files.

    Nothing but the small files is fetched: hashes from `sha256sum-<arch>.txt`, images from
    `k3s-images.txt` where there is one, sizes as the source says them.

    Raises:
        InputError: a checksum file is not one, or lacks a file.
        MissingFileError: there is no such release.
    """
    check_version(version)
    texts = {arch: await origin.text(version, f"sha256sum-{arch}.txt") for arch in archs}
    try:
        images = image_list(await origin.text(version, IMAGE_LIST))
    except MissingFileError:
        images = None
    entry = lock_from_checksums(version, texts, images)
    return {arch: await _with_sizes(origin, version, row) for arch, row in entry.items()}


async def _with_sizes(origin: Origin, version: str, row: LockedFiles) -> LockedFiles:
    changed = {}
    for kind in Kind:
        artifact = row.artifact(kind)
        # Some servers say 0 when they do not know.
        size = await origin.size(version, artifact.name) or None
        changed[kind.value] = artifact.model_copy(update={"size": size})
    return row.model_copy(update=changed)
