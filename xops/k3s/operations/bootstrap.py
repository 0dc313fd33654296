"""A cluster's steps as `xops.core.lifecycle.steps` puts them in order, and how it is now.

Every step connects anew and reads the facts anew: what was done is found done, so that running it
again is how it resumes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import boto3

from xops.core.errors import PermanentError, StalePlanError
from xops.core.evidence import records, stores
from xops.core.files import settings
from xops.core.lifecycle import steps as lifecycle
from xops.core.lifecycle import watching
from xops.core.lifecycle.gate import Approval, who
from xops.core.plan.model import Plan
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node import registries, snapshots
from xops.k3s.node.hardening import Control, report
from xops.k3s.node.managed_file import SecretFiles
from xops.k3s.operations import kubeconfig, tokens
from xops.k3s.operations import plan as planning
from xops.k3s.operations.apply import GATE_SECONDS, Files, Installation, moving
from xops.k3s.operations.plan import ClusterPlan, Desired
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release import sources
from xops.k3s.release.bundle import Bundle
from xops.k3s.release.lock import Artifact, Kind, Lock
from xops.k3s.ssh.transport_protocol import Connector
from xops.k3s.state import preflight, topology
from xops.k3s.state.collect import Connected, connected, observe
from xops.k3s.state.facts import NodeFacts
from xops.k3s.state.preflight import Finding, Observed

Outcome = lifecycle.Outcome["Verification"]

_TOKEN_DEADLINE = 30.0
_PASSES = 2


class NotSteadyError(PermanentError):
    """After an apply something is not as it shall be."""


class Watcher(watching.Watcher, Protocol):
    """Who is shown what happens while it happens."""

    def step(self, host: str, what: str, seconds: float | None) -> None:
        """Something was done on a host; `seconds` is None while it goes on."""


@dataclass(frozen=True)
class Made:
    """A plan with what it means for each host."""

    cluster_plan: ClusterPlan

    @property
    def plan(self) -> Plan:
        """What a person sees and approves."""
        return self.cluster_plan.plan


@dataclass(frozen=True)
class Verification:
    """What was seen from outside.

    Attributes:
        nodes: as the cluster's API shows them.
        endpoint: how the API answered at its address from this machine.
        kubeconfig: where the cluster's kubeconfig is kept.
        unmet: rules of the hardening profile that do not hold, or that could not be seen.
        round_trips: SSH requests made of each host, this look's own.
    """

    nodes: tuple[NodeFacts, ...]
    endpoint: kubeconfig.Answer
    kubeconfig: str
    unmet: tuple[Control, ...] = ()
    round_trips: Mapping[str, int] | None = None

    def rows(self) -> dict[str, str]:
        """As a person reads it."""
        unmet = [f"{control.host}: {control.rule}: {control.found}" for control in self.unmet]
        return {
            **{f"node {node.name}": described(node) for node in self.nodes},
            "endpoint": f"{self.endpoint.url} {self.endpoint.status}",
            "kubeconfig": self.kubeconfig,
            "hardening": "; ".join(unmet) or "every rule of the profile holds",
        }


def described(node: NodeFacts) -> str:
    """A node in a line."""
    state = "Ready" if node.ready else "not Ready"
    voter = {True: ", etcd voter", False: ", etcd learner or removed", None: ""}[node.voter]
    roles = ", ".join(sorted(node.roles)) or "agent"
    return f"{state}{voter}; {roles}; {node.version}; {node.address or 'no address'}"


@dataclass(frozen=True)
class Status:
    """A cluster as it is now; `failed` are hosts that could not be looked at, and why."""

    cluster: str
    cluster_id: str | None
    nodes: tuple[NodeFacts, ...] | None
    failed: Mapping[str, str]
    findings: tuple[Finding, ...]
    hardening: tuple[Control, ...]

    @property
    def has_quorum(self) -> bool | None:
        """Whether more than half of the members are ready voters; None if nobody can tell."""
        if self.nodes is None:
            return None
        members = [node for node in self.nodes if "etcd" in node.roles]
        return 2 * sum(bool(node.voter and node.ready) for node in members) > len(members)

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        nodes = None if self.nodes is None else [_node(node) for node in self.nodes]
        return {
            "cluster": self.cluster,
            "cluster_id": self.cluster_id,
            "quorum": self.has_quorum,
            "nodes": nodes,
            "failed": dict(self.failed),
            "findings": [finding.to_json() for finding in self.findings],
            "hardening": [asdict(control) for control in self.hardening],
        }


def _node(node: NodeFacts) -> dict[str, Any]:
    return {**asdict(node), "roles": sorted(node.roles), "labels": dict(node.labels)}


@dataclass(frozen=True)
class K3sSteps:
    """One cluster's steps: bring its hosts to what its file says."""

    cluster: Cluster
    connector: Connector
    watcher: Watcher
    lock: Lock

    @property
    def kind(self) -> str:
        """As `Steps.kind`."""
        return "apply"

    def preflight(self) -> tuple[Observed, list[Finding]]:
        """What is wrong with the hosts; nothing is changed."""
        return run(self._preflight())

    async def _preflight(self) -> tuple[Observed, list[Finding]]:
        async with connected(self.cluster, self.connector) as hosts:
            observed = await observe(self.cluster, hosts)
        return observed, preflight.findings(self.cluster, observed)

    def plan(self) -> Made:
        """Facts, preflight, then what differs.

        Raises:
            PreflightError: the hosts are not fit for it.
        """
        observed, found = self.preflight()
        preflight.refuse(self.cluster, found)
        for finding in found:
            self.watcher.note(str(finding))
        return Made(planning.plan(self.cluster, observed.facts, self._desired()))

    def policy(self, plan: Plan) -> Approval | None:
        """Approved by the cluster's file, where it does not name these changes."""
        if self.cluster.approval.needed(plan):
            return None
        by = f"policy of cluster file {self.cluster.name}"
        return Approval(by, "approval.required_for does not name these changes", plan.digest)

    def apply(self, planned: Made) -> dict[str, Any]:
        """Exactly this plan, on hosts locked for it.

        Raises:
            StalePlanError: the facts have changed since.
            LockedError: somebody else is changing a host.
            NotReadyError: K3S on a host did not come up.
        """
        return run(self._apply(planned))

    def outputs(self) -> dict[str, Any]:
        """Where the cluster is found."""
        return {
            "api": self.cluster.endpoint_url(),
            "kubeconfig": str(self.cluster.secrets_folder / kubeconfig.NAME),
        }

    def verify(self, outputs: Mapping[str, Any]) -> Verification:
        """Nodes, the API at its address, the hardening report; the kubeconfig is kept.

        Raises:
            NotSteadyError: a node is missing, not Ready, no voter or of another version.
        """
        return run(self._verify())

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """Keep one record in the cluster's evidence store; its address."""
        kept = self.cluster.evidence
        store: stores.EvidenceStore = stores.FolderStore(
            kept.folder or settings.home() / "evidence"
        )
        if kept.store == "bucket" and kept.bucket:
            store = stores.S3Store(boto3.client("s3"), kept.bucket, kept.prefix)
        return records.record(store, self.cluster.subject, kind, digest, {"who": who(), **facts})

    def status(self) -> Status:
        """The cluster as it is now, hosts that are down left out."""
        return run(self._status())

    async def _status(self) -> Status:
        async with connected(self.cluster, self.connector) as hosts:
            observed = await observe(self.cluster, hosts, probe_disk=False, peers=False)
        formation = topology.read(self.cluster, observed.facts)
        return Status(
            self.cluster.name,
            formation.cluster_id,
            formation.nodes,
            {name: f"{error.attempted}: {error.found}" for name, error in observed.failed.items()},
            tuple(preflight.findings(self.cluster, observed)),
            tuple(report(self.cluster, observed.facts)),
        )

    # What an apply needs

    def _desired(self) -> Desired:
        arches = {host.arch for host in self.cluster.hosts}
        version = self.cluster.k3s.version

        def locked(kind: Kind) -> dict[str, Artifact]:
            return {arch: self.lock.artifact(version, arch, kind) for arch in sorted(arches)}

        return Desired(
            binaries=locked(Kind.BINARY),
            images=locked(Kind.IMAGES) if self.cluster.air_gap else {},
            secrets=SecretFiles(
                registries.file(self.cluster.registries), snapshots.secret(self.cluster.snapshots)
            ),
            tokens=tokens.load(self.cluster.secrets_folder),
        )

    async def _files(self, planned: ClusterPlan) -> Files:
        """The files that the plan brings to some host, verified on this machine."""
        source = self._source()
        version = self.cluster.k3s.version

        async def fetched(kind: Kind, arches: set[Any]) -> dict[str, Path]:
            return {
                arch: await sources.fetch(source, self.lock, version, arch, kind, self._moving())
                for arch in sorted(arches)
            }

        parts = planned.hosts
        return Files(
            await fetched(Kind.BINARY, {part.host.arch for part in parts if part.binary}),
            await fetched(Kind.IMAGES, {part.host.arch for part in parts if part.images}),
        )

    def _moving(self) -> Callable[[str, int, int], None]:
        moved: dict[str, Callable[[int, int], None]] = {}

        def told(name: str, done: int, total: int) -> None:
            tell = moved.setdefault(name, moving("this machine", name, self.watcher.step))
            tell(done, total)

        return told

    def _source(self) -> sources.Source:
        if self.cluster.air_gap:
            return Bundle(self.cluster.air_gap.bundle)
        given = self.cluster.artifacts
        if given and given.folder:
            return sources.Folder(given.folder)
        if given and given.url:
            return sources.Release(given.url)
        return sources.Release.configured(os.environ)

    async def _apply(self, planned: Made) -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            hosts = await stack.enter_async_context(connected(self.cluster, self.connector))
            _refuse_missing(hosts)
            for host in self.cluster.hosts:
                lock = hosts.transports[host.name].lock(paths.LOCK, f"xops k3s apply by {who()}")
                await stack.enter_async_context(lock)
            await self._as_planned(hosts, planned)
        return self.outputs()

    async def _as_planned(self, hosts: Connected, planned: Made) -> None:
        observed, made = await self._planned_now(hosts)
        if made.plan.digest != planned.plan.digest:
            raise StalePlanError(
                f"applying plan {planned.plan.label}",
                f"the hosts have changed since: the plan is now {made.plan.label}",
                "Look at the new plan and approve it.",
                retry_after=0,
            )
        kept = await self._tokens(hosts, made)
        for _ in range(_PASSES):
            await Installation(
                cluster=self.cluster,
                transports=hosts.transports,
                facts=observed.facts,
                planned=made,
                desired=replace(self._desired(), tokens=kept),
                tokens=kept,
                files=await self._files(made),
                on_step=self.watcher.step,
                gate_seconds=int(os.environ.get("XOPS_K3S_GATE_SECONDS", GATE_SECONDS)),
            ).run()
            # The first server now knows others that it can join through, should its disk be lost.
            observed, made = await self._planned_now(hosts)
            if made.plan.is_empty:
                return
            _refuse_more_restarts(made)
        raise NotSteadyError(
            f"looking at {made.plan.subject} after the apply",
            f"this still differs: {', '.join(change.target for change in made.plan.changes)}",
            "Find out what else changes it on the host, then run it again.",
        )

    async def _planned_now(self, hosts: Connected) -> tuple[Observed, ClusterPlan]:
        observed = await observe(self.cluster, hosts, probe_disk=False, peers=False)
        if observed.failed:
            raise next(iter(observed.failed.values()))
        return observed, planning.plan(self.cluster, observed.facts, self._desired())

    async def _tokens(self, hosts: Connected, made: ClusterPlan) -> Tokens:
        """Those kept here; else those of the cluster; else new ones, kept before they are used."""
        folder = self.cluster.secrets_folder
        if kept := tokens.load(folder):
            return kept
        if made.topology.members:
            found = await self._adopted(hosts, made)
        else:
            found = tokens.create()
        tokens.keep(folder, found)
        return found

    async def _adopted(self, hosts: Connected, made: ClusterPlan) -> Tokens:
        """The tokens of a cluster that was founded from another machine."""
        member = made.topology.members[0]
        script = f"# tokens of the cluster\ncat {paths.TOKEN} && cat {paths.AGENT_TOKEN}"
        ran = await hosts.transports[member.name].run(script, deadline=_TOKEN_DEADLINE)
        lines = ran.stdout.split()
        if ran.exit_code or len(lines) != 2:
            raise PermanentError(
                f"taking over the tokens of {self.cluster.name} from {member.name}",
                f"{paths.TOKEN} and {paths.AGENT_TOKEN} do not hold one each",
                f"Put them into {self.cluster.secrets_folder} as server-token and agent-token.",
            )
        return Tokens(tokens.secret_of(lines[0]), tokens.secret_of(lines[1]))

    # What is looked at after it

    async def _verify(self) -> Verification:
        async with connected(self.cluster, self.connector) as hosts:
            observed = await observe(self.cluster, hosts, probe_disk=False, peers=False)
            formation = topology.read(self.cluster, observed.facts)
            _refuse_unsteady(self.cluster, formation)
            kept = await kubeconfig.keep(self.cluster, hosts, formation)
            trips = hosts.round_trips()
        answer = await kubeconfig.ask(self.cluster.endpoint_url(), kept)
        controls = report(self.cluster, observed.facts)
        return Verification(
            nodes=formation.nodes or (),
            endpoint=answer,
            kubeconfig=str(kept),
            unmet=tuple(control for control in controls if control.met is not True),
            round_trips=trips,
        )


