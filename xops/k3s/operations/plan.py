"""From facts to a plan: what differs from what shall be, host by host. Pure.

A target is written `host: what`; the plan has an own line for each service that would be started
or restarted, so that a person sees what an apply interrupts. Facts end here: a host's plan holds
the lines that a person reads and all that an apply needs to bring them about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from xops.core.plan.model import Action, Change, Plan
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import config
from xops.k3s.node.managed_file import File, SecretFiles
from xops.k3s.operations import tokens
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import Artifact
from xops.k3s.state import topology
from xops.k3s.state.facts import FileFacts, HostFacts
from xops.k3s.state.topology import Topology

TARGET = "hosts"
"""Where a plan of this step works: on hosts over SSH."""

_OURS = (paths.SYSCTL, paths.REGISTRIES)


@dataclass(frozen=True)
class Desired:
    """What the hosts shall have beyond what the cluster file says.

    Attributes:
        binaries: K3S's binary by architecture.
        images: the archive of images by architecture; empty with internet access.
        secrets: what holds passwords and keys.
        tokens: None if there are none yet on this machine.
    """

    binaries: Mapping[str, Artifact]
    images: Mapping[str, Artifact] = field(default_factory=dict)
    secrets: SecretFiles = field(default=SecretFiles(), repr=False)
    tokens: Tokens | None = None


class ServiceStep(StrEnum):
    """What happens to K3S's service."""

    KEEP = "keep"
    START = "start"
    RESTART = "restart"
    RELAUNCH = "relaunch"
    """It does not run yet, but is starting with what it read before: it must start over."""

    @property
    def verb(self) -> str:
        """What the init system is told: keep, start or restart."""
        return ServiceStep.RESTART.value if self is ServiceStep.RELAUNCH else self.value


class Membership(StrEnum):
    """How the host belongs to the cluster."""

    STEADY = "steady"
    UNREADY = "unready"
    """It is a member whose node is not as it shall be, and is waited for."""
    JOINS = "joins"
    REJOINS = "rejoins"
    """The cluster knows an earlier life of the host, which must be forgotten first."""


@dataclass(frozen=True)
class HostPlan:
    """What is to be done on one host.

    Attributes:
        host: which.
        unit: the file that tells its init system about K3S.
        changes: the lines that a person reads.
        files: those that differ.
        removed: paths of files of ours that shall not be there any more.
        binary, images: what must be brought; None where the host has it.
        tokens: paths of the token files that differ.
        service: what happens to K3S's service.
        membership: how the host belongs to the cluster.
    """

    host: Host
    unit: str
    changes: tuple[Change, ...] = ()
    files: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    binary: Artifact | None = None
    images: Artifact | None = None
    tokens: tuple[str, ...] = ()
    service: ServiceStep = ServiceStep.KEEP
    membership: Membership = Membership.STEADY

    @property
    def is_empty(self) -> bool:
        """Whether the host is as it shall be."""
        return not self.changes

    @property
    def starts(self) -> bool:
        """Whether the service does not run now and shall."""
        return self.service in (ServiceStep.START, ServiceStep.RELAUNCH)

    @property
    def restarts(self) -> bool:
        """Whether a service that runs is interrupted."""
        return self.service is ServiceStep.RESTART

    @property
    def joins(self) -> bool:
        """Whether the host becomes a member now."""
        return self.membership in (Membership.JOINS, Membership.REJOINS)

    @property
    def rejoins(self) -> bool:
        """Whether the cluster must forget an earlier life of the host first."""
        return self.membership is Membership.REJOINS

    @property
    def is_awaited(self) -> bool:
        """Whether the service or the node is waited for."""
        return self.service is not ServiceStep.KEEP or self.membership is Membership.UNREADY


@dataclass(frozen=True)
class K3sPlan:
    """The plan as people see it, and what it means for each host."""

    plan: Plan
    hosts: tuple[HostPlan, ...]
    topology: Topology

    def of(self, host: Host) -> HostPlan:
        """The part of one host."""
        return next(part for part in self.hosts if part.host == host)


