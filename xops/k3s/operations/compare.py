"""What differs on each host from what the cluster file says. Pure.

Facts end here: what follows from a difference, and in which order, is `host_operations` and
`sequence`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from xops.core.files.bounded_yaml import parse_yaml
from xops.core.plan.fingerprint import FingerprintKey
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import config, effects, labels
from xops.k3s.node.effects import KeyDifference
from xops.k3s.node.labels import MarksChange
from xops.k3s.node.managed_file import File, SecretFiles
from xops.k3s.operations import tokens
from xops.k3s.operations.operation import ServiceStep, Stage
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import Architecture, Artifact
from xops.k3s.state import topology
from xops.k3s.state.facts import EtcdMember, FileFacts, HostFacts
from xops.k3s.state.topology import Topology

_OURS = (paths.SYSCTL, paths.REGISTRIES)


@dataclass(frozen=True)
class Desired:
    """What the hosts shall have beyond what the cluster file says.

    Attributes:
        binaries: K3S's binary by architecture.
        images: the archive of images by architecture; empty with internet access.
        extra_images: archives of images that no release has; as `images`.
        secrets: what holds passwords and keys.
        tokens: None if there are none yet on this machine.
        key: marks what a plan does not show.
        inputs: what an apply would use beyond its changes.
    """

    key: FingerprintKey = field(repr=False)
    binaries: Mapping[str, Artifact]
    images: Mapping[str, Artifact] = field(default_factory=dict)
    extra_images: Mapping[Architecture, tuple[Artifact, ...]] = field(default_factory=dict)
    secrets: SecretFiles = field(default=SecretFiles(), repr=False)
    tokens: Tokens | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


class Membership(StrEnum):
    """How the host belongs to the cluster."""

    STEADY = "steady"
    UNREADY = "unready"
    """It is a member whose node is not as it shall be, and is waited for."""
    JOINS = "joins"
    REJOINS = "rejoins"
    """The cluster knows an earlier life of the host, which must be forgotten first."""


@dataclass(frozen=True)
class HostDifference:
    """What of one host is not as it shall be.

    Attributes:
        host: which.
        unit: the file that tells its init system about K3S.
        files: those that differ.
        removed: paths of files of ours that shall not be there any more.
        binary, images: what must be brought; None where the host has it.
        extra_images: archives that must be brought besides.
        tokens: paths of the token files that differ.
        service: what happens to K3S's service.
        membership: how the host belongs to the cluster.
        labels, taints: what of its node's differs; None where nothing does.
        earlier: members of etcd that the host was before it lost etcd's data.
        discards: whether etcd's data on the host, of a member that was removed, is set aside.
        addresses: at which the host is reached, by which its member is known.
    """

    host: Host
    unit: str
    files: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    binary: Artifact | None = None
    images: Artifact | None = None
    extra_images: tuple[Artifact, ...] = ()
    tokens: tuple[str, ...] = ()
    service: ServiceStep = ServiceStep.KEEP
    membership: Membership = Membership.STEADY
    labels: MarksChange | None = None
    taints: MarksChange | None = None
    earlier: tuple[EtcdMember, ...] = ()
    discards: bool = False
    addresses: frozenset[str] = frozenset()

    @property
    def archives(self) -> tuple[Artifact, ...]:
        """All archives of images that must be brought."""
        return (*((self.images,) if self.images else ()), *self.extra_images)

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
    def waits(self) -> bool:
        """Whether it is a member whose node is not as it shall be."""
        return self.membership is Membership.UNREADY

    @property
    def is_busy(self) -> bool:
        """Whether its service is told something, or it becomes a member."""
        return self.service is not ServiceStep.KEEP or self.joins

    @property
    def is_awaited(self) -> bool:
        """Whether the service or the node is waited for."""
        return self.service is not ServiceStep.KEEP or self.waits

    def stage(self, *, servers_busy: bool) -> Stage:
        """The stage in which the host has its turn, beside those that are the same for all.

        A server that is only waited for has its turn with servers that are busy: etcd takes one
        learner at a time, and members that are down together come up together.
        """
        if self.is_busy or (self.waits and servers_busy and self.host.is_server):
            return Stage.SERVERS if self.host.is_server else Stage.AGENTS
        return Stage.NODES if self.waits else Stage.FILES


def is_right(file: File, found: FileFacts | None) -> bool:
    """Whether the file on the host has this content, mode and owner; K3S's own must be there."""
    if found is None or file.once:
        return found is not None
    wanted = hashlib.sha256(file.content.encode()).hexdigest()
    return (found.sha256, found.mode, found.owner) == (wanted, f"{file.mode:o}", "root:root")


def images_path(cluster: Cluster, artifact: Artifact) -> str:
    """Where an archive of images lies on a host; its name tells its bytes."""
    return f"{cluster.k3s.data_dir}/{paths.IMAGES}/xops-{artifact.sha256[:12]}-{artifact.name}"


