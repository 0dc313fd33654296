"""Whether an environment fits its budget, and what would make it fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, print_row, say, styled
from xops.cli.costs.terms import Gst, SavingsPlan, read_terms
from xops.cli.inputs import readable_file
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xops.core.money import Money
    from xops.core.plan.cost import BudgetVerdict
    from xops.ecs.environment import Environment
    from xops.finops.budget.feasibility import Feasibility, Option
    from xops.finops.budget.peak import Peak
    from xops.finops.budget.scenarios import Case, Scenario
    from xops.finops.prices.book import PriceBook
    from xops.finops.prices.terms import Terms
    from xops.finops.pricing.assumptions import Assumptions
    from xops.finops.pricing.bill import Bill

STYLES = {"within": "green", "over": "red", "unknown": "yellow"}
_ANSWERS = {"within": "PASS", "over": "FAIL", "unknown": "unknown"}
_MONTH = 730
_BESIDE = "k3s_medium_with_load_balancer"


def budget(
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="One of deployments/environments/*.yaml.")
    ],
    gst: Gst = "0",
    savings_plan: SavingsPlan = None,
    peak_hours: Annotated[
        int | None,
        typer.Option(
            "--peak-hours", min=0, max=_MONTH, help="What all tasks for so many hours would add."
        ),
    ] = None,
    assume: Annotated[
        Path | None,
        typer.Option(
            "--assume", callback=readable_file, help="Quantities that no file says, as a file."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold an environment, and named ways to run the platform, against its monthly budget.

    What they would cost on AWS, whatever the environment's target is; then whether any plan that
    keeps the environment's promise fits, and what would make it. Exit code 10: the environment, as
    its file says and with everything in, is over its budget. 11: a line has no price, so that the
    answer is unknown.
    """
    from xops.ecs.environment import Environment

    chosen = Environment.load(environment)
    terms = read_terms(gst, savings_plan)
    found = _look(chosen, terms, assume, peak_hours)
    if as_json:
        print_json(_to_json(found, terms))
    else:
        _print(found, terms)
    _exit_by(found.feasibility.own.verdict)


@dataclass(frozen=True)
class _Found:
    """All answers on one environment."""

    environment: Environment
    scenarios: list[Scenario]
    feasibility: Feasibility
    peak: Peak | None

    @property
    def beside(self) -> Scenario:
        """Stream 2, with what the API of its cluster needs."""
        return next(one for one in self.scenarios if one.name == _BESIDE)


def _look(
    environment: Environment, terms: Terms, assume: Path | None, peak_hours: int | None
) -> _Found:
    from xops.finops.budget import feasibility, peak
    from xops.finops.budget.promise import Promise
    from xops.finops.budget.shape import Shape
    from xops.finops.prices.book import PriceBook
    from xops.finops.pricing import assumptions

    listed = PriceBook.load()
    book = terms.apply(listed)
    assumed = assumptions.Assumptions.load(assume or assumptions.FILE)
    proof = feasibility.prove(
        Shape.of(environment.terraform_variables()),
        Promise.of(environment.promise.model_dump()),
        environment.budget.money,
        feasibility.Rates(book, assumed, replace(terms, savings_plan_percent=None).apply(listed)),
    )
    added = None if peak_hours is None else peak.scale_up(proof.own, peak_hours, book)
    return _Found(environment, _scenarios(environment, terms, book), proof, added)


def _scenarios(environment: Environment, terms: Terms, book: PriceBook) -> list[Scenario]:
    from xops.finops.budget import scenarios

    return scenarios.scenarios(_case(environment, terms), book)


def _case(environment: Environment, terms: Terms) -> Case:
    from xops.finops.budget.scenarios import Case, TaskSize

    services = environment.services
    sizes = {"open_webui": services.open_webui, "crew": services.crew}
    return Case(
        {name: TaskSize.of(one.cpu, one.memory) for name, one in sizes.items()},
        environment.region,
        environment.budget.money,
        terms.said(),
    )


def _to_json(found: _Found, terms: Terms) -> dict[str, Any]:
    from xops.finops.budget.feasibility_json import feasibility_to_json, own_plan_to_json

    today = datetime.now(UTC).date()
    own = found.feasibility.own
    difference = found.beside.bill.total - own.total
    return {
        "environment": found.environment.name,
        "region": found.environment.region,
        "label": "estimated",
        "tax": f"GST of {terms.gst_percent} %" if terms.gst_percent else "excluded",
        "terms": list(terms.said()),
        "scenarios": [
            one.to_json() | {"old_prices": one.bill.old(today)} for one in found.scenarios
        ],
        "own_plan": own_plan_to_json(own) | {"old_prices": own.bill.old(today)},
        "feasibility": feasibility_to_json(found.feasibility),
        "peak": found.peak.to_json() if found.peak else None,
        "stream_2_beside_stream_1": {
            "stream_1": str(own.total.amount),
            "stream_2": str(found.beside.bill.total.amount),
            "stream_2_scenario": found.beside.name,
            "difference": str(difference.amount),
            "labour": None,
        },
    }


def _print(found: _Found, terms: Terms) -> None:
    today = datetime.now(UTC).date()
    tax = f"GST of {terms.gst_percent} % included" if terms.gst_percent else "tax excluded"
    say(
        "{name} in {region}: {budget} a month, {tax}; what these would cost on AWS",
        name=found.environment.name,
        region=found.environment.region,
        budget=found.feasibility.budget,
        tax=tax,
    )
    for scenario in found.scenarios:
        _print_scenario(scenario, today)
    _print_own(found.feasibility, today, terms)
    if found.peak:
        peak = found.peak
        said = f"{peak.added} more, {peak.total} in all, {verdict_words(peak.verdict)}"
        print_row(f"peak {peak.hours}", said)
    own, beside = found.feasibility.own.total, found.beside.bill.total
    print_row("stream 2", f"{beside} as {found.beside.name}, beside {own}; no labour in either")
    _print_feasibility(found.feasibility)


