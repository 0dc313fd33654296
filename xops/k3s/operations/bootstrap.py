"""A cluster's steps as `xops.core.lifecycle.steps` puts them in order.

Every step connects anew and reads the facts anew: what was done is found done, so that running it
again is how it resumes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from xops.aws.access import Aws
from xops.aws.evidence import S3Store
from xops.aws.target import Target
from xops.core.errors import StalePlanError
from xops.core.evidence import records
from xops.core.evidence.settings import FolderEvidence
from xops.core.evidence.stores import EvidenceStore
from xops.core.lifecycle import watching
from xops.core.lifecycle.gate import Approval, who
from xops.core.plan.model import Plan
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node import registries, snapshots
from xops.k3s.node.managed_file import SecretFiles
from xops.k3s.operations import kubeconfig, tokens
from xops.k3s.operations.apply import READY_SECONDS, Installation
from xops.k3s.operations.executor import HostExecutor, report_transfers
from xops.k3s.operations.plan import Desired, K3sPlan, ServiceStep, plan_cluster
from xops.k3s.operations.status import ClusterStatus, read_status
from xops.k3s.operations.verify import (
    ClusterVerification,
    UnsteadyClusterError,
    verify_and_keep_kubeconfig,
)
from xops.k3s.release.lock import Artifact, Kind, Lock
from xops.k3s.release.obtain import ReleaseFiles, obtain_files, source_of
from xops.k3s.ssh.transport_protocol import Connector
from xops.k3s.state import preflight
from xops.k3s.state.collect import ConnectedHosts, collect_facts, connect_hosts
from xops.k3s.state.preflight import Observation, PreflightFinding

_PASSES = 2


class HostStepWatcher(watching.Watcher, Protocol):
    """Who is shown what happens, host by host."""

    def step(self, host: str, what: str, seconds: float | None) -> None:
        """Something was done on a host; `seconds` is None while it goes on."""


@dataclass(frozen=True)
class K3sSteps:
    """One cluster's steps: bring its hosts to what its file says."""

    kind: ClassVar[str] = "apply"

    cluster: Cluster
    connector: Connector
    watcher: HostStepWatcher
    lock: Lock

    def preflight(self) -> tuple[Observation, list[PreflightFinding]]:
        """What is wrong with the hosts; nothing is changed."""
        return asyncio.run(self._preflight())

    async def _preflight(self) -> tuple[Observation, list[PreflightFinding]]:
        async with connect_hosts(self.cluster, self.connector) as hosts:
            observed = await collect_facts(self.cluster, hosts)
        return observed, preflight.findings(self.cluster, observed)

    def plan(self) -> K3sPlan:
        """Facts, preflight, then what differs.

        Raises:
            PreflightError: the hosts are not fit for it.
        """
        observed, found = self.preflight()
        preflight.refuse(self.cluster, found)
        for finding in found:
            self.watcher.note(str(finding))
        return plan_cluster(self.cluster, observed.facts, self._read_desired())

    def policy(self, plan: Plan) -> Approval | None:
        """Approved by the cluster's file, where it does not name these changes."""
        if self.cluster.approval.needed(plan):
            return None
        by = f"policy of cluster file {self.cluster.name}"
        return Approval(by, "approval.required_for does not name these changes", plan.digest)

    def apply(self, planned: K3sPlan) -> dict[str, Any]:
        """Exactly this plan, on hosts locked for it.

        Raises:
            StalePlanError: the facts have changed since.
            LockedError: somebody else is changing a host.
            NotReadyError: K3S on a host did not come up.
        """
        asyncio.run(self._apply(planned))
        return self.outputs()

    def outputs(self) -> dict[str, Any]:
        """Where the cluster is found."""
        return {
            "api": self.cluster.endpoint_url(),
            "kubeconfig": str(self.cluster.secrets_folder / kubeconfig.NAME),
        }

    def verify(self, outputs: Mapping[str, Any]) -> ClusterVerification:
        """Nodes, the API at its address, the hardening report; writes the kubeconfig.

        Raises:
            UnsteadyClusterError: a node is missing, not Ready, no voter or of another version.
        """
        return asyncio.run(verify_and_keep_kubeconfig(self.cluster, self.connector))

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """Keep one record in the cluster's evidence store; its address.

        Raises:
            TemporaryError, PermanentError: it is not kept.
        """
        facts = {"who": who(), **facts}
        return records.record(self._open_store(), self.cluster.subject, kind, digest, facts)

    def _open_store(self) -> EvidenceStore:
        kept = self.cluster.evidence
        if isinstance(kept, FolderEvidence):
            return kept.open()
        aws = Aws(Target.AWS, kept.region, follows_endpoints=True)
        return S3Store(aws.client("s3"), kept.bucket, kept.prefix)

    def status(self) -> ClusterStatus:
        """The cluster as it is now, hosts that are down left out."""
        return asyncio.run(read_status(self.cluster, self.connector))

    # What an apply needs

    async def _apply(self, planned: K3sPlan) -> None:
        async with AsyncExitStack() as stack:
            hosts = await stack.enter_async_context(connect_hosts(self.cluster, self.connector))
            _raise_first(hosts.failed)
            for host in self.cluster.hosts:
                lock = hosts.transports[host.name].lock(paths.LOCK, f"xops k3s apply by {who()}")
                await stack.enter_async_context(lock)
            await self._apply_if_unchanged(hosts, planned)

    async def _apply_if_unchanged(self, hosts: ConnectedHosts, planned: K3sPlan) -> None:
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
        for _ in range(_PASSES):
            await Installation(
                self.cluster,
                HostExecutor(hosts.transports, self.watcher.step),
                now,
                kept,
                await self._obtain_files(now),
                int(os.environ.get("XOPS_K3S_GATE_SECONDS", READY_SECONDS)),
            ).run()
            # The first server now knows others that it can join through, should its disk be lost.
            now = await self._plan_now(hosts)
            if now.plan.is_empty:
                return
            _refuse_more_restarts(now)
        raise UnsteadyClusterError(
            f"looking at {now.plan.subject} after the apply",
            f"this still differs: {', '.join(change.target for change in now.plan.changes)}",
            "Find out what else changes it on the host, then run it again.",
        )

    async def _plan_now(self, hosts: ConnectedHosts) -> K3sPlan:
        observed = await collect_facts(self.cluster, hosts, probe_disk=False, peers=False)
        _raise_first(observed.failed)
        return plan_cluster(self.cluster, observed.facts, self._read_desired())

    def _read_desired(self) -> Desired:
        """What the hosts shall have; passwords and tokens are read now."""
        arches = sorted({host.arch for host in self.cluster.hosts})
        version = self.cluster.k3s.version

        def artifacts(kind: Kind) -> dict[str, Artifact]:
            return {arch: self.lock.artifact(version, arch, kind) for arch in arches}

        return Desired(
            binaries=artifacts(Kind.BINARY),
            images=artifacts(Kind.IMAGES) if self.cluster.air_gap else {},
            secrets=SecretFiles(
                registries.file(self.cluster.registries), snapshots.secret(self.cluster.snapshots)
            ),
            tokens=tokens.load(self.cluster.secrets_folder),
        )

    async def _obtain_files(self, planned: K3sPlan) -> ReleaseFiles:
        """The files that the plan brings to some host, verified on this machine."""
        return await obtain_files(
            source_of(self.cluster, os.environ),
            self.lock,
            self.cluster.k3s.version,
            binaries={part.host.arch for part in planned.hosts if part.binary},
            images={part.host.arch for part in planned.hosts if part.images},
            on_progress=report_transfers("this machine", self.watcher.step),
        )


def _raise_first(failed: Mapping[str, Exception]) -> None:
    for error in failed.values():
        raise error


def _refuse_more_restarts(left: K3sPlan) -> None:
    """What is left after an apply may be written down, but nothing is restarted unasked."""
    names = [
        part.host.name for part in left.hosts if part.service is not ServiceStep.KEEP or part.joins
    ]
    if names:
        raise UnsteadyClusterError(
            f"looking at {left.plan.subject} after the apply",
            f"{', '.join(names)} would have to be started or restarted again",
            "Look at `xops k3s plan`: it shows what differs now.",
        )
