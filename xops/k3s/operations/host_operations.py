"""From what differs on a host to the operations that bring it about, each with its row. Pure.

A target is written `host: what`; there is an own row for each service that would be started or
restarted, so that a person sees what an apply interrupts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from xops.core.plan.model import Action, Change
from xops.core.plan.values import escape, unknown
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.node import effects
from xops.k3s.node.managed_file import File
from xops.k3s.operations.compare import Comparison, HostDifference, images_path
from xops.k3s.operations.operation import (
    AwaitNode,
    BringArchive,
    DiscardData,
    ForgetNode,
    Operation,
    OperationEffect,
    RemoveFile,
    RemoveMember,
    ServiceStep,
    SetMarks,
    StageBinary,
    SwapBinary,
    TakeMarks,
    TellService,
    WithdrawManifest,
    Work,
    WriteFile,
    WriteToken,
)
from xops.k3s.release.lock import Artifact
from xops.k3s.state.facts import EtcdMember

CLUSTER_TOKENS = "the cluster's tokens"
"""What the token files of servers will hold is made by the first apply."""

JOIN_TOKEN = "a token that lets agents in for an hour"  # noqa: S105 - words
"""A server makes it while the agents are installed."""

_SECRET_PATHS = (paths.REGISTRIES, paths.TOKEN, paths.AGENT_TOKEN)
_SECRET_MANIFEST = "/xops-etcd-s3.yaml"  # noqa: S105 - a file's name

_SET = "set through the API; what others gave the node stays"
_TAKEN = "taken away through the API; what others gave the node stays"
_STALE = "its disk was lost: the cluster must forget its earlier member before it joins anew"
_NODELESS = "it has no node, and its host none of etcd's data: it is removed before the host joins"
_REMOVED = "its member was removed from etcd: it is moved aside, and the host joins anew"
_ORPHAN = "it has no node, and no server of the file has its data"
_WITHDRAWN = "no longer wanted: what K3S made of it is deleted, then the file"
_FORMED = "once the others have joined"


def staged_path(binary: Artifact) -> str:
    """Where a program lies until it takes the place of the one that runs."""
    return f"{paths.BINARY}.{binary.sha256[:12]}"


def remove_orphan(member: EtcdMember) -> Operation:
    """Removes a member of etcd that is no host of the file."""
    change = _member_change(member, member.node_name or "etcd", _ORPHAN)
    return Operation(None, RemoveMember(member), change)


@dataclass(frozen=True)
class HostOperations:
    """The operations of one host, by the turns in which they have their place.

    Attributes:
        of: the host as it is beside what it shall be.
        part: what differs.
    """

    of: Comparison
    part: HostDifference

    @property
    def _host(self) -> Host:
        return self.of.host

    @property
    def _initialises(self) -> bool:
        return self._host == self.of.formation.initialising_server

    def archives(self) -> Iterator[Operation]:
        """What is brought before anything of K3S changes on any host."""
        for archive in self.part.archives:
            after = {"sha256": archive.sha256, "mode": "0644"}
            target = images_path(self.of.cluster, archive)
            work = BringArchive(archive, is_own=archive is self.part.images)
            yield self._operation(work, target, None, after, "brought before K3S changes anywhere")

    def taken_marks(self) -> Iterator[Operation]:
        """Labels and taints that the node shall have no longer."""
        labels, taints = (
            marks.taken if marks else None for marks in (self.part.labels, self.part.taints)
        )
        if labels:
            before = dict(labels.before)
            yield self._operation(TakeMarks(labels), "node labels", before, {}, _TAKEN)
        if taints:
            before, work = dict(taints.before), TakeMarks(taints=taints)
            yield self._operation(work, "node taints", before, {}, _TAKEN)

    def set_marks(self) -> Iterator[Operation]:
        """Labels and taints that the node lacks."""
        labels, taints = (
            marks.given if marks else None for marks in (self.part.labels, self.part.taints)
        )
        for what, marks, work in (
            ("node labels", labels, SetMarks(labels)),
            ("node taints", taints, SetMarks(taints=taints)),
        ):
            if marks:
                yield self._operation(work, what, dict(marks.before), dict(marks.after), _SET)

    def staged(self) -> Iterator[Operation]:
        """The program, beside the one that runs."""
        if binary := self.part.binary:
            after = {"sha256": binary.sha256, "mode": "0755"}
            reason = "brought beside the one that runs"
            yield self._operation(StageBinary(binary), staged_path(binary), None, after, reason)

    def forgotten(self) -> Iterator[Operation]:
        """The host's node, with the members that it names; then members that no node names."""
        node = self.of.formation.node(self._host)
        named = tuple(each for each in self.part.earlier if node and node.member == each.name)
        if self.part.rejoins and node:
            before = {"name": node.name}
            work = ForgetNode(named)
            yield self._operation(work, "node", before, None, _STALE, OperationEffect.REMOVE)
        for member in self.part.earlier:
            if member not in named:
                change = _member_change(member, self._host.name, _NODELESS)
                yield Operation(self._host, RemoveMember(member), change)

    def discarded(self) -> Iterator[Operation]:
        """Etcd's data of a member that was removed."""
        if self.part.discards:
            before = {"path": f"{self.of.cluster.k3s.data_dir}/{paths.ETCD}"}
            effect = OperationEffect.REMOVE
            yield self._operation(DiscardData(), "etcd's data", before, None, _REMOVED, effect)

    def changed(self, voters: int) -> Iterator[Operation]:
        """Files and tokens, then the program, then the service, then the node.

        Args:
            voters: how many voters etcd must have before the next server has its turn.
        """
        for file in self.part.files:
            change = self._file_change(file, self._why_differs(file), self._file_effect(file))
            yield Operation(self._host, WriteFile(file), change)
        for path in self.part.tokens:
            yield self._token(path)
        for path in self._removed_files():
            before = {"sha256": self._shown_hash(path)}
            effect = OperationEffect.IN_PLACE
            if self.part.restarts and path == paths.REGISTRIES:
                effect = OperationEffect.RESTART
            work = RemoveFile(path)
            yield self._operation(work, path, before, None, "no longer wanted", effect)
        if self.part.binary:
            yield self._swap(self.part.binary)
        yield from self._service(voters)

    def withdrawn(self) -> Iterator[Operation]:
        """Manifests that are no longer wanted: last of all, since agents may join through what
        they have made until these have read another address."""
        for path in self.part.removed:
            if path not in self._removed_files():
                before = {"sha256": self._shown_hash(path)}
                work, effect = WithdrawManifest(path), OperationEffect.REMOVE
                yield self._operation(work, path, before, None, _WITHDRAWN, effect)

    def _removed_files(self) -> list[str]:
        manifests = f"{self.of.cluster.k3s.data_dir}/{paths.MANIFESTS}/"
        return [path for path in self.part.removed if not path.startswith(manifests)]

    def written_once_formed(self) -> Iterator[Operation]:
        """What is written after the cluster was formed: whoever initialises it then knows others,
        through whom it can join should its disk be lost."""
        if found := self.of.once_formed():
            now, then = found
            told = effects.told(self.of.key_differences(now.content, then.content))
            before, after = {"content": now.content}, {"content": then.content}
            reason = f"{_FORMED}; {told}"
            yield self._operation(WriteFile(then), paths.CONFIG, before, after, reason)

    # Rows

    def _operation(
        self,
        work: Work,
        what: str,
        before: Any,
        after: Any,
        reason: str,
        effect: OperationEffect = OperationEffect.IN_PLACE,
    ) -> Operation:
        change = _change(self._host.name, what, before, after, reason, effect)
        return Operation(self._host, work, change)

    def _shown_hash(self, path: str) -> Any:
        """The hash of a file on the host, hidden where the file may hold a secret."""
        sha256 = self.of.seen.files[path].sha256
        may_be_secret = path in _SECRET_PATHS or path.endswith(_SECRET_MANIFEST)
        return self.of.desired.key.hide(sha256) if may_be_secret else sha256

    def _swap(self, artifact: Artifact) -> Operation:
        found = self.of.seen.files.get(paths.BINARY)
        version = self.of.seen.version or "unknown"
        before = {"version": version, "sha256": found.sha256} if found else None
        after = {
            "version": self.of.cluster.k3s.version, "sha256": artifact.sha256, "mode": "0755",
        }  # fmt: skip
        reason, effect = f"{artifact.name} of the lock file", self._effect_when_read()
        return self._operation(SwapBinary(artifact), paths.BINARY, before, after, reason, effect)

    def _effect_when_read(self) -> OperationEffect:
        """What it takes that something is read at a start: a restart, if K3S runs."""
        return OperationEffect.RESTART if self.part.restarts else OperationEffect.START

    def _file_effect(self, file: File) -> OperationEffect:
        is_read = self.part.service is not ServiceStep.KEEP and self.of.is_read_at_start(file)
        return self._effect_when_read() if is_read else OperationEffect.IN_PLACE

    def _why_differs(self, file: File) -> str:
        """Why a file that is there is written; of config.yaml what each key that differs does."""
        if file.path != paths.CONFIG or self.part.joins:
            return "differs"  # where a host joins anew nothing of the cluster reads the old one
        known = self.of.seen.contents.get(file.path)
        if known is None:
            return "differs; restart: what it says now cannot be read"
        told = effects.told(self.of.key_differences(known, file.content))
        return f"differs; {told}" if told else "differs"

    def _file_change(self, file: File, why: str, effect: OperationEffect) -> Change:
        """Only what differs of a file that is there; of passwords within it fingerprints."""
        found = self.of.seen.files.get(file.path)
        after: dict[str, Any] = {
            **self._shown_content(file),
            "mode": f"{file.mode:04o}",
            "owner": "root:root",
        }
        if found is None:
            return _change(self._host.name, file.path, None, after, "missing", effect)
        before: dict[str, Any] = {"mode": found.mode.zfill(4), "owner": found.owner}
        if found.sha256 != hashlib.sha256(file.content.encode()).hexdigest():
            known = None if file.secrets else self.of.seen.contents.get(file.path)
            before |= (
                {"sha256": self._shown_hash(file.path)} if known is None else {"content": known}
            )
        else:
            after = {"mode": after["mode"], "owner": after["owner"]}
        same = [key for key in ("mode", "owner") if before[key] == after[key]]
        for key in same:
            del before[key], after[key]
        return _change(self._host.name, file.path, before, after, why, effect)

    def _shown_content(self, file: File) -> dict[str, Any]:
        """All of a text; one that holds passwords by its keys, with fingerprints in their place."""
        if not file.secrets:
            return {"content": file.content}
        hide = self.of.desired.key.hide
        masked = _masked(yaml.safe_load(file.content), frozenset(file.secrets), hide)
        return {"content": masked, "whole": hide(file.content)}

    def _token(self, path: str) -> Operation:
        is_there = path in self.of.seen.files
        before = {"sha256": self._shown_hash(path)} if is_there else None
        after = {"content": self._shown_token(path), "mode": "0600", "owner": "root:root"}
        reason = "a token, whose content is not shown"
        return self._operation(WriteToken(path), path, before, after, reason)

    def _shown_token(self, path: str) -> Any:
        kept = self.of.desired.tokens
        if not self._host.is_server:
            return unknown([JOIN_TOKEN])
        if kept is None:
            return unknown([CLUSTER_TOKENS])
        secret = kept.agent if path == paths.AGENT_TOKEN else kept.server
        return self.of.desired.key.hide(secret)

    def _service(self, voters: int) -> Iterator[Operation]:
        """What happens to the service, then the node that is waited for.

        What was there before is left out on purpose: an apply that was killed has changed it, and
        what is left of its plan must be told as it was then.
        """
        part, what = self.part, paths.service(self._host)
        told = part.service is not ServiceStep.KEEP
        if told:
            work = TellService(part.service, part.joins, self._initialises)
            before = {"state": "active"} if part.restarts else None
            after = {"state": "active, started anew" if part.restarts else "active"}
            reason = f"{'restarts' if part.restarts else 'starts'}: {self._why()}"
            yield self._operation(work, what, before, after, reason, self._service_effect())
        if part.is_awaited:
            node = {"ready": True, **({"voter": True} if self._host.is_server else {})}
            waits = AwaitNode(voters, told, part.joins, self._initialises)
            effect = OperationEffect.WAIT
            yield self._operation(waits, "node", None, node, "is waited for", effect)

    def _service_effect(self) -> OperationEffect:
        if self._initialises:
            return OperationEffect.INITIALISE
        return OperationEffect.JOIN if self.part.joins else self._effect_when_read()

    def _why(self) -> str:
        if self._initialises:
            return "initialises the cluster"
        if self.part.joins:
            return "joins the cluster"
        if self.part.binary:
            return "reads the new binary"
        return "reads its configuration anew" if self.part.restarts else "does not run"


def _member_change(member: EtcdMember, host: str, reason: str) -> Change:
    before = {
        "name": member.name,
        "id": member.id,
        "peer_urls": list(member.peer_urls),
    }
    target = f"etcd member {member.name or member.id}"
    return _change(host, target, before, None, reason, OperationEffect.REMOVE)


def _change(
    host: str, what: str, before: Any, after: Any, reason: str, effect: OperationEffect
) -> Change:
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    return Change(
        action=action,
        target=f"{host}: {what}",
        before=before,
        after=after,
        reason=reason,
        effect=effect,
    )


def _masked(value: Any, secrets: frozenset[str], hide: Callable[[Any], Any]) -> Any:
    """The same value with a fingerprint in the place of each secret in it."""
    if isinstance(value, dict):
        return {escape(str(key)): _masked(inner, secrets, hide) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, secrets, hide) for inner in value]
    return hide(value) if isinstance(value, str) and value in secrets else value
