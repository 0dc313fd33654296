"""Bringing hosts to what their plan says: an interpreter of its operations, and nothing else.

What is done, and in which order, stands in the plan (`operation`, `sequence`). What is right has no
operation and is left alone, so an apply that was killed anywhere is run again.
"""

from __future__ import annotations

import asyncio
import copy
import re
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import labels
from xops.k3s.operations import tokens
from xops.k3s.operations.compare import images_path
from xops.k3s.operations.executor import HostExecutor, marks
from xops.k3s.operations.host_operations import staged_path
from xops.k3s.operations.operation import (
    AwaitNode,
    BringArchive,
    DiscardData,
    ForgetNode,
    Operation,
    RemoveFile,
    RemoveMember,
    ServiceStep,
    SetMarks,
    Stage,
    StageBinary,
    SwapBinary,
    TakeMarks,
    TellService,
    Turn,
    WithdrawManifest,
    Work,
    WriteFile,
    WriteToken,
)
from xops.k3s.operations.plan import K3sPlan
from xops.k3s.operations.recover import Recovery
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.obtain import ReleaseFiles
from xops.k3s.ssh.transport_protocol import Ran, Upload

READY_SECONDS = 300

_GRACE_SECONDS = 30
"""How much longer than the script itself the wait for its end may last."""
_LABEL_SECONDS = 60
"""How long one command of scripts/label_nodes.sh may take; a line of its input has two at most."""
_WITHDRAW_SECONDS = 300
"""How long a manifest's objects may take to go: three commands of 90 s at most."""
_UNREAD = b"K3S has yet to read files that xOps wrote.\n"
_CLUSTER_MARK = re.compile(r"cluster=([0-9a-f]{64})")
_MOMENT_MARK = re.compile(r"at=([0-9]{14})")


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
        self._recovery = Recovery(self.cluster, self.executor, self.tokens)
        self._prepared: set[str] = set()
        self._active_since: dict[str, str] = {}
        self._agent_token = ""
        self._cluster_id = self.planned.topology.cluster_id
        self._answering = self.planned.topology.source

    async def run(self, stage: Stage) -> None:
        """Go through the turns of one stage, up to the first that does not end well.

        Raises:
            NotReadyError: a host did not come up. One that never had is rolled back.
        """
        turns = self.planned.of_stage(stage)
        for number, turn in enumerate(turns, start=1):
            try:
                await self._run_turn(turn)
            except XopsError as error:
                later = (name for each in turns[number:] for name in each.hosts)
                untouched = [name for name in dict.fromkeys(later) if name not in turn.hosts]
                if not untouched:
                    raise
                raise _with_untouched(error, untouched) from error

    async def _run_turn(self, turn: Turn) -> None:
        """What is done on hosts, at the same time; then what one server is asked about all."""
        if any(_is_agents(each, WriteToken) for each in turn.operations):
            server = self.executor.transports[self._server().name]
            self._agent_token = await tokens.create_agent_token(server, self.tokens)
        await _gather_all(self._run_host(operations) for operations in turn.by_host())
        await self._mark_nodes(turn.operations)
        await self._wait_for_nodes(
            [each for each in turn.operations if _is_agents(each, AwaitNode)]
        )

    async def _run_host(self, operations: Sequence[Operation]) -> None:
        """One host's operations in their order."""
        host = operations[0].host
        works = [each.work for each in operations]
        if host is None:
            for work in works:
                await self._change_cluster(host, work)
            return
        if any(isinstance(work, _PUTS) for work in works) and host.name not in self._prepared:
            await self._prepare(host)
        if any(isinstance(work, TellService) for work in works):
            # Should this be killed before the service is told, the next plan still restarts it.
            await self.executor.upload(host, Upload(_UNREAD, paths.UNREAD, 0o600))
        for work in works:
            await self._change_cluster(host, work)
            await self._put(host, work)
        if any(isinstance(work, _CHANGES) for work in works):
            await self._start(host, works)
        for work in works:
            if isinstance(work, AwaitNode):
                await self._wait_for_host(host, work)

    def _server(self) -> Host:
        return self._answering or self.cluster.servers[0]

    def _others(self, host: Host | None = None) -> list[Host]:
        """Servers that may tell who is a member, other than `host`; who answers comes first."""
        first = self._server()
        members = [server for server in self.planned.topology.members if server != first]
        return [server for server in (first, *members) if server != host]

    # What the cluster knows

    async def _change_cluster(self, host: Host | None, work: Work) -> None:
        others = self._others(host)
        match work:
            case RemoveMember(member=member):
                await self._recovery.remove_member(host, member, others)
            case ForgetNode(members=members) if host:
                await self._recovery.forget_node(host, members, others)
            case WithdrawManifest(path=path) if host:
                await self._withdraw(host, path)
            case DiscardData() if host:
                await self._recovery.discard_data(self.planned.of(host), others)
            case _:
                return

    async def _withdraw(self, host: Host, path: str) -> None:
        values = {"BINARY": paths.BINARY, "MANIFESTS": path}
        attempted = f"deleting what K3S made of {path}"
        await self.executor.run_script(host, "withdraw", values, attempted, _WITHDRAW_SECONDS)

    async def _mark_nodes(self, operations: Sequence[Operation]) -> None:
        """Labels and taints of all nodes in one request: what is taken away, or set."""
        works = [
            (each.host.name, each.work)
            for each in operations
            if each.host and isinstance(each.work, TakeMarks | SetMarks)
        ]
        if not works:
            return
        server = self._server()
        changes = ((name, work.labels, work.taints) for name, work in works)
        lines = list(labels.changing_lines(changes))
        values = {"BINARY": paths.BINARY, "CHANGES": "\n".join(lines)}
        nodes = len(dict(works))
        with self.executor.report_time(server.name, f"labels and taints of {nodes} nodes set"):
            await self.executor.run_script(
                server,
                "label_nodes",
                values,
                "setting labels and taints of nodes",
                deadline=len(lines) * 2 * _LABEL_SECONDS + _GRACE_SECONDS,
            )

    # Files and the service of a host

    async def _prepare(self, host: Host) -> None:
        values = {"DATA": self.cluster.k3s.data_dir, "FOLDER": paths.FOLDER, "ROLE": host.role}
        await self.executor.run_script(host, "prepare", values, "making K3S's folders")
        self._prepared.add(host.name)

    async def _put(self, host: Host, work: Work) -> None:
        """What is brought to the host, or written there."""
        match work:
            case BringArchive(artifact=archive, is_own=is_own):
                own, others = self.files.images, self.files.extra_images
                file = own[host.arch] if is_own else others[archive.name]
                upload = Upload(file, images_path(self.cluster, archive), 0o644)
                await self.executor.upload_reported(host, upload, archive.name)
            case StageBinary(artifact=binary):
                upload = Upload(self.files.binaries[host.arch], staged_path(binary), 0o755)
                await self.executor.upload_reported(host, upload, "binary")
            case WriteFile(file=file):
                written = Upload(file.content.encode(), file.path, file.mode)
                await self.executor.upload(host, written)
            case WriteToken(path=path):
                await self.executor.upload(host, self._token(host, path))
            case _:
                return

    def _token(self, host: Host, path: str) -> Upload:
        if not host.is_server:
            return tokens.token_upload(path, self._agent_token)
        return tokens.server_upload(path, self.tokens, self._cluster_id)

    async def _start(self, host: Host, works: Sequence[Work]) -> None:
        """Files that go, the program and the service, in one request and in this order."""
        if written := sum(isinstance(work, WriteFile | WriteToken) for work in works):
            self.executor.on_step(host.name, f"{written} files written", 0.0)
        staged = [staged_path(work.artifact) for work in works if isinstance(work, SwapBinary)]
        told = [work.step for work in works if isinstance(work, TellService)]
        verb = (told or [ServiceStep.KEEP])[0].verb
        values = {
            "SERVICE": paths.service(host),
            "BINARY": paths.BINARY,
            "STAGED": "".join(staged),
            "SYSCTL": paths.SYSCTL,
            "REMOVED": "\n".join(work.path for work in works if isinstance(work, RemoveFile)),
            "VERB": verb,
            "UNREAD": paths.UNREAD,
        }
        await self.executor.run_script(host, "start", values, f"telling K3S to {verb}")

    # What is waited for

    async def _wait_for_host(self, host: Host, awaited: AwaitNode) -> None:
        """Wait until a server is a voter whose node is Ready, or an agent's service runs; else say
        why it is not. What is said of agents' nodes a server is asked later, for all at once."""
        if not (awaited.told or host.is_server):
            return
        ran = await self._wait_ready(host, awaited.voters)
        if ran.exit_code != 0:
            await self._give_up(host, awaited, ran)
        if not host.is_server:
            self._active_since[host.name] = _read_mark(ran, _MOMENT_MARK) or ""
            return
        self._cluster_id = _read_mark(ran, _CLUSTER_MARK) or self._cluster_id
        self._answering = self._answering or host

    async def _give_up(self, host: Host, awaited: AwaitNode, ran: Ran) -> None:
        part = self.planned.of(host)
        await self._recovery.roll_back_and_raise(
            part,
            ran,
            self._others(host),
            joins=awaited.joins,
            initialises=awaited.initialises,
        )

    async def _wait_for_nodes(self, operations: Sequence[Operation]) -> None:
        """One look from a server at these agents.

        A node counts as Ready for most of a minute after its kubelet has ended. So of one whose
        service was told something the kubelet must have reported since.
        """
        if not operations:
            return
        names = [each.host.name for each in operations if each.host]
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
        ready = marks(ran)
        # What was said is about the other nodes; of these it is known that the service runs.
        active = replace(ran, stdout="@@active")
        await _gather_all(
            self._give_up(each.host, each.work, active)
            for each in operations
            if each.host and isinstance(each.work, AwaitNode) and each.host.name not in ready
        )

    async def _wait_ready(self, host: Host, voters: int) -> Ran:
        """Wait for the host's service and, on a server, for so many voters."""
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


_PUTS = BringArchive | StageBinary | WriteFile | WriteToken
"""Works for which the folders must be there."""

_CHANGES = WriteFile | WriteToken | RemoveFile | SwapBinary | TellService
"""Works that the script ends which tells the service; of some files the kernel is told by it."""


def _is_agents(operation: Operation, work: type[WriteToken | AwaitNode]) -> bool:
    host = operation.host
    return host is not None and not host.is_server and isinstance(operation.work, work)


def _read_mark(ran: Ran, pattern: re.Pattern[str]) -> str | None:
    """What a script has told by the last mark of this form."""
    found = filter(None, map(pattern.fullmatch, reversed(marks(ran))))
    return next((match[1] for match in found), None)


def _with_untouched(error: XopsError, names: Sequence[str]) -> XopsError:
    """The same error; it also says which agents are as they were because of it."""
    found = copy.copy(error)
    found.found += f"\n  not touched, since nothing goes on after a failure: {', '.join(names)}"
    found.remedy += " It goes on with those that were not touched."
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
