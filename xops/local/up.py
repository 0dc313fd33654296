"""`xops up`: the embedded stack from nothing to a provisioned Stream 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from xops.core.errors import CredentialsError, PermanentError
from xops.ecs.environment import Environment
from xops.local import database, postgresql, webhooks
from xops.local.services import Service, answers, starting_alone
from xops.local.stack import Stack
from xops.prefect_server import runs
from xops.prefect_server import setup as prefect_setup
from xops.prefect_server.profile import API_VARIABLE

PROVISION = "provision-ecs/provision-ecs"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Provisioned:
    """What the first provisioning came to."""

    run_id: UUID
    outcome: Mapping[str, Any]

    @property
    def changed(self) -> bool:
        """Whether anything was applied."""
        return bool(self.outcome["status"] == "applied")

    def done(self) -> dict[str, Counter[str]]:
        """For each action that happened, how many resources of each type it happened to."""
        found: dict[str, Counter[str]] = {}
        for change in self.outcome["plan"]["changes"]:
            found.setdefault(change["action"], Counter())[_type(change["target"])] += 1
        return found


def bring_up(stack: Stack, say: Say) -> list[str]:
    """Start what does not run yet, deploy everything; the names of what was started now.

    Raises:
        PermanentError: a port is taken, a server does not start, a deployment is wrong.
        InputError: an environment file is wrong; nothing was started.
    """
    Environment.load("local")
    with starting_alone(stack.home, say):
        started = start_servers(stack, say)
        prefect_setup.set_up(stack.profile, on_step=say)
        last = (stack.worker, stack.watch, stack.dispatcher)
        started += [row.name for row in last if row.launch()]
        for service in (*last, stack.receiver):
            _wait(service, started, say)
    return started


def start_servers(stack: Stack, say: Say) -> list[str]:
    """Start embedded AWS, database, Prefect server and receiver; the names of what was started now.

    The receiver is not waited for: it starts beside the Prefect server, which takes longer.

    Raises:
        PermanentError: a port is taken, a server does not start.
    """
    say(f"database: {stack.database.found}")
    if stack.database.remedy:
        say(stack.database.remedy)
    before = stack.services[: stack.services.index(stack.server)]
    for service in stack.services:
        service.refuse_foreign_port()
    refuse_what_is_of_another_start(stack)
    _set_sqlite_aside(stack, say)
    started = [service.name for service in before if service.launch()]
    if stack.postgresql in before:
        stack.postgresql.wait(say)  # the Prefect server ends at once without its database
    started += [stack.server.name] if stack.server.launch() else []
    if webhooks.is_embedded(stack.inbox, stack.home):
        postgresql.create_inbox(stack.home)
    for service in before:
        _wait(service, started, say)
    started += [stack.receiver.name] if stack.receiver.launch() else []
    _wait(stack.server, started, say)
    refuse_open_servers(stack)
    return started


def refuse_what_is_of_another_start(stack: Stack) -> None:
    """Refuse to go on with what would not find the server, or would not be let in by it.

    Raises:
        PermanentError: something asks at another address. Nothing was started.
        CredentialsError: something has a secret that is the installation's no longer. The same.
    """
    asking = (stack.dispatcher, stack.worker, stack.watch)
    if lost := [row.name for row in asking if row.told(API_VARIABLE, stack.api) != stack.api]:
        raise PermanentError(
            "starting the embedded stack",
            f"{', '.join(lost)} runs and asks another address than {stack.api}, where the Prefect"
            " server is to be",
            "Run `xops down`, then `xops up`: it starts everything at one address.",
        )
    if old := [service.name for service in stack.services if service.has_other_secrets()]:
        raise CredentialsError(
            "starting the embedded stack",
            f"{', '.join(old)} runs with another secret than the files in {stack.home} hold now:"
            " they were replaced or removed since",
            "Run `xops down`, then `xops up`: it starts everything with what the files hold.",
        )


def refuse_open_servers(stack: Stack) -> None:
    """Refuse to go on with servers that answer whoever asks: a release before started them.

    Raises:
        PermanentError: one of them does.
    """
    questions = {
        stack.server.name: f"{stack.api}/version",
        stack.aws.name: f"{stack.aws_endpoint}/xops/faults",
    }
    if found := [name for name, url in questions.items() if answers(url)]:
        raise PermanentError(
            "starting the embedded stack",
            f"{' and '.join(found)} runs since a release that asked nobody for a secret: whoever"
            " reaches it gives orders",
            "Run `xops down`, which ends what is going on, then `xops up`.",
        )


def _wait(service: Service, started: list[str], say: Say) -> None:
    say(f"{'starting' if service.name in started else 'found'} {service.name}{service.at}")
    service.wait(say)


def _set_sqlite_aside(stack: Stack, say: Say) -> None:
    if stack.database.kind is not database.Kind.EMBEDDED or stack.server.process() is not None:
        return
    aside = database.set_aside_sqlite(stack.home)
    if aside is not None:
        say(
            f"the runs of before are in SQLite, {aside}; to look at them: `xops down`, then"
            f" {database.VARIABLE}=sqlite:///{aside} xops up"
        )


def provision(stack: Stack, on_step: Callable[[runs.Step], None]) -> Provisioned:
    """Run provision-ecs for `local` through Prefect and wait for its outcome."""
    parameters = {"request": {"environment": "local"}, "apply": True}
    run_id = runs.start(stack.profile, PROVISION, parameters)
    return Provisioned(run_id, runs.follow(stack.profile, run_id, on_step))


def _type(target: str) -> str:
    """The Terraform type in an address such as `module.web.aws_lb.this[0]`."""
    if target.startswith("s3://"):
        return "state bucket"
    parts = re.sub(r"\[[^][]*\]", "", target).split(".")
    while parts[0] == "module":
        parts = parts[2:]
    return parts[0]
