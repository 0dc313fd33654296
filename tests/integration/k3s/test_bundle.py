"""The bundle: built the same each time, every damage found, a source like any other."""

import asyncio
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.k3s_bundle import is_seen, small_bundle
from tests.k3s_release import (
    IMAGES,
    VERSION,
    archive,
    artifact,
    packed,
    program,
    release,
    zstandard,
)
from tests.soak import examples
from xops.core.errors import InputError, PermanentError
from xops.k3s.release.bundle import Bundle, build, verify
from xops.k3s.release.bundle_layout import DamagedBundleError, Manifest, digest_of, manifest_of
from xops.k3s.release.file_checks import MismatchError, Progress
from xops.k3s.release.images import openers
from xops.k3s.release.lock import (
    ARCHITECTURES,
    Architecture,
    Kind,
    Lock,
    LockedFiles,
    NotLockedError,
)
from xops.k3s.release.sources import Folder, MissingFileError, fetch

Build = Callable[..., Path]


@pytest.fixture
def built(tmp_path: Path) -> Build:
    """`built("a.tar")`: a bundle of that name, of the whole release or of some architectures."""

    def make(
        name: str = "bundle.tar",
        archs: Sequence[Architecture] = ARCHITECTURES,
        on_progress: Progress | None = None,
    ) -> Path:
        source = Folder(release().write(tmp_path / "release"))
        output = tmp_path / name
        asyncio.run(build(VERSION, archs, source, release().lock, output, on_progress))
        return output

    return make


def defects(path: Path, lock: Lock | None = None) -> tuple[str, ...]:
    with pytest.raises(DamagedBundleError) as caught:
        verify(path, lock)
    return caught.value.defects


