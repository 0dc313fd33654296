"""What the platform would cost: budgets, plans, prices."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, print_json, print_row, say, styled
from xops.cli.inputs import readable_file
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.core.money import Money
    from xops.core.plan.cost import CostEffect
    from xops.ecs.environment import Environment
    from xops.finops.budget.scenarios import Case, Scenario
    from xops.finops.prices.book import Price
    from xops.finops.pricing.plan_pricing import PricedPlan

_STYLES = {"within": "green", "over": "red", "unknown": "yellow"}


def budget(
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="One of deployments/environments/*.yaml.")
    ],
    as_json: AsJson = False,
) -> None:
    """Hold named ways to run the platform against an environment's monthly budget.

    What they would cost on AWS, whatever the environment's target is. Exit code 10: none of those
    of Stream 1 is within the budget. 11: a line has no price, so that the answer is unknown.
    """
    from xops.ecs.environment import Environment
    from xops.finops.budget import scenarios
    from xops.finops.prices.book import PriceBook

    chosen = Environment.load(environment)
    found = scenarios.scenarios(_case(chosen), PriceBook.load())
    if as_json:
        print_json(
            {
                "environment": chosen.name,
                "region": chosen.region,
                "tax": "excluded",
                "scenarios": [scenario.to_json() for scenario in found],
            }
        )
    else:
        _print(found, chosen)
    _exit_by(found)


def _case(environment: Environment) -> Case:
    from xops.finops.budget.scenarios import Case, TaskSize

    services = {
        "open_webui": environment.services.open_webui,
        "crew": environment.services.crew,
    }
    return Case(
        {name: TaskSize.of(one.cpu, one.memory) for name, one in services.items()},
        environment.region,
        _budget_of(environment),
    )


def _budget_of(environment: Environment) -> Money:
    from xops.core.money import Money

    return Money(amount=environment.budget.amount, currency=environment.budget.currency)


def _print(found: list[Scenario], environment: Environment) -> None:
    today = datetime.now(UTC).date()
    say(
        "{name} in {region}: {budget} a month, tax excluded; what these would cost on AWS",
        name=environment.name,
        region=environment.region,
        budget=found[0].budget,
    )
    for scenario in found:
        bill = scenario.bill
        say("")
        say("[bold]{name}[/]: {summary}", name=scenario.name, summary=scenario.summary)
        print_row("compute", str(scenario.compute.total))
        print_row("fixed", str(scenario.fixed.total))
        say(
            "{row} {total}, {verdict} the budget",
            row=f"{'Total:':<13}",
            total=bill.total,
            verdict=styled(_STYLES[scenario.verdict], scenario.verdict),
        )
        if bill.unpriced:
            print_row("unpriced", ", ".join(usage.item for usage in bill.unpriced))
        print_row("prices", f"{bill.confidence}, oldest of {bill.seen_on or 'no known day'}")
        if old := bill.old(today):
            print_row("old", f"{', '.join(old)}: seen over 90 days ago, or on no known day")
        for name, figure in scenario.figures.items():
            print_row(name.replace("_", " "), str(figure))
        for assumed in scenario.assumptions:
            print_row("assumes", assumed)


def _exit_by(found: list[Scenario]) -> None:
    from xops.core.plan.cost import BudgetVerdict

    of_stream_1 = [one.verdict for one in found if not one.name.startswith("k3s")]
    if BudgetVerdict.WITHIN in of_stream_1:
        return
    unknown = BudgetVerdict.UNKNOWN in of_stream_1
    raise typer.Exit(ExitCode.INCOMPLETE if unknown else ExitCode.FINDINGS)


def price_plan(
    plan: Annotated[
        Path,
        typer.Argument(
            metavar="PLAN.json", callback=readable_file, help="From `terraform show -json PLAN`."
        ),
    ],
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment", "-e", help="Whose region and budget count. Default: no budget."
        ),
    ] = None,
    region: Annotated[
        str, typer.Option("--region", help="Where it would run, without an environment.")
    ] = "ap-southeast-2",
    assume: Annotated[
        Path | None,
        typer.Option(
            "--assume", callback=readable_file, help="Quantities that no plan says, as a file."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Price a Terraform plan by the month, offline: what it costs before and after.

    Exit code 10: it would be over the budget. 11: something has no price, so that it is unknown.
    """
    from xops.core.plan.cost import BudgetVerdict
    from xops.ecs.environment import Environment
    from xops.finops.prices.book import PriceBook
    from xops.finops.pricing import assumptions, plan_pricing
    from xops.finops.pricing.planned_state import PlannedState

    chosen = Environment.load(environment) if environment else None
    priced = plan_pricing.price_plan(
        PlannedState.load(plan),
        PriceBook.load(),
        assumptions.Assumptions.load(assume or assumptions.FILE),
        chosen.region if chosen else region,
    )
    today = datetime.now(UTC).date()
    effect = priced.effect(_budget_of(chosen) if chosen else None, today)
    if as_json:
        lines = [line.to_json() for line in priced.after[1].lines]
        verdict = effect.verdict if chosen else None
        print_json(effect.model_dump(mode="json") | {"verdict": verdict, "lines": lines})
    else:
        _print_priced(priced, effect)
    if chosen and effect.verdict is BudgetVerdict.OVER:
        raise typer.Exit(ExitCode.FINDINGS)
    if effect.incomplete:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _print_priced(priced: PricedPlan, effect: CostEffect) -> None:
    for line in priced.after[1].lines:
        amount = "no price" if line.amount is None else f"{line.amount.amount:,.2f}"
        say(
            "{amount} {item} {quantity} {address}",
            amount=f"{amount:>12}",
            item=f"{line.usage.item:<26}",
            quantity=f"{line.usage.quantity.normalize():f}".rjust(8),
            address=line.usage.what_for,
        )
    print_row("before", str(effect.before))
    print_row("after", str(effect.after))
    if effect.budget:
        verdict = styled(_STYLES[effect.verdict], effect.verdict)
        say("Budget:       {budget}: {verdict}", budget=effect.budget, verdict=verdict)
    for missing in effect.unpriced:
        print_row("unpriced", missing)


def prices(as_json: AsJson = False) -> None:
    """List the price book, and which of its rows are to be looked up anew.

    Exit code 10: some are, since nobody has seen them for 90 days, or their day is not known.
    """
    from xops.finops.prices.book import PriceBook

    book = PriceBook.load()
    old = book.old(datetime.now(UTC).date())
    if as_json:
        rows = [row.model_dump(mode="json") for row in book.rows]
        print_json({"prices": rows, "old": [[row.item, row.region] for row in old]})
    else:
        for row in book.rows:
            _print_price(row, is_old=row in old)
        print_row("rows", str(len(book.rows)))
        print_row("old", str(len(old)))
    if old:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_price(row: Price, *, is_old: bool) -> None:
    say(
        "{item} {region} {usd} {unit} {seen} {confidence}{old}",
        item=f"{row.item:<40}",
        region=f"{row.region:<22}",
        usd=f"{row.usd:>12}",
        unit=f"{row.unit:<18}",
        seen=f"{row.seen_on or 'no day'!s:<11}",
        confidence=row.confidence,
        old=styled("yellow", "  old") if is_old else "",
    )
