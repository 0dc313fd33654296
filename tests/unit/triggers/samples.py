"""Policies, facts and series for the tests of triggers."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from xops.triggers.facts import Bounds, Facts
from xops.triggers.machine import Reading, State, fold
from xops.triggers.policy import MetricTrigger, Policy, Trigger

MONDAY = date(2025, 9, 15)
WEEK = timedelta(days=7)
NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)

COMMON: dict[str, Any] = {
    "action": {"summary": "Atlantis on K3S", "components": ["atlantis"]},
    "classification": "Service Addition",
    "owner": "platform",
    "review_by": "2027-03-11",
}
IAC_PRS: dict[str, Any] = {
    **COMMON,
    "metric": "iac_prs",
    "enter": {"above": 5, "weeks": 3, "of": 4},
    "leave": {"at_or_below": 3, "weeks": 4, "of": 4},
    "dwell_weeks": 4,
}
TEAM_SIZE: dict[str, Any] = {
    **COMMON,
    "metric": "team_size",
    "enter": {"above": 3},
    "leave": {"at_or_below": 3, "weeks": 4, "of": 4},
}
SECOND_CLOUD: dict[str, Any] = {**COMMON, "mandate": "second_cloud"}

K3S: dict[str, Any] = {
    "title": "K3S",
    "monthly": {"lowest": "120", "highest": "190", "source": "ADR-005", "dated": "2026-03-11"},
}
POLICY: dict[str, Any] = {
    "apiVersion": "xops/v1",
    "components": {"k3s": K3S, "atlantis": {"title": "Atlantis", "requires": ["k3s"]}},
    "triggers": {"iac_prs": IAC_PRS, "team_size": TEAM_SIZE, "second_cloud": SECOND_CLOUD},
}


def trigger(base: dict[str, Any] = IAC_PRS, **values: Any) -> Trigger:
    return TypeAdapter[Trigger](Trigger).validate_python({**base, **values})


def metric(base: dict[str, Any] = IAC_PRS, **values: Any) -> MetricTrigger:
    found = trigger(base, **values)
    assert isinstance(found, MetricTrigger)
    return found


def policy(**values: Any) -> Policy:
    return Policy.model_validate({**POLICY, **values})


Value = int | None | tuple[int, int | None]
"""What a week has: a count, nothing that is known, or at least and at most."""


def reading(index: int, value: Value, **others: Any) -> Reading:
    period = MONDAY + WEEK * index
    if isinstance(value, tuple):
        bounds = Bounds(at_least=value[0], at_most=value[1])
        return Reading(period=period, value=None, bounds=bounds, **others)
    return Reading(period=period, value=value, **others)


def readings(values: Iterable[Value]) -> list[Reading]:
    return [reading(index, value) for index, value in enumerate(values)]


def states(values: Iterable[Value], rule: Trigger | None = None) -> list[State]:
    return list(fold(rule or trigger(), readings(values)))


def phases(values: Iterable[Value], rule: Trigger | None = None) -> str:
    """A letter a week: i, p, a, c."""
    return "".join(state.phase[0] for state in states(values, rule))


def week(index: int, value: Value, **values: Any) -> dict[str, Any]:
    start = MONDAY + WEEK * index
    if isinstance(value, int):
        return {"start": str(start), "iac_prs": value, **values}
    unknown: dict[str, Any] = {"complete": False, "reason": "GitHub answered 502"}
    if value is not None:
        unknown["bounds"] = {"at_least": value[0], "at_most": value[1]}
    return {"start": str(start), "iac_prs": None, **unknown, **values}


def origin(*repositories: str | tuple[str, str], **values: Any) -> dict[str, Any]:
    """What facts were measured from: names, or names with ids."""
    rows = [(row, f"id of {row}") if isinstance(row, str) else row for row in repositories]
    return {
        "api_url": "https://api.github.com",
        "repositories": [{"asked": asked, "id": id_} for asked, id_ in rows],
        "classification": "c1", "machines": "m1", "people": "p1", "mandates": "d1", **values,
    }  # fmt: skip


FAILURE = {
    "attempted": "reading GitHub", "found": "the token has expired", "remedy": "Make a new one.",
}  # fmt: skip


def mandate(start: str, end: str, **values: Any) -> dict[str, Any]:
    return {
        "kind": "second_cloud", "subject": "azure", "who": "the regulator", "what": "run there",
        "jurisdiction": "AU", "evidence": "https://example.com/m", "effective_from": start,
        "expires": end, "valid": True, **values,
    }  # fmt: skip


def document(
    values: Sequence[Value] = (), *, engineers: int | None = 3, **others: Any
) -> dict[str, Any]:
    as_of = MONDAY + WEEK * len(values)
    return {
        "apiVersion": "xops/v1",
        "generated_at": f"{as_of}T06:00:00+11:00",
        "as_of": str(as_of),
        "timezone": "Australia/Sydney",
        "source": "test",
        "weeks": [week(index, value) for index, value in enumerate(values)],
        "engineers": {"days28": engineers},
        "mandates": [],
        **others,
    }


def facts(values: Sequence[Value] = (), **others: Any) -> Facts:
    return Facts.model_validate(document(values, **others))
