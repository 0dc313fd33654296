"""A bundle in a few kB, small enough to damage it in every place."""

import asyncio
from pathlib import Path

from tests.k3s_release import VERSION, artifact, packed, program
from xops.k3s.release.bundle import build, verify
from xops.k3s.release.bundle_layout import DamagedBundleError
from xops.k3s.release.lock import Lock, LockedFiles
from xops.k3s.release.sources import Folder

PROGRAM = program("amd64", 300)
IMAGES = packed([("manifest.json", b'[{"RepoTags":["a:1"]}]')])[:1024]


def small_bundle(folder: Path) -> Path:
    """Made and verified in this folder."""
    files = {"k3s": PROGRAM, "images.tar": IMAGES}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    locked = LockedFiles(binary=artifact("k3s", PROGRAM), images=artifact("images.tar", IMAGES))
    lock = Lock(versions={VERSION: {"amd64": locked}})
    path = folder / "b.tar"
    asyncio.run(build(VERSION, ["amd64"], Folder(folder), lock, path))
    verify(path)
    return path


def is_seen(path: Path, place: int) -> bool:
    """Whether the bundle is refused while one bit of the byte at this place is another."""
    with path.open("r+b") as file:
        file.seek(place)
        (before,) = file.read(1)
        file.seek(place)
        file.write(bytes([before ^ 1 << place % 8]))
        file.flush()
        try:
            verify(path)
        except DamagedBundleError:
            return True
        finally:
            file.seek(place)
            file.write(bytes([before]))
    return False
