"""From facts to a plan: what differs from what shall be, host by host. Pure.

A target is written `host: what`; the plan has an own line for each service that would be started
or restarted, so that a person sees what an apply interrupts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xops.core.plan.model import Action, Change, Plan
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import config
from xops.k3s.node.managed_file import File, SecretFiles
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import Artifact
from xops.k3s.state import topology
from xops.k3s.state.facts import FileFacts, HostFacts
from xops.k3s.state.topology import Topology

TARGET = "hosts"
"""Where a plan of this step works: on hosts over SSH."""

_OURS = (paths.SYSCTL,)


@dataclass(frozen=True)
class Desired:
    """What the hosts shall have beyond what the inventory says.

    Attributes:
        binaries: K3S's binary by architecture.
        images: the archive of images by architecture; empty with a way out.
        secrets: what holds passwords and keys.
        tokens: None if there are none yet on this machine.
    """

    binaries: Mapping[str, Artifact]
    images: Mapping[str, Artifact] = field(default_factory=dict)
    secrets: SecretFiles = field(default=SecretFiles(), repr=False)
    tokens: Tokens | None = None


@dataclass(frozen=True)
class HostPlan:
    """What is to be done on one host.

    Attributes:
        host: which.
        files: those that differ.
        removed: paths of files of ours that shall not be there any more.
        binary, images: whether they must be brought.
        tokens: names of the token files that differ.
        starts, restarts: the service is to be started; or it runs, and must read things anew.
        joins: the host becomes a member now.
        waits: it is a member, but its node is not as it shall be.
        stale: the cluster knows an earlier life of the host, which must be forgotten first.
    """

    host: Host
    files: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    binary: bool = False
    images: bool = False
    tokens: tuple[str, ...] = ()
    starts: bool = False
    restarts: bool = False
    joins: bool = False
    waits: bool = False
    stale: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the host is as it shall be."""
        return self == HostPlan(self.host)


@dataclass(frozen=True)
class ClusterPlan:
    """The plan as people see it, and what it means for each host."""

    plan: Plan
    hosts: tuple[HostPlan, ...]
    topology: Topology

    def of(self, host: Host) -> HostPlan:
        """The part of one host."""
        return next(part for part in self.hosts if part.host == host)


def plan(cluster: Cluster, facts: Mapping[str, HostFacts], desired: Desired) -> ClusterPlan:
    """Compare every host with what the inventory says."""
    formation = topology.read(cluster, facts)
    parts = tuple(_host(cluster, host, facts, formation, desired) for host in cluster.hosts)
    changes = [
        change
        for part in parts
        for change in _changes(cluster, part, facts[part.host.name], formation, desired)
    ]
    return ClusterPlan(
        Plan(subject=cluster.subject, target=TARGET, changes=tuple(changes)), parts, formation
    )


def _host(
    cluster: Cluster,
    host: Host,
    facts: Mapping[str, HostFacts],
    formation: Topology,
    desired: Desired,
) -> HostPlan:
    seen = facts[host.name]
    wanted = list(config.files(cluster, host, facts, formation, desired.secrets))
    differing = tuple(file for file in wanted if not is_right(file, seen.files.get(file.path)))
    tokens = tuple(_tokens(host, seen, formation, desired.tokens))
    binary = _binary_differs(seen, desired.binaries[host.arch])
    images = host.arch in desired.images and not _has_images(
        cluster, seen, desired.images[host.arch]
    )
    removed = tuple(_removed(cluster, seen, {file.path for file in wanted}))
    joins = host in formation.joiners or host == formation.founder or _is_new_agent(host, seen)
    changed = (
        binary
        or any(_restarts(file, seen) for file in differing)
        or paths.REGISTRIES in removed
        or paths.UNREAD in seen.files
    )
    active = seen.service is not None and seen.service.is_active
    return HostPlan(
        host,
        files=differing,
        removed=removed,
        binary=binary,
        images=images,
        tokens=tokens,
        starts=not active,
        restarts=active and (changed or joins),
        joins=joins,
        waits=_waits(host, formation, joins=joins),
        stale=joins and formation.node(host) is not None,
    )


def is_right(file: File, found: FileFacts | None) -> bool:
    """Whether the file on the host has this content, mode and owner."""
    if found is None:
        return False
    wanted = hashlib.sha256(file.content.encode()).hexdigest()
    return (found.sha256, found.mode, found.owner) == (wanted, f"{file.mode:o}", "root:root")


def _restarts(file: File, seen: HostFacts) -> bool:
    if file.path == paths.CONFIG and paths.CONFIG in seen.contents:
        return config.needs_restart(seen.contents[paths.CONFIG], file.content)
    return file.restarts


def _binary_differs(seen: HostFacts, artifact: Artifact) -> bool:
    found = seen.files.get(paths.BINARY)
    return found is None or (found.sha256, found.mode) != (artifact.sha256, "755")


def images_path(cluster: Cluster, artifact: Artifact) -> str:
    """Where an archive of images lies on a host; its name tells its bytes."""
    return f"{cluster.k3s.data_dir}/{paths.IMAGES}/xops-{artifact.sha256[:12]}-{artifact.name}"


