"""A cluster's steps as `xops.core.lifecycle.steps` puts them in order.

Every step connects anew and reads the facts anew: what was done is found done, so that running it
again is how it resumes. Only where a plan has found nothing to do, what it has seen is what is
verified.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from xops.core.errors import StalePlanError, UnreachableError, XopsError
from xops.core.evidence.log import EvidenceLog, RecordKind, WaitingRecords
from xops.core.evidence.settings import FolderEvidence, open_evidence
from xops.core.evidence.stores import EvidenceStore
from xops.core.files import settings
from xops.core.lifecycle.gate import PolicyInForce, account
from xops.core.lifecycle.probes import Probe
from xops.core.lifecycle.steps import ATTEMPTS
from xops.core.lifecycle.watching import Progress, Watcher
from xops.core.plan.fingerprint import load_or_create_key
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node import birth, registries, snapshots
from xops.k3s.node.managed_file import SecretFiles
from xops.k3s.operations import kubeconfig, tokens
from xops.k3s.operations.apply import READY_SECONDS, Installation
from xops.k3s.operations.compare import Desired
from xops.k3s.operations.executor import HostExecutor, report_transfers
from xops.k3s.operations.operation import Stage
from xops.k3s.operations.plan import LEFT_OUT, K3sPlan, plan_cluster
from xops.k3s.operations.status import ClusterStatus, read_status
from xops.k3s.operations.verify import (
    ClusterVerification,
    verify_and_keep_kubeconfig,
)
from xops.k3s.release.lock import Architecture, Artifact, ExtraImages, Kind, Lock
from xops.k3s.release.obtain import ReleaseFiles, obtain_files, source_of
from xops.k3s.scripts import script_hashes
from xops.k3s.ssh.transport_protocol import Connector
from xops.k3s.state import preflight
from xops.k3s.state.ask import Patience
from xops.k3s.state.collect import ConnectedHosts, collect_facts, connect_hosts
from xops.k3s.state.preflight import Observation, PreflightFinding
from xops.k3s.state.scope import ALL_HOSTS, Scope


@dataclass(frozen=True)
class K3sSteps:
    """One cluster's steps: bring its hosts to what its file says.

    Attributes:
        cluster: its file, with all its hosts.
        connector: the way to them.
        watcher: who is shown what happens.
        lock: which bytes K3S's programs and images have.
        waiting: where else records wait while their store takes none.
        scope: the hosts on which something may be done.
    """

    attempts: ClassVar[int] = ATTEMPTS
    settles: ClassVar[bool] = True
    kind: ClassVar[RecordKind] = RecordKind.APPLY

    cluster: Cluster
    connector: Connector
    watcher: Watcher
    lock: Lock
    waiting: tuple[WaitingRecords, ...] = ()
    scope: Scope = ALL_HOSTS
    _steady: list[Observation] = field(default_factory=list, repr=False, compare=False)
    """What the last plan has seen, if it has found nothing to do and nothing was done since."""

    def preflight(self) -> tuple[Observation, list[PreflightFinding]]:
        """What is wrong with the hosts; nothing is changed."""
        return asyncio.run(self._preflight())

    async def _preflight(self) -> tuple[Observation, list[PreflightFinding]]:
        async with connect_hosts(self.cluster, self.connector) as hosts:
            observed = await collect_facts(self.cluster, hosts)
        found = [
            *tokens.findings(self.cluster, observed),
            *birth.findings(self.cluster, observed),
        ]
        brought = {
            arch: {image for archive in archives for image in archive.images}
            for arch, archives in self._brought().items()
        }
        of_hosts = preflight.findings(self.cluster, observed, brought, self.scope)
        return observed, [*found, *of_hosts]

    def plan(self) -> K3sPlan:
        """Facts, preflight, then what differs.

        Raises:
            PreflightError: the hosts are not fit for it.
        """
        observed, found = self.preflight()
        preflight.refuse(self.cluster, found)
        for finding in found:
            self.watcher.note(str(finding))
        planned = plan_cluster(self.cluster, observed.facts, self._read_desired(), self.scope)
        self._steady[:] = [observed] if planned.plan.is_empty else []
        return planned

    @cached_property
    def policy(self) -> PolicyInForce:
        """As `Cluster.policy`."""
        return self.cluster.policy()

    @cached_property
    def log(self) -> EvidenceLog:
        """The records about the cluster, in the store that its file names."""
        return open_log(self.cluster, self.waiting)

    def facts(self) -> dict[str, Any]:
        """Who we are here."""
        return {"who": account()}

    def makes_evidence_store(self, planned: K3sPlan) -> bool:
        """No: a cluster's records are kept outside of it."""
        return False

    def is_provisioned(self, planned: K3sPlan) -> bool:
        """Whether any server is a member of a cluster.

        Raises:
            UnreachableError: nothing differs on the hosts that answer, and others do not.
        """
        silent = [name.removeprefix(LEFT_OUT) for name in planned.plan.inputs if LEFT_OUT in name]
        if silent and planned.plan.is_empty:
            raise UnreachableError(
                f"comparing {self.cluster.subject} with its file",
                f"nothing differs on the other hosts, but no answer from {', '.join(silent)}",
                "Run it again once they answer.",
            )
        return bool(planned.topology.members)

    def apply(self, planned: K3sPlan, stage: str) -> dict[str, Any]:
        """One stage of exactly this plan, on hosts locked for it.

        Raises:
            StalePlanError: the facts have changed since.
            LockedError: somebody else is changing a host.
            NotReadyError: K3S on a host did not come up.
        """
        self._steady.clear()
        asyncio.run(self._apply(planned, Stage(stage)))
        return self.outputs()

    def probes(self) -> Sequence[Probe]:
        """The API at its address, where it answers this machine before anything is changed."""
        file = self.cluster.secrets_folder / kubeconfig.NAME
        if not file.exists():
            return ()
        probe = Probe("K3S API", kubeconfig.api_probe(file))
        return (probe,) if probe.look() is None else ()

    def outputs(self) -> dict[str, Any]:
        """Where the cluster is found."""
        return {
            "api": self.cluster.endpoint_url(),
            "kubeconfig": str(self.cluster.secrets_folder / kubeconfig.NAME),
        }

    def verify(self, outputs: Mapping[str, Any]) -> ClusterVerification:
        """Nodes, pods at work, the API at its address, the hardening; writes the kubeconfig.

        Raises:
            UnsteadyClusterError: a node is missing, not Ready, no voter, of another version, or
                has other labels or taints than the file gives it; or something has not taken
                effect.
        """

        def report(what: str) -> None:
            self.watcher.progress(Progress(what))

        return asyncio.run(
            verify_and_keep_kubeconfig(
                self.cluster,
                self.connector,
                Patience(_ready_seconds()),
                report,
                self.scope,
                observed=self._steady.pop() if self._steady else None,
            )
        )

    def status(self) -> ClusterStatus:
        """The cluster as it is now, hosts that are down left out."""
        return asyncio.run(read_status(self.cluster, self.connector))

    # What an apply needs

    async def _apply(self, planned: K3sPlan, stage: Stage) -> None:
        async with AsyncExitStack() as stack:
            hosts = await stack.enter_async_context(connect_hosts(self.cluster, self.connector))
            self._raise_first(hosts.failed)
            for transport in hosts.transports.values():
                held_by = f"xops k3s apply by {account()}"
                lock = transport.lock(paths.LOCK, held_by)
                await stack.enter_async_context(lock)
            await self._apply_if_unchanged(hosts, planned, stage)

    async def _apply_if_unchanged(
        self, hosts: ConnectedHosts, planned: K3sPlan, stage: Stage
    ) -> None:
        now = await self._plan_now(hosts)
        if now.plan.digest != planned.plan.digest:
            raise StalePlanError(
                f"applying plan {planned.plan.label}",
                f"the hosts have changed since: the plan is now {now.plan.label}",
                "Look at the new plan and approve it.",
                retry_after=0,
            )
        kept = await tokens.load_or_create_tokens(
            self.cluster, now.topology.members, hosts.transports
        )
        await Installation(
            self.cluster,
            HostExecutor(hosts.transports, _Steps(self.watcher, now, stage).report),
            now,
            kept,
            await self._obtain_files(now),
            _ready_seconds(),
        ).run(stage)

    async def _plan_now(self, hosts: ConnectedHosts) -> K3sPlan:
        observed = await collect_facts(self.cluster, hosts, probe_disk=False, peers=False)
        self._raise_first(observed.failed)
        return plan_cluster(self.cluster, observed.facts, self._read_desired(), self.scope)

    def _read_desired(self) -> Desired:
        """What the hosts shall have; passwords and tokens are read now."""
        arches = sorted({host.arch for host in self.cluster.hosts})
        version = self.cluster.k3s.version

        def artifacts(kind: Kind) -> dict[str, Artifact]:
            return {arch: self.lock.artifact(version, arch, kind) for arch in arches}

        return Desired(
            key=load_or_create_key(settings.home(), os.environ),
            binaries=artifacts(Kind.BINARY),
            images=artifacts(Kind.IMAGES) if self.cluster.air_gap else {},
            extra_images=self._brought(),
            secrets=SecretFiles(
                registries.file(self.cluster.registries),
                snapshots.secret(self.cluster.snapshots, version),
            ),
            tokens=tokens.load(self.cluster.secrets_folder),
            inputs={
                **dict(_secret_places(self.cluster)),
                **{f"scripts/{name}": value for name, value in script_hashes().items()},
            },
        )

    def _raise_first(self, failed: Mapping[str, XopsError]) -> None:
        """Raise why a host could not be looked at, unless it is one that is left out."""
        silent = self.scope.left_out(self.cluster, failed)
        for name, error in failed.items():
            if name not in silent:
                raise error

    def _brought(self) -> Mapping[Architecture, tuple[ExtraImages, ...]]:
        """Archives of images besides K3S's own that come to hosts without internet access."""
        return self.lock.extra_images(self.cluster.k3s.version) if self.cluster.air_gap else {}

    async def _obtain_files(self, planned: K3sPlan) -> ReleaseFiles:
        """The files that the plan brings to some host, verified on this machine."""
        return await obtain_files(
            source_of(self.cluster, os.environ),
            self.lock,
            self.cluster.k3s.version,
            binaries={part.host.arch for part in planned.hosts if part.binary},
            images={part.host.arch for part in planned.hosts if part.images},
            extra_images=[archive for part in planned.hosts for archive in part.extra_images],
            on_progress=report_transfers("this machine", self._report_transfer),
        )

    def _report_transfer(self, host: str, what: str, seconds: float | None) -> None:
        self.watcher.progress(Progress(f"{host}: {what}", seconds=seconds))


