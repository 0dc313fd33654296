"""Files brought to hosts behind real OpenSSH servers, whatever comes in between."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.k3s.access import gone, sha256
from tests.integration.k3s.conftest import MakeSshd
from tests.integration.k3s.sshd import Sshd
from tests.waiting import Eventually
from xops.core.errors import DiskFullError, PermanentError, UnreachableError
from xops.k3s.ssh import remote_programs as ssh_programs
from xops.k3s.ssh.connector import SshTransport
from xops.k3s.ssh.transport_protocol import Upload


def test_a_file_is_brought_once(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "it's.conf"

    async def use(transport: SshTransport) -> None:
        upload = Upload(b"one\n", str(target), 0o640, "root:daemon")
        told: list[tuple[int, int]] = []
        assert await transport.put(upload, lambda *done: told.append(done)) is True
        assert told == [(0, 4), (4, 4)]
        before = target.stat()
        assert (target.read_bytes(), oct(before.st_mode), before.st_uid) == (
            b"one\n",
            "0o100640",
            0,
        )
        assert target.group() == "daemon"
        assert transport.ssh_requests == 1
        assert await transport.put(upload) is False
        assert target.stat() == before
        assert transport.ssh_requests == 2
        assert list(target.parent.iterdir()) == [target]

    on(sshd, use)


@pytest.mark.parametrize(
    ("mode", "owner"), [(0o600, "root:root"), (0o4755, "0:0"), (0o640, "daemon:root")]
)
def test_mode_and_owner_are_made_right_without_sending_anything(
    sshd: Sshd, on: Any, tmp_path: Path, mode: int, owner: str
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"x")
    target.chmod(0o644)
    told: list[tuple[int, int]] = []

    async def use(transport: SshTransport) -> None:
        upload = Upload(b"x", str(target), mode, owner)
        assert await transport.put(upload, lambda *done: told.append(done)) is True
        assert target.stat().st_mode & 0o7777 == mode
        assert await transport.put(upload) is False

    on(sshd, use)
    assert told == []


def test_readers_see_the_old_file_or_the_new_one(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        on(sshd, lambda transport: transport.put(Upload(b"new", str(target), 0o644)))
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"


def test_an_empty_file(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    on(sshd, lambda transport: transport.put(Upload(b"", str(tmp_path / "file"), 0o600)))
    assert (tmp_path / "file").read_bytes() == b""


def test_a_secret_is_never_readable_by_others_nor_seen(
    sshd: Sshd, on: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target, modes = tmp_path / "token", set()
    secret = b"canary-4712" * 100_000

    def look(done: int, total: int) -> None:
        for partial in tmp_path.glob(".token.*.partial"):
            modes.add(oct(partial.stat().st_mode & 0o777))

    with caplog.at_level(logging.DEBUG):
        on(sshd, lambda it: it.put(Upload(secret, str(target), 0o600), look))
    assert modes == {"0o600"}
    assert "canary-4712" not in caplog.text


def large(folder: Path, size: int = 24_000_000) -> Path:
    source = folder / "images.tar"
    source.write_bytes(os.urandom(size))
    return source


def test_a_large_file_is_streamed(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    source, target = large(tmp_path), tmp_path / "arrived"
    told: list[tuple[int, int]] = []
    upload = Upload(source, str(target), 0o755)
    assert on(sshd, lambda it: it.put(upload, lambda *done: told.append(done))) is True
    assert target.read_bytes() == source.read_bytes()
    assert told[0] == (0, 24_000_000)
    assert told[-1] == (24_000_000, 24_000_000)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert on(sshd, lambda it: it.put(upload)) is False


def interrupted(server: Sshd, on: Any, upload: Upload, eventually: Eventually) -> Path:
    """An upload whose connection is cut when half of it has been sent; what is left of it."""
    target = Path(upload.path)

    def cut(done: int, total: int) -> None:
        if done > total / 2:
            server.cut()

    with pytest.raises(UnreachableError):
        on(server, lambda it: it.put(upload, cut))
    assert not target.exists()
    [partial] = target.parent.glob(f".{target.name}.*.partial")
    assert eventually(lambda: gone(f"{partial}"))
    assert 0 < partial.stat().st_size < upload_size(upload)
    return partial


def upload_size(upload: Upload) -> int:
    source = upload.source
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def test_an_interrupted_upload_goes_on_where_it_stopped(
    make_sshd: MakeSshd, on: Any, tmp_path: Path, eventually: Eventually
) -> None:
    server, target = make_sshd(), tmp_path / "folder" / "arrived"
    upload = Upload(large(tmp_path), str(target), 0o644)
    partial = interrupted(server, on, upload, eventually)
    arrived = partial.stat().st_size
    told: list[tuple[int, int]] = []
    assert on(server, lambda it: it.put(upload, lambda *done: told.append(done))) is True
    assert told[0] == (arrived, 24_000_000)
    assert target.read_bytes() == Path(str(upload.source)).read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_a_spoilt_partial_upload_is_sent_anew(
    make_sshd: MakeSshd, on: Any, tmp_path: Path, eventually: Eventually
) -> None:
    server, target = make_sshd(), tmp_path / "folder" / "arrived"
    upload = Upload(large(tmp_path), str(target), 0o644)
    partial = interrupted(server, on, upload, eventually)
    # As a crash of the host leaves a file whose blocks were not written out.
    partial.write_bytes(bytes(partial.stat().st_size))
    assert on(server, lambda it: it.put(upload)) is True
    assert target.read_bytes() == Path(str(upload.source)).read_bytes()


def test_what_an_earlier_version_left_is_removed(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    old = tmp_path / ".file.0123456789ab.partial"
    old.write_bytes(b"old")
    on(sshd, lambda it: it.put(Upload(b"new", str(tmp_path / "file"), 0o600)))
    assert [path.name for path in tmp_path.iterdir() if "file" in path.name] == ["file"]


def test_a_second_name_of_a_file_is_not_written_through(
    sshd: Sshd, on: Any, tmp_path: Path
) -> None:
    victim, target = tmp_path / "victim", tmp_path / "file"
    victim.write_text("")
    os.link(victim, ssh_programs.partial(str(target), sha256(b"content")))
    assert on(sshd, lambda transport: transport.put(Upload(b"content", str(target), 0o600)))
    assert (victim.read_text(), target.read_text()) == ("", "content")
    assert victim.stat().st_mode & 0o777 != 0o600


def test_links_are_not_followed(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.write_bytes(b"x")
    folder.mkdir()
    links = {tmp_path / "link": elsewhere, tmp_path / "to-folder": folder}
    for link, to in links.items():
        link.symlink_to(to)
    trap = Path(ssh_programs.partial(str(tmp_path / "link"), sha256(b"x")))
    trap.symlink_to(elsewhere)

    async def use(transport: SshTransport) -> None:
        for link in links:
            # Even where the content behind the link is right.
            assert await transport.put(Upload(b"x", str(link), 0o600)) is True
            assert not link.is_symlink()
            assert link.read_bytes() == b"x"

    on(sshd, use)
    assert (elsewhere.read_bytes(), elsewhere.stat().st_mode & 0o777) == (b"x", 0o644)
    assert list(folder.iterdir()) == []


def test_a_folder_is_not_replaced(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="it is a directory"):
        on(sshd, lambda it: it.put(Upload(b"x", str(tmp_path), 0o600)))


def test_a_file_that_cannot_be_made(sshd: Sshd, on: Any) -> None:
    with pytest.raises(PermanentError, match="/proc/xops"):
        on(sshd, lambda it: it.put(Upload(b"x", "/proc/xops/file", 0o600)))


def test_an_owner_that_is_not_there(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(PermanentError, match="nobody-of-that-name"):
        on(sshd, lambda it: it.put(Upload(b"x", str(target), 0o600, "nobody-of-that-name:root")))
    assert not target.exists()


@pytest.mark.parametrize("path", ["relative/file", "/folder/"])
def test_a_path_that_is_none(sshd: Sshd, on: Any, path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        on(sshd, lambda it: it.put(Upload(b"x", path, 0o600)))


def test_a_source_that_cannot_be_read(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="missing cannot be read: No such file"):
        on(sshd, lambda it: it.put(Upload(tmp_path / "missing", "/x", 0o600)))


def test_a_source_that_changes_meanwhile(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    source, target = large(tmp_path), tmp_path / "arrived"

    def shorten(done: int, total: int) -> None:
        os.truncate(source, total // 4)

    with pytest.raises(PermanentError, match="shorter"):
        on(sshd, lambda it: it.put(Upload(source, str(target), 0o644), shorten))

    def spoil(done: int, total: int) -> None:
        with source.open("r+b") as file:
            file.seek(-1000, os.SEEK_END)
            file.write(os.urandom(1000))

    with pytest.raises(PermanentError, match="SHA-256"):
        on(sshd, lambda it: it.put(Upload(source, str(target), 0o644), spoil))
    assert not target.exists()


def test_a_file_that_does_not_fit_is_not_begun(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    target = sshd.small / "big"
    told: list[int] = []
    with pytest.raises(DiskFullError, match=rf"web1 has 2 MiB left where {target}"):
        on(sshd, lambda it: it.put(Upload(large(tmp_path), str(target), 0o600), told.append))
    assert told == []
    assert list(sshd.inside(sshd.small).iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(make_sshd: MakeSshd, on: Any, tmp_path: Path) -> None:
    server = make_sshd()
    filler = server.inside(server.small) / "filler"

    def fill(done: int, total: int) -> None:
        if not filler.exists():
            filler.write_bytes(bytes(1_500_000))

    upload = Upload(os.urandom(1_200_000), f"{server.small}/file", 0o600)
    with pytest.raises(DiskFullError):
        on(server, lambda it: it.put(upload, fill))
    assert [path.name for path in filler.parent.iterdir()] == ["filler"]
    filler.unlink()
    assert on(server, lambda it: it.put(upload)) is True
