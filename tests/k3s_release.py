"""A K3S release in a few kB: programs that are ELF headers, archives that are real ones."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xops.k3s.release.lock import Architecture, Artifact, Lock, LockedFiles

VERSION = "v1.36.4+k3s1"
IMAGES = (
    "docker.io/rancher/mirrored-coredns-coredns:1.14.6",
    "docker.io/rancher/mirrored-pause:3.6",
)
MACHINES = {"386": 3, "arm": 40, "amd64": 62, "arm64": 183, "riscv64": 243}


def program(machine: str, size: int = 3000) -> bytes:
    """A file that begins like a Linux program of this machine."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00"
    header += MACHINES[machine].to_bytes(2, "little")
    rest = hashlib.sha256(machine.encode()).digest() * (size // 32 + 1)
    return (header + rest)[:size]


def packed(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar with these files, in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def archive(images: Sequence[str] = IMAGES) -> bytes:
    """What `ctr images export` writes: an OCI layout with Docker's manifest.json."""
    layer = ("blobs/sha256/" + "0" * 64, b"a layer")
    short = [name.removeprefix("docker.io/") for name in images]
    manifest = [{"Config": layer[0], "RepoTags": [name], "Layers": [layer[0]]} for name in short]
    index = {
        "schemaVersion": 2,
        "manifests": [{"annotations": {"io.containerd.image.name": name}} for name in images],
    }
    return packed(
        [
            layer,
            ("index.json", json.dumps(index).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        ]
    )


KUBE_VIP = "ghcr.io/kube-vip/kube-vip:v1.0.4"


def saved(arch: str, images: Sequence[str] = (KUBE_VIP,)) -> bytes:
    """What `docker save` writes of images for these machines: their index comes last."""
    name = f"blobs/sha256/{hashlib.sha256(arch.encode()).hexdigest()}"
    configuration = json.dumps({"architecture": arch, "os": "linux"}).encode()
    manifest = [{"Config": name, "RepoTags": list(images), "Layers": []}]
    return packed([(name, configuration), ("manifest.json", json.dumps(manifest).encode())])


def zstandard(content: bytes) -> bytes:
    """The content as a frame of Zstandard whose blocks are stored as they are (RFC 8878, 3.1.1)."""
    frame = b"\x28\xb5\x2f\xfd" + b"\xa0" + len(content).to_bytes(4, "little")
    for begin in range(0, len(content), 1 << 16):
        block = content[begin : begin + (1 << 16)]
        last = begin + len(block) == len(content)
        frame += (len(block) << 3 | last).to_bytes(3, "little") + block
    return frame


def artifact(name: str, content: bytes) -> Artifact:
    return Artifact(name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


@dataclass(frozen=True)
class FakeRelease:
    """The files of a release by name, and the lock that they are of."""

    files: dict[str, bytes]
    lock: Lock

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder


def release(version: str = VERSION, images: Sequence[str] = IMAGES) -> FakeRelease:
    """A release for both architectures, archives compressed with gzip."""
    files: dict[str, bytes] = {"k3s-images.txt": "\n".join(IMAGES).encode() + b"\n"}
    entry: dict[Architecture, LockedFiles] = {}
    names: list[tuple[Architecture, str]] = [("amd64", "k3s"), ("arm64", "k3s-arm64")]
    for arch, name in names:
        packed_name = f"k3s-airgap-images-{arch}.tar.gz"
        files[name] = program(arch)
        # Behind the end of the tar, where readers do not look: the two archives must differ.
        files[packed_name] = gzip.compress(archive(images) + arch.encode() * 9, mtime=0)
        sums = {file: hashlib.sha256(files[file]).hexdigest() for file in (packed_name, name)}
        files[f"sha256sum-{arch}.txt"] = "".join(
            f"{digest}  {file}\n" for file, digest in sums.items()
        ).encode()
        entry[arch] = LockedFiles(
            binary=artifact(name, files[name]), images=artifact(packed_name, files[packed_name])
        )
    return FakeRelease(files, Lock(versions={version: entry}))
