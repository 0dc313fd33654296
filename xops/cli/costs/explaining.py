"""`xops costs explain`: a day, a week, and what has no owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from xops.cli.console import AsJson, print_json, print_row, say
from xops.cli.costs.spent import (
    AsOf,
    EnvironmentName,
    Spent,
    StoreFolder,
    WithBucket,
    exit_by,
    load_environment,
    money,
    open_spent,
    parse_today,
    print_basis,
    print_changes,
    print_unread,
    read_changes,
    signed,
    unread_evidence,
)
from xops.cli.inputs import parse_day
from xops.core.errors import ExitCode, Finding, InputError

if TYPE_CHECKING:
    from xops.finops.analysis.anomalies import PlannedChange
    from xops.finops.analysis.explanations import ExplainedDay, Movers, Untagged
    from xops.finops.analysis.queries import CostTable

_LISTED = 10
_CENT = Decimal("0.01")
_COVERED_DAYS = 30


def explain(
    environment: EnvironmentName = None,
    day: Annotated[
        str | None,
        typer.Option("--day", metavar="DATE", help="What it cost and why. Default: yesterday."),
    ] = None,
    since_last_week: Annotated[
        bool, typer.Option("--since-last-week", help="What changed instead, and by whose change.")
    ] = False,
    untagged: Annotated[
        bool, typer.Option("--untagged", help="Which resources have no owner tag instead.")
    ] = False,
    store: StoreFolder = None,
    as_of: AsOf = None,
    with_bucket: WithBucket = False,
    as_json: AsJson = False,
) -> None:
    """Answer what yesterday cost and why, what changed since last week, or what has no owner.

    Exit code 10: resources have no owner tag. 11: the days are not known.
    """
    _refuse_two_questions(day, since_last_week=since_last_week, untagged=untagged)
    today = parse_today(as_of)
    asked = _parse_day(day, today)
    load_environment(environment)
    with open_spent(store, today) as spent:
        if why := spent.why_unknown(environment):
            _end_unknown(spent, why, as_json=as_json)
        names = set() if untagged else {row.environment for row in spent.of(environment)}
        changes = read_changes(names, spent.as_of, with_bucket=with_bucket)
        unread = unread_evidence(names, with_bucket=with_bucket)
        if untagged:
            answer = _untagged(spent, environment)
        elif since_last_week:
            answer = _since_last_week(spent, environment, changes)
        else:
            answer = _of_day(spent, environment, asked, changes)
        if as_json:
            told = {"changes_unknown": unread, answer.name: answer.value.to_json()}
            print_json(spent.to_json() | told)
        else:
            print_basis(spent)
            print_unread(unread)
            answer.show()
        exit_by(findings=answer.findings, incomplete=answer.incomplete)


@dataclass(frozen=True)
class _Answer:
    """An answer by the name that machines find it by, and what a person sees of it."""

    name: str
    value: ExplainedDay | Movers | Untagged
    show: Callable[[], None]
    incomplete: bool
    findings: bool = False


def _refuse_two_questions(day: str | None, *, since_last_week: bool, untagged: bool) -> None:
    asked = {"--day": day is not None, "--since-last-week": since_last_week, "--untagged": untagged}
    given = [name for name, is_given in asked.items() if is_given]
    if len(given) > 1:
        problem = f"{' and '.join(given)} are different questions"
        findings = [Finding("arguments", "", problem)]
        raise InputError("reading the question", findings, "Ask one at a time.")


def _end_unknown(spent: Spent, why: str, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json(spent.to_json() | {"unknown": why})
    else:
        print_basis(spent)
        print_row("unknown", why)
    raise typer.Exit(ExitCode.INCOMPLETE)


def _parse_day(text: str | None, today: date) -> date:
    if text is None:
        return today - timedelta(days=1)
    found = parse_day("--day", text)
    if found >= today:
        problem = f"{found} is not before {today}"
        raise InputError("reading --day", [Finding("argument --day", "", problem)])
    return found


def _of_day(
    spent: Spent, environment: str | None, day: date, changes: Sequence[PlannedChange]
) -> _Answer:
    from xops.finops.analysis.explanations import explain_day

    found = explain_day(day, spent.of(environment), spent.days, changes)
    return _Answer("explained", found, lambda: _print_day(found), found.total is None)


def _print_day(found: ExplainedDay) -> None:
    if found.total is None:
        print_row(str(found.day), "unknown: no costs of that day were delivered")
        return
    so_far = " so far" if found.state == "provisional" else ""
    usual = "what is usual is unknown" if found.usual is None else f"usual: {money(found.usual)}"
    say(
        "{day} cost {total}{so_far}; {usual}",
        day=found.day,
        total=money(found.total),
        so_far=so_far,
        usual=usual,
    )
    for one in found.subjects[:_LISTED]:
        say(
            "{cost} {above} {subject}",
            cost=f"{money(one.cost):>12}",
            above=f"{signed(one.above_usual):>10}",
            subject=one.subject,
        )
    for cause in found.causes[:_LISTED]:
        say("Because:      {amount} {name}", amount=signed(cause.amount), name=cause.usage_type)
    print_changes(found.changes)


def _since_last_week(
    spent: Spent, environment: str | None, changes: Sequence[PlannedChange]
) -> _Answer:
    from xops.finops.analysis import queries
    from xops.finops.analysis.explanations import last_weeks, movers
    from xops.finops.analysis.queries import Dimension

    earlier, later = last_weeks(spent.days)
    by = (Dimension.ENVIRONMENT, Dimension.SERVICE, Dimension.USAGE_TYPE)
    compared = queries.rows(queries.compare(_costs(spent, environment), earlier, later, by))
    found = movers(compared, earlier, later, spent.days, changes)
    return _Answer("changed", found, lambda: _print_movers(found), bool(found.missing))


def _costs(spent: Spent, environment: str | None) -> CostTable:
    return spent.costs if environment is None else spent.costs.of_environment(environment)


def _print_movers(found: Movers) -> None:
    if found.missing:
        days = f"{len(found.missing)} of the days from {found.earlier.start} on"
        print_row("unknown", f"what {found.later} cost more: {days} were not delivered")
        return
    say(
        "{later} cost {difference} against {earlier}",
        later=found.later,
        difference=signed(found.difference),
        earlier=found.earlier,
    )
    moved = [one for one in found.movers if abs(one.difference) >= _CENT]
    for one in moved[:_LISTED]:
        names = [name for name in one.names.values() if name is not None]
        say(
            "{difference} {names}  {before} -> {after}",
            difference=f"{signed(one.difference):>12}",
            names=", ".join(names),
            before=money(one.before),
            after=money(one.after),
        )
        print_changes(one.changes)


def _untagged(spent: Spent, environment: str | None) -> _Answer:
    from xops.finops.analysis import queries
    from xops.finops.analysis.explanations import untagged
    from xops.finops.analysis.periods import Period

    period = Period.ending(spent.as_of, _COVERED_DAYS)
    costs = _costs(spent, environment)
    [covered] = queries.rows(queries.coverage(costs, period))
    resources = queries.rows(queries.untagged_resources(costs, period))
    keys = {dimension.value: key for dimension, key in costs.tags.items()}
    found = untagged(period, covered, resources, keys)
    nothing_used = any(one.percent is None for one in found.coverage)
    return _Answer(
        "untagged", found, lambda: _print_untagged(found), nothing_used, bool(found.resources)
    )


def _print_untagged(found: Untagged) -> None:
    for one in found.coverage:
        percent = "unknown: nothing was used" if one.percent is None else f"{one.percent} %"
        print_row(
            f"tag {one.tag}", f"{percent}, {money(one.untagged)} without it in {found.period}"
        )
    for resource in found.resources[:_LISTED]:
        say(
            "{cost} {service}  {name}",
            cost=f"{money(resource.cost):>12}",
            service=resource.service or "no service",
            name=resource.resource or "no resource named",
        )
    if (left := len(found.resources) - _LISTED) > 0:
        say("{left} more; --json lists them all", left=left)
