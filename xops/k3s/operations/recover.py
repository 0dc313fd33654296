"""What follows when K3S on a host does not come up: why, and the host as it was before.

A host that was no member before is rolled back, so that the next apply finds it bare; a member
keeps what it has. Etcd counts a joining server as a member long before its node appears, and what
is erased while it counts takes the cluster's quorum with it. So the cluster forgets the host
first, while the host's etcd still runs and votes; it is erased once a live server was seen to tell
of no such member, and else it is left as it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from xops.core.errors import PermanentError, XopsError
from xops.core.process import redact
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.operations.compare import HostDifference
from xops.k3s.operations.executor import SCRIPT_DEADLINE, HostExecutor, marks
from xops.k3s.operations.tokens import Tokens
from xops.k3s.scripts import script
from xops.k3s.ssh.transport_protocol import Ran, shorten
from xops.k3s.state import diagnosis, facts, topology
from xops.k3s.state.facts import EtcdMember, NodeFacts

FORGET_SECONDS = 120
LIVE_SECONDS = 60
"""How long a server may take to tell the members: a quorum of two that fails comes and goes."""
LOG_LINES = 80

_CRASH_LOOP = 20
"""The exit code with which scripts/wait_ready.sh says that the service gives up again and again."""
_GRACE_SECONDS = 60
"""How much longer than its limit a script on a server may take: what it asks last may hang."""
_LOG_GRACE_SECONDS = 60
"""How long before the wait for a service began it may have been told to start."""
_ROUNDS = 3
_LAST = "@@last"


class NotReadyError(PermanentError):
    """K3S on a host did not come up; says why as far as its log tells."""


class MemberStaysError(PermanentError):
    """A member of etcd cannot be removed now, or nobody can tell whether a host is one."""


@dataclass(frozen=True)
class LiveView:
    """The cluster as a server tells it whose etcd has a quorum at that moment."""

    server: Host
    members: tuple[EtcdMember, ...]
    nodes: tuple[NodeFacts, ...]


@dataclass(frozen=True)
class Recovery:
    """Names the cause on a host of one cluster, and rolls the host back."""

    cluster: Cluster
    executor: HostExecutor
    tokens: Tokens = field(repr=False)

    # What the cluster forgets

    async def forget_node(
        self, host: Host, members: Sequence[EtcdMember], servers: Sequence[Host]
    ) -> None:
        """Remove an earlier life of the host: its node, its password, its members of etcd.

        Raises:
            MemberStaysError: removing a member would cost the quorum.
            PermanentError: the server could not.
        """
        server = servers[0]
        if members:
            view = await self._ask_live_server(servers)
            server = view.server
            self._refuse_loss_of_quorum(members, view)
        await self._forget(server, host.name, host.name, members)

    async def remove_member(
        self, host: Host | None, member: EtcdMember, servers: Sequence[Host]
    ) -> None:
        """Remove a member of etcd that no node stands for.

        Args:
            host: whose earlier life it is; None for one of no host of the file.
            member: the member.
            servers: those that may be asked.

        Raises:
            MemberStaysError: that would cost the quorum.
            PermanentError: the server could not.
        """
        view = await self._ask_live_server(servers)
        self._refuse_loss_of_quorum([member], view)
        name = host.name if host else member.node_name or "etcd"
        await self._forget(view.server, name, host.name if host else "", [member])

    async def discard_data(self, part: HostDifference, servers: Sequence[Host]) -> None:
        """Move etcd's data of a member that was removed aside; it is seen to be none once more.

        Raises:
            MemberStaysError: the host is a member, or nobody can tell.
            PermanentError: the host could not.
        """
        await self._tell_service(part, "stop")
        view = await self._ask_live_server(servers)
        if topology.members_of(part.host, part.addresses, view.members):
            raise MemberStaysError(
                f"moving etcd's data on {part.host.name} aside",
                "it has become a member again",
                "Look at the new plan.",
            )
        values = {"ETCD": f"{self.cluster.k3s.data_dir}/{paths.ETCD}"}
        attempted = f"moving etcd's data on {part.host.name} aside"
        await self.executor.run_script(part.host, "discard", values, attempted)

    async def _forget(
        self, server: Host, name: str, node: str, members: Sequence[EtcdMember]
    ) -> None:
        values = {
            "BINARY": paths.BINARY,
            "NODE": node,
            "MEMBERS": "\n".join(map(_removal_line, members)),
            "LIMIT": str(FORGET_SECONDS),
        }
        with self.executor.report_time(name, f"forgotten by {server.name}"):
            await self.executor.run_script(
                server,
                "forget",
                values,
                f"making the cluster forget {name}",
                deadline=FORGET_SECONDS + _GRACE_SECONDS,
            )

    async def _ask_live_server(self, servers: Sequence[Host]) -> LiveView:
        """The members and nodes, from the first of these servers that can tell them.

        Raises:
            MemberStaysError: none can.
        """
        said = ["no other server is a member"]
        for server in servers:
            try:
                ran = await self._list_members(server)
            except XopsError as error:
                said.append(f"{server.name}: {error.found}")
                continue
            view = facts.parse_live_view(ran.stdout) if ran.exit_code == 0 else None
            if view:
                return LiveView(server, *view)
            lines = ran.stderr.strip().splitlines()[-1:] or ["it told none"]
            said.append(f"{server.name}: {shorten(lines[0])}")
        raise MemberStaysError(
            f"asking for etcd's members of {self.cluster.subject}",
            "; ".join(said[1:] or said),
            "`xops k3s status` shows which servers answer: bring the quorum back first.",
        )

    async def _list_members(self, server: Host) -> Ran:
        values = {"BINARY": paths.BINARY, "LIMIT": str(LIVE_SECONDS)}
        text = script("members", {**values, "NODE_FORM": facts.NODE_FORM})
        deadline = LIVE_SECONDS + _GRACE_SECONDS
        return await self.executor.transports[server.name].run(text, deadline=deadline)

    def _refuse_loss_of_quorum(self, gone: Sequence[EtcdMember], view: LiveView) -> None:
        ids = {member.id for member in gone}
        for member in view.members:
            if member.id in ids and not topology.keeps_quorum_without(
                member, view.members, view.nodes, view.server
            ):
                raise MemberStaysError(
                    f"removing {member} from etcd",
                    "of the voters that stay too few are up to keep the quorum",
                    "Bring the other servers back first; `xops k3s status` shows them.",
                )

    # A host that does not come up

    async def roll_back_and_raise(
        self,
        part: HostDifference,
        ran: Ran,
        servers: Sequence[Host],
        *,
        joins: bool,
        initialises: bool,
    ) -> NoReturn:
        """Say why the host is not ready; roll it back if it never was.

        Args:
            part: what was done on the host.
            ran: how the wait for it has ended.
            servers: those that may tell the members, who answers at best first.
            joins: whether the host was no member before.
            initialises: whether the host is the whole cluster, made a moment ago and never ready.

        Raises:
            NotReadyError: always; first the cause, then what became of the host.
        """
        steps = [mark for mark in marks(ran) if "=" not in mark]
        reached = (
            f"got as far as: {', '.join(steps)}" if steps else "its service never became active"
        )
        if ran.exit_code == _CRASH_LOOP:
            reached += "; its service is in a crash loop"
        # Before anything is cleaned up: that would add its own lines, or never end.
        said, advice = await self._diagnose(part.host, ran.duration_seconds)
        became, remedy = "", "It stays as it is."
        if joins:
            became, remedy = await self._roll_back(part, servers, initialises)
        raise NotReadyError(
            f"waiting for K3S on {part.host.name}",
            f"{reached}{said}{became}",
            f"{advice} {remedy} Then run it again.",
        )

    async def _diagnose(self, host: Host, waited_seconds: float) -> tuple[str, str]:
        """What the host's log says, and what to do about it."""
        try:
            log = await self._read_log(host, waited_seconds)
        except XopsError as error:
            return f"\n  its log was not read: {error.found}", error.remedy
        telling, _, last = log.partition(f"{_LAST}\n")
        causes = diagnosis.diagnose(f"{telling}\n{last}")
        if causes:
            said = "".join(f"\n  {cause.title}: {cause.found}" for cause in causes)
            return said, " ".join(cause.remedy for cause in causes)
        shown = map(shorten, [*telling.splitlines()[-8:], *last.splitlines()[-12:]])
        return "\n  " + "\n  ".join(dict.fromkeys(shown)), "Look at the log lines above."

    async def _read_log(self, host: Host, waited_seconds: float) -> str:
        values = {
            "SERVICE": paths.service(host),
            "BINARY": paths.BINARY,
            "LINES": str(LOG_LINES),
            "SECONDS_BACK": str(math.ceil(waited_seconds) + _LOG_GRACE_SECONDS),
        }
        transport = self.executor.transports[host.name]
        ran = await transport.run(script("diagnose", values), deadline=SCRIPT_DEADLINE)
        return redact(ran.stdout, [self.tokens.server, self.tokens.agent])

    async def _roll_back(
        self, part: HostDifference, servers: Sequence[Host], initialises: bool
    ) -> tuple[str, str]:
        """What became of the host, and what a person reads of it at the end."""
        name = part.host.name
        became = f"{name} was left as it is"
        try:
            if part.host.is_server and not initialises:
                await self._leave_cluster(part, servers)
            # Who initialises is erased as it is: no other server has joined it yet.
            became = f"{name} was not wholly rolled back"
            await self._erase(part)
            if not part.host.is_server:
                await self._forget(servers[0], name, name, ())
        except XopsError as error:
            left = f"\n  {became}: {error.attempted}: {error.found}"
            return left, f"{error.remedy} {became}."
        return "", f"{name} was rolled back to before it joined."

    async def _leave_cluster(self, part: HostDifference, servers: Sequence[Host]) -> None:
        """Stop K3S on the host when it is no member of etcd, and see that it is none.

        A member is removed while its etcd runs: of two, both must agree to it. K3S on the host
        goes on meanwhile and may join anew, so what was seen is looked at again once it is
        stopped; if it is a member then, it is started to vote once more.

        Raises:
            MemberStaysError: it is a member, or nobody can tell; K3S runs on.
            PermanentError: it could not be removed, or not be stopped; K3S runs on.
        """
        for _ in range(_ROUNDS):
            await self._forget_joiner(part, await self._ask_live_server(servers))
            await self._tell_service(part, "stop")
            try:
                view = await self._ask_live_server(servers)
            except MemberStaysError:
                await self._tell_service(part, "start")
                raise
            if not topology.members_at(self._addresses(part), view.members):
                if self._own_node(part, view):  # registered in the meantime
                    await self._forget_joiner(part, view)
                return
            await self._tell_service(part, "start")
        raise MemberStaysError(
            f"removing {part.host.name} from etcd",
            "it has joined again each time",
            f"`systemctl stop {paths.service(part.host)}` there once it is no member.",
        )

    async def _forget_joiner(self, part: HostDifference, view: LiveView) -> None:
        """Remove the members that are this host, and its node unless that is another machine's."""
        own = topology.members_at(self._addresses(part), view.members)
        self._refuse_loss_of_quorum(own, view)
        taken = any(node.name == part.host.name for node in view.nodes)
        is_another = taken and not self._own_node(part, view)
        node = "" if is_another else part.host.name
        await self._forget(view.server, part.host.name, node, own)

    def _own_node(self, part: HostDifference, view: LiveView) -> bool:
        """Whether the host's node is there, and is not another machine's of the same name."""
        nodes = [node for node in view.nodes if node.name == part.host.name]
        return any(node.address in {None, *self._addresses(part)} for node in nodes)

    def _addresses(self, part: HostDifference) -> frozenset[str]:
        return part.addresses | {part.host.internal_address}

    async def _tell_service(self, part: HostDifference, verb: str) -> None:
        values = {"SERVICE": paths.service(part.host)}
        if verb == "start":
            values |= dict.fromkeys(("BINARY", "STAGED", "REMOVED"), "")
            values |= {"SYSCTL": paths.SYSCTL, "VERB": verb, "UNREAD": paths.UNREAD}
        attempted = f"telling K3S on {part.host.name} to {verb}"
        await self.executor.run_script(part.host, verb, values, attempted)

    async def _erase(self, part: HostDifference) -> None:
        """Stop K3S on the host and delete its configuration, its tokens and etcd's data."""
        host = part.host
        values = {
            "SERVICE": paths.service(host),
            "DATA": self.cluster.k3s.data_dir,
            "FOLDER": paths.FOLDER,
            "UNIT": part.unit,
            "UNREAD": paths.UNREAD,
        }
        attempted = f"rolling {host.name} back to before it joined"
        await self.executor.run_script(host, "roll_back", values, attempted)


def _removal_line(member: EtcdMember) -> str:
    """The member's id, the node's name, and the node whose deletion makes K3S remove the member.

    Source: k3s-io/k3s, pkg/etcd/member_controller.go: label and annotations.
    """
    name = f"{facts.REMOVAL_NODE}{int(member.id):x}"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"node-role.kubernetes.io/etcd": "true"},
            "annotations": {
                facts.MEMBER_NAME: member.name,
                facts.MEMBER_ADDRESS: min(member.addresses, default=""),
            },
        },
    }
    return f"{member.id} {name} {json.dumps(node, separators=(',', ':'))}"
