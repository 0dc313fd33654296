"""Bringing hosts to what their plan says, in the order that keeps etcd's quorum.

Images come to all hosts before any binary changes. Servers go one at a time, each waited for until
it is ready, since etcd takes one learner at a time. Agents follow: those that serve nothing yet
together, then those that run, one alone and the others a few at a time. What is right is in no
host's plan and is left alone, so an apply that was killed anywhere is run again.
"""

from __future__ import annotations

import asyncio
import copy
import re
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import labels
from xops.k3s.node.labels import MarksChange
from xops.k3s.operations import tokens
from xops.k3s.operations.executor import HostExecutor, marks
from xops.k3s.operations.plan import (
    HostPlan,
    K3sPlan,
    Membership,
    ServiceStep,
    Stage,
    images_path,
)
from xops.k3s.operations.recover import Recovery
from xops.k3s.operations.roll_out import batches
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import Artifact
from xops.k3s.release.obtain import ReleaseFiles
from xops.k3s.ssh.transport_protocol import Ran, Upload

READY_SECONDS = 300

_GRACE_SECONDS = 30
"""How much longer than the script itself the wait for its end may last."""
_LABEL_SECONDS = 60
"""How long one command of scripts/label_nodes.sh may take; a line of its input has two at most."""
_UNREAD = b"K3S has yet to read files that xOps wrote.\n"
_CLUSTER_MARK = re.compile(r"cluster=([0-9a-f]{64})")
_MOMENT_MARK = re.compile(r"at=([0-9]{14})")


class QuorumError(PermanentError):
    """Restarting a server would take the cluster's API away. Nothing was touched yet."""

    is_refusal: ClassVar[bool] = True


