"""Bringing hosts to what their plan says, in the order that keeps etcd's quorum.

Images come to all hosts before any binary changes. Servers go one at a time through a gate, since
etcd takes one learner at a time; agents follow together. Each operation looks at a fact of the
plan and does nothing where it is right, so an apply that was killed anywhere is run again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.core.process import redact
from xops.k3s import paths, scripts
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.operations import plan as planning
from xops.k3s.operations.plan import ClusterPlan, Desired, HostPlan
from xops.k3s.operations.tokens import Tokens
from xops.k3s.ssh.transport_protocol import Ran, Transport, Upload
from xops.k3s.state import diagnosis
from xops.k3s.state.facts import HostFacts

StepHandler = Callable[[str, str, float | None], None]
"""Called with a host, what was done there, and the seconds it took; None while it goes on."""

GATE_SECONDS = 300
FORGET_SECONDS = 90
SCRIPT_DEADLINE = 120.0
AGENT_TOKEN_TTL = "1h"  # noqa: S105 - a duration
LOG_LINES = 80

_NEVER_UP = 20
_UNREAD = b"K3S has yet to read files that xOps wrote.\n"
_MIB = 1 << 20


class NotReadyError(PermanentError):
    """K3S on a host did not come up; says why as far as its log tells."""


class QuorumError(PermanentError):
    """Restarting a server now would take the cluster's API away."""


@dataclass(frozen=True)
class Files:
    """The release's files on this machine, by architecture."""

    binaries: Mapping[str, Path]
    images: Mapping[str, Path]


