"""What a deploy would do on a Prefect server: what is wanted of it against what it has. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json

State = Mapping[str, Json]
"""Things of ours on a server by kind and name (`work pool xops-runs`), in the order in which they
are made; what each is told."""


def plan_server(subject: str, target: str, wanted: State, found: State) -> Plan:
    """The plan that brings `found` to `wanted`.

    Args:
        subject: what it is about, for example prefect/xops-runs.
        target: the server's API.
        wanted: everything that the repository says.
        found: what the server has of ours; what a person has made is not in it.
    """
    return Plan(subject=subject, target=target, changes=tuple(_changes(wanted, found)))


def _changes(wanted: State, found: State) -> Iterator[Change]:
    for name, after in wanted.items():
        if name not in found:
            yield Change(action=Action.CREATE, target=name, after=after)
        elif found[name] != after:
            yield Change(action=Action.UPDATE, target=name, before=found[name], after=after)
    for name in sorted(found.keys() - wanted.keys()):
        yield Change(
            action=Action.DELETE,
            target=name,
            before=found[name],
            reason="xOps has made it, and the repository names it no longer",
        )
