"""What `xops down` does: it ends what is going on, waits for it, then stops the servers.

A run that is going on is cancelled through Prefect: its process is told once, interrupts its
Terraform once, and Terraform writes its state. The run's process and every tool that it has
started are then waited for. Servers are stopped when nothing needs them any longer: the dispatcher
before all, since it starts runs; the worker, the Prefect server, the receiver, the database, and
last the embedded AWS, which holds Terraform's state.

A tool is never signalled here. What has not ended when the patience is over is left running, named,
with the embedded AWS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from xops.core.errors import TemporaryError
from xops.core.process import ServiceProcess, Started, find_processes
from xops.ecs import orphaned_terraform, run_folder
from xops.local import postgresql
from xops.local.home import is_embedded, run_folders
from xops.local.services import home_of
from xops.local.stack import Stack

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PATIENCE = 120
"""Seconds that runs and their tools are waited for: Prefect gives a cancelled run 30."""

VARIABLE = "XOPS_DOWN_WAIT"
"""Sets another patience."""

_RUN_ID = "PREFECT__FLOW_RUN_ID"
_POLL_SECONDS = 1.0
_SAY_SECONDS = 10.0
_API_SECONDS = 5.0
_PREFECT_SECONDS = 45.0
"""After this a worker that was told to cancel a run has not done so: it would have ended by now."""

_SETTLE_SECONDS = 20.0
"""How long the worker may take to call a run cancelled whose process has ended."""

_MESSAGE = "The embedded stack is being stopped (`xops down`)."

Say = Callable[[str], None]


class StillAtWorkError(TemporaryError):
    """Something still works that the embedded stack may not be taken away from.

    Args:
        stopped: the servers that were stopped.
        left: what still works, for people.
        patience: seconds that it was waited for.
    """

    def __init__(self, stopped: Sequence[str], left: Sequence[str], patience: float) -> None:
        self.stopped, self.left = list(stopped), list(left)
        listed = "".join(f"\n    {line}" for line in left)
        super().__init__(
            "stopping the embedded stack",
            f"after {patience:.0f} s this is still at work, and was left to it:{listed}\n"
            "  The embedded AWS, which holds its state, was left running too"
            f" (stopped: {', '.join(stopped) or 'nothing else'})",
            "Let it end: Terraform writes its state by itself. Then run `xops down` again."
            " Never send it SIGKILL.",
            retry_after=60.0,
        )

    def to_json(self) -> dict[str, object]:
        """As of every error, with what was stopped and what was left."""
        return {**super().to_json(), "stopped": self.stopped, "left": self.left}


@dataclass(frozen=True)
class _Run:
    """The process of a run of Prefect's on this machine."""

    identity: UUID
    process: Started

    def __str__(self) -> str:
        return f"run {self.identity} in process {self.process.process.pid}"


def stop(stack: Stack, patience: float, say: Say) -> list[str]:
    """Cancel what is going on, wait for it, then stop everything; what was stopped, in order.

    Args:
        stack: the servers and their installation.
        patience: seconds.
        say: takes a line for people.

    Raises:
        StillAtWorkError: something has not ended. It is left, and the embedded AWS with it; all
            else is stopped. Another call ends the rest.
        KeyboardInterrupt: the wait was interrupted. No server but the dispatcher was stopped; what
            was cancelled is still being cancelled. Another call goes on.
    """
    stopped = [stack.dispatcher.name] if stack.dispatcher.stop() else []
    work, cancelling = _Work(stack.home), _Cancelling(stack, say)
    deadline = time.monotonic() + patience
    _wait(work, cancelling, deadline, say)
    cancelling.settle()
    stopped += [row.name for row in (stack.watch, stack.worker) if row.stop()]
    left = _wait(work, cancelling, deadline, say)  # what the worker has begun since the last look
    stopped += stop_servers(stack, but=(stack.aws.name,) if left else ())
    if left:
        raise StillAtWorkError(stopped, left, patience)
    return stopped


def _wait(work: _Work, cancelling: _Cancelling, deadline: float, say: Say) -> list[str]:
    """Cancel runs and wait until nothing goes on, or the deadline has passed; what goes on then.

    The process of a run that goes on then is ended, as Prefect does it after 30 s: what works for
    it is in other sessions, and is not.
    """
    while (left := work.look()) and time.monotonic() < deadline:
        cancelling.cancel(work.runs)
        work.say_what_is_waited_for(left, say)
        time.sleep(_POLL_SECONDS)
    for run in work.runs:
        run.process.process.stop(patience=0)
    return work.look() if left else []


def stop_servers(stack: Stack, but: Sequence[str] = ()) -> list[str]:
    """Stop the servers at once, the last started first; the names of those that had run.

    Args:
        stack: the servers.
        but: the names of those that stay.
    """
    asking = (stack.dispatcher, stack.watch, stack.worker)
    every = (*asking, stack.server, stack.receiver, stack.postgresql, stack.aws)
    stopped = [service.name for service in every if service.name not in but and service.stop()]
    if (unrecorded := postgresql.running_server(stack.home)) is not None:
        stack.postgresql.end(unrecorded)
        stopped.append(stack.postgresql.name)
    postgresql.remove_socket_folder(stack.home)
    return stopped


