"""`xops up`: the embedded stack from nothing to a provisioned Stream 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from xops.ecs.environment import Environment
from xops.local.stack import Stack
from xops.prefect_server import runs
from xops.prefect_server import setup as prefect_setup

PROVISION = "provision-ecs/ecs"

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
    started = [service.name for service in (stack.aws, stack.server) if service.launch()]
    for service in (stack.aws, stack.server):
        say(f"{_verb(service.name, started)} {service.name} on port {service.port}")
        service.wait()
    prefect_setup.set_up(stack.profile, on_step=say)
    if stack.worker.launch():
        started.append(stack.worker.name)
    say(f"{_verb(stack.worker.name, started)} {stack.worker.name}")
    stack.worker.wait()
    return started


def provision(stack: Stack, on_step: Callable[[runs.Step], None]) -> Provisioned:
    """Run provision-ecs for `local` through Prefect and wait for its outcome."""
    parameters = {"request": {"environment": "local"}, "apply": True}
    run_id = runs.start(stack.api, PROVISION, parameters)
    return Provisioned(run_id, runs.follow(stack.api, run_id, on_step))


def _verb(name: str, started: list[str]) -> str:
    return "starting" if name in started else "found"


def _type(target: str) -> str:
    """The Terraform type in an address such as `module.web.aws_lb.this[0]`."""
    if target.startswith("s3://"):
        return "state bucket"
    parts = re.sub(r"\[[^]]*\]", "", target).split(".")
    while parts[0] == "module":
        parts = parts[2:]
    return parts[0]
