"""The lock and its rules, checksum files, lists of images, the headers of programs."""

import asyncio
import contextlib
import gzip
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.k3s_release import IMAGES, VERSION, archive, packed, program, release, zstandard
from tests.soak import examples
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.k3s.release import file_checks
from xops.k3s.release.file_checks import MismatchError, WrongArchitectureError, check_architecture
from xops.k3s.release.images import full_name, image_list, images_in, openers
from xops.k3s.release.lock import (
    ARCHITECTURES,
    FILE,
    Architecture,
    Artifact,
    Entry,
    Kind,
    Lock,
    LockedFiles,
    NotLockedError,
)
from xops.k3s.release.lock_entry import lock_from_checksums, with_entry, write_entry
from xops.k3s.release.sources import Folder, MissingFileError, Release, fetch, read_entry

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.from_regex(r"[a-z][a-z0-9._+-]{0,30}", fullmatch=True)
VERSIONS = st.from_regex(r"v1\.[1-9][0-9]\.[0-9]\+k3s[1-9]", fullmatch=True)
FILES = st.builds(
    lambda names, digests, size, images: LockedFiles(
        binary=Artifact(name=names[0], sha256=digests[0], size=size),
        images=Artifact(name=names[1], sha256=digests[1]),
        image_list=images,
    ),
    st.lists(NAMES, min_size=2, max_size=2, unique=True),
    st.lists(DIGESTS, min_size=2, max_size=2),
    st.none() | st.integers(1, 2**40),
    st.none() | st.just(IMAGES),
)
ENTRIES = st.dictionaries(st.just("amd64"), FILES, min_size=1)


def test_the_committed_lock_is_one() -> None:
    lock = Lock.load()

    for version, entry in lock.versions.items():
        assert set(entry) == set(ARCHITECTURES), version
        assert entry["amd64"].binary.name == "k3s"
        assert entry["arm64"].binary.name == "k3s-arm64"
        hashes = {row.artifact(kind).sha256 for row in entry.values() for kind in Kind}
        assert len(hashes) == 4, version


def test_everything_wrong_with_a_lock_comes_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    file.write_text(
        "versions:\n"
        "  v1.36.4+k3s1:\n"
        "    amd64:\n"
        "      binary: {name: ../k3s, sha256: abc, size: 0}\n"
        "      images: {name: images.tar}\n"
        "    mips: {}\n"
        "  latest: {}\n"
    )
    with pytest.raises(InputError) as caught:
        Lock.load(file)

    found = {(row.path.rpartition(".")[2], row.line) for row in caught.value.findings}
    assert {("name", 4), ("sha256", 4), ("size", 4), ("sha256", 5)} <= found
    assert {line for _, line in found} == {4, 5, 6, 7}


def test_two_files_of_one_name_are_refused() -> None:
    values = release().lock.model_dump(mode="json")
    values["versions"][VERSION]["arm64"]["binary"]["name"] = "k3s"

    with pytest.raises(ValueError, match="k3s stands for two files"):
        Lock.model_validate(values)


def test_what_is_not_locked_says_how_to_lock_it() -> None:
    lock = release().lock

    with pytest.raises(NotLockedError, match=r"it has v1\.36\.4") as caught:
        lock.artifact("v1.30.0+k3s1", "amd64", Kind.BINARY)
    assert "`xops bundle lock --k3s v1.30.0+k3s1`" in caught.value.remedy
    with pytest.raises(NotLockedError, match="no version at all"):
        Lock().entry(VERSION)

    half = Lock(versions={VERSION: {"amd64": lock.versions[VERSION]["amd64"]}})
    with pytest.raises(NotLockedError, match="for amd64 only"):
        half.artifact(VERSION, "arm64", Kind.IMAGES)


def test_the_digest_of_a_version_follows_every_value() -> None:
    lock = release().lock
    values: Any = lock.model_dump(mode="json")
    values["versions"][VERSION]["arm64"]["images"]["size"] += 1

    assert Lock.model_validate(values).digest(VERSION) != lock.digest(VERSION)
    assert Lock.model_validate(lock.model_dump()).digest(VERSION) == lock.digest(VERSION)


