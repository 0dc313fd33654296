"""Events that tell what came of a delivery: JSON as Prefect takes it, small and bounded.

Prefect answers an event that is too large as one that it takes, and drops it: paths of a push,
which nobody bounds, are in none. Users read of them in `docs/reference/events-and-artifacts.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from xops.core.rendering import Plain
from xops.github.delivery import Delivery

DEAD = "xops.github.delivery_dead"
"""Told of a delivery for which no run could be created, and none will be."""

_TOLD = (
    "event", "action", "repository", "organisation", "sender", "number", "head_sha", "base_ref",
    "base_sha", "merged", "ref", "before", "after", "review_state", "commit", "team", "member",
    "source",
)  # fmt: skip
_LONGEST = 2000
_LONGEST_NAME = 1024
"""Of an event, as Prefect takes it."""

Posted = tuple[UUID, str]
"""An event's id and its JSON."""


def run_created(delivery: Delivery, deployment: str, run_id: str, key: str, at: datetime) -> Posted:
    """That a delivery has led to a run.

    Args:
        delivery: the delivery.
        deployment: FLOW/DEPLOYMENT.
        run_id: of its run.
        key: of the run: the event's id follows from it, so that it is the same one if told again.
        at: when.
    """
    run = {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"}
    more = {"deployment": deployment, "flow_run_id": run_id}
    return _of_delivery(delivery, key, at, more, run)


def members_changed(delivery: Delivery, key: str, at: datetime) -> Posted:
    """That somebody has come to a team or left one: no run is needed for it."""
    return _of_delivery(delivery, key, at, {})


def dead(delivery: Delivery, key: str, at: datetime, reason: str) -> Posted:
    """That a delivery leads to no run, and why; told again after a replay if the reason is new."""
    called = ".".join(filter(None, (delivery.event, delivery.action)))
    summary = f"{called} of {_owner(delivery)}: {reason}"
    remedy = f"Put right what the reason names, then: xops github replay {delivery.id}"
    payload = {**_payload(delivery), "reason": reason, "remedy": remedy, "summary": summary}
    resource = {
        "prefect.resource.id": f"xops.github.delivery.{delivery.id}",
        "prefect.resource.name": delivery.id,
    }
    return _event(DEAD, f"{key}:dead:{reason}", at, resource, payload, _related(delivery))


def _of_delivery(
    delivery: Delivery, key: str, at: datetime, more: Mapping[str, Any], *related: dict[str, str]
) -> Posted:
    name = ".".join(filter(None, ("github", delivery.event, delivery.action)))
    kind = "repository" if delivery.repository else "organisation"
    resource = {
        "prefect.resource.id": f"github.{kind}.{_owner(delivery)}",
        "prefect.resource.name": _owner(delivery),
    }
    if delivery.merged:  # for triggers, which see labels and no payload
        resource["github.merged"] = "true"
    others = [*_related(delivery), *related]
    return _event(name, key, at, resource, {**_payload(delivery), **more}, others)


def _owner(delivery: Delivery) -> str:
    return delivery.repository or delivery.organisation


def _payload(delivery: Delivery) -> dict[str, Any]:
    values = {name: getattr(delivery, name) for name in _TOLD}
    told = {name: value for name, value in values.items() if value not in ("", None)}
    return {"delivery": delivery.id, **told, "received_at": delivery.received_at.isoformat()}


def _related(delivery: Delivery) -> Iterator[dict[str, str]]:
    if delivery.number is not None:
        yield {
            "prefect.resource.id": f"github.pull-request.{delivery.repository}#{delivery.number}",
            "prefect.resource.role": "pull-request",
        }
    if delivery.sender:
        yield {
            "prefect.resource.id": f"github.user.{delivery.sender}",
            "prefect.resource.role": "sender",
        }


def _event(
    name: str,
    key: str,
    at: datetime,
    resource: Mapping[str, str],
    payload: Mapping[str, Any],
    related: Iterator[dict[str, str]] | list[dict[str, str]],
) -> Posted:
    identity = uuid5(NAMESPACE_URL, key)
    body = {
        "id": str(identity),
        "occurred": at.isoformat(),
        "event": Plain.render(name)[:_LONGEST_NAME],
        "resource": _harmless(resource),
        "related": [_harmless(each) for each in related],
        "payload": _harmless(payload),
    }
    return identity, json.dumps(body)


def _harmless(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Plain.render(value[:_LONGEST]) if isinstance(value, str) else value
        for name, value in values.items()
    }
