"""What is odd in the costs, and where the month ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, print_row, say, styled
from xops.cli.costs.budgets import STYLES
from xops.cli.costs.spent import (
    CURRENCY,
    HISTORY_DAYS,
    AsOf,
    EnvironmentName,
    Spent,
    StoreFolder,
    WithBucket,
    environments,
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

if TYPE_CHECKING:
    from xops.core.money import Money
    from xops.core.plan.cost import BudgetVerdict
    from xops.ecs.environment import Environment
    from xops.finops.analysis.anomalies import Anomaly
    from xops.finops.analysis.forecast import Forecast, UnknownForecast

_CAUSES = 3


def anomalies(
    environment: EnvironmentName = None,
    store: StoreFolder = None,
    as_of: AsOf = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=HISTORY_DAYS, help="How far back it looks.")
    ] = 35,
    with_bucket: WithBucket = False,
    as_json: AsJson = False,
) -> None:
    """List days whose costs are odd for their weekday: rises, drops, new services.

    What a recorded change of ours explains is listed with it. Exit code 10: something is odd and
    unexplained. 11: days are missing, or too few are known to say what is usual.
    """
    from xops.finops.analysis.anomalies import find_in
    from xops.finops.analysis.baseline import FEWEST_DAYS

    today = parse_today(as_of)
    load_environment(environment)
    with open_spent(store, today) as spent:
        rows = spent.of(environment)
        names = {row.environment for row in rows}
        changes = read_changes(names, spent.as_of, with_bucket=with_bucket)
        unread = unread_evidence(names, with_bucket=with_bucket)
        first = spent.as_of - timedelta(days=days)
        found = [one for one in find_in(rows, spent.days, changes) if one.period.end > first]
        unknown = spent.why_unknown(environment)
        if not unknown and (known := len(spent.days.delivered)) < FEWEST_DAYS:
            unknown = f"{known} days are known, {FEWEST_DAYS} are needed to say what is usual"
        if as_json:
            print_json(
                spent.to_json()
                | {
                    "anomalies": [one.to_json() for one in found],
                    "changes_unknown": unread,
                    "unknown": unknown or None,
                }
            )
        else:
            print_basis(spent)
            print_unread(unread)
            _print_anomalies(found, first, unknown)
        missing = any(day >= first for day in spent.days.missing)
        odd = any(not one.planned for one in found)
        exit_by(findings=odd, incomplete=bool(unknown) or missing)


def _print_anomalies(found: Sequence[Anomaly], first: date, unknown: str) -> None:
    if unknown:
        print_row("unknown", unknown)
    elif not found:
        print_row("anomalies", f"none from {first} on")
    for one in found:
        say(
            "{kind} {period}  {subject}: {cost} instead of {expected}, {impact}",
            kind=styled("green" if one.planned else "yellow", f"{one.kind:<5}"),
            period=one.period,
            subject=one.subject,
            cost=money(one.cost),
            expected=money(one.expected),
            impact=signed(one.impact),
        )
        for cause in one.causes[:_CAUSES]:
            say("      {amount} {name}", amount=signed(cause.amount), name=cause.usage_type)
        print_changes(one.planned)


@dataclass(frozen=True)
class _Outlook:
    """Where an environment's month ends; `name` is None for costs that name no environment.

    Attributes:
        is_begun: whether a day of the month was delivered; else nobody knows what was spent in it.
    """

    name: str | None
    forecast: Forecast | UnknownForecast
    budget: Money | None
    is_begun: bool

    @property
    def expected(self) -> Decimal | None:
        from xops.finops.analysis.forecast import Forecast

        return self.forecast.expected if isinstance(self.forecast, Forecast) else None

    @property
    def is_incomplete(self) -> bool:
        """Whether some of it is not known."""
        return self.expected is None or bool(self.forecast.missing) or not self.is_begun

    @property
    def verdict(self) -> BudgetVerdict | None:
        """Of what is expected, or of what was spent already; None without a budget."""
        from xops.core.money import Money
        from xops.core.plan.cost import judge

        if self.budget is None:
            return None
        amount = self.forecast.actual if self.expected is None else self.expected
        spent = Money(amount=amount, currency=CURRENCY)
        return judge(spent, self.budget, incomplete=self.expected is None)

    def to_json(self) -> dict[str, Any]:
        return {
            "environment": self.name,
            **self.forecast.to_json(),
            **({} if self.is_begun else {"actual": None}),
            "budget": None if self.budget is None else str(self.budget.amount),
            "verdict": self.verdict,
        }


def forecast(
    environment: EnvironmentName = None,
    store: StoreFolder = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Say where the month ends, with an 80 % interval, against each environment's budget.

    Exit code 10: one is expected to end over its budget. 11: days are missing, or too few are known
    for a forecast.
    """
    today = parse_today(as_of)
    load_environment(environment)
    with open_spent(store, today) as spent:
        found = _outlooks(spent, environment)
        why = spent.why_unknown(environment) or None
        if as_json:
            rows = [one.to_json() for one in found]
            print_json(spent.to_json() | {"environments": rows, "unknown": why})
        else:
            print_basis(spent)
            if why:
                print_row("unknown", why)
            for one in found:
                _print_outlook(one)
        unknown = not found or any(one.is_incomplete for one in found)
        exit_by(findings=any(one.verdict == "over" for one in found), incomplete=unknown)


def _outlooks(spent: Spent, environment: str | None) -> list[_Outlook]:
    from xops.finops.analysis import queries
    from xops.finops.analysis.forecast import forecast_month
    from xops.finops.analysis.periods import Period
    from xops.finops.analysis.series import grouped

    # On the first of a month the question is how the one before ends.
    month = Period.month(spent.as_of - timedelta(days=1))
    once = queries.charged_once(spent.costs, month)
    found = grouped(spent.of(environment), lambda row: row.environment, spent.days)
    budgets = _budgets(environments(found))
    is_begun = any(day in spent.days.delivered for day in month)
    names = sorted(found, key=lambda name: (name is None, name))
    return [
        _Outlook(
            name,
            forecast_month(found[name], month, once.get(name, Decimal(0))),
            budgets.get(name or ""),
            is_begun,
        )
        for name in names
    ]


def _budgets(found: Mapping[str, Environment]) -> dict[str, Money]:
    from xops.core.money import Money

    return {
        name: Money(amount=one.budget.amount, currency=one.budget.currency)
        for name, one in found.items()
    }


def _print_outlook(one: _Outlook) -> None:
    from xops.finops.analysis.forecast import Forecast

    known = one.forecast
    say("")
    say(
        "[bold]{name}[/] in {month}: {actual} so far",
        name=one.name or "no environment",
        month=f"{known.month.start:%Y-%m}",
        actual=money(known.actual if one.is_begun else None),
    )
    if isinstance(known, Forecast):
        said = (
            f"{money(known.expected)}, with 80 % between {money(known.low)} and {money(known.high)}"
        )
        print_row("forecast", said)
    else:
        print_row("forecast", f"unknown: {known.reason}")
    if known.missing:
        print_row("missing", f"{len(known.missing)} days of the month, which are estimated")
    if one.budget is not None and one.verdict is not None:
        say(
            "{row} {budget}, {verdict}",
            row=f"{'Budget:':<13}",
            budget=one.budget,
            verdict=styled(STYLES[one.verdict], one.verdict),
        )
