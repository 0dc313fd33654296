"""A cluster's file, its hosts in memory, and how xOps is run on them."""

import base64
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization

from tests.certificates import self_signed
from tests.contract.k3s.hosts_in_memory import Machine, World
from tests.k3s_hosts import row
from tests.k3s_release import VERSION, release
from xops.core.files.settings import ROOT
from xops.core.lifecycle.gate import Approver, Decision, IdentityKind, Question
from xops.core.lifecycle.steps import Outcome, run_lifecycle
from xops.core.lifecycle.watching import Progress
from xops.core.plan.model import Plan
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.operations.bootstrap import K3sSteps
from xops.k3s.operations.verify import ClusterVerification
from xops.k3s.release.lock import Lock
from xops.k3s.state.scope import scope_of


@dataclass
class Watched:
    """Who watches: all that was shown, as text."""

    shown: list[str] = field(default_factory=list)

    def plan_ready(self, plan: Plan) -> None:
        self.shown.append(plan.model_dump_json())

    def note(self, message: str) -> None:
        self.shown.append(message)

    def progress(self, progress: Progress) -> None:
        self.shown.append(progress.message)


@dataclass
class Lab:
    """A cluster's file, its hosts in memory, and how xOps is run on them."""

    world: World
    folder: Path
    watched: Watched = field(default_factory=Watched)
    lock: Lock = field(default_factory=lambda: release().lock)
    cluster: Cluster = field(init=False)

    def __post_init__(self) -> None:
        self.cluster = self.world.cluster

    @property
    def steps(self) -> K3sSteps:
        return self.steps_on()

    def steps_on(self, *names: str) -> K3sSteps:
        """The steps; with names, on these hosts only."""
        self.cluster._file = ROOT / "deployments" / "clusters" / "onprem.yaml"  # any will do
        scope = scope_of(self.cluster, names)
        return K3sSteps(self.cluster, self.world, self.watched, self.lock, scope=scope)

    def apply(self, *names: str) -> Outcome[ClusterVerification]:
        """From facts to record, approved by whoever is asked."""
        return run(self.steps_on(*names), self.watched)

    def change(self, **values: Any) -> None:
        """Write other values into the cluster's file."""
        self.cluster = self.cluster.model_validate(self.cluster.model_dump() | values)
        self.world.cluster = self.cluster

    def machine(self, name: str) -> Machine:
        return self.world.machines[name]

    @property
    def restarts(self) -> dict[str, int]:
        return {name: machine.restarts for name, machine in self.world.machines.items()}

    @property
    def evidence(self) -> list[str]:
        return [file.read_text() for file in sorted((self.folder / "evidence").rglob("*.json"))]

    @property
    def record(self) -> Any:
        """The newest record."""
        return yaml.safe_load(self.evidence[-1])


type MakeLab = Callable[..., Lab]


def approve(question: Question) -> Sequence[Decision]:
    return (Decision("a person", "by hand", IdentityKind.ACCOUNT),)


def run(
    steps: K3sSteps,
    watched: Watched,
    approve: Approver = approve,
    sleep: Callable[[float], None] = lambda _: None,
) -> Outcome[ClusterVerification]:
    return run_lifecycle(steps, approve, watched, apply=True, run={"by": "command"}, sleep=sleep)


@cache
def kubeconfig() -> str:
    """A server's kubeconfig, with a certificate that a TLS library accepts as an authority."""
    pem, key = self_signed("k3s-server-ca")
    cluster = {"server": "https://127.0.0.1:6443"}
    cluster["certificate-authority-data"] = base64.b64encode(pem).decode()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    user = {
        "client-certificate-data": base64.b64encode(pem).decode(),
        "client-key-data": base64.b64encode(secret).decode(),
    }
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default", "cluster": cluster}],
            "users": [{"name": "default", "user": user}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            "current-context": "default",
        }
    )


@dataclass
class LabMaker:
    """Makes clusters without K3S on any of their hosts, each in a folder of its own."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, servers: int = 3, agents: int = 0, **values: Any) -> Lab:
        """So many servers and agents; more keys of the file by name."""
        folder = self.folder / str(next(self._numbers))
        files = release().write(folder / "release")
        hosts = [host("server", number) for number in range(1, servers + 1)]
        hosts += [host("agent", number) for number in range(1, agents + 1)]
        document = {
            "apiVersion": "xops/v1",
            "name": "unit",
            "k3s": {"version": VERSION},
            "hardening": {"profile": "none"},
            "artifacts": None if "air_gap" in values else {"folder": files},
            "secrets": {"folder": folder / "secrets"},
            "evidence": {"folder": folder / "evidence"},
            "hosts": hosts,
        }
        world = World(Cluster.model_validate(document | values))
        world.kubeconfig = kubeconfig()
        return Lab(world, folder)


def host(role: str, number: int) -> dict[str, Any]:
    """On loopback: what asks for the API from here is refused at once."""
    return row(role, number, address=f"127.0.{1 if role == 'server' else 2}.{number}")