def verdict_words(verdict: str) -> str:
    """As sentences go on with it: `over the budget: FAIL`."""
    return f"{verdict} the budget: {_ANSWERS[verdict]}" if verdict != "unknown" else "unknown"


def _print_scenario(scenario: Scenario, today: date) -> None:
    say("")
    say("[bold]{name}[/]: {summary}", name=scenario.name, summary=scenario.summary)
    missing = [usage.item for usage in scenario.bill.unpriced]
    _print_totals(scenario.compute, scenario.fixed, scenario.verdict, missing, today)
    for name, figure in scenario.figures.items():
        print_row(name.replace("_", " "), str(figure))
    for assumed in scenario.assumptions:
        print_row("assumes", assumed)


def _print_totals(
    compute: Bill, fixed: Bill, verdict: str, unpriced: Iterable[str], today: date
) -> None:
    bill = compute + fixed
    for label, part in (("compute", compute), ("fixed", fixed)):
        print_row(label, f"{part.total}{_and_unpriced(len(part.unpriced))}")
    say(
        "{row} {total}, {verdict}",
        row=f"{'Total:':<13}",
        total=bill.total,
        verdict=styled(STYLES[verdict], verdict_words(verdict)),
    )
    for missing in unpriced:
        print_row("unpriced", missing)
    print_row("prices", f"{bill.confidence}, oldest of {bill.seen_on or 'no known day'}")
    if old := bill.old(today):
        print_row("old", f"{', '.join(old)}: seen over 90 days ago, or on no known day")


def _print_own(found: Feasibility, today: date, terms: Terms) -> None:
    own = found.own
    say("")
    say("[bold]own plan[/]: the environment as its file says, with everything in")
    _print_totals(own.compute, own.fixed, own.verdict, own.priced.unpriced, today)
    low, _, high = (bill.total for bill in own.priced.after)
    print_row("range", f"{low} to {high}, by use and by what scaling allows")
    print_row("promise", str(found.promise))
    print_row("keeps it", "yes" if found.keeps_promise else "no")
    for assumed in (*terms.said(), _quantities(found.own.assumptions)):
        print_row("assumes", assumed)


def _quantities(assumptions: Assumptions) -> str:
    """What is expected of everything that no file says."""
    values = assumptions.model_dump(mode="json", exclude={"api_version"}, exclude_none=True)
    return "a month " + ", ".join(
        f"{one['expected']} {name.replace('_', ' ')}" for name, one in values.items()
    )


def _print_feasibility(found: Feasibility) -> None:
    say("")
    say("[bold]what would fit[/] {budget} and keep the promise", budget=found.budget)
    for one in found.changes:
        _print_option("change", one, found.own.total)
    if best := found.cheapest_change:
        print_row("single", f"{best.summary}: {best.total}, {verdict_words(best.verdict)}")
    else:
        print_row("single", "no single change fits")
    _print_option("cheapest", found.cheapest, found.own.total)
    _print_reach(found)
    for one in found.beyond:
        _print_option("beyond", one, found.cheapest.total)
    missing = _and_unpriced(len(found.cheapest.priced.unpriced))
    if largest := found.largest:
        tasks = ", ".join(f"{count} {name}" for name, count in largest.tasks.items())
        print_row("largest", f"{tasks} in business hours: {largest.total}{missing}")
        hours = "any" if largest.peak_hours is None else largest.peak_hours
        print_row("or peak", f"all tasks for {hours} of the business hours")
    else:
        print_row("largest", "none fits")


def _and_unpriced(count: int) -> str:
    """What an amount does not hold."""
    return f", and {count} line{'s' * (count > 1)} without a price" if count else ""


def _print_reach(found: Feasibility) -> None:
    needed, missing = found.cheapest.total, len(found.cheapest.priced.unpriced)
    if found.over_by:
        said = f"no: the cheapest plan is over by {found.over_by}; it needs {needed}"
        said += _and_unpriced(missing)
    elif found.is_reachable is None:
        said = f"unknown: {found.budget - needed} left for {missing} lines without a price"
    else:
        said = f"yes, from {needed} on"
    print_row("reachable", said)
    what = "what has a price" if missing else "it"
    if found.spot_break_even is None and found.cheapest.compute.unpriced:
        print_row("with spot", "unknown: its tasks have no price")
    elif found.spot_break_even is None:
        print_row("with spot", f"{what} fits at no discount of Spot, not even for free")
    else:
        said = f"{what} fits where Spot is {found.spot_break_even} % or more below on demand"
        print_row("with spot", said)


def _print_option(label: str, one: Option, start: Money) -> None:
    from xops.core.money import Money

    saving = start - one.total
    more = Money(amount=-saving.amount, currency=saving.currency)
    say(
        "{row} {total} ({difference}), {verdict}: {summary}",
        row=f"{label.capitalize()}:".ljust(13),
        total=one.total,
        difference=f"{more} more" if more.amount > 0 else f"{saving} less",
        verdict=styled(STYLES[one.verdict], verdict_words(one.verdict)),
        summary=one.summary,
    )


def _exit_by(verdict: BudgetVerdict) -> None:
    codes = {"within": ExitCode.DONE, "over": ExitCode.FINDINGS, "unknown": ExitCode.INCOMPLETE}
    if code := codes[verdict]:
        raise typer.Exit(code)