def written(tmp_path: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """A tar of these members, as another tool might write it."""
    path = tmp_path / "written.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return path


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        found = [(member, tar.extractfile(member)) for member in tar]
        return [(member, content.read() if content else b"") for member, content in found]


def member(name: str, content: bytes = b"", **values: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in values.items():
        setattr(info, key, value)
    return info, content


# --- building


def test_a_bundle_holds_the_release(built: Build) -> None:
    path = built()
    manifest = verify(path, release().lock)

    assert manifest == manifest_of(path)
    assert manifest.k3s_version == VERSION
    assert manifest.architectures == ("amd64", "arm64")
    assert manifest.images == {"amd64": IMAGES, "arm64": IMAGES}
    assert set(manifest.images_listed_by.values()) == {"archive"}
    assert manifest.lock == release().lock.digest(VERSION)
    assert manifest.tool.startswith("xops ")
    files = release().files
    assert {(file.name, file.sha256, file.size) for file in manifest.files} == {
        (name, hashlib.sha256(files[name]).hexdigest(), len(files[name]))
        for name in (row.name for row in manifest.files)
    }


def test_the_digest_of_a_bundle_from_the_release_before_stays(built: Build) -> None:
    manifest = manifest_of(built())
    values = manifest.model_dump(mode="json") | {"tool": "xops 0.1.0"}

    assert digest_of(values) == "f02aede55cfe0a8f52de48a9f0399d1a67f2f74d35ef19211a8eb6ce22efe502"


def test_any_tar_can_read_it_and_the_manifest_comes_first(built: Build) -> None:
    found = members(built())

    names = [info.name for info, _ in found]
    assert names == ["manifest.json", *sorted(names[1:])]
    assert {info.mode for info, _ in found if info.name.startswith("k3s")} == {0o755, 0o644}
    assert {(info.mtime, info.uid, info.gid, info.uname) for info, _ in found} == {(0, 0, 0, "")}
    for info, content in found[1:]:
        assert content == release().files[info.name]


def test_the_same_input_gives_the_same_bytes(built: Build) -> None:
    first, second = built("first.tar"), built("second.tar", ["arm64", "amd64", "arm64"])

    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size % tarfile.RECORDSIZE == 0


def test_an_unpacked_bundle_is_a_folder_of_artifacts(built: Build, tmp_path: Path) -> None:
    with tarfile.open(built()) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    again = tmp_path / "again.tar"
    source = Folder(tmp_path / "unpacked")

    asyncio.run(build(VERSION, ARCHITECTURES, source, release().lock, again))
    assert again.read_bytes() == built().read_bytes()


def test_a_bundle_for_one_architecture_has_no_other(built: Build) -> None:
    manifest = verify(built(archs=["arm64"]))

    assert manifest.architectures == ("arm64",)
    assert {file.name for file in manifest.files} == {
        "k3s-arm64",
        "k3s-airgap-images-arm64.tar.gz",
    }


def test_progress_ends_at_the_whole(built: Build) -> None:
    told: list[tuple[str, int, int]] = []
    path = built(on_progress=lambda *row: told.append(row))
    verify(path, on_progress=lambda *row: told.append(row))

    size = manifest_of(path).size
    assert told[-2:] == [("bundle.tar", size, size)] * 2
    assert ("k3s", 3000, 3000) in told


def test_nothing_is_written_when_a_file_is_wrong(built: Build, tmp_path: Path) -> None:
    before = built().read_bytes()
    (tmp_path / "release" / "k3s-arm64").write_bytes(program("arm64")[:-1] + b"?")
    source = Folder(tmp_path / "release")

    with pytest.raises(MismatchError):
        asyncio.run(build(VERSION, ARCHITECTURES, source, release().lock, tmp_path / "bundle.tar"))
    assert (tmp_path / "bundle.tar").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar", "release"]


def test_a_file_that_changes_while_it_is_read_is_noticed(built: Build, tmp_path: Path) -> None:
    folder = release().write(tmp_path / "release")

    def overwrite(what: str, done: int, total: int) -> None:
        if what == "k3s-airgap-images-arm64.tar.gz" and done == total:  # the last one to be fetched
            (folder / "k3s").write_bytes(program("arm", 3000))

    with pytest.raises(MismatchError, match="changed while it was read"):
        built(on_progress=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_without_an_architecture_there_is_no_bundle(built: Build) -> None:
    with pytest.raises(InputError, match="none is named"):
        built(archs=[])


def test_a_version_that_is_not_locked_is_not_bundled(tmp_path: Path) -> None:
    with pytest.raises(NotLockedError):
        asyncio.run(build("v1.30.0+k3s1", ["amd64"], Folder(tmp_path), Lock(), tmp_path / "b.tar"))


def test_a_bundle_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    source = Folder(release().write(tmp_path / "release"))
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(PermanentError, match=r"writing .*file/b\.tar"):
        asyncio.run(build(VERSION, ["amd64"], source, release().lock, tmp_path / "file" / "b.tar"))


# --- images


def manifest_with(
    tmp_path: Path,
    content: bytes,
    name: str = "images.tar",
    locked: tuple[str, ...] | None = None,
    listed: str | None = None,
) -> Manifest:
    """What a bundle says of a release for amd64 with this archive of images."""
    (tmp_path / "k3s").write_bytes(program("amd64", 300))
    (tmp_path / name).write_bytes(content)
    if listed is not None:
        (tmp_path / "k3s-images.txt").write_text(listed)
    files = LockedFiles(
        binary=artifact("k3s", program("amd64", 300)),
        images=artifact(name, content),
        image_list=locked,
    )
    lock = Lock(versions={VERSION: {"amd64": files}})
    return asyncio.run(build(VERSION, ["amd64"], Folder(tmp_path), lock, tmp_path / "b.tar"))


def test_the_archive_is_believed_not_the_release_list(tmp_path: Path) -> None:
    manifest = manifest_with(tmp_path, archive(IMAGES[:1]), listed="busybox")

    assert manifest.images == {"amd64": IMAGES[:1]}
    assert manifest.images_listed_by == {"amd64": "archive"}


def test_an_archive_with_other_images_than_the_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        manifest_with(tmp_path, archive(IMAGES[:1]), locked=(IMAGES[1],))

    assert f"not in the archive: {IMAGES[1]}; not in the lock: {IMAGES[0]}" in str(caught.value)


UNREADABLE = b"\x28\xb5\x2f\xfd" not in openers()


def test_of_an_archive_that_cannot_be_read_the_best_witness_is_named(tmp_path: Path) -> None:
    content = zstandard(archive())
    listed = manifest_with(tmp_path, content, "i.tar.zst", listed="\n".join(IMAGES))
    locked = manifest_with(tmp_path, content, "i.tar.zst", locked=IMAGES, listed="busybox")

    assert listed.images == locked.images == {"amd64": IMAGES}
    assert listed.images_listed_by["amd64"] == ("k3s-images.txt" if UNREADABLE else "archive")
    assert locked.images_listed_by["amd64"] == ("lock" if UNREADABLE else "archive")


def test_without_any_witness_the_missing_list_is_named(tmp_path: Path) -> None:
    if not UNREADABLE:
        assert manifest_with(tmp_path, zstandard(archive()), "i.tar.zst").images["amd64"] == IMAGES
        return
    with pytest.raises(MissingFileError) as caught:
        manifest_with(tmp_path, zstandard(archive()), "i.tar.zst")
    assert "k3s-images.txt" in caught.value.remedy


# --- damage


# Where each part of a tar's header begins. Source: POSIX, pax Interchange Format, ustar.
HEADER = (0, 100, 108, 116, 124, 136, 148, 156, 157, 257, 263, 265, 297, 329, 337, 345, 500, 512)


def regions(whole: bytes) -> list[int]:
    """Where a bundle's parts begin: those of each header, content, padding, the empty end."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        rows = [(info.offset, info.offset_data, info.size) for info in tar]
    edges = {begin + edge for begin, _, _ in rows for edge in HEADER}
    edges |= {data + size for _, data, size in rows}
    _, data, size = rows[-1]
    return sorted({*edges, -(-(data + size) // 512) * 512, len(whole)})


def test_a_byte_of_every_kind_counts(tmp_path: Path) -> None:
    """First, middle and last byte of each part of a bundle are changed in turn, and all seen.

    Each single byte of all is changed by the contract test of the same bundle.
    """
    path = small_bundle(tmp_path)
    whole = path.read_bytes()
    edges = regions(whole)
    parts = list(itertools.pairwise(edges))
    places = {place for low, high in parts for place in (low, (low + high) // 2, high - 1)}

    assert edges[0] == 0
    assert [place for place in sorted(places) if not is_seen(path, place)] == []
    assert path.read_bytes() == whole


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for one architecture."""
    folder = tmp_path_factory.mktemp("bundle")
    source = Folder(release().write(folder))
    asyncio.run(build(VERSION, ["arm64"], source, release().lock, folder / "b.tar"))
    return folder / "b.tar"


@examples(60)
@given(data=st.data())
def test_no_mutilation_goes_unseen(arm64: Path, data: st.DataObject) -> None:
    whole = arm64.read_bytes()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    middle = data.draw(st.binary(max_size=1500))
    if (changed := whole[:begin] + middle + whole[end:]) == whole:
        return
    mutilated = arm64.with_name("mutilated.tar")
    mutilated.write_bytes(changed)

    assert defects(mutilated)


def test_all_defects_come_at_once(built: Build, tmp_path: Path) -> None:
    whole = members(built())
    by_name = {info.name: (info, content) for info, content in whole}
    info, content = by_name["k3s"]
    path = written(
        tmp_path,
        [
            whole[0],
            (info, content[:-1] + b"?"),
            by_name["k3s-arm64"],
            by_name["k3s-arm64"],
            member("install.sh", b"rm -rf /"),
            member("../../etc/cron.d/job", b"* * * * *"),
            member("/etc/passwd", b"root"),
            member("link", type=tarfile.SYMTYPE, linkname="/etc/shadow"),
        ],
    )

    assert defects(path) == (
        f"k3s: SHA-256 {hashlib.sha256(content[:-1] + b'?').hexdigest()} instead of"
        f" {hashlib.sha256(content).hexdigest()}",
        "k3s-arm64: stands twice",
        "install.sh: extra: the manifest does not have it",
        "../../etc/cron.d/job: refused: the name leads out of the bundle",
        "/etc/passwd: refused: the name leads out of the bundle",
        "link: refused: not a plain file",
        "k3s-airgap-images-amd64.tar.gz: missing",
        "k3s-airgap-images-arm64.tar.gz: missing",
    )


@pytest.mark.parametrize("name", ["a/../../b", "..", "a\\..\\b", "C:\\windows", "/abs"])
def test_names_that_lead_out_are_refused(built: Build, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, [*members(built()), member(name, b"x")])

    assert any("leads out of the bundle" in defect for defect in defects(path))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"mtime": 1}, "k3s: its header was changed"),
        ({"mode": 0o4755}, "k3s: its header was changed"),
        ({"uname": "root"}, "k3s: its header was changed"),
        ({"type": tarfile.DIRTYPE}, "k3s: refused: not a plain file"),
    ],
)
def test_a_changed_header_is_found(
    built: Build, tmp_path: Path, values: dict[str, Any], found: str
) -> None:
    whole = members(built())
    for info, _ in whole:
        if info.name == "k3s":
            for key, value in values.items():
                setattr(info, key, value)

    assert found in defects(written(tmp_path, whole))