# --- checksum files


def texts() -> dict[Architecture, str]:
    files = release().files
    return {arch: files[f"sha256sum-{arch}.txt"].decode() for arch in ARCHITECTURES}


def test_checksum_files_make_an_entry() -> None:
    made = lock_from_checksums(VERSION, texts())
    wanted = release().lock.versions[VERSION]

    assert {
        (arch, row.artifact(kind).name, row.artifact(kind).sha256)
        for arch, row in made.items()
        for kind in Kind
    } == {
        (arch, row.artifact(kind).name, row.artifact(kind).sha256)
        for arch, row in wanted.items()
        for kind in Kind
    }
    assert made["amd64"].binary.size is None


def test_the_smallest_archive_is_taken() -> None:
    lines = [
        f"{n:064x}  k3s-airgap-images-amd64.tar{end}" for n, end in enumerate(["", ".gz", ".zst"])
    ]
    made = lock_from_checksums(VERSION, {"amd64": "\n".join([*lines, f"{9:064x}  k3s"])})

    assert made["amd64"].images.name == "k3s-airgap-images-amd64.tar.zst"
    assert made["amd64"].images.sha256 == f"{2:064x}"


def test_everything_wrong_with_checksum_files_comes_at_once() -> None:
    page = "<html>\nNot Found\n</html>"
    twice = f"{1:064x}  k3s-arm64\n{2:064x}  k3s-arm64\n"
    with pytest.raises(InputError) as caught:
        lock_from_checksums(VERSION, {"amd64": page, "arm64": twice})

    assert [str(row) for row in caught.value.findings] == [
        "sha256sum-amd64.txt:1: is no SHA-256 checksum: '<html>'",
        "sha256sum-amd64.txt:2: is no SHA-256 checksum: 'Not Found'",
        "sha256sum-amd64.txt:3: is no SHA-256 checksum: '</html>'",
        "sha256sum-amd64.txt: has no line for k3s",
        "sha256sum-amd64.txt: has no line for k3s-airgap-images-amd64.tar.zst",
        "sha256sum-arm64.txt:2: k3s-arm64 has two checksums",
        "sha256sum-arm64.txt: has no line for k3s-airgap-images-arm64.tar.zst",
    ]


@pytest.mark.parametrize("version", ["latest", "v1.36.4", "1.36.4+k3s1", "v1.36.4+k3s1/..", ""])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(InputError, match="not like"):
        lock_from_checksums(version, texts())


@examples(40)
@given(
    digest=DIGESTS,
    upper=st.booleans(),
    star=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", ""]),
    others=st.dictionaries(NAMES.filter(lambda name: name != "k3s"), DIGESTS, max_size=3),
)
def test_every_way_to_write_a_checksum_is_read(
    digest: str, upper: bool, star: bool, end: str, others: dict[str, str]
) -> None:
    sign = "*" if star else " "
    rows = {**others, "k3s-airgap-images-amd64.tar": digest, "k3s": digest}
    text = "".join(
        f"{value.upper() if upper else value} {sign}{name}{end or chr(10)}"
        for name, value in rows.items()
    )
    made = lock_from_checksums(VERSION, {"amd64": text})

    assert made["amd64"].binary == Artifact(name="k3s", sha256=digest)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(InputError):
        lock_from_checksums(VERSION, {"amd64": text})


# --- writing the lock


LOCK = f"""\
# At the top.
versions:
  # About 1.35.
  v1.35.8+k3s1:  # beside
    amd64:
      binary: {{name: k3s, sha256: "{0:064x}"}}
      images: {{name: images.tar, sha256: "{1:064x}"}}

  # About 1.36.
  v1.36.4+k3s1:
    amd64:
      binary: {{name: k3s, sha256: "{2:064x}"}}
      images: {{name: images.tar, sha256: "{3:064x}"}}
# At the end.
"""