class _Work:
    """What is going on in an installation: runs, what they have started, and Terraform."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.runs: list[_Run] = []
        self._seen: set[int] = set()
        self._tools: dict[ServiceProcess, Started] = {}
        self._said = time.monotonic()

    def look(self) -> list[str]:
        """What goes on now, a line for each."""
        self.runs = list(_runs_of(self._home))
        for run in self.runs:
            self._seen.add(run.process.process.pid)
            # They are kept: whose run has died has no parent any longer that would tell of it.
            self._tools |= {tool.process: tool for tool in run.process.process.sessions_below()}
        terraform = dict(self._terraform())
        tools = [row for row in self._tools.values() if row.process.alive()]
        others = [str(tool) for tool in tools if tool.process.pid not in terraform]
        return [*map(str, self.runs), *terraform.values(), *others]

    def say_what_is_waited_for(self, lines: Sequence[str], say: Say) -> None:
        """Every ten seconds."""
        now = time.monotonic()
        if now - self._said >= _SAY_SECONDS:
            self._said = now
            for line in lines:
                say(f"waiting for {line}")

    def _terraform(self) -> Iterator[tuple[int, str]]:
        """Terraforms that this stack may not be taken away from, by the process, if known."""
        now = datetime.now(UTC)
        for folder in self._folders():
            found = orphaned_terraform.look(folder)
            if run_folder.terraform_at_work(folder):
                pid = found.process.process.pid if found.process is not None else 0
                yield pid, f"environment {folder.parent.name}: {found.describe(now)}"
            elif (pid := _starter(folder)) not in self._seen:
                yield pid, f"environment {folder.parent.name}: a command (process {pid})"

    def _folders(self) -> Iterator[Path]:
        """The folders of runs that go on and use this stack.

        A command on a real account does not, and is nobody's business here.
        """
        for folder in run_folders(self._home):
            ours = is_embedded(folder, otherwise=True) or _starter(folder) in self._seen
            if ours and run_folder.in_use(folder):
                yield folder


def _runs_of(home: Path) -> Iterator[_Run]:
    def told(argv: Sequence[str], environ: Mapping[str, str]) -> UUID | None:
        if not any("prefect" in word for word in argv[1:3]) or home_of(environ) != home:
            return None
        with suppress(ValueError):
            return UUID(environ.get(_RUN_ID, ""))
        return None

    for found, identity in find_processes(told):
        if found.process.leads:  # what a run has started in its session has its variables, too
            yield _Run(identity, found)


def _starter(folder: Path) -> int:
    """The process whose run's folder it is: the folder's name ends with it."""
    last = folder.name.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


class _Cancelling:
    """Tells each run once that it shall end, and sees to it that it is called cancelled."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._cancelling: dict[UUID, float] = {}
        self._interrupted: set[UUID] = set()

    def cancel(self, runs: Sequence[_Run]) -> None:
        """Tell those of them that were not told yet.

        By Prefect, whose worker signals the process; where server or worker does not answer, or
        does not act, by the same signal from here.
        """
        for run in runs:
            if run.identity in self._interrupted or self._is_up_to_prefect(run):
                continue
            self._interrupted.add(run.identity)
            self._say(f"interrupting {run}, since Prefect does not answer")
            run.process.process.ask_to_end()

    def _is_up_to_prefect(self, run: _Run) -> bool:
        since = self._cancelling.get(run.identity)
        if since is not None:
            return time.monotonic() - since < _PREFECT_SECONDS
        if not self._worker_lives or not self._set(run.identity, "Cancelling"):
            return False
        self._cancelling[run.identity] = time.monotonic()
        self._say(f"cancelling {run}")
        return True

    def settle(self) -> None:
        """Wait until the worker has called the runs cancelled, and do so where it does not."""
        give_up = time.monotonic() + _SETTLE_SECONDS
        for identity in self._cancelling:
            while (
                (cancelling := self._is_cancelling(identity))
                and self._worker_lives
                and time.monotonic() < give_up
            ):
                time.sleep(_POLL_SECONDS)
            if cancelling:
                self._set(identity, "Cancelled")

    @property
    def _worker_lives(self) -> bool:
        return self._stack.worker.process() is not None

    @property
    def _server_is_ours(self) -> bool:
        """Whoever else has its port by now is told no secret."""
        return self._stack.server.answers_alone()

    def _set(self, identity: UUID, name: str) -> bool:
        from prefect.client.schemas.objects import State, StateType

        if not self._server_is_ours:
            return False
        state: State[Any] = State(type=StateType[name.upper()], name=name, message=_MESSAGE)
        with self._prefect() as prefect, suppress(httpx.HTTPError, LookupError):
            prefect.set_flow_run_state(identity, state, force=name == "Cancelled")
            return True
        return False

    def _is_cancelling(self, identity: UUID) -> bool:
        if not self._server_is_ours:
            return False
        with self._prefect() as prefect, suppress(httpx.HTTPError, LookupError):
            state = prefect.read_flow_run(identity).state
            return state is not None and state.is_cancelling()
        return False

    @contextmanager
    def _prefect(self) -> Iterator[SyncPrefectClient]:
        """The server's client, which gives up soon: a server that hangs is ended all the same."""
        from prefect.settings import (
            PREFECT_API_REQUEST_TIMEOUT,
            PREFECT_CLIENT_MAX_RETRIES,
            temporary_settings,
        )

        from xops.prefect_server import runs  # Prefect takes seconds to import

        bounded = {PREFECT_API_REQUEST_TIMEOUT: _API_SECONDS, PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings(bounded), runs.client(self._stack.profile) as connected:
            yield connected