def test_a_file_of_another_length_is_found(built: Build, tmp_path: Path) -> None:
    whole = members(built())
    changed = [
        member(info.name, content[:100], mode=info.mode) if info.name == "k3s" else (info, content)
        for info, content in whole
    ]

    assert "k3s: 100 bytes instead of 3000" in defects(written(tmp_path, changed))


def test_another_order_is_found(built: Build, tmp_path: Path) -> None:
    first, *rest = members(built())

    assert defects(written(tmp_path, [first, *reversed(rest)])) == (
        "the files are not in the order in which xOps writes them",
    )


def test_a_damaged_header_does_not_hide_what_follows(built: Build) -> None:
    path = built()
    whole = bytearray(path.read_bytes())
    begin = whole.index(b"k3s\0")
    whole[begin + 150] ^= 1  # its checksum
    whole[whole.index(program("arm64")) + 2000] ^= 1
    path.write_bytes(whole)

    first, second = defects(path)
    assert first == "k3s: its header was changed"
    assert second.startswith("k3s-arm64: SHA-256 ")


def test_a_header_of_no_known_file_ends_the_reading(built: Build) -> None:
    path = built()
    whole = bytearray(path.read_bytes())
    end = whole.index(program("arm64")) + 3072
    whole[end] = 1
    path.write_bytes(whole)

    assert defects(path) == (
        f"byte {end}: neither a file nor the end; what follows cannot be read",
    )


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_a_truncated_bundle_says_where_it_ends(built: Build, kept: float) -> None:
    path = built()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])

    assert any("truncated" in defect or "bytes instead of" in defect for defect in defects(path))