def test_an_entry_is_replaced_and_all_else_stays() -> None:
    entry = release().lock.versions[VERSION]
    text = with_entry(LOCK, "v1.35.8+k3s1", entry)

    assert Lock.model_validate(yaml.safe_load(text)).versions["v1.35.8+k3s1"] == entry
    head, _, tail = LOCK.partition("  v1.35.8+k3s1:  # beside\n")
    assert text.startswith(head)
    assert text.endswith(tail[tail.index("\n  # About 1.36.") :])


@pytest.mark.parametrize(
    "before", ["versions: {}\n", "# Empty.\nversions: {}", LOCK, LOCK.rstrip()]
)
def test_a_new_entry_comes_last(before: str) -> None:
    entry = release().lock.versions[VERSION]
    versions = Lock.model_validate(
        yaml.safe_load(with_entry(before, "v1.37.0+k3s1", entry))
    ).versions

    assert versions["v1.37.0+k3s1"] == entry
    assert list(versions) == [*yaml.safe_load(before)["versions"], "v1.37.0+k3s1"]


@pytest.mark.parametrize("version", ["v1.35.8+k3s1", "v1.36.4+k3s1", "v1.37.0+k3s1"])
@pytest.mark.parametrize("images", [None, IMAGES])
def test_the_committed_lock_keeps_its_comments(
    version: str, images: tuple[str, ...] | None
) -> None:
    """What stands above an entry is about that entry, before and after."""
    before = FILE.read_text()
    entry = {
        arch: row.model_copy(update={"image_list": images})
        for arch, row in release().lock.versions[VERSION].items()
    }
    after = with_entry(before, version, entry)

    def about(text: str) -> list[str]:
        return [line for line in text.splitlines() if re.match(r" *#|  v", line)]

    new = [] if version in before else [f"  {version}:"]
    assert about(after) == [*about(before), *new]
    assert with_entry(after, version, entry) == after


def test_a_comment_behind_the_last_entry_stays_behind_it() -> None:
    before = "versions:\n  v1.35.8+k3s1:\n    amd64:\n      binary: {name: a, sha256: b}\n# Last.\n"
    entry = release().lock.versions[VERSION]

    assert with_entry(before, "v1.37.0+k3s1", entry).endswith("\n# Last.\n")


def test_the_digests_of_what_was_locked_before_stay() -> None:
    """A bundle that was built by the release before carries this one."""
    digest = "6d10674c15937f5dcf67fde93429a83dcedf470925f5a227555b4b0c93b78bc2"

    assert release().lock.digest(VERSION) == digest


@examples(25)
@given(st.dictionaries(VERSIONS, ENTRIES, min_size=1, max_size=3), st.data())
def test_writing_entries_is_reading_them(entries: dict[str, Entry], data: st.DataObject) -> None:
    text = "versions: {}\n"
    for version in data.draw(st.permutations(list(entries) * 2)):
        text = with_entry(text, version, entries[version])

    assert Lock.model_validate(yaml.safe_load(text)).versions == entries


def test_a_lock_in_braces_is_left_alone() -> None:
    flow = f"versions: {{{VERSION}: {{}}}}\n"
    with pytest.raises(InputError, match="braces"):
        with_entry(flow, "v1.37.0+k3s1", release().lock.versions[VERSION])


def test_recording_twice_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    file.write_text("versions: {}\n")
    entry = release().lock.versions[VERSION]

    assert write_entry(file, VERSION, entry)
    assert not write_entry(file, VERSION, entry)
    assert Lock.load(file) == release().lock
    assert [path.name for path in tmp_path.iterdir()] == ["lock.yaml"]


