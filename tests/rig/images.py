"""Images without a registry: files of this machine, packed as `docker save` packs them.

There is nothing to pull in the tests, so an image is what its files are: a static program, or a
folder that debootstrap or a wheel has filled. A host with real pods imports what `Host.bring`
puts into K3S's own folder for archives.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "/var/lib/rancher/k3s/agent/images/"
"""Where K3S looks for archives of images."""


@dataclass(frozen=True)
class Image:
    """An image of one layer.

    Attributes:
        name: with registry and tag, such as `xops.test/web:1`.
        files: path in the image -> file or folder on this machine; modes are kept.
        entrypoint: what its container runs.
        links: path in the image -> what the symbolic link there points to.
        environ: the environment's variables.
        architecture: of its programs, as Go names it.
    """

    name: str
    files: Mapping[str, Path]
    entrypoint: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: {"PATH": "/bin:/usr/bin"})
    architecture: str = "amd64"

    def pack(self, archive: Path) -> Path:
        """Write the archive, and return its path."""
        layer = archive.with_suffix(".layer")
        with tarfile.open(layer, "w") as packed:
            for path, source in self.files.items():
                packed.add(source, path.strip("/"), filter=_as_root)
            for path, target in self.links.items():
                packed.addfile(_link(path.strip("/"), target))
        config = json.dumps(self._config(layer)).encode()
        with tarfile.open(archive, "w") as packed:
            entry = {"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}
            _add(packed, "config.json", config)
            _add(packed, "manifest.json", json.dumps([entry]).encode())
            packed.add(layer, "layer.tar")
        layer.unlink()
        return archive

    def _config(self, layer: Path) -> dict[str, object]:
        with layer.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        environ = [f"{name}={value}" for name, value in self.environ.items()]
        return {
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Entrypoint": list(self.entrypoint), "Env": environ},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _link(path: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info


def _add(packed: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    packed.addfile(info, io.BytesIO(content))
