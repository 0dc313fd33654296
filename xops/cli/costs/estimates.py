"""What a plan of Terraform's would cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, print_json, print_row, say, styled
from xops.cli.costs.budgets import STYLES
from xops.cli.costs.terms import Gst, SavingsPlan, read_terms
from xops.cli.inputs import readable_file
from xops.core.errors import ExitCode, Finding, InputError

if TYPE_CHECKING:
    from xops.core.plan.cost import CostEffect
    from xops.finops.pricing.plan_pricing import PricedPlan

_REGION = "ap-southeast-2"


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
        str | None,
        typer.Option(
            "--region", help=f"Where it would run, without an environment. Default: {_REGION}."
        ),
    ] = None,
    assume: Annotated[
        Path | None,
        typer.Option(
            "--assume", callback=readable_file, help="Quantities that no plan says, as a file."
        ),
    ] = None,
    gst: Gst = "0",
    savings_plan: SavingsPlan = None,
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

    _refuse_both(environment, region)
    chosen = Environment.load(environment) if environment else None
    terms = read_terms(gst, savings_plan)
    priced = plan_pricing.price_plan(
        PlannedState.load(plan),
        terms.apply(PriceBook.load()),
        assumptions.Assumptions.load(assume or assumptions.FILE),
        chosen.region if chosen else region or _REGION,
    )
    today = datetime.now(UTC).date()
    effect = priced.effect(chosen.budget.money if chosen else None, today)
    if as_json:
        lines = [line.to_json() for line in priced.after[1].lines]
        verdict = effect.verdict if chosen else None
        said = {"verdict": verdict, "terms": terms.said(), "lines": lines}
        print_json(effect.model_dump(mode="json") | said)
    else:
        _print_priced(priced, effect)
        for assumed in terms.said():
            print_row("assumes", assumed)
    if chosen and effect.verdict is BudgetVerdict.OVER:
        raise typer.Exit(ExitCode.FINDINGS)
    if effect.incomplete or effect.unpriced_before:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _refuse_both(environment: str | None, region: str | None) -> None:
    if environment and region:
        problem = f"stands in the file of {environment}: give one of the two"
        finding = Finding("argument --region", "", problem)
        raise InputError("reading the options", [finding])


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
        verdict = styled(STYLES[effect.verdict], effect.verdict)
        say("Budget:       {budget}: {verdict}", budget=effect.budget, verdict=verdict)
    for missing in effect.unpriced:
        print_row("unpriced", missing)
    for missing in effect.unpriced_before:
        print_row("no saving", f"known, for it had no price: {missing}")