def test_a_release_that_changed_is_not_with_entry(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    file.write_text(LOCK)
    locked = f"{2:064x}"
    other = LockedFiles(
        binary=Artifact(name="k3s", sha256="f" * 64),
        images=Artifact(name="images.tar.zst", sha256="e" * 64),
    )
    with pytest.raises(MismatchError, match=f"k3s: {locked}, now {'f' * 64}") as caught:
        write_entry(file, VERSION, {"amd64": other})

    assert "images.tar" not in str(caught.value)
    assert file.read_text() == LOCK


def test_a_folder_with_a_release_makes_its_own_entry(tmp_path: Path) -> None:
    folder = Folder(release().write(tmp_path))
    wanted = release().lock.versions[VERSION]

    made = asyncio.run(read_entry(folder, VERSION))
    assert made == {
        arch: row.model_copy(update={"image_list": IMAGES}) for arch, row in wanted.items()
    }
    (tmp_path / "k3s-images.txt").unlink()
    assert asyncio.run(read_entry(folder, VERSION)) == wanted


# --- a folder as a source


def fetched(folder: Path, arch: Architecture, kind: Kind, **options: Any) -> Path:
    return asyncio.run(fetch(Folder(folder), release().lock, VERSION, arch, kind, **options))


def test_a_file_of_the_lock_is_handed_out(tmp_path: Path) -> None:
    release().write(tmp_path)
    told: list[tuple[str, int, int]] = []

    path = fetched(tmp_path, "arm64", Kind.BINARY, on_progress=lambda *row: told.append(row))
    assert path == tmp_path / "k3s-arm64"
    assert told[-1] == ("k3s-arm64", 3000, 3000)


def test_a_file_is_compared_every_time(tmp_path: Path) -> None:
    release().write(tmp_path)
    path = fetched(tmp_path, "amd64", Kind.BINARY)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(MismatchError) as caught:
        fetched(tmp_path, "amd64", Kind.BINARY)
    wanted = release().lock.artifact(VERSION, "amd64", Kind.BINARY).sha256
    assert str(path) in caught.value.attempted
    assert f"expected SHA-256 {wanted}" in caught.value.found
    assert f"found {hashlib.sha256(content).hexdigest()}" in caught.value.found
    assert "nothing was installed" in caught.value.found


def test_another_size_is_found_without_reading(tmp_path: Path) -> None:
    release().write(tmp_path)
    (tmp_path / "k3s").write_bytes(b"short")

    with pytest.raises(MismatchError, match="expected 3000 bytes, found 5"):
        fetched(tmp_path, "amd64", Kind.BINARY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"k3s-airgap-images-arm64\.tar\.gz") as caught:
        fetched(tmp_path, "arm64", Kind.IMAGES)

    assert not isinstance(caught.value, TemporaryError)


@pytest.mark.parametrize("address", ["", "ftp://host/k3s", "file:///k3s", "host/k3s", "https://"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="not an http"):
        Release(address)


def test_the_address_is_a_setting() -> None:
    assert Release.configured({}).address.startswith("https://github.com/k3s-io/k3s/")
    assert Release.configured({"XOPS_K3S_RELEASES": "http://mirror/k3s"}).address == (
        "http://mirror/k3s"
    )


# --- programs


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_program_for_these_machines_passes(tmp_path: Path, arch: Architecture) -> None:
    (tmp_path / "k3s").write_bytes(program(arch))

    check_architecture(tmp_path / "k3s", arch)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (program("arm64"), "a program for arm64"),
        (program("riscv64"), "a program for riscv64"),
        (program("arm")[:18] + b"\xff\xff", "a program for machine 65535"),
        (b"#!/bin/sh\nexec true # longer than a header\n", "no Linux program"),
        (program("amd64", 19), "no Linux program"),
        (b"", "no Linux program"),
    ],
)
def test_a_program_for_other_machines_is_refused(
    tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "k3s").write_bytes(content)

    with pytest.raises(WrongArchitectureError, match=found):
        check_architecture(tmp_path / "k3s", "amd64")


@given(st.binary(max_size=64))
def test_no_header_breaks_the_check(header: bytes) -> None:
    assert file_checks._machine(header) is None or header.startswith(b"\x7fELF")


