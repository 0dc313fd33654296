"""A mirror, a folder or a bundle that means harm: what it sends is bounded while it comes."""

import asyncio
import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.integration.k3s.web import (
    Answer,
    bounded,
    certificate,
    endless,
    endless_body,
    endless_headers,
    head,
    mirror,
)
from tests.k3s_release import VERSION, archive, packed, release
from xops.core.errors import InputError, PermanentError, TemporaryError, XopsError
from xops.k3s.release.bundle import Bundle, build, verify
from xops.k3s.release.bundle_layout import DamagedBundleError
from xops.k3s.release.file_checks import MismatchError
from xops.k3s.release.images import images_in, openers
from xops.k3s.release.lock import Kind, Lock
from xops.k3s.release.sources import LARGEST_TEXT, Folder, Pace, Release, fetch, read_entry


def unsized() -> Lock:
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["arm64"]["binary"]["size"] = None
    return Lock.model_validate(values)


def taken(address: str, folder: Path, lock: Lock | None = None) -> Path:
    source = Release(address, folder / "cache")
    return asyncio.run(fetch(source, lock or release().lock, VERSION, "arm64", Kind.BINARY))


def kept(folder: Path) -> int:
    """Bytes of all that a download has left."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# Files


@pytest.mark.parametrize(
    "answer",
    [
        endless_body(),
        endless_body(Content_Length="9" * 12),
        endless_body(Content_Length="9" * 5000),
        endless_body(Content_Length="-5"),
        endless_body(206, Content_Range=f"bytes {'9' * 5000}-1/1"),
        endless_body(Content_Encoding="gzip"),
        endless_body(Transfer_Encoding="identity"),
    ],
)
@pytest.mark.parametrize("part", [b"", b"x" * 100])
def test_a_file_is_never_longer_than_the_lock_says(
    answer: Answer, part: bytes, tmp_path: Path
) -> None:
    partial = tmp_path / "cache" / VERSION / "k3s-arm64.part"
    partial.parent.mkdir(parents=True)
    if part:
        partial.write_bytes(part)
    with mirror(answer) as address, bounded(), pytest.raises((MismatchError, TemporaryError)):
        taken(address, tmp_path)
    assert kept(tmp_path) <= 3000


def test_a_file_that_is_too_long_says_so(tmp_path: Path) -> None:
    said = "expected 3000 bytes, found more; nothing was"
    with mirror(endless_body()) as address, pytest.raises(MismatchError, match=said):
        taken(address, tmp_path)
    assert kept(tmp_path) == 0


def test_a_file_of_unknown_size_is_bounded_by_what_it_announces(tmp_path: Path) -> None:
    said, answer = "expected at most 2147483648 bytes", endless_body(Content_Length=str(3 << 30))
    with mirror(answer) as address, bounded(), pytest.raises(MismatchError, match=said):
        taken(address, tmp_path, unsized())
    assert kept(tmp_path) == 0


def test_a_lock_cannot_ask_for_more_than_any_file_has(tmp_path: Path) -> None:
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["arm64"]["binary"]["size"] = 1 << 60
    said, answer = "expected at most 8589934592 bytes", endless_body(Content_Length=str(1 << 40))
    with mirror(answer) as address, bounded(), pytest.raises(MismatchError, match=said):
        taken(address, tmp_path, Lock.model_validate(values))


def test_a_server_that_sends_a_byte_now_and_then_is_given_up() -> None:
    pace = Pace("https://mirror/k3s", seconds=0, least=1024)
    pace.hold(1024)
    pace.hold(2048)
    with pytest.raises(TemporaryError, match="less than 1 KiB came"):
        pace.hold(2049)
    Pace("https://mirror/k3s", seconds=60).hold(1)


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    with mirror(endless_headers) as address, bounded(), pytest.raises(XopsError):
        taken(address, tmp_path)


@pytest.mark.parametrize("after", ["9" * 400, "-1", "nan", "x", "٤"])
def test_a_server_does_not_say_when_we_try_again_in_years(after: str, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 429 No\r\nRetry-After: {after}\r\n\r\n".encode())

    with mirror(answer) as address, pytest.raises(TemporaryError) as caught:
        taken(address, tmp_path)
    assert caught.value.retry_after == 30


# Texts


@pytest.mark.parametrize(
    "answer", [endless_body(), endless_body(Content_Encoding="gzip"), endless_headers]
)
def test_a_text_without_end_is_refused(answer: Answer, tmp_path: Path) -> None:
    with mirror(answer) as address, bounded(), pytest.raises(XopsError):
        asyncio.run(read_entry(Release(address, tmp_path), VERSION))
    said = f"more than {LARGEST_TEXT} bytes"
    with mirror(endless_body()) as address, pytest.raises(PermanentError, match=said):
        asyncio.run(read_entry(Release(address, tmp_path), VERSION))


def test_a_text_of_nonsense_gives_a_few_findings(tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler)
        handler.wfile.write(b"x\n" * 100_000)

    with mirror(answer) as address, bounded(), pytest.raises(InputError) as caught:
        asyncio.run(read_entry(Release(address, tmp_path), VERSION))
    assert len(caught.value.findings) == 50


@pytest.mark.parametrize("length", [str(1 << 50), "9" * 5000, "-1", "x"])
def test_a_size_without_sense_is_refused_or_unknown(length: str, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())

    with mirror(answer) as address, suppress(XopsError):
        assert asyncio.run(Release(address, tmp_path).size(VERSION, "k3s")) is None


def test_a_large_text_in_a_folder_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "sha256sum-amd64.txt").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with bounded(), pytest.raises(PermanentError, match="is larger than"):
        asyncio.run(Folder(tmp_path).text(VERSION, "sha256sum-amd64.txt"))


# Redirects


def sent_to(where: str, body: Answer = lambda handler: None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler, 302, Location=where)
        body(handler)

    return answer


@pytest.mark.parametrize(
    "where",
    ["ftp://127.0.0.1/k3s", "file:///etc/passwd", "data:,x", "//", "http://", "http://[", "::",
     "http://127.0.0.1:99999/", "unix:/run/x", "http://" + "a" * 300, "http://\u202e.x/",
     "/" + "x" * 60_000, "?" * 1000, "http://127.0.0.1:0/", "javascript:x", "#", ""],
)  # fmt: skip
def test_a_server_sends_us_to_the_web_only(where: str, tmp_path: Path) -> None:
    with mirror(sent_to(where)) as address, bounded(), pytest.raises(XopsError):
        taken(address, tmp_path)
    assert kept(tmp_path) == 0


def test_a_redirect_s_own_body_is_not_read(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if len(asked) == 1:
            head(handler, 302, Location="/k3s/else")
            endless(handler)
        head(handler, 404)

    with mirror(answer) as address, bounded(), pytest.raises(XopsError, match="404"):
        taken(address, tmp_path)
    assert len(asked) == 2


def test_redirects_in_a_circle_end(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        head(handler, 302, Location=f"/k3s/{len(asked)}")

    with mirror(answer) as address, pytest.raises(PermanentError, match="too many redirects"):
        taken(address, tmp_path)
    assert len(asked) == 11


def test_a_secure_server_cannot_send_us_to_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    files = release().files

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        head(handler)
        handler.wfile.write(files["k3s-arm64"])

    trust = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with (
        mirror(answer) as plain,
        mirror(sent_to(f"{plain}/k3s-arm64"), trust) as secure,
        pytest.raises(PermanentError, match="sends us on from https to http"),
    ):
        taken(secure, tmp_path)
    assert asked == []
    # The other way round, and from one secure server to another, we go.
    with mirror(answer, trust) as secure:
        with mirror(sent_to(f"{secure}/k3s-arm64"), trust) as first:
            assert taken(first, tmp_path / "a").read_bytes() == files["k3s-arm64"]
        with mirror(sent_to(f"{secure}/k3s-arm64")) as first:
            assert taken(first, tmp_path / "b").read_bytes() == files["k3s-arm64"]


# Archives


def gzipped_zeros(size: int) -> bytes:
    member = tarfile.TarInfo("layer")
    member.size = size
    packer = io.BytesIO()
    with gzip.GzipFile(fileobj=packer, mode="wb", compresslevel=1) as file:
        file.write(member.tobuf())
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return packer.getvalue()


def long_header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)


def indexed(name: str, *values: Any) -> bytes:
    return packed((name, json.dumps(value).encode()) for value in values)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a bomb": lambda: gzipped_zeros(700 << 20),
    "a name of gigabytes": lambda: gzip.compress(long_header(tarfile.GNUTYPE_LONGNAME, 4 << 30)),
    "a link of gigabytes": lambda: gzip.compress(long_header(tarfile.GNUTYPE_LONGLINK, 4 << 30)),
    "pax of gigabytes": lambda: gzip.compress(long_header(tarfile.XHDTYPE, 4 << 30)),
    "global pax of gigabytes": lambda: gzip.compress(long_header(tarfile.XGLTYPE, 4 << 30)),
    "many files": lambda: packed((f"{n}", b"") for n in range(10_001)),
    "an index of megabytes": lambda: packed([("index.json", b" " * (5 << 20))]),
    "an index twice": lambda: indexed("index.json", {"manifests": []}, {"manifests": []}),
    "an index that is deep": lambda: packed([("index.json", b"[" * 100_000)]),
    "an index of a number": lambda: indexed("index.json", 5),
    "an index of numbers": lambda: indexed("index.json", {"manifests": [5]}),
    "annotations of a list": lambda: indexed("index.json", {"manifests": [{"annotations": [1]}]}),
    "annotations of a number": lambda: indexed("index.json", {"manifests": [{"annotations": 1}]}),
    "tags of a number": lambda: indexed("manifest.json", [{"RepoTags": 5}]),
    "tags of a text": lambda: indexed("manifest.json", [{"RepoTags": "a"}]),
    "tags of a mapping": lambda: indexed("manifest.json", [{"RepoTags": {"a": 1}}]),
    "a tag of a list": lambda: indexed("manifest.json", [{"RepoTags": [["a"]]}]),
    "a tag of a megabyte": lambda: indexed("manifest.json", [{"RepoTags": ["a" * (1 << 20)]}]),
    "no UTF-8": lambda: packed([("manifest.json", b"[\xff]")]),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_means_harm_is_refused_in_bounded_memory(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "images.tar"
    file.write_bytes(ARCHIVES[kind]())
    with bounded(), pytest.raises(PermanentError) as caught:
        images_in(file)
    assert len(str(caught.value)) < 1000


def test_an_archive_of_this_size_is_read(tmp_path: Path) -> None:
    """A layer that shrinks to a tenth, as layers may."""
    layer = b"".join(os.urandom(100) + bytes(900) for _ in range(20_000))
    with tarfile.open(fileobj=io.BytesIO(archive())) as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        files = [(name, file.read()) for name, file in members.items() if file]
    (tmp_path / "images.tar").write_bytes(gzip.compress(packed([*files, ("layer", layer)])))
    assert images_in(tmp_path / "images.tar")


def test_a_bomb_of_zstandard_is_refused(tmp_path: Path) -> None:
    opener = openers().get(b"\x28\xb5\x2f\xfd")
    if opener is None:
        pytest.skip("this Python cannot read Zstandard")
    # A frame of blocks that each repeat one byte: 4 bytes stand for 128 KiB (RFC 8878, 3.1.1.2).
    size, blocks = 128 << 10, 6000
    frame = b"\x28\xb5\x2f\xfd" + b"\xa0" + (size * blocks).to_bytes(4, "little")
    for number in range(blocks):
        header = size << 3 | 1 << 1 | (number == blocks - 1)
        frame += header.to_bytes(3, "little") + b"\0"
    member = tarfile.TarInfo("layer")
    member.size = 8 << 30
    head_frame = b"\x28\xb5\x2f\xfd" + b"\xa0" + (512).to_bytes(4, "little")
    head_frame += (512 << 3 | 1).to_bytes(3, "little") + member.tobuf()
    (tmp_path / "images.tar.zst").write_bytes(head_frame + frame)
    with bounded(), pytest.raises(PermanentError):
        images_in(tmp_path / "images.tar.zst")


# Bundles


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name, content in release().files.items():
        (folder / name).write_bytes(content)
    made = tmp_path / "bundle.tar"
    asyncio.run(build(VERSION, ["amd64"], Folder(folder), release().lock, made))
    return made


@pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "folder", "nothing"])
def test_a_bundle_that_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    file = Path(kind) if kind.startswith("/") else tmp_path / kind
    with bounded(), pytest.raises(PermanentError, match="opening the bundle"):
        verify(file, release().lock)


def test_a_bundle_of_thousands_of_defects_shows_some(bundle: Path) -> None:
    content = bundle.read_bytes()
    extra = tarfile.TarInfo("extra").tobuf(tarfile.USTAR_FORMAT)
    with bundle.open("wb") as file:
        file.write(content[: -2 * 10240] if len(content) > 30_000 else content[: 1024 * 2])
        for _ in range(200_000):
            file.write(extra)
    with bounded(), pytest.raises(DamagedBundleError) as caught:
        verify(bundle, release().lock)
    assert len(caught.value.defects) <= 200
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000, b'{"format": ' + b"9" * 5000 + b"}",
        b'{"format": "' + b"x" * 100_000 + b'"}',
        b'{"format": 1, "files": 5}', b'{"format": 1, "files": [' + b"5," * 100_000 + b"5]}",
        b'{"format": 1, "images": {"' + b"x" * 100_000 + b'": 1}}', b"null", b"5", b"\xff",
        b'{"format": 1, "' + b"y" * 100_000 + b'": 1}',
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_manifest_that_means_harm_is_a_short_message(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar"
    file.write_bytes(packed([("manifest.json", text)]))
    with bounded(), pytest.raises(DamagedBundleError) as caught:
        verify(file, release().lock)
    assert len(str(caught.value)) < 30_000


def test_a_bundle_that_says_another_size_than_the_lock_is_not_unpacked(
    bundle: Path, tmp_path: Path
) -> None:
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["amd64"]["binary"]["size"] += 1
    lock = Lock.model_validate(values)
    source = Bundle(bundle, tmp_path / "cache")
    with pytest.raises(MismatchError, match="expected 3001 bytes, the bundle has 3000"):
        asyncio.run(fetch(source, lock, VERSION, "amd64", Kind.BINARY))
    assert kept(tmp_path / "cache") == 0
