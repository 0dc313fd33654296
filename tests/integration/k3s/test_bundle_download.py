"""A release over real HTTP, from servers that fail in all the ways that servers do."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.http_servers import serving
from tests.k3s_release import IMAGES, VERSION, program, release
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.k3s.release.bundle import Bundle, build, verify
from xops.k3s.release.file_checks import MismatchError
from xops.k3s.release.lock import ARCHITECTURES, Kind, Lock
from xops.k3s.release.sources import MissingFileError, Release, fetch, read_entry


@dataclass
class Server:
    """What the server answers with, and what it was asked for.

    Attributes:
        files: bodies by file name.
        asked: method, path and Range of each request.
        cut: break the connection off after so many bytes of a body, once for each number.
        statuses: answer so instead, once each.
        headers: sent with every answer.
        ranges: whether Range is understood.
        wrong_start: answer a Range with a part that begins so many bytes too early.
        lengths: whether the length is announced; without it the end is the connection's.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: release().files)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    wrong_start: int = 0
    lengths: bool = True

    @property
    def wanted(self) -> list[str | None]:
        """The Range of each GET."""
        return [wanted for method, _, wanted in self.asked if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    told: Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        told = self.told
        told.asked.append((self.command, self.path, self.headers["Range"]))
        version, _, name = unquote(self.path.partition("/k3s/")[2]).rpartition("/")
        if self.path.startswith("/moved/"):
            self._head(302, 0, Location=self.path.removeprefix("/moved"))
        elif told.statuses:
            self._head(told.statuses.pop(0), 0)
        elif "+" in self.path or version != VERSION or name not in told.files:
            self._head(404, 0)  # a bare + would be read as a space by some servers
        else:
            self._file(told.files[name], with_body=with_body)

    def _file(self, body: bytes, *, with_body: bool) -> None:
        told = self.told
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "") if told.ranges else None
        begin = int(asked[1]) - told.wrong_start if asked else 0
        if asked and begin >= len(body):
            self._head(416, 0, **{"Content-Range": f"bytes */{len(body)}"})
            return
        part = {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"} if asked else {}
        self._head(206 if asked else 200, len(body) - begin, **part)
        if with_body:
            self.wfile.write(body[begin:][: told.cut.pop(0) if told.cut else None])
            self.close_connection = True

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**self.told.headers, **headers}.items():
            self.send_header(name, value)
        if self.told.lengths:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()
    handler = type("Told", (Handler,), {"told": told})
    with serving(handler) as address:
        told.address = f"{address}/k3s"
        yield told


Take = Callable[..., Path]


