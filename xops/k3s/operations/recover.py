"""What follows when K3S on a host does not come up: why, and the host as it was before.

A host that was no member before is rolled back, so that the next apply finds it bare; a member
keeps what it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from xops.core.errors import PermanentError
from xops.core.process import redact
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.operations.executor import SCRIPT_DEADLINE, HostExecutor, marks
from xops.k3s.operations.plan import HostPlan
from xops.k3s.operations.tokens import Tokens
from xops.k3s.scripts import script
from xops.k3s.ssh.transport_protocol import Ran
from xops.k3s.state import diagnosis

FORGET_SECONDS = 90
LOG_LINES = 80

_CRASH_LOOP = 20
"""The exit code with which scripts/wait_ready.sh says that the service gives up again and again."""


class NotReadyError(PermanentError):
    """K3S on a host did not come up; says why as far as its log tells."""


@dataclass(frozen=True)
class Recovery:
    """Names the cause on a host of one cluster, and rolls the host back."""

    cluster: Cluster
    executor: HostExecutor
    tokens: Tokens = field(repr=False)

    async def forget_node(self, host: Host, server: Host) -> None:
        """Remove the host's node from the cluster, with its etcd member, on a server.

        Raises:
            PermanentError: the server could not.
        """
        values = {"BINARY": paths.BINARY, "NODE": host.name, "LIMIT": str(FORGET_SECONDS)}
        with self.executor.report_time(host, f"forgotten by {server.name}"):
            attempted = f"making the cluster forget {host.name}"
            await self.executor.run_script(server, "forget", values, attempted)

    async def roll_back_and_raise(self, part: HostPlan, ran: Ran, server: Host | None) -> NoReturn:
        """Say why the host is not ready; roll it back if it never was.

        Args:
            part: what was done on the host.
            ran: how the wait for it has ended.
            server: one whose API answers, None if none does.

        Raises:
            NotReadyError: always.
        """
        steps = [mark for mark in marks(ran) if "=" not in mark]
        reached = (
            f"got as far as: {', '.join(steps)}" if steps else "its service never became active"
        )
        if ran.exit_code == _CRASH_LOOP:
            reached += "; its service is in a crash loop"
        log = await self._read_log(part.host)
        if part.joins:
            await self._roll_back_host(part, server)
            state = f"{part.host.name} was rolled back to before it joined."
        else:
            state = "It stays as it is."
        causes = diagnosis.diagnose(log)
        found = "".join(f"\n  {cause.title}: {cause.found}" for cause in causes)
        last_lines = "" if causes else "\n  " + "\n  ".join(log.splitlines()[-12:])
        advice = " ".join(cause.remedy for cause in causes) or "Look at the log lines above."
        raise NotReadyError(
            f"waiting for K3S on {part.host.name}",
            f"{reached}{found or last_lines}",
            f"{advice} {state} Then run it again.",
        )

    async def _read_log(self, host: Host) -> str:
        values = {
            "SERVICE": paths.service(host),
            "BINARY": paths.BINARY,
            "LINES": str(LOG_LINES),
        }
        transport = self.executor.transports[host.name]
        ran = await transport.run(script("diagnose", values), deadline=SCRIPT_DEADLINE)
        return redact(ran.stdout, [self.tokens.server, self.tokens.agent])

    async def _roll_back_host(self, part: HostPlan, server: Host | None) -> None:
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
        if server and server != host:
            await self.forget_node(host, server)