@dataclass
class Installation:
    """One apply on connected hosts, of a plan that was approved.

    Attributes:
        cluster: whose hosts these are.
        executor: works on the connected hosts.
        planned: what is to be done.
        tokens: those of the cluster.
        files: what the plan brings to hosts, on this machine.
        ready_seconds: how long K3S on a host is waited for.
    """

    cluster: Cluster
    executor: HostExecutor
    planned: K3sPlan
    tokens: Tokens = field(repr=False)
    files: ReleaseFiles
    ready_seconds: int = READY_SECONDS

    def __post_init__(self) -> None:
        formation = self.planned.topology
        forgotten = {part.host.name for part in self.planned.hosts if part.rejoins}
        self._recovery = Recovery(self.cluster, self.executor, self.tokens)
        self._active_since: dict[str, str] = {}
        self._cluster_id = formation.cluster_id
        self._answering = formation.source
        self._voters = [
            node.name
            for node in formation.nodes or ()
            if node.voter and node.ready and node.name not in forgotten
        ]

    async def run(self, stage: Stage) -> None:
        """Do what the plan says for one stage.

        Raises:
            NotReadyError: a host did not come up. One that never had is rolled back.
            QuorumError: a server would be restarted that the others cannot do without; before
                anything of any stage is touched.
        """
        changed = [part for part in self.planned.hosts if not part.is_empty]
        self._refuse_loss_of_quorum([part for part in changed if part.stage is Stage.SERVERS])
        if stage is Stage.IMAGES:
            await _gather_all(self._bring_images(part) for part in changed if part.archives)
            return
        if stage in (Stage.UNLABEL, Stage.LABEL):
            await self._label_nodes(stage)
            return
        turn = [part for part in changed if part.stage is stage]
        if stage is Stage.SERVERS:
            for member in self.planned.topology.orphans:
                await self._recovery.remove_member(member, self._others())
        await _gather_all(self._stage(part) for part in turn)
        for part in turn:
            if part.rejoins:
                await self._recovery.forget_host(part, self._others(part.host))
        for part in turn:
            if part.discards:
                await self._recovery.discard_data(part, self._others(part.host))
        await self._change_servers([part for part in turn if part.host.is_server])
        await self._change_agents([part for part in turn if not part.host.is_server])

    def _server(self) -> Host:
        return self._answering or self.cluster.servers[0]

    def _others(self, host: Host | None = None) -> list[Host]:
        """Servers that may tell who is a member, other than `host`; who answers comes first."""
        first = self._server()
        members = [server for server in self.planned.topology.members if server != first]
        return [server for server in (first, *members) if server != host]

    # Staging

    async def _bring_images(self, part: HostPlan) -> None:
        """Archives of images: nothing that runs is touched."""
        host = part.host
        await self._prepare(host)
        for archive in part.archives:
            is_own = archive is part.images
            file = self.files.images[host.arch] if is_own else self.files.extra_images[archive.name]
            upload = Upload(file, images_path(self.cluster, archive), 0o644)
            await self.executor.upload_reported(host, upload, archive.name)

    async def _stage(self, part: HostPlan) -> None:
        """Folders, and the binary under another name: nothing that runs is touched."""
        host = part.host
        await self._prepare(host)
        if part.binary:
            upload = Upload(self.files.binaries[host.arch], _staged_path(part.binary), 0o755)
            await self.executor.upload_reported(host, upload, "binary")

    async def _prepare(self, host: Host) -> None:
        values = {"DATA": self.cluster.k3s.data_dir, "FOLDER": paths.FOLDER, "ROLE": host.role}
        await self.executor.run_script(host, "prepare", values, "making K3S's folders")

    # Labels and taints

    async def _label_nodes(self, stage: Stage) -> None:
        """All nodes in one request of a server whose API answers: what is taken away, or set."""
        server = self._server()
        changes = [
            (part.host.name, _in_stage(part.labels, stage), _in_stage(part.taints, stage))
            for part in self.planned.hosts
        ]
        parts = [name for name, *marks in changes if any(marks)]
        lines = list(labels.changing_lines(changes))
        values = {"BINARY": paths.BINARY, "CHANGES": "\n".join(lines)}
        done = f"labels and taints of {len(parts)} nodes set"
        with self.executor.report_time(server.name, done):
            await self.executor.run_script(
                server,
                "label_nodes",
                values,
                "setting labels and taints of nodes",
                deadline=len(lines) * 2 * _LABEL_SECONDS + _GRACE_SECONDS,
            )

    # Servers

    async def _change_servers(self, parts: Sequence[HostPlan]) -> None:
        """Members that are down together, then those that restart, then those that join."""
        down, others = self._turns(parts)
        # A member alone has no quorum: it becomes ready only with the others.
        await _gather_all(self._install_server(part) for part in down)
        await _gather_all(self._wait_for_server(part) for part in down)
        for part in others:
            await self._install_server(part)
            await self._wait_for_server(part)

    def _turns(self, parts: Sequence[HostPlan]) -> tuple[list[HostPlan], list[HostPlan]]:
        """Members that are down; the others in the order in which they have their turns."""
        down = [part for part in parts if part.starts and not part.joins]
        others = [part for part in parts if part not in down]
        return down, sorted(others, key=lambda part: (part.joins, self._order(part)))

    def _order(self, part: HostPlan) -> int:
        initialises = part.host == self.planned.topology.initialising_server
        return -1 if initialises else self.cluster.servers.index(part.host)

    def _refuse_loss_of_quorum(self, parts: Sequence[HostPlan]) -> None:
        """Go through the servers' turns; who has had its own is ready, or no other has one."""
        down, others = self._turns(parts)
        ready = [*self._voters, *(part.host.name for part in down)]
        members = self.planned.topology.lasting_voters
        quorum = members // 2 + 1
        for part in others:
            left = [name for name in dict.fromkeys(ready) if name != part.host.name]
            if part.restarts and members > 1 and len(left) < quorum:
                raise QuorumError(
                    f"restarting K3S on {part.host.name}",
                    f"of the other servers only {', '.join(left) or 'none'} is ready, and etcd"
                    f" needs {quorum} of {members}",
                    "Fix the others first; `xops k3s status` shows them.",
                )
            ready.append(part.host.name)

    async def _install_server(self, part: HostPlan) -> None:
        uploads = tokens.server_uploads(part.tokens, self.tokens, self._cluster_id)
        await self._install(part, list(uploads))

    async def _wait_for_server(self, part: HostPlan) -> None:
        """Wait until the server is a voter whose node is Ready; else say why it is not."""
        if not part.is_awaited:
            return
        host = part.host
        wanted = {*self._voters, host.name}
        # Who restarts or joins waits for all voters that there were, so that the next server is
        # touched with the quorum whole. A member that was down is waited for alone: it is one of
        # several that may be down, and none of these can be ready before the others are.
        voters = 1 if part.starts and not part.joins else len(wanted)
        ran = await self._wait_ready(part, voters)
        if ran.exit_code != 0:
            initialises = host == self.planned.topology.initialising_server
            await self._recovery.roll_back_and_raise(
                part, ran, self._others(host), initialises=initialises
            )
        self._voters = sorted(wanted)
        self._cluster_id = _read_mark(ran, _CLUSTER_MARK) or self._cluster_id
        self._answering = self._answering or host

    # Agents

    async def _change_agents(self, parts: Sequence[HostPlan]) -> None:
        """Those whose service does not run, together; then those that restart, a batch at a time.

        Who serves nothing yet goes first: a setting that breaks K3S breaks it there, where it hurts
        nobody, and what they can carry is there before others restart.
        """
        running = [part for part in parts if part.restarts]
        # Those that were not Ready before go last: what is wrong there stops none that works.
        running.sort(key=lambda part: part.membership is Membership.UNREADY)
        groups = [tuple(part for part in parts if not part.restarts), *batches(running)]
        for number, group in enumerate(groups, start=1):
            try:
                await self._change_together(group)
            except XopsError as error:
                untouched = [part.host.name for later in groups[number:] for part in later]
                if not untouched:
                    raise
                raise _with_untouched(error, untouched) from error

    async def _change_together(self, parts: Sequence[HostPlan]) -> None:
        """Change these agents at the same time, and wait for all of them."""
        token = ""
        if any(part.tokens for part in parts):
            server = self.executor.transports[self._server().name]
            token = await tokens.create_agent_token(server, self.tokens)
        await _gather_all(self._install_agent(part, token) for part in parts)
        await _gather_all(self._wait_for_agent(part) for part in parts)
        await self._wait_for_nodes([part for part in parts if part.is_awaited])

    async def _install_agent(self, part: HostPlan, token: str) -> None:
        await self._install(part, [tokens.token_upload(path, token) for path in part.tokens])

    async def _wait_for_agent(self, part: HostPlan) -> None:
        if part.service is ServiceStep.KEEP:
            return
        ran = await self._wait_ready(part, voters=0)
        if ran.exit_code != 0:
            await self._recovery.roll_back_and_raise(part, ran, self._others())
        self._active_since[part.host.name] = _read_mark(ran, _MOMENT_MARK) or ""

    async def _wait_for_nodes(self, parts: Sequence[HostPlan]) -> None:
        """One look from a server at these agents.

        A node counts as Ready for most of a minute after its kubelet has ended. So of one whose
        service was told something the kubelet must have reported since.
        """
        if not parts:
            return
        names = [part.host.name for part in parts]
        values = {
            "BINARY": paths.BINARY,
            "NODES": " ".join(f"{name}={self._active_since.get(name, '')}" for name in names),
            "LIMIT": str(self.ready_seconds),
        }
        started = time.monotonic()

        def report(node: str) -> None:
            self.executor.on_step(node, "node", time.monotonic() - started)

        seconds = self.ready_seconds + _GRACE_SECONDS
        ran = await self.executor.watch_script(
            self._server(), "nodes_ready", values, seconds, report
        )
        missing = [part for part in parts if part.host.name not in marks(ran)]
        # What was said is about the other nodes; of these it is known that the service runs.
        active = replace(ran, stdout="@@active")
        await _gather_all(
            self._recovery.roll_back_and_raise(part, active, self._others()) for part in missing
        )

    # Every host

    async def _install(self, part: HostPlan, token_files: Sequence[Upload]) -> None:
        """Files and tokens, then the binary, then the service."""
        host = part.host
        if part.service is not ServiceStep.KEEP:
            # Should this be killed before the service is told, the next plan still restarts it.
            await self.executor.upload(host, Upload(_UNREAD, paths.UNREAD, 0o600))
        files = [Upload(file.content.encode(), file.path, file.mode) for file in part.files]
        for upload in [*files, *token_files]:
            await self.executor.upload(host, upload)
        if count := len(files) + len(token_files):
            self.executor.on_step(host.name, f"{count} files written", 0.0)
        await self._start(part)

    async def _start(self, part: HostPlan) -> None:
        verb = part.service.verb
        values = {
            "SERVICE": paths.service(part.host),
            "BINARY": paths.BINARY,
            "STAGED": _staged_path(part.binary) if part.binary else "",
            "SYSCTL": paths.SYSCTL,
            "REMOVED": "\n".join(part.removed),
            "VERB": verb,
            "UNREAD": paths.UNREAD,
        }
        await self.executor.run_script(part.host, "start", values, f"telling K3S to {verb}")

    async def _wait_ready(self, part: HostPlan, voters: int) -> Ran:
        """Wait for the host's service and, on a server, for so many voters."""
        host = part.host
        values = {
            "SERVICE": paths.service(host),
            "BINARY": paths.BINARY,
            "NODE": host.name,
            "ROLE": host.role,
            "MEMBERS": str(voters),
            "LIMIT": str(self.ready_seconds),
            "DATA": self.cluster.k3s.data_dir,
        }
        last = time.monotonic()

        def report(step: str) -> None:
            nonlocal last
            self.executor.on_step(host.name, step, time.monotonic() - last)
            last = time.monotonic()

        seconds = self.ready_seconds + _GRACE_SECONDS
        return await self.executor.watch_script(host, "wait_ready", values, seconds, report)