def test_bytes_behind_the_end_are_found(built: Build) -> None:
    path = built()
    whole = path.read_bytes()

    path.write_bytes(whole + b"hidden")
    assert any("hidden behind the end" in defect for defect in defects(path))
    path.write_bytes(whole + bytes(512))
    assert defects(path) == (f"{len(whole) + 512} bytes instead of {len(whole)}",)


def test_a_size_below_zero_ends_the_reading(built: Build) -> None:
    path = built()
    whole = bytearray(path.read_bytes())
    begin = whole.index(b"k3s\0")
    info = tarfile.TarInfo("k3s")
    info.size = -512
    whole[begin : begin + 512] = info.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(whole)

    assert "k3s: cannot have -512 bytes; what follows cannot be read" in defects(path)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text.replace(b'"format": 1', b'"format": 2'), "format 2 is unknown"),
        (lambda text: text.replace(b'"format": 1', b'"from": 1'), "format None is unknown"),
        (lambda text: b"[1]", "format None is unknown"),
        (lambda text: text[:-3], "no JSON"),
        (lambda text: b"[" * 9000, "no JSON"),
        (lambda text: text.replace(b"1.14.6", b"1.14.7"), "digest is not that of its text"),
        (lambda text: text.replace(b"\n", b" "), "not as xOps writes it"),
        (lambda text: text.replace(b'"size": 3000', b'"size": -1'), "files.0.size"),
    ],
)
def test_a_changed_manifest_is_found(
    built: Build, tmp_path: Path, change: Callable[[bytes], bytes], found: str
) -> None:
    (_, text), *rest = members(built())

    listed = defects(written(tmp_path, [member("manifest.json", change(text)), *rest]))
    assert any(found in defect for defect in listed), listed


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(2000), packed([("k3s", b"x")])])
def test_what_is_no_bundle_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar").write_bytes(content)

    assert defects(tmp_path / "b.tar") == ("does not begin with manifest.json: no bundle of xOps",)


