"""A report from a store of charges, prices and environments' files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from xops.finops.budget.feasibility import Rates
from xops.finops.configuration import CostConfiguration
from xops.finops.report import answers, estimates, memory, oddities, reconciling, spent
from xops.finops.report.estimates import EnvironmentFacts, Estimate
from xops.finops.report.model.planning import Reconciliation, Streams
from xops.finops.report.model.report import Report
from xops.finops.report.model.trust import ReportCost
from xops.finops.report.model.values import Exchange, Label, Unknown
from xops.finops.report.readings import BUDGETS_IN, Readings, read
from xops.finops.report.spent import Changes, Scope
from xops.finops.store.cost_store import CostStore

_USD_A_CALL = Decimal("0.01")
"""Of Cost Explorer. Source: AWS' page of its prices; each page of an answer is a call."""


@dataclass(frozen=True)
class Sources:
    """What reports are made from.

    Attributes:
        store: of charges.
        environments: with a file; `local` costs nothing and need not be among them.
        changes: what was applied, as the evidence records it.
        spill: where the engine puts what does not fit into memory.
        calls: of Cost Explorer, made to have the charges for this report.
    """

    store: CostStore
    configuration: CostConfiguration
    environments: Sequence[EnvironmentFacts]
    rates: Rates
    changes: Changes
    spill: Path
    calls: int = 0


def build(
    sources: Sources, scope: Scope, today: date, told: Callable[[str], None] = lambda _: None
) -> Report:
    """The report about the days before `today`.

    Raises:
        InputError: the store has no charges.
        PermanentError, TemporaryError: the store cannot be read.
    """
    readings = read(sources.store, sources.configuration, today, sources.spill, told)
    told("what it should cost, from prices")
    priced = [
        Estimate.of(facts, sources.rates)
        for facts in sources.environments
        if facts.budget.amount and scope.holds(facts.name)
    ]
    told("what is odd")
    made = assemble(readings, priced, sources, scope)
    return replace(made, restatements=memory.restatements(made, sources.store.folder))


def assemble(
    readings: Readings, priced: Sequence[Estimate], sources: Sources, scope: Scope
) -> Report:
    """All parts of the report from what was read and priced. Pure."""
    moved = spent.movers(readings, scope, sources.changes)
    covered = oddities.coverage(readings)
    both = _streams(priced, sources.configuration)
    return Report(
        as_of=readings.today,
        environment=scope.environment,
        label=readings.label,
        currency=readings.currency,
        timezone="UTC",
        exchange=_exchange(sources.configuration),
        gst_percent=sources.configuration.gst_percent,
        costs=spent.cost_rows(readings, scope),
        days=spent.day_rows(readings, scope),
        spend=spent.spend(readings, scope),
        budgets=spent.budgets(
            readings, [(facts.name, facts.budget) for facts in sources.environments], scope
        ),
        movers=moved,
        reconciliations=tuple(_reconciliations(readings, priced)),
        curves=tuple(map(estimates.curve, priced)),
        plans=tuple(map(estimates.plans, priced)),
        watch=oddities.watch(readings, scope, sources.changes),
        streams=both,
        coverage=covered,
        prices=estimates.prices(priced, sources.rates.book.rows, readings.today),
        cost=_cost(sources, readings),
        restatements=Unknown("nothing was compared"),
        gaps=tuple(oddities.gaps(readings)),
        questions=tuple(answers.questions(readings, scope, moved, covered, both, priced)),
    )


def _streams(priced: Sequence[Estimate], configuration: CostConfiguration) -> Streams | Unknown:
    named = {one.facts.name: one for one in priced}
    chosen = named.get("prod") or next(iter(named.values()), None)
    if chosen is None:
        return Unknown("no environment with a budget is looked at")
    return estimates.streams(chosen, configuration.labour)


def _cost(sources: Sources, readings: Readings) -> ReportCost:
    said = "The report asks nobody: it reads the store"
    if sources.calls:
        said = "Asked to have the newest charges"
    if readings.label is Label.ESTIMATED:
        said += "; some of the charges in it are answers of Cost Explorer, paid when taken in"
    return ReportCost(sources.calls, sources.calls * _USD_A_CALL, said)


def _exchange(configuration: CostConfiguration) -> Exchange | None:
    found = configuration.exchange
    if found is None:
        return None
    return Exchange(found.currency, found.rate, found.seen_on, found.source)


def _reconciliations(readings: Readings, priced: Sequence[Estimate]) -> Iterator[Reconciliation]:
    whole = readings.last_whole_month
    if whole is None or readings.currency != BUDGETS_IN:
        return
    for one in priced:
        if rows := readings.quantities.get(one.facts.name):
            yield reconciling.reconciliation(one, whole, rows, readings.label)
