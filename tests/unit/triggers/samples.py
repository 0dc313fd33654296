"""Policies, facts and series for the tests of triggers."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from xops.triggers.facts import Facts
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


def readings(values: Iterable[int | None]) -> list[Reading]:
    return [Reading(period=MONDAY + WEEK * i, value=value) for i, value in enumerate(values)]


def states(values: Iterable[int | None], rule: Trigger | None = None) -> list[State]:
    return list(fold(rule or trigger(), readings(values)))


def phases(values: Iterable[int | None], rule: Trigger | None = None) -> str:
    """A letter a week: i, p, a, c."""
    return "".join(state.phase[0] for state in states(values, rule))


def week(index: int, value: int | None, **values: Any) -> dict[str, Any]:
    start = MONDAY + WEEK * index
    known = {} if value is not None else {"complete": False, "reason": "GitHub answered 502"}
    return {"start": str(start), "iac_prs": value, **known, **values}


def mandate(start: str, end: str, **values: Any) -> dict[str, Any]:
    return {
        "kind": "second_cloud", "subject": "azure", "who": "the regulator", "what": "run there",
        "jurisdiction": "AU", "evidence": "https://example.com/m", "effective_from": start,
        "expires": end, "valid": True, **values,
    }  # fmt: skip


def document(
    values: Sequence[int | None] = (), *, engineers: int | None = 3, **others: Any
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


def facts(values: Sequence[int | None] = (), **others: Any) -> Facts:
    return Facts.model_validate(document(values, **others))