def _in_stage(marks: MarksChange | None, stage: Stage) -> MarksChange | None:
    if marks is None:
        return None
    return marks.taken if stage is Stage.UNLABEL else marks.given


def _staged_path(binary: Artifact) -> str:
    return f"{paths.BINARY}.{binary.sha256[:12]}"


def _read_mark(ran: Ran, pattern: re.Pattern[str]) -> str | None:
    """What a script has told by the last mark of this form."""
    found = filter(None, map(pattern.fullmatch, reversed(marks(ran))))
    return next((match[1] for match in found), None)


def _with_untouched(error: XopsError, names: Sequence[str]) -> XopsError:
    """The same error; it also says which agents are as they were because of it."""
    found = copy.copy(error)
    found.found += f"\n  not touched, since nothing goes on after a failure: {', '.join(names)}"
    found.remedy += " It goes on with the agents that were not touched."
    return found


async def _gather_all(works: Iterable[Awaitable[None]]) -> None:
    """Do all at the same time; wait for the others when one fails, so that none is cut off."""
    answers = await asyncio.gather(*works, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    ours = [error for error in errors if isinstance(error, XopsError)]
    for error in errors:
        if error not in ours:
            raise error
    if len(ours) == 1:
        raise ours[0]
    if ours:
        temporary = all(isinstance(error, TemporaryError) for error in ours)
        raise (TemporaryError if temporary else PermanentError)(
            "changing several hosts",
            "".join(f"\n  {error.attempted}: {error.found}" for error in ours),
            " ".join(dict.fromkeys(error.remedy for error in ours)),
        )
