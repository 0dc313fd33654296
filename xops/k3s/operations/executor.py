"""Scripts and uploads on connected hosts, each reported with the time that it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from xops.core.errors import PermanentError
from xops.k3s import scripts
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.ssh.transport_protocol import Ran, Transport, Upload

StepHandler = Callable[[str, str, float | None], None]
"""Called with a host, what was done there, and the seconds it took; None while it goes on."""

SCRIPT_DEADLINE = 120.0

_MIB = 1 << 20
_LARGE = 8 * _MIB
_MARK = "@@"


@dataclass(frozen=True)
class HostExecutor:
    """Works on connected hosts, and reports each step."""

    transports: Mapping[str, Transport]
    on_step: StepHandler

    async def run_script(
        self,
        host: Host,
        name: str,
        values: Mapping[str, str],
        attempted: str,
        deadline: float = SCRIPT_DEADLINE,
    ) -> Ran:
        """Run one of the scripts to its end.

        Raises:
            PermanentError: its exit code is not 0; has its last lines.
        """
        script = scripts.script(name, values)
        ran = await self.transports[host.name].run(script, deadline=deadline)
        if ran.exit_code:
            raise PermanentError(
                f"{attempted} on {host.name}",
                f"exit code {ran.exit_code}: {ran.last_words()}",
                "Fix what it says on the host, then run it again.",
            )
        return ran

    async def watch_script(
        self,
        host: Host,
        name: str,
        values: Mapping[str, str],
        seconds: float,
        on_mark: Callable[[str], None],
    ) -> Ran:
        """Run one of the scripts that wait; `on_mark` gets each `@@mark` as it is printed.

        Returns:
            How it ended; an exit code other than 0 says that it has waited in vain.
        """

        def handle_line(line: str) -> None:
            if line.startswith(_MARK) and "=" not in line:
                on_mark(line.removeprefix(_MARK))

        script = scripts.script(name, values)
        transport = self.transports[host.name]
        return await transport.run(script, deadline=seconds, on_line=handle_line)

    async def upload(self, host: Host, upload: Upload) -> None:
        """Bring a small file, without a report of its own."""
        await self.transports[host.name].put(upload)

    async def upload_reported(self, host: Host, upload: Upload, what: str) -> None:
        """Bring a large file, and report how far it is."""
        report = partial(report_transfers(host.name, self.on_step), what)
        with self.report_time(host.name, f"{what} brought"):
            await self.transports[host.name].put(upload, report)

    @contextmanager
    def report_time(self, name: str, what: str) -> Iterator[None]:
        """Report what is done about a host in the block, with its seconds, once it is done."""
        started = time.monotonic()
        yield
        self.on_step(name, what, time.monotonic() - started)


def marks(ran: Ran) -> list[str]:
    """What a script has marked with `@@`, in order."""
    lines = ran.stdout.splitlines()
    return [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]


def report_transfers(host: str, on_step: StepHandler) -> Callable[[str, int, int], None]:
    """Reports every tenth part of each large file that is moved, by its name."""
    reported: dict[str, int] = {}

    def report(name: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if total > _LARGE and tenth > reported.get(name, 0):
            reported[name] = tenth
            on_step(host, f"{name} {done // _MIB}/{total // _MIB} MiB", None)

    return report
