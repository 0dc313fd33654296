"""All plots of a report: those for which it has numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from xops.finops.report.model.planning import Streams
from xops.finops.report.model.report import Report
from xops.finops.report.model.spending import Movers, Spend
from xops.finops.report.model.trust import Coverage, Watch
from xops.finops.report.model.values import Label, number
from xops.finops.report.plots import canvas, plans, spend, trust
from xops.finops.report.plots.canvas import LIGHT, Theme

Draw = Callable[[Figure, Theme], None]
"""Draws on an empty figure in the colours of a theme."""


@dataclass(frozen=True)
class Plot:
    """One plot before it is drawn.

    Attributes:
        name: of its files.
        part: of the page that shows it.
        labels: what kinds of numbers are in it.
        alt: for people who do not see it: what it shows, in a sentence.
        height: in inches.
    """

    name: str
    part: str
    title: str
    alt: str
    labels: tuple[Label, ...]
    height: float
    draw: Draw


@dataclass(frozen=True)
class Picture:
    """A plot as drawn."""

    plot: Plot
    svg: str
    png: bytes


def draw(plot: Plot) -> Picture:
    """One plot in SVG, which serves both themes, and as PNG for where no page is."""
    with canvas.drawing(LIGHT, plot.height) as figure:
        plot.draw(figure, LIGHT)
        canvas.say_labels(figure, plot.labels, LIGHT)
        canvas.settle(figure)
        return Picture(plot, canvas.svg(figure, plot.name, plot.alt, LIGHT), canvas.png(figure))


def plots(report: Report) -> list[Plot]:
    """The plots for which there are numbers; the page says of the others why there are none."""
    return [*_of_spending(report), *_of_plans(report), *_of_trust(report)]


def _of_spending(report: Report) -> Iterator[Plot]:
    rows, currency = report.budgets, report.currency
    billed, ahead = (report.label,), _with_derived(report.label)
    if rows:
        bars = rows[: spend.MOST_BARS]
        yield Plot(
            "budgets", "budgets", f"Spent of each budget{_of_all(bars, rows)}",
            "Bars of what each environment has spent in the month, its budget as a line and the"
            " forecast of the month's end.",
            ahead, 0.9 + 0.55 * len(bars),
            partial(spend.budgets, rows=bars, currency=currency),
        )  # fmt: skip
    if with_days := [row for row in rows if row.days]:
        daily = with_days[: spend.MOST_FANS]
        yield Plot(
            "forecast", "budgets",
            f"The month day by day, and where it ends{_of_all(daily, with_days)}",
            "Lines of what each environment has spent since the first of the month, with a fan to"
            " the month's end that holds 80 % of what may come, and the budget.",
            ahead, 2.5 * -(-len(daily) // spend.FANS_IN_A_ROW),
            partial(spend.fans, rows=daily, currency=currency),
        )  # fmt: skip
    if isinstance(months := report.spend, Spend):
        yield Plot(
            "services", "services", "Service by month",
            "A bar for each month, divided by service; a month that is not whole is hatched.",
            billed, 3.4,
            partial(spend.services, spend=months, currency=currency),
        )  # fmt: skip
    if isinstance(found := report.movers, Movers):
        yield Plot(
            "movers", "movers", "What moved from week to week",
            "A waterfall from the costs of the last whole week but one to those of the last, by"
            " what changed most.",
            billed, 1.0 + 0.3 * (len(spend.moved(found.moved)) + 2),
            partial(spend.movers, found=found, currency=currency),
        )  # fmt: skip


def _of_all(drawn: Sequence[object], rows: Sequence[object]) -> str:
    """What a title says where not all is drawn: environments may be as many as tags."""
    return "" if len(drawn) == len(rows) else f": the first {len(drawn)} of {len(rows)}"


def _with_derived(label: Label) -> tuple[Label, ...]:
    return tuple(dict.fromkeys((label, label.derived)))


def _of_plans(report: Report) -> Iterator[Plot]:
    for found in report.reconciliations:
        if number(found.planned) is not None and number(found.actual) is not None:
            yield Plot(
                f"reconciliation-{found.environment}", "plan",
                f"{found.environment}: from plan to actual",
                "A waterfall from what the plan costs a month to what was billed, by quantity, mix"
                " and price, with the budget as a line.",
                (Label.ESTIMATED, report.label), 2.4,
                partial(plans.reconciliation, found=found, currency=report.currency),
            )  # fmt: skip
    if report.curves:
        yield Plot(
            "replicas", "replicas", "A month by the number of tasks",
            "For each environment two lines of what a month costs by the number of tasks of each"
            " service, all on demand and with all but the first on Spot, and the budget.",
            (Label.ESTIMATED,), 0.4 + 2.5 * -(-len(report.curves) // 2),
            partial(
                plans.replicas, curves=report.curves, currency=report.curves[0].budget.currency
            ),
        )  # fmt: skip
    if isinstance(both := report.streams, Streams):
        yield Plot(
            "streams", "streams", "ECS against K3S",
            "Bars of what each way to run the platform costs a month: the invoice, and people's"
            " hours as far as they are set.",
            (Label.ESTIMATED,), 1.1 + 0.38 * len(both.rows),
            partial(plans.streams, found=both, currency="USD"),
        )  # fmt: skip


def _of_trust(report: Report) -> Iterator[Plot]:
    if isinstance(watch := report.watch, Watch) and watch.days:
        yield Plot(
            "anomalies", "anomalies", "Days that were odd",
            "A line of each day's costs within the band in which they were expected, and below it"
            " a bar for each anomaly on its days.",
            _with_derived(report.label),
            2.9 + 0.26 * min(len(watch.anomalies), trust.MOST_ANOMALIES),
            partial(trust.anomalies, watch=watch, currency=report.currency),
        )  # fmt: skip
    if isinstance(covered := report.coverage, Coverage) and covered.tags:
        yield Plot(
            "coverage", "coverage", "How much of the costs bears each tag",
            "Bars of the share of the costs with each tag, and of what lacks it.",
            (covered.label,), 0.95 + 0.38 * len(covered.tags),
            partial(trust.coverage, found=covered),
        )  # fmt: skip