# --- images


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("rancher/mirrored-pause:3.6", "docker.io/rancher/mirrored-pause:3.6"),
        ("docker.io/rancher/klipper-lb:v0.4.17", "docker.io/rancher/klipper-lb:v0.4.17"),
        ("localhost/own:1", "localhost/own:1"),
        ("host:5000/own:1", "host:5000/own:1"),
        ("quay.io/a/b@sha256:" + "0" * 64, "quay.io/a/b@sha256:" + "0" * 64),
    ],
)
def test_images_get_their_full_names(short: str, full: str) -> None:
    assert full_name(short) == full
    assert full_name(full) == full


def test_a_list_of_images_is_read() -> None:
    text = "# K3S\ndocker.io/rancher/mirrored-pause:3.6\r\n\nrancher/mirrored-pause:3.6\nbusybox\n"

    assert image_list(text) == ("docker.io/library/busybox", "docker.io/rancher/mirrored-pause:3.6")


def test_a_page_instead_of_a_list_is_refused() -> None:
    with pytest.raises(InputError, match=r"k3s-images\.txt:2: names no image: '<html>'"):
        image_list("busybox\n<html>\n")


@given(st.text())
def test_what_a_list_gives_the_lock_takes(text: str) -> None:
    try:
        images = image_list(text)
    except InputError:
        return
    one = Artifact(name="k3s", sha256="0" * 64)
    assert LockedFiles(binary=one, images=one, image_list=images).image_list == images


def images_of(tmp_path: Path, content: bytes) -> tuple[str, ...] | None:
    (tmp_path / "archive").write_bytes(content)
    return images_in(tmp_path / "archive")


def docker_archive(rows: Any) -> bytes:
    return packed([("./manifest.json", json.dumps(rows).encode())])


def oci_archive(index: Any) -> bytes:
    return packed([("index.json", json.dumps(index).encode())])


def test_an_archive_says_what_is_in_it(tmp_path: Path) -> None:
    assert images_of(tmp_path, archive()) == IMAGES
    assert images_of(tmp_path, gzip.compress(archive())) == IMAGES
    assert images_of(
        tmp_path, docker_archive([{"RepoTags": ["busybox:1"]}, {"RepoTags": None}])
    ) == ("docker.io/library/busybox:1",)
    named = {"annotations": {"io.containerd.image.name": "docker.io/rancher/a:1"}}
    assert images_of(tmp_path, oci_archive({"manifests": [named, {"annotations": None}]})) == (
        "docker.io/rancher/a:1",
    )


def test_zstandard_is_read_where_it_can_be(tmp_path: Path) -> None:
    known = b"\x28\xb5\x2f\xfd" in openers()

    assert images_of(tmp_path, zstandard(archive())) == (IMAGES if known else None)
    assert images_in(tmp_path / "archive", {}) is None
    damaged = zstandard(archive())[:-700]
    if known:
        with pytest.raises(PermanentError, match="damaged"):
            images_of(tmp_path, damaged)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tar at all",
        archive()[:700],
        gzip.compress(archive())[:-20],
        gzip.compress(archive())[:40] + bytes(200),
        packed([("manifest.json", b"{")]),
        packed([("index.json", b"[" * 100_000)]),
        docker_archive({"RepoTags": ["a"]}),
        docker_archive([["a"]]),
        docker_archive([{"RepoTags": ["not an image"]}]),
        docker_archive([{"RepoTags": [3]}]),
        docker_archive([]),
        docker_archive([{"RepoTags": []}]),
        oci_archive([]),
        oci_archive({}),
        packed([("etc/passwd", b"root")]),
    ],
)
def test_what_is_no_archive_of_images_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PermanentError, match="looking which images"):
        images_of(tmp_path, content)


@given(st.binary(max_size=3000), st.booleans())
def test_no_bytes_break_the_reading(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, compressed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(zlib.compress(content, wbits=31) if compressed else content)
    with contextlib.suppress(PermanentError):
        assert images_in(path) is None