@dataclass
class Installation:
    """One apply on connected hosts, of a plan that was approved."""

    cluster: Cluster
    transports: Mapping[str, Transport]
    facts: Mapping[str, HostFacts]
    planned: ClusterPlan
    desired: Desired
    tokens: Tokens
    files: Files
    on_step: StepHandler
    gate_seconds: int = GATE_SECONDS

    def __post_init__(self) -> None:
        self._cluster_id = self.planned.topology.cluster_id
        forgotten = {part.host.name for part in self.planned.hosts if part.stale}
        self._voters = [
            node.name
            for node in self.planned.topology.nodes or ()
            if node.voter and node.ready and node.name not in forgotten
        ]
        self._answering = self.planned.topology.source

    async def run(self) -> None:
        """Do what the plan says.

        Raises:
            NotReadyError: a host did not come up. One that never had is taken back.
        """
        changed = [part for part in self.planned.hosts if not part.is_empty]
        await _all(self._stage(part) for part in changed)
        for part in changed:
            if part.stale:
                await self._forget(part.host)
        await self._servers([part for part in changed if part.host.is_server])
        await self._agents([part for part in changed if not part.host.is_server])

    # Staging

    async def _stage(self, part: HostPlan) -> None:
        """Folders, images, and the binary under another name: nothing that runs is touched."""
        host = part.host
        values = {
            "DATA": self.cluster.k3s.data_dir,
            "FOLDER": paths.FOLDER,
            "ROLE": host.role,
        }
        await self._must(host, "prepare", values, "making K3S's folders")
        if part.images:
            artifact = self.desired.images[host.arch]
            path = planning.images_path(self.cluster, artifact)
            await self._put(host, Upload(self.files.images[host.arch], path, 0o644), artifact.name)
        if part.binary:
            upload = Upload(self.files.binaries[host.arch], self._staged(host), 0o755)
            await self._put(host, upload, "binary")

    def _staged(self, host: Host) -> str:
        return f"{paths.BINARY}.{self.desired.binaries[host.arch].sha256[:12]}"

    async def _put(self, host: Host, upload: Upload, what: str) -> None:
        with self._timed(host, f"{what} brought"):
            await self.transports[host.name].put(upload, moving(host.name, what, self.on_step))

    # Servers

    async def _servers(self, parts: Sequence[HostPlan]) -> None:
        """Members that are down together, then those that restart, then those that join."""
        down = [part for part in parts if part.starts and not part.joins]
        others = [part for part in parts if part not in down]
        # A member alone has no quorum: it becomes ready only with the others.
        await _all(self._bring(part) for part in down)
        await _all(self._gate(part) for part in down)
        for part in sorted(others, key=lambda part: (part.joins, self._order(part))):
            self._refuse_loss_of_quorum(part)
            await self._bring(part)
            await self._gate(part)

    def _order(self, part: HostPlan) -> int:
        founder = self.planned.topology.founder
        return -1 if part.host == founder else self.cluster.servers.index(part.host)

    def _refuse_loss_of_quorum(self, part: HostPlan) -> None:
        others = [name for name in self._voters if name != part.host.name]
        members = len(self.planned.topology.members)
        if part.restarts and members > 1 and len(others) < self._quorum():
            raise QuorumError(
                f"restarting K3S on {part.host.name}",
                f"of the other servers only {', '.join(others) or 'none'} is ready, and etcd needs"
                f" {self._quorum()} of {len(self.planned.topology.members)}",
                "Mend the others first; `xops k3s status` shows them.",
            )

    def _quorum(self) -> int:
        return len(self.planned.topology.members) // 2 + 1

    async def _bring(self, part: HostPlan) -> None:
        """Files and tokens, then the binary, then the service."""
        host = part.host
        if part.starts or part.restarts:
            # Should this be killed before the service is told, the next plan still restarts it.
            await self.transports[host.name].put(Upload(_UNREAD, paths.UNREAD, 0o600))
        for file in part.files:
            upload = Upload(file.content.encode(), file.path, file.mode)
            await self.transports[host.name].put(upload)
        await self._put_tokens(part)
        if part.files or part.tokens:
            self.on_step(host.name, f"{len(part.files) + len(part.tokens)} files written", 0.0)
        await self._start(part)

    async def _put_tokens(self, part: HostPlan) -> None:
        contents = {paths.AGENT_TOKEN: self.tokens.agent}
        if part.host.is_server:
            contents[paths.TOKEN] = self.tokens.of_server(self._cluster_id)
        for path in part.tokens:
            if path in contents:
                upload = Upload(f"{contents[path]}\n".encode(), path, 0o600)
                await self.transports[part.host.name].put(upload)

    async def _start(self, part: HostPlan) -> None:
        verb = self._verb(part)
        values = {
            "SERVICE": paths.service(part.host),
            "BINARY": paths.BINARY,
            "STAGED": self._staged(part.host) if part.binary else "",
            "SYSCTL": paths.SYSCTL,
            "REMOVED": "\n".join(part.removed),
            "VERB": verb,
            "UNREAD": paths.UNREAD,
        }
        await self._must(part.host, "start", values, f"telling K3S to {verb}")

    def _verb(self, part: HostPlan) -> str:
        """A service that is starting has read its files already: `start` would leave it at that."""
        service = self.facts[part.host.name].service
        hangs = service is not None and service.active not in ("inactive", "failed")
        unread = paths.UNREAD in self.facts[part.host.name].files
        if part.starts and not (hangs and (part.binary or part.files or part.tokens or unread)):
            return "start"
        return "restart" if part.starts or part.restarts else "keep"

    async def _gate(self, part: HostPlan) -> None:
        """Wait until the server is a voter whose node is Ready; else say why it is not."""
        if not (part.starts or part.restarts or part.waits):
            return
        host = part.host
        wanted = {*self._voters, host.name}
        values = {
            "SERVICE": paths.service(host),
            "BINARY": paths.BINARY,
            "NODE": host.name,
            "ROLE": host.role,
            "MEMBERS": str(len(wanted)) if not part.starts or part.joins else "1",
            "LIMIT": str(self.gate_seconds),
            "DATA": self.cluster.k3s.data_dir,
        }
        ran = await self._watched(host, scripts.script("gate", values), self.gate_seconds + 30)
        if ran.exit_code != 0:
            await self._failed(part, ran)
        self._voters = sorted({*self._voters, host.name})
        self._cluster_id = self._said(ran, "cluster=") or self._cluster_id
        self._answering = self._answering or host

    @staticmethod
    def _said(ran: Ran, what: str) -> str | None:
        mark = f"@@{what}"
        found = [line for line in ran.stdout.splitlines() if line.startswith(mark)]
        return found[-1].removeprefix(mark) if found else None

    async def _watched(self, host: Host, script: str, deadline: float) -> Ran:
        """Run a script whose lines `@@step` are told with the seconds since the last one."""
        last = time.monotonic()

        def told(line: str) -> None:
            nonlocal last
            if line.startswith("@@") and "=" not in line:
                self.on_step(host.name, line.removeprefix("@@"), time.monotonic() - last)
                last = time.monotonic()

        return await self.transports[host.name].run(script, deadline=deadline, on_line=told)

    # Agents

    async def _agents(self, parts: Sequence[HostPlan]) -> None:
        if not parts:
            return
        token = await self._agent_token() if any(part.tokens for part in parts) else ""
        await _all(self._bring_agent(part, token) for part in parts)
        await _all(self._gate_agent(part) for part in parts)
        await self._nodes_ready([p for p in parts if p.starts or p.restarts or p.waits])

    async def _agent_token(self) -> str:
        """A token that lets agents in for an hour, so that none of them keeps one that lasts."""
        source = self._source()
        script = f"# token for agents\n{paths.BINARY} token create --ttl {AGENT_TOKEN_TTL}"
        ran = await self.transports[source.name].run(script, deadline=SCRIPT_DEADLINE)
        lines = ran.stdout.split()
        if ran.exit_code or not lines:
            raise PermanentError(
                f"making a token for agents on {source.name}",
                redact(ran.stderr.strip() or "K3S printed none", [self.tokens.server]),
                "Look at the server: `k3s token list`.",
            )
        return lines[-1]

    def _source(self) -> Host:
        return self._answering or self.cluster.servers[0]

    async def _bring_agent(self, part: HostPlan, token: str) -> None:
        if part.tokens:
            upload = Upload(f"{token}\n".encode(), paths.TOKEN, 0o600)
            await self.transports[part.host.name].put(upload)
        await self._bring(part)

    async def _gate_agent(self, part: HostPlan) -> None:
        if not (part.starts or part.restarts):
            return
        values = {
            "SERVICE": paths.service(part.host),
            "BINARY": paths.BINARY,
            "NODE": part.host.name,
            "ROLE": part.host.role,
            "MEMBERS": "0",
            "LIMIT": str(self.gate_seconds),
            "DATA": self.cluster.k3s.data_dir,
        }
        script = scripts.script("gate", values)
        ran = await self._watched(part.host, script, self.gate_seconds + 30)
        if ran.exit_code != 0:
            await self._failed(part, ran)

    async def _nodes_ready(self, parts: Sequence[HostPlan]) -> None:
        """One look from a server at all agents."""
        if not parts:
            return
        values = {
            "BINARY": paths.BINARY,
            "NODES": " ".join(part.host.name for part in parts),
            "LIMIT": str(self.gate_seconds),
        }
        source = self.transports[self._source().name]
        started = time.monotonic()

        def told(line: str) -> None:
            if line.startswith("@@"):
                taken = time.monotonic() - started
                self.on_step(line.removeprefix("@@"), "node", taken)

        script = scripts.script("nodes_ready", values)
        ran = await source.run(script, deadline=self.gate_seconds + 30, on_line=told)
        missing = [p for p in parts if f"@@{p.host.name}" not in ran.stdout.splitlines()]
        # What was said is about the other nodes; of these it is known that the service runs.
        await _all(self._failed(part, replace(ran, stdout="@@active")) for part in missing)

    # What goes wrong

    async def _forget(self, host: Host) -> None:
        source = self._source()
        with self._timed(host, f"forgotten by {source.name}"):
            values = {
                "BINARY": paths.BINARY,
                "NODE": host.name,
                "LIMIT": str(FORGET_SECONDS),
            }
            await self._must(source, "forget", values, f"making the cluster forget {host.name}")

    async def _failed(self, part: HostPlan, ran: Ran) -> None:
        """Say why the host is not ready; take it back if it never was.

        Raises:
            NotReadyError: always.
        """
        host = part.host
        steps = [line[2:] for line in ran.stdout.splitlines() if line.startswith("@@")]
        reached = f"got as far as: {', '.join(steps)}" if steps else "its service never got active"
        if ran.exit_code == _NEVER_UP:
            reached += "; it ends again and again"
        told = await self._diagnosed(host)
        undone = await self._undone(part) if part.joins else "It stays as it is."
        causes = diagnosis.diagnose(told)
        found = "".join(f"\n  {cause.title}: {cause.found}" for cause in causes)
        log = "" if causes else "\n  " + "\n  ".join(told.splitlines()[-12:])
        advice = " ".join(cause.remedy for cause in causes) or "Look at the log lines above."
        raise NotReadyError(
            f"waiting for K3S on {host.name}",
            f"{reached}{found or log}",
            f"{advice} {undone} Then run it again.",
        )

    async def _diagnosed(self, host: Host) -> str:
        values = {
            "SERVICE": paths.service(host),
            "BINARY": paths.BINARY,
            "LINES": str(LOG_LINES),
        }
        script = scripts.script("diagnose", values)
        ran = await self.transports[host.name].run(script, deadline=SCRIPT_DEADLINE)
        return redact(ran.stdout, [self.tokens.server, self.tokens.agent])

    async def _undone(self, part: HostPlan) -> str:
        host = part.host
        values = {
            "SERVICE": paths.service(host),
            "DATA": self.cluster.k3s.data_dir,
            "FOLDER": paths.FOLDER,
            "UNIT": paths.unit(host, self.facts[host.name].init),
            "UNREAD": paths.UNREAD,
        }
        await self._must(host, "undo", values, f"taking {host.name} back to before it joined")
        if self._answering and self._answering != host:
            await self._forget(host)
        return f"{host.name} was taken back to before it joined."

    async def _must(self, host: Host, name: str, values: Mapping[str, str], doing: str) -> Ran:
        script = scripts.script(name, values)
        ran = await self.transports[host.name].run(script, deadline=SCRIPT_DEADLINE)
        if ran.exit_code:
            said = (ran.stderr.strip() or ran.stdout.strip() or "nothing").splitlines()[-3:]
            raise PermanentError(
                f"{doing} on {host.name}",
                f"exit code {ran.exit_code}: {' / '.join(said)}",
                "Mend what it says on the host, then run it again.",
            )
        return ran

    @contextmanager
    def _timed(self, host: Host, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.on_step(host.name, what, time.monotonic() - started)


def moving(host: str, what: str, on_step: StepHandler) -> Callable[[int, int], None]:
    """Tells of every tenth part of what is moved, if it is large."""
    told = 0

    def moved(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(total, 1)
        if total > 8 * _MIB and tenth > told:
            told = tenth
            on_step(host, f"{what} {done // _MIB}/{total // _MIB} MiB", None)

    return moved


async def _all(works: Iterable[Awaitable[None]]) -> None:
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
