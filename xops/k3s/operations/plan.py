"""From facts to a plan: what differs from what shall be, host by host. Pure.

A target is written `host: what`; the plan has an own line for each service that would be started
or restarted, so that a person sees what an apply interrupts. Facts end here: a host's plan holds
the lines that a person reads and all that an apply needs to bring them about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import yaml

from xops.core.files.bounded_yaml import parse_yaml
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, escape, unknown
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import config, effects, labels
from xops.k3s.node.effects import KeyDifference
from xops.k3s.node.labels import MarksChange
from xops.k3s.node.managed_file import File, SecretFiles, managed
from xops.k3s.operations import tokens
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import Architecture, Artifact
from xops.k3s.state import topology
from xops.k3s.state.facts import EtcdMember, FileFacts, HostFacts
from xops.k3s.state.topology import Topology

TARGET = "hosts"
"""Where a plan of this step works: on hosts over SSH."""

_OURS = (paths.SYSCTL, paths.REGISTRIES)
_SECRET_PATHS = (paths.REGISTRIES, paths.TOKEN, paths.AGENT_TOKEN)
_SECRET_MANIFEST = "/xops-etcd-s3.yaml"  # noqa: S105 - a file's name

CLUSTER_TOKENS = "the cluster's tokens"
"""What the token files of servers will hold is made by the first apply."""

JOIN_TOKEN = "a token that lets agents in for an hour"  # noqa: S105 - words
"""A server makes it while the agents are installed."""


class Stage(StrEnum):
    """The stages of an apply, in their order."""

    IMAGES = "images"
    """Archives of images come to all hosts before anything of K3S changes on any."""
    UNLABEL = "unlabel"
    """Labels and taints that nodes shall have no longer are taken away, through the API: before
    config.yaml is written, which tells what xOps gave them until now."""
    SERVERS = "servers"
    AGENTS = "agents"
    FILES = "files"
    """What nothing is restarted for: the way in which the first server would join, manifests."""
    LABEL = "label"
    """Labels and taints that nodes lack are set, through the API: once config.yaml tells of them,
    so that whoever puts the file back takes them away again, and once there is room for pods that
    a taint drives out."""
    NODES = "nodes"
    """Members that are not as they shall be are waited for."""


_TOGETHER = (Stage.IMAGES, Stage.UNLABEL, Stage.LABEL)
"""Stages that are the same for all hosts; else each has its turn in one."""

_UNKNOWN_MARKS = "no server's API answers: which labels and taints the nodes have is unknown"


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
        extra_images: archives that must be brought besides.
        tokens: paths of the token files that differ.
        service: what happens to K3S's service.
        membership: how the host belongs to the cluster.
        stage: in which stage the host has its turn.
        labels, taints: what of its node's differs; None where nothing does.
        earlier: members of etcd that the host was before it lost etcd's data.
        discards: whether etcd's data on the host, of a member that was removed, is set aside.
        addresses: at which the host is reached, by which its member is known.
    """

    host: Host
    unit: str
    changes: tuple[Change, ...] = ()
    files: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    binary: Artifact | None = None
    images: Artifact | None = None
    extra_images: tuple[Artifact, ...] = ()
    tokens: tuple[str, ...] = ()
    service: ServiceStep = ServiceStep.KEEP
    membership: Membership = Membership.STEADY
    stage: Stage = Stage.FILES
    labels: MarksChange | None = None
    taints: MarksChange | None = None
    earlier: tuple[EtcdMember, ...] = ()
    discards: bool = False
    addresses: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether the host is as it shall be."""
        return not self.changes

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
    def is_busy(self) -> bool:
        """Whether its service is told something, or it becomes a member."""
        return self.service is not ServiceStep.KEEP or self.joins

    def in_turn(self, *, servers_busy: bool) -> HostPlan:
        """The same with the stage in which the host has its turn, beside those that are the
        same for all.

        A server that is only waited for has its turn with servers that are busy: etcd takes one
        learner at a time, and members that are down together come up together.
        """
        waits = self.membership is Membership.UNREADY
        if self.is_busy or (waits and servers_busy and self.host.is_server):
            stage = Stage.SERVERS if self.host.is_server else Stage.AGENTS
        else:
            stage = Stage.NODES if waits else Stage.FILES
        changes = (
            row if row.stage in _TOGETHER else row.model_copy(update={"stage": stage})
            for row in self.changes
        )
        return replace(self, stage=stage, changes=tuple(changes))

    @property
    def is_awaited(self) -> bool:
        """Whether the service or the node is waited for."""
        return self.service is not ServiceStep.KEEP or self.membership is Membership.UNREADY


LEFT_OUT = "left out: "
"""What the inputs of a plan begin with that name a host about which nothing is known."""


@dataclass(frozen=True)
class K3sPlan:
    """The plan as people see it, and what it means for each host."""

    plan: Plan
    hosts: tuple[HostPlan, ...]
    topology: Topology
    made: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)

    def explains(self, references: tuple[str, ...], value: Json) -> bool:
        """Whether a token is one that an apply has made since."""
        return any(value in self.made.get(reference, ()) for reference in references)

    def of(self, host: Host) -> HostPlan:
        """The part of one host."""
        return next(part for part in self.hosts if part.host == host)


def plan_cluster(cluster: Cluster, facts: Mapping[str, HostFacts], desired: Desired) -> K3sPlan:
    """Compare every host with what the cluster file says, stage by stage.

    A host without facts is left out. That is an input of the plan: once it answers, another plan.
    """
    formation = topology.read(cluster, facts)
    comparisons = [
        _Comparison(cluster, host, facts[host.name], formation, desired)
        for host in cluster.hosts
        if host.name in facts
    ]
    parts = tuple(comparison.plan() for comparison in comparisons)
    servers_busy = any(part.is_busy for part in parts if part.host.is_server)
    parts = tuple(part.in_turn(servers_busy=servers_busy) for part in parts)
    orphans = [
        _member_change(member, member.node_name or "etcd", _ORPHAN) for member in formation.orphans
    ]
    later = [change for each in comparisons for change in each.changes_once_formed()]
    changes = [*orphans, *(change for part in parts for change in part.changes), *later]
    order = list(Stage)
    changes.sort(key=lambda change: order.index(Stage(change.stage)))  # stable: hosts keep theirs
    given = {**desired.inputs, **dict(_addresses(cluster))} if changes else {}
    plan = Plan(
        subject=cluster.subject,
        target=TARGET,
        changes=tuple(changes),
        inputs={**given, **dict(_left_out(cluster, facts))},
        key=desired.key.id,
        warnings=(_UNKNOWN_MARKS,) if formation.members and formation.nodes is None else (),
    )
    hide, kept = desired.key.hide, desired.tokens
    made = {CLUSTER_TOKENS: (hide(kept.server), hide(kept.agent))} if kept else {}
    return K3sPlan(plan, parts, formation, made)


def _left_out(cluster: Cluster, facts: Mapping[str, HostFacts]) -> Iterator[tuple[str, str]]:
    names = (host.name for host in cluster.hosts if host.name not in facts)
    return ((f"{LEFT_OUT}{name}", "no answer") for name in names)


def _addresses(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Where each host is reached: the same work at another address is another plan."""
    for host in cluster.hosts:
        port, bastion = host.port or cluster.ssh.port, host.bastion or cluster.ssh.bastion
        at = f"{host.address} port {port}" if port else host.address
        yield f"address of {host.name}", f"{at} through {bastion}" if bastion else at


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
        part = self._with_marks(part)
        return replace(part, changes=tuple(self._changes(part)))

    def changes_once_formed(self) -> Iterator[Change]:
        """What is written after the cluster was formed: the first server then knows others, through
        which it can join should its disk be lost."""
        if self.host != self.formation.initialising_server:
            return
        now = managed(
            config.config(self.cluster, self.host, self.seen, self.formation), sort_keys=True
        )
        formed = topology.once_formed(self.cluster, self.formation)
        seen = replace(self.seen, contents={paths.CONFIG: now})
        then = managed(config.config(self.cluster, self.host, seen, formed), sort_keys=True)
        if now != then:
            reason = "once the others have joined"
            told = effects.told(self._differences(now, then))
            before, after = {"content": now}, {"content": then}
            yield self._change(paths.CONFIG, before, after, f"{reason}; {told}")

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
            return effects.restarts(self._differences(known, file.content))
        return file.restarts

    def _differences(self, before: str, after: str) -> tuple[KeyDifference, ...]:
        """The keys that differ between two contents of config.yaml."""
        old, new = (parse_yaml(text) or {} for text in (before, after))
        return effects.differences(old, new, is_server=self.host.is_server)

    def _with_marks(self, part: HostPlan) -> HostPlan:
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

    def _changes(self, part: HostPlan) -> Iterator[Change]:
        """The lines of the host, in the order of the work."""
        yield from self._forgotten(part)
        for archive in part.archives:
            after = {"sha256": archive.sha256, "mode": "0644"}
            target = images_path(self.cluster, archive)
            yield self._change(target, None, after, "staged before K3S", Stage.IMAGES)
        for what, marks in (("node labels", part.labels), ("node taints", part.taints)):
            taken, given = (marks.taken, marks.given) if marks else (None, None)
            if taken:
                yield self._change(what, dict(taken.before), {}, _TAKEN, Stage.UNLABEL)
            if given:
                before, after = dict(given.before), dict(given.after)
                yield self._change(what, before, after, _SET, Stage.LABEL)
        if part.binary:
            yield self._binary_change(part.binary)
        for file in part.files:
            yield self._file_change(file, self._why_differs(part, file))
        for path in part.tokens:
            yield self._token_change(path)
        for path in part.removed:
            before = {"sha256": self._shown_hash(path)}
            yield self._change(path, before, None, "no longer wanted")
        yield from self._service_changes(part)

    def _forgotten(self, part: HostPlan) -> Iterator[Change]:
        """The host's node, with the member that it names; then members that no node names."""
        node = self.formation.node(self.host)
        if part.rejoins and node:
            before = {"name": node.name}
            yield _change(self.host.name, "node", before, None, _STALE, Stage.SERVERS)
        for member in part.earlier:
            if node is None or node.member != member.name:
                yield _member_change(member, self.host.name, _NODELESS)
        if part.discards:
            before = {"path": f"{self.cluster.k3s.data_dir}/{paths.ETCD}"}
            yield _change(self.host.name, "etcd's data", before, None, _REMOVED, Stage.SERVERS)

    def _change(
        self, what: str, before: Any, after: Any, reason: str, stage: Stage | None = None
    ) -> Change:
        return _change(self.host.name, what, before, after, reason, stage or Stage.FILES)

    def _shown_hash(self, path: str) -> Any:
        """The hash of a file on the host, hidden where the file may hold a secret."""
        sha256 = self.seen.files[path].sha256
        may_be_secret = path in _SECRET_PATHS or path.endswith(_SECRET_MANIFEST)
        return self.desired.key.hide(sha256) if may_be_secret else sha256

    def _binary_change(self, artifact: Artifact) -> Change:
        found = self.seen.files.get(paths.BINARY)
        version = self.seen.version or "unknown"
        before = {"version": version, "sha256": found.sha256} if found else None
        after = {
            "version": self.cluster.k3s.version, "sha256": artifact.sha256, "mode": "0755",
        }  # fmt: skip
        return self._change(paths.BINARY, before, after, f"{artifact.name} of the lock file")

    def _why_differs(self, part: HostPlan, file: File) -> str:
        """Why a file that is there is written; of config.yaml what each key that differs does."""
        if file.path != paths.CONFIG or part.joins:
            return "differs"  # where a host joins anew nothing of the cluster reads the old one
        known = self.seen.contents.get(file.path)
        if known is None:
            return "differs; restart: what it says now cannot be read"
        told = effects.told(self._differences(known, file.content))
        return f"differs; {told}" if told else "differs"

    def _file_change(self, file: File, why: str) -> Change:
        """Only what differs of a file that is there; of passwords within it fingerprints."""
        found = self.seen.files.get(file.path)
        after: dict[str, Any] = {
            **self._shown_content(file),
            "mode": f"{file.mode:04o}",
            "owner": "root:root",
        }
        if found is None:
            return self._change(file.path, None, after, "missing")
        before: dict[str, Any] = {"mode": found.mode.zfill(4), "owner": found.owner}
        if found.sha256 != hashlib.sha256(file.content.encode()).hexdigest():
            known = None if file.secrets else self.seen.contents.get(file.path)
            before |= (
                {"sha256": self._shown_hash(file.path)} if known is None else {"content": known}
            )
        else:
            after = {"mode": after["mode"], "owner": after["owner"]}
        same = [key for key in ("mode", "owner") if before[key] == after[key]]
        for key in same:
            del before[key], after[key]
        return self._change(file.path, before, after, why)

    def _shown_content(self, file: File) -> dict[str, Any]:
        """All of a text; one that holds passwords by its keys, with fingerprints in their place."""
        if not file.secrets:
            return {"content": file.content}
        hide = self.desired.key.hide
        masked = _masked(yaml.safe_load(file.content), frozenset(file.secrets), hide)
        return {"content": masked, "whole": hide(file.content)}

    def _token_change(self, path: str) -> Change:
        before = {"sha256": self._shown_hash(path)} if path in self.seen.files else None
        after = {"content": self._token(path), "mode": "0600", "owner": "root:root"}
        return self._change(path, before, after, "a token, whose content is not shown")

    def _token(self, path: str) -> Any:
        kept = self.desired.tokens
        if not self.host.is_server:
            return unknown([JOIN_TOKEN])
        if kept is None:
            return unknown([CLUSTER_TOKENS])
        secret = kept.agent if path == paths.AGENT_TOKEN else kept.server
        return self.desired.key.hide(secret)

    def _service_changes(self, part: HostPlan) -> Iterator[Change]:
        """What happens to the service, then the node that is waited for.

        What was there before is left out on purpose: an apply that was killed has changed it, and
        what is left of its plan must be told as it was then.
        """
        service = paths.service(self.host)
        if part.restarts:
            before, after = {"state": "active"}, {"state": "active, started anew"}
            yield self._change(service, before, after, f"restarts: {self._why(part)}")
        elif part.service is not ServiceStep.KEEP:
            after = {"state": "active"}
            yield self._change(service, None, after, f"starts: {self._why(part)}")
        if part.is_awaited:
            node = {"ready": True, **({"voter": True} if self.host.is_server else {})}
            yield self._change("node", None, node, "is waited for")

    def _why(self, part: HostPlan) -> str:
        if self.host == self.formation.initialising_server:
            return "initialises the cluster"
        if part.joins:
            return "joins the cluster"
        if part.binary:
            return "reads the new binary"
        return "reads its configuration anew" if part.restarts else "does not run"


