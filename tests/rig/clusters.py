"""A cluster file for a rig, and the `xops` command on it as a person would run it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.rig.access import Access
from tests.rig.hosts import Host, Rig
from tests.rig.k3s_program import version_of
from xops.core.files.settings import ROOT

XOPS = str(Path(sys.executable).with_name("xops"))

# Hosts share a small machine, its disk and its kernel.
_PREFLIGHT = {"fsync_p99_ms": 2000, "min_cpus": 1, "min_memory_mib": 512, "min_disk_gib": 1}


@dataclass
class TestCluster:
    """One cluster: its file, its lock file, its own xOps home."""

    __test__ = False

    folder: Path
    rig: Rig
    access: Access
    program: Path
    values: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.release = self.folder / "release"
        self.release.mkdir(parents=True, exist_ok=True)
        self.offer(self.program)
        self.values = {
            "apiVersion": "xops/v1",
            "name": "rig",
            "k3s": {"version": version_of(self.program), "disable": ["traefik", "servicelb"]},
            "networks": {"backend": "vxlan"},
            "artifacts": {"folder": str(self.release)},
            "ssh": {
                "user": "admin",
                "identity_file": str(self.access.key_file),
                "known_hosts": str(self.access.known_hosts),
                "config": os.devnull,
            },
            "preflight": _PREFLIGHT,
            "approval": {"required_for": ["destroy"]},
            "hosts": [_host(host, "server") for host in self.rig.servers]
            + [_host(host, "agent") for host in self.rig.agents],
            **self.values,
        }
        self.write()

    @property
    def file(self) -> Path:
        """The cluster file."""
        return self.folder / "rig.yaml"

    @property
    def lock(self) -> Path:
        """The lock file that names the program under test."""
        return self.folder / "k3s.lock.yaml"

    @property
    def home(self) -> Path:
        """Where xOps keeps tokens, kubeconfig and evidence."""
        return self.folder / "home"

    def offer(self, program: Path, images: Path | None = None) -> None:
        """Put a program (and an archive of images) where a release's files are looked for."""
        shutil.copyfile(program, self.release / "k3s")
        archive = self.release / "k3s-airgap-images-amd64.tar"
        if images:
            shutil.copyfile(images, archive)
        elif not archive.exists():
            archive.write_bytes(bytes(1024))
        entry = {
            kind: {
                "name": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
            }
            for kind, path in (("binary", self.release / "k3s"), ("images", archive))
        }
        known: dict[str, Any] = {"versions": {}}
        if self.lock.exists():
            known = yaml.safe_load(self.lock.read_text())
        known["versions"][version_of(program)] = {"amd64": entry}
        self.lock.write_text(yaml.safe_dump(known))

    def write(self) -> None:
        """Write the file anew after a change of `values`."""
        self.file.write_text(yaml.safe_dump(self.values, sort_keys=False))

    def command(self, *words: str) -> list[str]:
        """The command line of `xops k3s VERB FILE ...`."""
        verb, *rest = words
        lock = [] if verb == "trust" else ["--lock", str(self.lock)]
        return [XOPS, "k3s", verb, str(self.file), *lock, *rest]

    def environment(self) -> dict[str, str]:
        """Its environment."""
        return {**os.environ, "XOPS_HOME": str(self.home), **self.environ}

    def run(self, *words: str, deadline: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `xops k3s VERB` to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )

    def json(self, *words: str, accepted: Sequence[int] = (0,)) -> Mapping[str, Any]:
        """The JSON that a command prints; its exit code must be one of these."""
        done = self.run(*words, "--json")
        assert done.returncode in accepted, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found

    @property
    def secrets(self) -> Path:
        """Where the cluster's tokens and kubeconfig are kept."""
        return self.home / "clusters" / "rig"

    def kubectl(self, *words: str, server: Host | None = None) -> str:
        """`k3s kubectl` on this machine with the kept kubeconfig; asks `server` if one is named."""
        if server:
            words = ("--server", f"https://{server.address}:6443", *words)
        done = self._kubectl(*words)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As `kubectl`; its answer, a refusal included."""
        return self._kubectl(*words)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """`kubectl apply` of some objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        done = self._kubectl("apply", "--filename=-", given=json.dumps(listed))
        assert done.returncode == 0, done.stdout + done.stderr

    def objects(self, kind: str, namespace: str, *words: str) -> list[dict[str, Any]]:
        """The objects of a kind in a namespace."""
        listed = self.kubectl("get", kind, "--namespace", namespace, "--output=json", *words)
        found: list[dict[str, Any]] = json.loads(listed)["items"]
        return found

    def create_pod(self, pod: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Send one pod to the API server; its answer, a refusal included.

        Only once the namespace has its `default` service account: the controller manager makes
        that a moment after the API server is ready, and until then admission refuses every pod.
        Controllers of a Deployment or a Job try again; who creates a bare pod has to wait.
        """
        namespace = pod["metadata"]["namespace"]
        account = ("serviceaccount/default", "--namespace", namespace)
        self.kubectl("wait", "--for=create", *account, "--timeout=60s")
        return self._kubectl("create", "--filename=-", given=json.dumps(pod))

    def _kubectl(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        kubeconfig = self.secrets / "kubeconfig"
        return subprocess.run(
            [str(self.program), "kubectl", "--kubeconfig", str(kubeconfig), *words],
            input=given, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip

    def nodes(self, server: Host | None = None) -> dict[str, dict[str, str]]:
        """The conditions of every node by name."""
        items = json.loads(self.kubectl("get", "nodes", "-o", "json", server=server))["items"]
        return {
            item["metadata"]["name"]: {
                row["type"]: row["status"] for row in item["status"]["conditions"]
            }
            for item in items
        }

    def voters(self, server: Host | None = None) -> set[str]:
        """The nodes that are Ready and vote in etcd."""
        return {
            name
            for name, conditions in self.nodes(server).items()
            if (conditions["Ready"], conditions.get("EtcdIsVoter")) == ("True", "True")
        }

    def members(self, server: Host) -> dict[str, bool]:
        """Etcd's members as this server tells them: whether each votes, by its node's name."""
        told = server.exec(["/usr/local/bin/k3s", "kubectl", "get", "--raw", "/db/info"])
        rows = json.loads(told)["members"]
        return {row["name"].rpartition("-")[0]: not row.get("isLearner") for row in rows}

    def apply_until(self, line: str, then: Callable[[], object], *options: str) -> str:
        """Run `apply` and do something as soon as a line of it matches; what it printed till then.

        Whatever `then` leaves of the process is killed with SIGKILL. Fails if it ends before.
        """
        told = ""
        with subprocess.Popen(
            self.command("apply", *options), cwd=ROOT, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            try:
                assert process.stdout
                for row in process.stdout:
                    told += row
                    if re.search(line, row):
                        then()
                        return told
            finally:
                process.kill()
        raise AssertionError(f"never said {line!r}:\n{told}")

    def killed_at(self, line: str) -> str:
        """Run `apply` and kill it with SIGKILL as soon as a line of it matches."""
        return self.apply_until(line, lambda: None)


def _host(host: Host, role: str) -> dict[str, Any]:
    return {"name": host.name, "address": host.address, "role": role}