@pytest.fixture
def take(server: Server, tmp_path: Path) -> Take:
    """`take()`: the binary for arm64, downloaded from the server into the test's own cache."""

    def taken(lock: Lock | None = None, address: str | None = None, **options: Any) -> Path:
        source = Release(address or server.address, tmp_path / "cache")
        kind = options.pop("kind", Kind.BINARY)
        return asyncio.run(fetch(source, lock or release().lock, VERSION, "arm64", kind, **options))

    return taken


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Where a download is kept that has not come to its end."""
    folder = tmp_path / "cache" / VERSION
    folder.mkdir(parents=True)
    return folder / "k3s-arm64.part"


def of_unknown_size() -> Lock:
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["arm64"]["binary"]["size"] = None
    return Lock.model_validate(values)


def test_a_file_is_downloaded_once(server: Server, take: Take, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    first = take(on_progress=lambda *row: told.append(row))

    assert first == tmp_path / "cache" / VERSION / "k3s-arm64"
    assert first.read_bytes() == program("arm64")
    assert told[-1] == ("k3s-arm64", 3000, 3000)
    assert take() == first
    assert server.asked == [("GET", f"/k3s/{VERSION.replace('+', '%2B')}/k3s-arm64", None)]


def test_a_download_that_broke_off_goes_on(server: Server, take: Take, partial: Path) -> None:
    server.cut = [1000]
    with pytest.raises(TemporaryError, match="1000 bytes are kept") as caught:
        take()

    assert "goes on from what is kept" in caught.value.remedy
    assert partial.stat().st_size == 1000
    assert take().read_bytes() == program("arm64")
    assert server.wanted == [None, "bytes=1000-"]
    assert not partial.exists()


def test_it_may_break_off_many_times(server: Server, take: Take) -> None:
    server.cut = [100] * 5
    for _ in range(5):
        with pytest.raises(TemporaryError):
            take()

    assert take().read_bytes() == program("arm64")
    assert server.wanted == [None, *(f"bytes={kept}-" for kept in range(100, 600, 100))]


def test_without_a_length_an_early_end_is_seen_by_the_size(server: Server, take: Take) -> None:
    server.lengths = False
    server.cut = [1000]
    with pytest.raises(TemporaryError, match="ended 2000 bytes too early"):
        take()

    assert take().read_bytes() == program("arm64")


def test_without_a_length_and_a_size_an_early_end_is_seen_by_the_hash(
    server: Server, take: Take, partial: Path
) -> None:
    server.lengths = False
    server.cut = [1000]
    with pytest.raises(MismatchError):
        take(of_unknown_size())

    assert not partial.exists()
    assert take(of_unknown_size()).read_bytes() == program("arm64")


def test_a_server_without_range_sends_the_whole(server: Server, take: Take, partial: Path) -> None:
    server.ranges = False
    partial.write_bytes(program("arm64")[:1000])

    assert take().read_bytes() == program("arm64")
    assert server.wanted == ["bytes=1000-"]


def test_a_part_that_was_not_asked_for_is_not_taken(
    server: Server, take: Take, partial: Path
) -> None:
    server.wrong_start = 10
    partial.write_bytes(program("arm64")[:1000])

    assert take().read_bytes() == program("arm64")
    assert server.wanted == ["bytes=1000-", None]


def test_what_was_kept_of_another_file_is_thrown_away(
    server: Server, take: Take, partial: Path
) -> None:
    partial.write_bytes(b"of another file")

    assert take().read_bytes() == program("arm64")
    assert server.wanted == ["bytes=15-", None]


@pytest.mark.parametrize("lock", [release().lock, of_unknown_size()])
def test_more_than_the_whole_was_kept(
    server: Server, take: Take, partial: Path, lock: Lock
) -> None:
    partial.write_bytes(program("arm64") + b"and more")

    assert take(lock).read_bytes() == program("arm64")
    assert server.wanted[-1] is None


def test_a_download_that_only_lacked_its_name_is_not_repeated(
    server: Server, take: Take, partial: Path
) -> None:
    partial.write_bytes(program("arm64"))

    assert take().read_bytes() == program("arm64")
    assert server.asked == []


def test_a_file_spoilt_in_the_cache_is_downloaded_anew(server: Server, take: Take) -> None:
    take().write_bytes(b"spoilt")

    assert take().read_bytes() == program("arm64")
    assert server.wanted == [None, None]


def test_wrong_bytes_are_not_handed_out(
    server: Server, take: Take, partial: Path, tmp_path: Path
) -> None:
    server.files["k3s-arm64"] = program("arm64")[:-1] + b"?"
    with pytest.raises(MismatchError) as caught:
        take()

    wanted = release().lock.artifact(VERSION, "arm64", Kind.BINARY).sha256
    assert f"{server.address}/" in caught.value.attempted
    assert wanted in caught.value.found
    assert "nothing was installed" in caught.value.found
    assert [path.name for path in partial.parent.iterdir()] == [".k3s-arm64.lock"]


def test_a_login_page_is_not_taken_for_the_file(server: Server, take: Take) -> None:
    server.files["k3s-arm64"] = b"<html>Please log in</html>" + b" " * 4000

    with pytest.raises(MismatchError, match="expected 3000 bytes, found 4026"):
        take()


def test_a_program_for_other_machines_is_not_handed_out(server: Server, take: Take) -> None:
    values = release().lock.model_dump(mode="json")
    entry = values["versions"][VERSION]
    entry["arm64"]["binary"], entry["amd64"]["binary"] = (
        entry["amd64"]["binary"],
        entry["arm64"]["binary"],
    )
    with pytest.raises(PermanentError, match="it is a program for amd64"):
        take(Lock.model_validate(values))


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_will_not_come(server: Server, take: Take, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(MissingFileError, match=f"answered {status}") as caught:
        take()

    assert "XOPS_K3S_RELEASES" in caught.value.remedy


@pytest.mark.parametrize("status", [401, 403, 451])
def test_what_is_forbidden_stays_so(server: Server, take: Take, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(PermanentError, match=f"answered {status}"):
        take()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_is_overloaded_is_asked_again_later(server: Server, take: Take, status: int) -> None:
    server.statuses = [status]
    server.headers = {"Retry-After": "7"}
    with pytest.raises(TemporaryError, match=f"answered {status}") as caught:
        take()

    assert caught.value.retry_after == 7
    assert take().read_bytes() == program("arm64")


def test_a_failing_server_does_not_cost_what_was_kept(
    server: Server, take: Take, partial: Path
) -> None:
    partial.write_bytes(program("arm64")[:1000])
    server.statuses = [503]
    with pytest.raises(TemporaryError):
        take()

    assert partial.stat().st_size == 1000


def test_nobody_at_the_address_is_a_passing_trouble(take: Take) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/k3s"
    with pytest.raises(TemporaryError, match="the connection failed") as caught:
        take(address=address)

    assert "xops bundle build" in caught.value.remedy


def test_a_redirect_is_followed(server: Server, take: Take) -> None:
    moved = server.address.replace("/k3s", "/moved/k3s")

    assert take(address=f"{moved}/").read_bytes() == program("arm64")


def test_redirects_in_a_loop_are_left(server: Server, take: Take) -> None:
    server.statuses = [302] * 30
    server.headers = {"Location": f"{server.address}/{VERSION.replace('+', '%2B')}/k3s-arm64"}
    with pytest.raises(PermanentError, match="too many redirects"):
        take()


def test_compressed_on_the_way_is_not_what_is_asked_for(server: Server, take: Take) -> None:
    server.headers = {"Content-Encoding": "gzip"}  # said of a .tar.gz by some servers

    path = take(kind=Kind.IMAGES)
    assert path.read_bytes() == release().files["k3s-airgap-images-arm64.tar.gz"]


def test_many_at_once_download_once(server: Server, tmp_path: Path) -> None:
    source = Release(server.address, tmp_path / "cache")

    async def all_at_once() -> list[Path]:
        lock = release().lock
        wanted = (fetch(source, lock, VERSION, "amd64", Kind.BINARY) for _ in range(8))
        return await asyncio.gather(*wanted)

    assert len(set(asyncio.run(all_at_once()))) == 1
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    source = Release(server.address, tmp_path / "cache")

    with pytest.raises(PermanentError, match="XOPS_HOME moves the caches"):
        asyncio.run(fetch(source, release().lock, VERSION, "amd64", Kind.BINARY))


# --- the lock and the bundle, from a release


def test_a_release_makes_its_own_entry(server: Server) -> None:
    made = asyncio.run(read_entry(Release(server.address), VERSION))

    wanted = release().lock.versions[VERSION]
    assert made == {
        arch: row.model_copy(update={"image_list": IMAGES}) for arch, row in wanted.items()
    }
    bodies = [path for method, path, _ in server.asked if method == "GET"]
    assert all(path.endswith(".txt") for path in bodies)


def test_what_a_release_does_not_say_stays_unknown(server: Server) -> None:
    server.lengths = False
    del server.files["k3s-images.txt"]
    made = asyncio.run(read_entry(Release(server.address), VERSION))

    assert made["amd64"].image_list is None
    assert made["amd64"].binary.size is None


def test_a_version_that_was_never_released_is_not_locked(server: Server) -> None:
    with pytest.raises(MissingFileError, match=r"v1\.30\.99%2Bk3s1/sha256sum-amd64\.txt"):
        asyncio.run(read_entry(Release(server.address), "v1.30.99+k3s1"))
    with pytest.raises(InputError):
        asyncio.run(read_entry(Release(server.address), "../../etc"))


def test_from_a_release_to_a_closed_network(server: Server, tmp_path: Path) -> None:
    """Lock, build, carry over, verify, take: the way of an air-gapped installation."""
    online = Release(server.address, tmp_path / "online")
    lock = Lock(versions={VERSION: asyncio.run(read_entry(online, VERSION))})
    output = tmp_path / "bundle.tar"
    server.cut = [50] * 3
    for _ in server.cut.copy():
        with pytest.raises(TemporaryError):
            asyncio.run(build(VERSION, ARCHITECTURES, online, lock, output))
    assert not output.exists()

    manifest = asyncio.run(build(VERSION, ARCHITECTURES, online, lock, output))
    assert verify(output, lock) == manifest
    count = len(server.asked)
    for arch in ARCHITECTURES:
        for kind in Kind:
            source = Bundle(output, tmp_path / "offline")
            path = asyncio.run(fetch(source, lock, VERSION, arch, kind))
            assert path.read_bytes() == server.files[lock.artifact(VERSION, arch, kind).name]
    assert len(server.asked) == count