@dataclass(frozen=True)
class Comparison:
    """One host as it is beside what it shall be.

    Attributes:
        cluster: its file.
        host: which of its hosts.
        seen: the host's facts.
        formation: the cluster's.
        desired: what it shall have beyond the file.
    """

    cluster: Cluster
    host: Host
    seen: HostFacts
    formation: Topology
    desired: Desired

    def difference(self) -> HostDifference:
        """What differs."""
        wanted = list(
            config.files(self.cluster, self.host, self.seen, self.formation, self.desired.secrets)
        )
        part = HostDifference(
            self.host,
            paths.unit(self.host, self.seen.init),
            files=tuple(
                file for file in wanted if not is_right(file, self.seen.files.get(file.path))
            ),
            removed=tuple(self._removed({file.path for file in wanted})),
            binary=self._binary(),
            images=self._missing_images(self.desired.images.get(self.host.arch)),
            extra_images=tuple(
                archive
                for archive in self.desired.extra_images.get(self.host.arch, ())
                if self._missing_images(archive)
            ),
            tokens=tuple(
                tokens.differing_files(
                    self.host, self.seen, self.formation.cluster_id, self.desired.tokens
                )
            ),
            membership=self._membership(),
            earlier=self.formation.earlier.get(self.host.name, ()),
            discards=self.host in self.formation.removed,
            addresses=self.seen.addresses,
        )
        part = replace(part, service=self._service(part))
        return self._with_marks(part)

    def once_formed(self) -> tuple[File, File] | None:
        """config.yaml of the server that initialises the cluster: as it is written first, and as it
        will be when the others have joined, through whom it can join should its disk be lost.

        None on any other host, and where nothing differs.
        """
        if self.host != self.formation.initialising_server:
            return None
        now = self._config_file(self.seen, self.formation)
        formed = topology.once_formed(self.cluster, self.formation)
        seen = replace(self.seen, contents={paths.CONFIG: now.content})
        then = self._config_file(seen, formed)
        return None if now.content == then.content else (now, then)

    def _config_file(self, seen: HostFacts, formation: Topology) -> File:
        return next(
            file
            for file in config.files(self.cluster, self.host, seen, formation, self.desired.secrets)
            if file.path == paths.CONFIG
        )

    def _binary(self) -> Artifact | None:
        artifact = self.desired.binaries[self.host.arch]
        found = self.seen.files.get(paths.BINARY)
        is_there = found is not None and (found.sha256, found.mode) == (artifact.sha256, "755")
        return None if is_there else artifact

    def _missing_images(self, artifact: Artifact | None) -> Artifact | None:
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
            is_known = formation.node(host) or host.name in formation.earlier
            return Membership.REJOINS if is_known else Membership.JOINS
        if formation.nodes is None:
            return Membership.STEADY  # no API answers: nobody can tell, and none is waited for
        node = formation.node(host)
        is_steady = node and node.ready and (node.voter is True or not host.is_server)
        return Membership.STEADY if is_steady else Membership.UNREADY

    def _service(self, part: HostDifference) -> ServiceStep:
        service, is_unread = self.seen.service, paths.UNREAD in self.seen.files
        if service is not None and service.is_active:
            # Of what differs only some is read at a start alone: manifests and sysctl are applied
            # as they are written, an address to join through is used once. What an apply that was
            # killed had written before it told the service (UNREAD) looks right by now, and unread.
            must_read = (
                part.binary is not None
                or any(self.is_read_at_start(file) for file in part.files)
                or paths.REGISTRIES in part.removed
                or is_unread
            )
            return ServiceStep.RESTART if must_read or part.joins else ServiceStep.KEEP
        is_starting = service is not None and not service.is_stopped
        differs = part.binary or part.files or part.tokens or is_unread
        # A service that is starting has read its files already: `start` would leave it at that.
        return ServiceStep.RELAUNCH if is_starting and differs else ServiceStep.START

    def is_read_at_start(self, file: File) -> bool:
        """Whether K3S must be started anew for what differs of the file to come about."""
        known = self.seen.contents.get(file.path)
        if file.path == paths.CONFIG and known is not None:
            return effects.restarts(self.key_differences(known, file.content))
        return file.restarts

    def key_differences(self, before: str, after: str) -> tuple[KeyDifference, ...]:
        """The keys that differ between two contents of config.yaml."""
        old, new = (parse_yaml(text) or {} for text in (before, after))
        return effects.differences(old, new, is_server=self.host.is_server)

    def _with_marks(self, part: HostDifference) -> HostDifference:
        """With what differs of the node's labels and taints; K3S gives them to a new one."""
        node = self.formation.node(self.host)
        if node is None or part.joins:
            return part
        want, had = labels.wanted(self.cluster, self.host), labels.given(self.seen)
        found = labels.of_node(node)
        return replace(
            part,
            labels=labels.differing(want.labels, had.labels, found.labels),
            taints=labels.differing(want.taints, had.taints, found.taints),
        )