def _has_images(cluster: Cluster, seen: HostFacts, artifact: Artifact) -> bool:
    # It got this name when its hash had been compared; a size tells a disk that lost its end.
    size = seen.images.get(images_path(cluster, artifact))
    return size is not None and artifact.size in (None, size)


def _tokens(
    host: Host, seen: HostFacts, formation: Topology, tokens: Tokens | None
) -> Iterator[str]:
    """Token files that are missing or differ. An agent that has joined needs its token no more.

    One that has not may hold a token from an earlier apply, which is over after an hour.
    """
    wanted = [paths.TOKEN, paths.AGENT_TOKEN] if host.is_server else [paths.TOKEN]
    for path in wanted:
        found = seen.files.get(path)
        if found is None or found.mode != "600" or _is_new_agent(host, seen):
            yield path
        elif host.is_server and tokens is not None:
            right = (
                tokens.server_hashes(formation.cluster_id)
                if path == paths.TOKEN
                else tokens.agent_hashes()
            )
            if found.sha256 not in right:
                yield path


def _removed(cluster: Cluster, seen: HostFacts, wanted: set[str]) -> Iterator[str]:
    """Files that only xOps writes, and no longer wants."""
    manifests = f"{cluster.k3s.data_dir}/{paths.MANIFESTS}/xops-"
    for path in sorted(seen.files):
        ours = path in _OURS or path == paths.REGISTRIES or path.startswith(manifests)
        if ours and path not in wanted:
            yield path


def _is_new_agent(host: Host, seen: HostFacts) -> bool:
    return not host.is_server and seen.cluster_id is None


def _waits(host: Host, formation: Topology, *, joins: bool) -> bool:
    if joins or formation.nodes is None:
        return False
    node = formation.node(host)
    return node is None or not node.ready or (host.is_server and node.voter is not True)


def _changes(
    cluster: Cluster, part: HostPlan, seen: HostFacts, formation: Topology, desired: Desired
) -> Iterator[Change]:
    """The lines of one host, in the order of the work."""
    name = part.host.name
    if part.stale:
        yield _change(name, "node", {"name": name}, None, _STALE)
    if part.images:
        archive = desired.images[part.host.arch]
        yield _change(name, archive.name, None, {"sha256": archive.sha256}, "staged before K3S")
    if part.binary:
        yield _binary(cluster, part, seen, desired)
    for file in part.files:
        yield _file(name, file, seen)
    for path in part.tokens:
        before = {"sha256": "another"} if path in seen.files else None
        yield _change(name, path, before, {"content": "a token"}, "mode 0600, content not shown")
    for path in part.removed:
        yield _change(name, path, {"sha256": seen.files[path].sha256}, None, "no longer wanted")
    yield from _service(part, seen, formation)


_STALE = "its disk was lost: the cluster must forget its earlier member before it joins anew"


def _change(host: str, what: str, before: Any, after: Any, reason: str) -> Change:
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    return Change(
        action=action, target=f"{host}: {what}", before=before, after=after, reason=reason
    )


def _binary(cluster: Cluster, part: HostPlan, seen: HostFacts, desired: Desired) -> Change:
    found = seen.files.get(paths.BINARY)
    before = {"version": seen.version or "unknown", "sha256": found.sha256} if found else None
    artifact = desired.binaries[part.host.arch]
    after = {"version": cluster.k3s.version, "sha256": artifact.sha256}
    return _change(part.host.name, paths.BINARY, before, after, f"{artifact.name} of the lock file")


def _file(host: str, file: File, seen: HostFacts) -> Change:
    found = seen.files.get(file.path)
    before: Any = None
    after: Any = {"content": "not shown"} if file.secret else {"content": file.content}
    after["mode"] = f"{file.mode:04o}"
    if found is not None:
        known = seen.contents.get(file.path, f"sha256 {found.sha256[:12]}")
        before = {"content": "not shown" if file.secret else known, "mode": found.mode.zfill(4)}
    return _change(host, file.path, before, after, "differs" if before else "missing")


def _service(part: HostPlan, seen: HostFacts, formation: Topology) -> Iterator[Change]:
    name, service = part.host.name, paths.service(part.host)
    if part.starts or part.restarts:
        before = {"state": seen.service.active} if seen.service else None
        verb = "restarts" if part.restarts else "starts"
        yield _change(
            name, service, before, {"state": "active"}, f"{verb}: {_why(part, formation)}"
        )
    elif part.waits:
        node = formation.node(part.host)
        state = {"ready": node.ready, "voter": node.voter} if node else {"node": "unknown"}
        after = {"ready": True, "voter": True if part.host.is_server else None}
        yield _change(name, "node", state, after, "is waited for")


def _why(part: HostPlan, formation: Topology) -> str:
    if part.host == formation.founder:
        return "founds the cluster"
    if part.joins:
        return "joins the cluster"
    if part.binary:
        return "reads the new binary"
    return "reads its configuration anew" if part.restarts else "does not run"