@dataclass
class _Steps:
    """Tells the steps of hosts, and how many hosts of a stage have come to their end."""

    watcher: Watcher
    planned: K3sPlan
    stage: Stage
    _up: set[str] = field(default_factory=set)

    def report(self, host: str, what: str, seconds: float | None) -> None:
        """Something was done on a host; `seconds` is None while it goes on."""
        if what == "node":
            self._up.add(host)
        hosts = {name for turn in self.planned.of_stage(self.stage) for name in turn.hosts}
        line = f"{host}: {what}"
        self.watcher.progress(Progress(line, len(self._up), len(hosts), "hosts", seconds))


def _ready_seconds() -> int:
    """How long what is to come up is waited for."""
    return int(os.environ.get("XOPS_K3S_GATE_SECONDS", READY_SECONDS))


def open_log(cluster: Cluster, waiting: Sequence[WaitingRecords] = ()) -> EvidenceLog:
    """The records about a cluster; `waiting` is where they wait besides xOps' home."""
    kept = cluster.evidence
    store: EvidenceStore
    if isinstance(kept, FolderEvidence):
        store = kept.open()
    else:
        # Of the few seconds that a look may take, a quarter would go by until boto3 is there.
        from xops.aws.access import Aws
        from xops.aws.evidence import S3Store
        from xops.aws.target import Target

        aws = Aws(Target.AWS, kept.region, follows_endpoints=True)
        store = S3Store(aws.client("s3"), kept.bucket, kept.prefix)
    return open_evidence(store, cluster.subject, waiting)


def _secret_places(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Where each secret is read from: another place is another plan."""
    for name, config in sorted(cluster.registries.configs.items()):
        if config.auth:
            yield f"password of registry {name}", str(config.auth.password)
    s3 = cluster.snapshots.s3
    if s3 and s3.access_key and s3.secret_key:
        yield "access key of the snapshots' bucket", str(s3.access_key)
        yield "secret key of the snapshots' bucket", str(s3.secret_key)
