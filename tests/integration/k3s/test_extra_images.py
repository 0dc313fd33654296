"""Archives of images that no release has: into the lock, into the bundle, and out of it."""

import asyncio
import gzip
import tarfile
from pathlib import Path

import pytest

from tests.k3s_release import (
    IMAGES,
    KUBE_VIP,
    VERSION,
    archive,
    artifact,
    packed,
    release,
    saved,
)
from xops.core.errors import InputError, PermanentError
from xops.k3s.release.bundle import Bundle, build, verify
from xops.k3s.release.bundle_layout import DamagedBundleError, manifest_of
from xops.k3s.release.file_checks import MismatchError
from xops.k3s.release.images import architecture_of
from xops.k3s.release.lock import ARCHITECTURES, Lock
from xops.k3s.release.lock_entry import with_extra_images, write_entry
from xops.k3s.release.sources import Folder, MissingFileError, Release

NAMES = {arch: f"kube-vip-{arch}.tar" for arch in ARCHITECTURES}


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    """kube-vip for both architectures."""
    paths = [tmp_path / NAMES[arch] for arch in ARCHITECTURES]
    for path, arch in zip(paths, ARCHITECTURES, strict=True):
        path.write_bytes(saved(arch))
    return paths


@pytest.fixture
def lock(archives: list[Path]) -> Lock:
    """The release, with kube-vip besides."""
    return Lock(versions={VERSION: with_extra_images(release().lock.entry(VERSION), archives)})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The release, without kube-vip."""
    return Folder(release().write(tmp_path / "release"))


# The lock


@pytest.mark.parametrize(
    ("content", "arch"),
    [
        (saved("arm64"), "arm64"),
        (gzip.compress(saved("amd64")), "amd64"),
        (saved("s390x"), "s390x"),
        (packed([("index.json", b'{"manifests": []}')]), None),
    ],
    ids=["docker save", "compressed", "other machines", "without Docker's index"],
)
def test_an_archive_says_for_which_machines_it_is(
    content: bytes, arch: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)

    assert architecture_of(path) == arch


def test_an_archive_for_several_machines_is_for_none(tmp_path: Path) -> None:
    both = b'[{"Config": "a.json", "RepoTags": ["a:1"]}, {"Config": "b.json", "RepoTags": []}]'
    files = [
        ("manifest.json", both),
        ("a.json", b'{"architecture": "amd64"}'),
        ("b.json", b'{"architecture": "arm64"}'),
    ]
    (tmp_path / "a.tar").write_bytes(packed(files))

    assert architecture_of(tmp_path / "a.tar") is None


@pytest.mark.parametrize("config", [b"[]", b'{"architecture": 1}', b"{", b"{}"])
def test_a_configuration_that_names_no_machines_is_refused(config: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(
        packed([("a.json", config), ("manifest.json", b'[{"Config": "a.json"}]')])
    )

    with pytest.raises(PermanentError, match="no archive of images"):
        architecture_of(tmp_path / "a.tar")


def test_each_archive_stands_with_its_machines(lock: Lock) -> None:
    for arch in ARCHITECTURES:
        (extra,) = lock.extra_images(VERSION)[arch]
        content = saved(arch)
        assert extra.model_dump() == {
            **artifact(NAMES[arch], content).model_dump(),
            "images": (KUBE_VIP,),
        }
    assert lock.digest(VERSION) != release().lock.digest(VERSION)


def written(tmp_path: Path, made: Lock) -> Path:
    file = tmp_path / "k3s.lock.yaml"
    file.write_text("versions: {}\n")
    assert write_entry(file, VERSION, made.entry(VERSION))
    return file


def test_the_lock_file_keeps_them_when_a_release_is_locked_again(
    lock: Lock, tmp_path: Path
) -> None:
    file = written(tmp_path, lock)
    before = file.read_text()

    assert Lock.load(file) == lock
    assert write_entry(file, VERSION, release().lock.entry(VERSION)) is False
    assert file.read_text() == before


def test_other_bytes_under_a_name_that_is_locked_are_refused(
    lock: Lock, archives: list[Path], tmp_path: Path
) -> None:
    file = written(tmp_path, lock)
    archives[0].write_bytes(saved("amd64") + bytes(512))
    entry = with_extra_images(lock.entry(VERSION), archives[:1])

    with pytest.raises(MismatchError, match=r"kube-vip-amd64\.tar"):
        write_entry(file, VERSION, entry)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar", saved("s390x"), "for s390x, not for amd64 and arm64"),
        ("a.tar", archive(), "it is damaged or no archive of images"),
        ("k3s", saved("amd64"), "another file has that name"),
        (NAMES["arm64"], saved("amd64"), "name it, for example, kube-vip-amd64.tar"),
        ("with space.tar", saved("amd64"), "should match pattern"),
        ("a.tar", saved("amd64", []), "it names no image"),
    ],
    ids=["machines", "no machines", "a release's", "the other's", "name", "no image"],
)
def test_an_archive_that_cannot_be_locked(
    name: str, content: bytes, message: str, lock: Lock, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / name
    path.write_bytes(content)

    with pytest.raises((InputError, PermanentError)) as caught:
        with_extra_images(lock.entry(VERSION), [path])
    assert message in str(caught.value)


# The bundle


def test_a_bundle_has_them_and_hands_them_out(
    lock: Lock, archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar"
    made = asyncio.run(build(VERSION, ARCHITECTURES, folder, lock, path, extra_images=archives))

    assert verify(path, lock) == made
    assert made.images == {arch: tuple(sorted((*IMAGES, KUBE_VIP))) for arch in ARCHITECTURES}
    (extra,) = lock.extra_images(VERSION)["arm64"]
    source = Bundle(path, tmp_path / "cache")
    assert asyncio.run(source.file(VERSION, extra)).read_bytes() == saved("arm64")


def test_an_unpacked_bundle_with_them_is_a_folder_of_artifacts(
    lock: Lock, archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    path, again = tmp_path / "bundle.tar", tmp_path / "again.tar"
    asyncio.run(build(VERSION, ARCHITECTURES, folder, lock, path, extra_images=archives))
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")

    asyncio.run(build(VERSION, ARCHITECTURES, Folder(tmp_path / "unpacked"), lock, again))
    assert again.read_bytes() == path.read_bytes()


def test_a_bundle_of_before_says_that_it_lacks_them(
    lock: Lock, folder: Folder, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar"
    asyncio.run(build(VERSION, ARCHITECTURES, folder, release().lock, path))
    (extra,) = lock.extra_images(VERSION)["amd64"]

    assert manifest_of(path).images["amd64"] == IMAGES
    with pytest.raises(MissingFileError) as caught:
        asyncio.run(Bundle(path, tmp_path / "cache").file(VERSION, extra))
    assert "Build it anew from the lock of this checkout" in caught.value.remedy


def test_an_archive_that_the_lock_has_is_asked_for(
    lock: Lock, archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    path = tmp_path / "b.tar"
    with pytest.raises(MissingFileError, match=NAMES["arm64"]):
        asyncio.run(build(VERSION, ARCHITECTURES, folder, lock, path, extra_images=archives[:1]))
    cache = tmp_path / "cache" / VERSION
    release().write(cache)
    source = Release("http://127.0.0.1:9", tmp_path / "cache")
    with pytest.raises(MissingFileError) as caught:
        asyncio.run(build(VERSION, ["arm64"], source, lock, tmp_path / "b.tar"))
    assert caught.value.remedy == f"Name it: `--images PATH/{NAMES['arm64']}`."
    assert not (tmp_path / "b.tar").exists()


def test_an_archive_that_the_lock_does_not_have_is_refused(
    archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    locked = release().lock
    with pytest.raises(InputError) as caught:
        asyncio.run(
            build(VERSION, ["amd64"], folder, locked, tmp_path / "b.tar", extra_images=archives)
        )
    assert len(caught.value.findings) == 2
    assert f"xops bundle lock --k3s {VERSION} --images FILE" in str(caught.value)


def test_other_bytes_than_those_of_the_lock_are_refused(
    lock: Lock, archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    archives[0].write_bytes(saved("amd64", ["ghcr.io/kube-vip/kube-vip:v1.0.3"]))

    with pytest.raises(MismatchError):
        asyncio.run(
            build(VERSION, ["amd64"], folder, lock, tmp_path / "b.tar", extra_images=archives[:1])
        )


def test_a_lock_that_names_other_images_than_the_archive_has_is_refused(
    lock: Lock, archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    (extra,) = lock.extra_images(VERSION)["amd64"]
    row = lock.entry(VERSION)["amd64"].model_copy(
        update={"extra_images": (extra.model_copy(update={"images": ("ghcr.io/other:1",)}),)}
    )
    other = Lock(versions={VERSION: {"amd64": row}})

    with pytest.raises(PermanentError, match=r"not in the archive: ghcr\.io/other:1"):
        asyncio.run(
            build(VERSION, ["amd64"], folder, other, tmp_path / "b.tar", extra_images=archives[:1])
        )


def test_a_bundle_with_an_archive_of_another_lock_is_found_out(
    lock: Lock, archives: list[Path], folder: Folder, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar"
    asyncio.run(build(VERSION, ["amd64"], folder, lock, path, extra_images=archives[:1]))

    with pytest.raises(DamagedBundleError) as caught:
        verify(path, release().lock)
    assert caught.value.defects == (f"{NAMES['amd64']}: the lock has no such file for amd64",)


def test_a_bundle_that_lacks_an_archive_of_the_lock_is_found_out(
    lock: Lock, folder: Folder, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar"
    asyncio.run(build(VERSION, ["amd64"], folder, release().lock, path))

    with pytest.raises(DamagedBundleError) as caught:
        verify(path, lock)
    name = NAMES["amd64"]
    assert caught.value.defects == (
        f"{name}: missing, and the lock has it for amd64: build it anew",
    )