def test_a_manifest_too_large_to_be_one_is_not_read(tmp_path: Path) -> None:
    info, _ = member("manifest.json", size=5 << 20)
    (tmp_path / "b.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT))

    assert defects(tmp_path / "b.tar") == (f"manifest.json: cannot have {5 << 20} bytes",)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"opening the bundle .*b\.tar"):
        verify(tmp_path / "b.tar")


def test_many_defects_are_cut_in_the_message_only(built: Build, tmp_path: Path) -> None:
    extra = [member(f"extra{number}", b"x") for number in range(60)]
    with pytest.raises(DamagedBundleError) as caught:
        verify(written(tmp_path, [*members(built()), *extra]))

    assert len(caught.value.defects) == 60
    assert "60 defects" in caught.value.found
    assert "and 10 more" in caught.value.found


def test_a_bundle_is_held_against_the_lock(built: Build) -> None:
    path = built()
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["amd64"]["binary"]["sha256"] = "f" * 64
    del values["versions"][VERSION]["arm64"]

    first, *rest = defects(path, Lock.model_validate(values))
    assert first == (
        f"k3s: SHA-256 {release().lock.artifact(VERSION, 'amd64', Kind.BINARY).sha256},"
        f" the lock has {'f' * 64}"
    )
    assert sorted(rest) == [
        "k3s-airgap-images-arm64.tar.gz: the lock has no such file for arm64",
        "k3s-arm64: the lock has no such file for arm64",
    ]
    assert defects(path, Lock()) == (f"{VERSION}: not in the lock",)


# --- as a source


def taken(path: Path, cache: Path, lock: Lock, version: str = VERSION) -> Path:
    return asyncio.run(fetch(Bundle(path, cache), lock, version, "arm64", Kind.BINARY))


def test_a_file_is_taken_from_a_bundle_once(built: Build, tmp_path: Path) -> None:
    path, cache, lock = built(), tmp_path / "cache", release().lock
    first = taken(path, cache, lock)
    inode = first.stat().st_ino

    assert first.read_bytes() == program("arm64")
    assert first == cache / manifest_of(path).digest / "k3s-arm64"
    assert taken(path, cache, lock).stat().st_ino == inode
    assert not list(cache.rglob("*.part"))


def test_a_file_spoilt_in_the_cache_is_taken_anew(built: Build, tmp_path: Path) -> None:
    path, cache, lock = built(), tmp_path / "cache", release().lock
    taken(path, cache, lock).write_bytes(program("arm64")[:-1] + b"?")

    assert taken(path, cache, lock).read_bytes() == program("arm64")


def test_a_damaged_file_is_not_handed_out(built: Build, tmp_path: Path) -> None:
    path, cache = built(), tmp_path / "cache"
    whole = bytearray(path.read_bytes())
    whole[whole.index(program("arm64")) + 2000] ^= 1
    path.write_bytes(whole)

    with pytest.raises(DamagedBundleError, match="k3s-arm64: not that of the manifest"):
        taken(path, cache, release().lock)
    assert [file.name for file in cache.rglob("*") if file.is_file()] == [".k3s-arm64.lock"]


def test_a_bundle_of_another_lock_is_refused(built: Build, tmp_path: Path) -> None:
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["arm64"]["binary"]["sha256"] = "f" * 64

    with pytest.raises(MismatchError, match="nothing was installed"):
        taken(built(), tmp_path / "cache", Lock.model_validate(values))


def test_a_bundle_without_the_file_says_what_it_has(built: Build, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="has k3s, k3s-airgap") as caught:
        taken(built(archs=["amd64"]), tmp_path / "cache", release().lock)
    assert "--arch arm64" in caught.value.remedy

    other = release("v1.35.8+k3s1").lock
    with pytest.raises(MissingFileError, match=f"is of {VERSION}".replace("+", r"\+")):
        taken(built(), tmp_path / "cache", other, "v1.35.8+k3s1")


def test_a_manifest_reads_as_json(built: Build) -> None:
    _, text = members(built())[0]

    assert json.loads(text)["k3s_version"] == VERSION
    assert text == manifest_of(built()).text().encode()