def plan_cluster(cluster: Cluster, facts: Mapping[str, HostFacts], desired: Desired) -> K3sPlan:
    """Compare every host with what the cluster file says."""
    formation = topology.read(cluster, facts)
    parts = tuple(
        _Comparison(cluster, host, facts[host.name], formation, desired).plan()
        for host in cluster.hosts
    )
    changes = tuple(change for part in parts for change in part.changes)
    return K3sPlan(Plan(subject=cluster.subject, target=TARGET, changes=changes), parts, formation)


def is_right(file: File, found: FileFacts | None) -> bool:
    """Whether the file on the host has this content, mode and owner."""
    if found is None:
        return False
    wanted = hashlib.sha256(file.content.encode()).hexdigest()
    return (found.sha256, found.mode, found.owner) == (wanted, f"{file.mode:o}", "root:root")


def images_path(cluster: Cluster, artifact: Artifact) -> str:
    """Where an archive of images lies on a host; its name tells its bytes."""
    return f"{cluster.k3s.data_dir}/{paths.IMAGES}/xops-{artifact.sha256[:12]}-{artifact.name}"


@dataclass(frozen=True)
class _Comparison:
    """One host as it is beside what it shall be."""

    cluster: Cluster
    host: Host
    seen: HostFacts
    formation: Topology
    desired: Desired

    def plan(self) -> HostPlan:
        """What differs, and the line for each."""
        wanted = list(
            config.files(self.cluster, self.host, self.seen, self.formation, self.desired.secrets)
        )
        part = HostPlan(
            self.host,
            paths.unit(self.host, self.seen.init),
            files=tuple(
                file for file in wanted if not is_right(file, self.seen.files.get(file.path))
            ),
            removed=tuple(self._removed({file.path for file in wanted})),
            binary=self._binary(),
            images=self._images(),
            tokens=tuple(
                tokens.differing_files(
                    self.host, self.seen, self.formation.cluster_id, self.desired.tokens
                )
            ),
            membership=self._membership(),
        )
        part = replace(part, service=self._service(part))
        return replace(part, changes=tuple(self._changes(part)))

    def _binary(self) -> Artifact | None:
        artifact = self.desired.binaries[self.host.arch]
        found = self.seen.files.get(paths.BINARY)
        is_there = found is not None and (found.sha256, found.mode) == (artifact.sha256, "755")
        return None if is_there else artifact

    def _images(self) -> Artifact | None:
        artifact = self.desired.images.get(self.host.arch)
        if artifact is None:
            return None
        # It got this name when its hash had been compared; a size tells a disk that lost its end.
        size = self.seen.images.get(images_path(self.cluster, artifact))
        return None if size is not None and artifact.size in (None, size) else artifact

    def _removed(self, wanted: set[str]) -> Iterator[str]:
        """Files that only xOps writes, and no longer wants."""
        manifests = f"{self.cluster.k3s.data_dir}/{paths.MANIFESTS}/xops-"
        for path in sorted(self.seen.files):
            if (path in _OURS or path.startswith(manifests)) and path not in wanted:
                yield path

    def _membership(self) -> Membership:
        host, formation = self.host, self.formation
        if (
            host in formation.joiners
            or host == formation.initialising_server
            or topology.is_new_agent(host, self.seen)
        ):
            return Membership.REJOINS if formation.node(host) else Membership.JOINS
        if formation.nodes is None:
            return Membership.STEADY  # no API answers: nobody can tell, and none is waited for
        node = formation.node(host)
        is_steady = node and node.ready and (node.voter is True or not host.is_server)
        return Membership.STEADY if is_steady else Membership.UNREADY

    def _service(self, part: HostPlan) -> ServiceStep:
        service, is_unread = self.seen.service, paths.UNREAD in self.seen.files
        if service is not None and service.is_active:
            # Of what differs only some is read at a start alone: manifests and sysctl are applied
            # as they are written, an address to join through is used once. What an apply that was
            # killed had written before it told the service (UNREAD) looks right by now, and unread.
            must_read = (
                part.binary is not None
                or any(self._restarts(file) for file in part.files)
                or paths.REGISTRIES in part.removed
                or is_unread
            )
            return ServiceStep.RESTART if must_read or part.joins else ServiceStep.KEEP
        is_starting = service is not None and not service.is_stopped
        differs = part.binary or part.files or part.tokens or is_unread
        # A service that is starting has read its files already: `start` would leave it at that.
        return ServiceStep.RELAUNCH if is_starting and differs else ServiceStep.START

    def _restarts(self, file: File) -> bool:
        known = self.seen.contents.get(file.path)
        if file.path == paths.CONFIG and known is not None:
            return config.needs_restart(known, file.content)
        return file.restarts

    def _changes(self, part: HostPlan) -> Iterator[Change]:
        """The lines of the host, in the order of the work."""
        name, files = self.host.name, self.seen.files
        if part.rejoins:
            yield _change(name, "node", {"name": name}, None, _STALE)
        if part.images:
            after = {"sha256": part.images.sha256}
            yield _change(name, part.images.name, None, after, "staged before K3S")
        if part.binary:
            yield self._binary_change(part.binary)
        yield from map(self._file_change, part.files)
        for path in part.tokens:
            before = {"sha256": "another"} if path in files else None
            after = {"content": "a token"}
            yield _change(name, path, before, after, "mode 0600, content not shown")
        for path in part.removed:
            yield _change(name, path, {"sha256": files[path].sha256}, None, "no longer wanted")
        yield from self._service_changes(part)

    def _binary_change(self, artifact: Artifact) -> Change:
        found = self.seen.files.get(paths.BINARY)
        version = self.seen.version or "unknown"
        before = {"version": version, "sha256": found.sha256} if found else None
        after = {"version": self.cluster.k3s.version, "sha256": artifact.sha256}
        reason = f"{artifact.name} of the lock file"
        return _change(self.host.name, paths.BINARY, before, after, reason)

    def _file_change(self, file: File) -> Change:
        found = self.seen.files.get(file.path)
        before: Any = None
        after: Any = {"content": "not shown"} if file.secret else {"content": file.content}
        after["mode"] = f"{file.mode:04o}"
        if found is not None:
            known = self.seen.contents.get(file.path, f"sha256 {found.sha256[:12]}")
            shown = "not shown" if file.secret else known
            before = {"content": shown, "mode": found.mode.zfill(4)}
        reason = "differs" if before else "missing"
        return _change(self.host.name, file.path, before, after, reason)

    def _service_changes(self, part: HostPlan) -> Iterator[Change]:
        name, service = self.host.name, self.seen.service
        if part.service is not ServiceStep.KEEP:
            before = {"state": service.active} if service else None
            verb = "restarts" if part.restarts else "starts"
            reason = f"{verb}: {self._why(part)}"
            yield _change(name, paths.service(self.host), before, {"state": "active"}, reason)
        elif part.membership is Membership.UNREADY:
            node = self.formation.node(self.host)
            state = {"ready": node.ready, "voter": node.voter} if node else {"node": "unknown"}
            after = {"ready": True, "voter": True if self.host.is_server else None}
            yield _change(name, "node", state, after, "is waited for")

    def _why(self, part: HostPlan) -> str:
        if self.host == self.formation.initialising_server:
            return "initialises the cluster"
        if part.joins:
            return "joins the cluster"
        if part.binary:
            return "reads the new binary"
        return "reads its configuration anew" if part.restarts else "does not run"


_STALE = "its disk was lost: the cluster must forget its earlier member before it joins anew"


def _change(host: str, what: str, before: Any, after: Any, reason: str) -> Change:
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    return Change(
        action=action, target=f"{host}: {what}", before=before, after=after, reason=reason
    )