def run[Answer](work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do the work to its end on this thread, which hears cancellations."""
    return asyncio.run(work)


def _refuse_missing(hosts: Connected) -> None:
    if hosts.failed:
        raise next(iter(hosts.failed.values()))


def _refuse_more_restarts(made: ClusterPlan) -> None:
    """What is left after an apply may be written down, but nothing is restarted unasked."""
    left = [part.host.name for part in made.hosts if part.starts or part.restarts or part.joins]
    if left:
        raise NotSteadyError(
            f"looking at {made.plan.subject} after the apply",
            f"{', '.join(left)} would have to be started or restarted again",
            "Look at `xops k3s plan`: it shows what differs now.",
        )


def _refuse_unsteady(cluster: Cluster, formation: topology.Topology) -> None:
    wrong = list(_unsteady(cluster, formation))
    if wrong:
        raise NotSteadyError(
            f"verifying {cluster.subject}",
            "; ".join(wrong),
            "Run `xops k3s plan`: it shows what an apply would mend.",
        )


def _unsteady(cluster: Cluster, formation: topology.Topology) -> Sequence[str]:
    if formation.nodes is None:
        return ["no server's API answers"]
    wrong: list[str] = []
    for host in cluster.hosts:
        node = formation.node(host)
        if node is None:
            wrong.append(f"{host.name} is no node of the cluster")
        elif not node.ready:
            wrong.append(f"{host.name} is not Ready")
        elif host.is_server and node.voter is not True:
            wrong.append(f"{host.name} is no voter of etcd")
        elif node.version != cluster.k3s.version:
            wrong.append(f"{host.name} runs {node.version}, not {cluster.k3s.version}")
    return wrong
