"""A cluster on this machine: k3d's configuration, made from the cluster file, and k3d itself.

k3d runs K3S in containers. It founds the cluster, joins the nodes and balances the API itself;
what it cannot have is refused by the cluster file's rules (hardening, an endpoint) or here.
Snapshots, preflight and SSH have no meaning there and are left alone.
Source: k3d's `docs/usage/configfile.md` and `pkg/config/v1alpha5/schema.json`, v5.9.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xops.core import process
from xops.core.errors import Finding, InputError, PermanentError
from xops.core.process import Command, Finished, LineHandler
from xops.k3s.cluster_file.cluster import Cluster, Networks

API_ADDRESS = "127.0.0.1"
IMAGES_FOLDER = "agent/images"
"""Where K3S looks for image archives, below its data directory."""

CREATE_SECONDS = 300
"""How long k3d waits for the nodes before it removes the cluster again."""

_SERVERS = ["server:*"]
_ALL = ["server:*", "agent:*"]
_DEADLINE = 60.0


def k3d_config(cluster: Cluster, images: Path | None = None) -> dict[str, Any]:
    """The configuration (kind Simple) that makes k3d create this cluster.

    Args:
        cluster: one whose source is k3d.
        images: a folder with image archives, so that the nodes fetch none.

    Raises:
        InputError: the file asks for something that k3d's nodes cannot have.
    """
    _refuse(cluster, images)
    source = cluster.source
    config: dict[str, Any] = {
        "apiVersion": "k3d.io/v1alpha5",
        "kind": "Simple",
        "metadata": {"name": cluster.name},
        "servers": source.servers,
        "agents": source.agents,
        "image": f"rancher/k3s:{cluster.k3s.image_tag}",
        # Fixed addresses: members of etcd do not find each other again after a restart of Docker
        # that deals the addresses anew.
        "subnet": "auto",
        "kubeAPI": {"hostIP": API_ADDRESS, "hostPort": str(source.api_port)},
        "options": _options(cluster),
    }
    if images:
        data_dir = f"{cluster.k3s.data_dir}/{IMAGES_FOLDER}"
        volume = f"{images.resolve()}:{data_dir}"
        config["volumes"] = [{"volume": volume, "nodeFilters": _ALL}]
    if cluster.registries.mirrors:
        config["registries"] = {"config": _registries(cluster)}
    return config


def _options(cluster: Cluster) -> dict[str, Any]:
    return {
        "k3d": {"wait": True, "timeout": f"{CREATE_SECONDS}s", "disableRollback": False},
        "k3s": {
            "extraArgs": [{"arg": arg, "nodeFilters": nodes} for arg, nodes in _arguments(cluster)]
        },
        "kubeconfig": {"updateDefaultKubeconfig": False, "switchCurrentContext": False},
    }


def _arguments(cluster: Cluster) -> list[tuple[str, list[str]]]:
    """K3S's arguments and the nodes that get them; what is K3S's default is not said."""
    networks, usual = cluster.networks, Networks()
    flags = {
        "cluster-cidr": (networks.cluster, usual.cluster),
        "service-cidr": (networks.service, usual.service),
        "cluster-dns": (networks.cluster_dns, usual.cluster_dns),
        "cluster-domain": (networks.domain, usual.domain),
        "flannel-backend": (networks.backend, usual.backend),
        "system-default-registry": (cluster.registries.system_default, None),
    }
    arguments = [f"--disable={name}" for name in cluster.k3s.disable]
    arguments += [f"--{flag}={value}" for flag, (value, own) in flags.items() if value != own]
    for key, value in cluster.k3s.config.items():
        values = value if isinstance(value, tuple) else (value,)
        arguments += [f"--{key.rstrip('+')}={_text(one)}" for one in values]
    return [(argument, _SERVERS) for argument in arguments]


def _text(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _registries(cluster: Cluster) -> str:
    mirrors = {
        name: mirror.model_dump(mode="json", exclude_defaults=True)
        for name, mirror in cluster.registries.mirrors.items()
    }
    return yaml.safe_dump({"mirrors": mirrors})


def _refuse(cluster: Cluster, images: Path | None) -> None:
    findings = [
        Finding(f"cluster {cluster.name}", path, message)
        for wrong, path, message in (
            (cluster.source.kind != "k3d", "source.kind", f"is {cluster.source.kind}, not k3d"),
            (
                cluster.registries.configs,
                "registries.configs",
                "k3d's configuration would hold the passwords: use a mirror that asks for none",
            ),
            (images and set("$:") & set(str(images.resolve())), "air_gap.bundle", _IN_A_PATH),
        )
        if wrong
    ]
    # k3d replaces $NAME in its whole configuration by the environment's variable, unasked.
    if any("$" in argument for argument, _ in _arguments(cluster)):
        findings.append(
            Finding(f"cluster {cluster.name}", "k3s.config", "k3d would replace what follows a $")
        )
    if findings:
        raise InputError("writing k3d's configuration", findings)


_IN_A_PATH = "k3d reads '$' and ':' in a volume's path otherwise: unpack images in another folder"


@dataclass(frozen=True)
class K3d:
    """The k3d of this machine.

    Attributes:
        program: its path.
        environ: the environment's variables it runs with.
    """

    program: str
    environ: Mapping[str, str]

    @classmethod
    def find(cls, environ: Mapping[str, str] | None = None) -> K3d:
        """The k3d on PATH.

        Raises:
            PermanentError: k3d or Docker is missing.
        """
        variables = dict(os.environ if environ is None else environ)
        programs = {name: shutil.which(name, path=variables.get("PATH")) for name in _NEEDED}
        missing = [name for name, found in programs.items() if found is None]
        if missing:
            raise PermanentError(
                "looking for k3d",
                f"not on PATH: {', '.join(missing)}",
                "Install Docker and k3d (https://k3d.io), or use hosts: source.kind given.",
            )
        return cls(str(programs["k3d"]), variables)

    def names(self) -> tuple[str, ...]:
        """The clusters that k3d has here."""
        lines = self._run(["cluster", "list", "--no-headers"], _DEADLINE).lines
        return tuple(line.split()[0] for line in lines if line.strip())

    def create(
        self, cluster: Cluster, images: Path | None = None, on_line: LineHandler | None = None
    ) -> bool:
        """Create the cluster, wait for its nodes, store its kubeconfig; False if it was there.

        k3d removes what it made when it fails. The kubeconfig is `kubeconfig` in the cluster's
        secrets folder.

        Raises:
            PermanentError: k3d failed; has its last words.
            DeadlineError: it did not end in time.
        """
        is_new = cluster.name not in self.names()
        if is_new:
            file = _private(cluster.secrets_folder) / "k3d.yaml"
            file.write_text(yaml.safe_dump(k3d_config(cluster, images), sort_keys=False))
            self._run(["cluster", "create", "--config", str(file)], CREATE_SECONDS * 2, on_line)
        self._kubeconfig(cluster)
        return is_new

    def delete(self, name: str, on_line: LineHandler | None = None) -> bool:
        """Delete a cluster with all that is in it; False if there was none.

        Raises:
            PermanentError: k3d failed; has its last words.
        """
        if name not in self.names():
            return False
        self._run(["cluster", "delete", name], CREATE_SECONDS, on_line)
        return True

    def _kubeconfig(self, cluster: Cluster) -> None:
        # Written by k3d into a file that nobody else can read, so that its key passes no log.
        file = _private(cluster.secrets_folder) / "kubeconfig"
        file.touch(mode=0o600)
        switches = ["--kubeconfig-switch-context=false"]
        output = ["--output", str(file), "--overwrite"]
        self._run(["kubeconfig", "merge", cluster.name, *switches, *output], _DEADLINE)
        file.chmod(0o600)

    def _run(
        self, arguments: list[str], deadline: float, on_line: LineHandler | None = None
    ) -> Finished:
        argv = [self.program, *arguments]
        done = process.run(Command(argv, Path.cwd(), self.environ, deadline), on_line)
        if done.returncode != 0:
            raise PermanentError(
                f"running k3d {' '.join(arguments[:2])}",
                f"exit code {done.returncode}: {' | '.join(done.lines[-3:])}",
                "Look whether Docker answers (docker info), then run it again: k3d has cleaned up.",
            )
        return done


_NEEDED = ("k3d", "docker")


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