_STALE = "its disk was lost: the cluster must forget its earlier member before it joins anew"

_SET = "in place: set through the API; what others gave the node stays"
_TAKEN = "in place: taken away through the API; what others gave the node stays"
_NODELESS = "it has no node, and its host none of etcd's data: it is removed before the host joins"
_REMOVED = "its member was removed from etcd: it is moved aside, and the host joins anew"
_ORPHAN = "it has no node, and no server of the file has its data"


def _member_change(member: EtcdMember, host: str, reason: str) -> Change:
    before = {
        "name": member.name,
        "id": member.id,
        "peer_urls": list(member.peer_urls),
    }
    target = f"etcd member {member.name or member.id}"
    return _change(host, target, before, None, reason, Stage.SERVERS)


def _change(host: str, what: str, before: Any, after: Any, reason: str, stage: Stage) -> Change:
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    return Change(
        action=action,
        target=f"{host}: {what}",
        before=before,
        after=after,
        reason=reason,
        stage=stage,
    )


def _masked(value: Any, secrets: frozenset[str], hide: Callable[[Any], Any]) -> Any:
    """The same value with a fingerprint in the place of each secret in it."""
    if isinstance(value, dict):
        return {escape(str(key)): _masked(inner, secrets, hide) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, secrets, hide) for inner in value]
    return hide(value) if isinstance(value, str) and value in secrets else value
