"""The whole report. Pure: values that are shown, none that is computed while it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from xops.core.errors import ExitCode
from xops.finops.report.model.planning import Plans, Prices, Reconciliation, ReplicaCurve, Streams
from xops.finops.report.model.spending import (
    BudgetState,
    CostRow,
    DayRow,
    EnvironmentBudget,
    Movers,
    Spend,
)
from xops.finops.report.model.trust import Coverage, Gap, ReportCost, Restatement, Watch
from xops.finops.report.model.values import Exchange, Label, Unknown


@dataclass(frozen=True)
class Question:
    """Something that people ask: the answer, the command that gives it, the part that shows it."""

    question: str
    answer: str
    command: str
    part: str


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        as_of: the day before which everything was looked at.
        environment: the one it is about; None: all.
        label: what kind of costs those in it are: actual, or sample.
        gaps: what is missing.
        gst_percent: that an Australian invoice adds; None where nobody has set it.
    """

    as_of: date
    environment: str | None
    label: Label
    currency: str
    timezone: str
    exchange: Exchange | None
    gst_percent: Decimal | None
    costs: tuple[CostRow, ...]
    days: tuple[DayRow, ...]
    spend: Spend | Unknown
    budgets: tuple[EnvironmentBudget, ...]
    movers: Movers | Unknown
    reconciliations: tuple[Reconciliation, ...]
    curves: tuple[ReplicaCurve, ...]
    plans: tuple[Plans, ...]
    watch: Watch | Unknown
    streams: Streams | Unknown
    coverage: Coverage | Unknown
    prices: Prices
    cost: ReportCost
    restatements: tuple[Restatement, ...] | Unknown
    gaps: tuple[Gap, ...]
    questions: tuple[Question, ...] = ()

    @property
    def is_of_all(self) -> bool:
        """Whether it is about the whole store."""
        return self.environment is None

    @property
    def scope(self) -> str:
        """What it is about, for people."""
        return self.environment or "all environments"

    @property
    def exit_code(self) -> ExitCode:
        """Something to act on before something that is not known."""
        states = {row.state for row in self.budgets}
        anomalies = isinstance(self.watch, Watch) and self.watch.unexplained
        if anomalies or states & {BudgetState.OVER, BudgetState.FORECAST_OVER}:
            return ExitCode.FINDINGS
        unknown = BudgetState.UNKNOWN in states or isinstance(self.spend, Unknown)
        return ExitCode.INCOMPLETE if unknown or self.gaps else ExitCode.DONE

    @property
    def headlines(self) -> list[str]:
        """What a person is to know first, a line each."""
        budgets = [f"{row.state}: {row.headline}" for row in self.budgets]
        return [*budgets, *self.other_headlines]

    @property
    def other_headlines(self) -> list[str]:
        """Those that are about no budget."""
        said = [f"unknown: {gap.what}: {gap.reason}" for gap in self.gaps]
        if isinstance(self.watch, Watch) and self.watch.unexplained:
            count = len(self.watch.unexplained)
            said.append(f"{count} {'anomaly' if count == 1 else 'anomalies'} without a known cause")
        return said
