"""Plots of what is planned: against budgets, by tasks, by stream."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xops.finops.report.model.planning import Reconciliation, ReplicaCurve, Streams
from xops.finops.report.model.values import AtLeast, number
from xops.finops.report.plots.canvas import Theme, money_axis, note, shown
from xops.finops.report.plots.spend import waterfall

_BAR = 0.55


def reconciliation(figure: Figure, theme: Theme, found: Reconciliation, currency: str) -> None:
    """From what the plan costs to what was billed, by what made the difference."""
    axes = figure.add_subplot()
    planned, actual = number(found.planned) or Decimal(0), number(found.actual) or Decimal(0)
    part = ", at least" if isinstance(found.planned, AtLeast) else ""
    steps = [(f"the plan{part}", planned, True)]
    steps += [(part, found.total(part), False) for part in ("quantity", "mix", "price")]
    if found.unplanned:
        steps.append(("on no plan", found.unplanned, False))
    steps += [(f"actual, {found.month}", actual, True)]
    waterfall(axes, steps, theme, currency, from_zero=True)
    if found.budget is not None:
        limit = float(found.budget.amount)
        axes.axvline(limit, color=theme.limit, linewidth=1.8)
        axes.annotate(
            f"budget {limit:,.0f}", (limit, -0.5), (4, 2), textcoords="offset points",
            color=theme.limit, fontsize=8, va="bottom", annotation_clip=False,
        )  # fmt: skip


def replicas(figure: Figure, theme: Theme, curves: Sequence[ReplicaCurve], currency: str) -> None:
    """A month by tasks of each service, all on demand or the added ones on Spot; the budget."""
    columns = min(len(curves), 2)
    grid = figure.subplots(-(-len(curves) // columns), columns, squeeze=False)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    for axes, curve in zip(grid.flat, curves, strict=False):
        _curve(axes, curve, theme)
    part = any(isinstance(point.on_demand, AtLeast) for one in curves for point in one.points)
    for row in grid:
        row[0].set_ylabel(f"{'at least, ' if part else ''}{currency} a month")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)


def _curve(axes: Axes, curve: ReplicaCurve, theme: Theme) -> None:
    kinds = (("on_demand", "all on demand", "o"), ("spot", "all but the first on Spot", "s"))
    for place, (field, label, marker) in enumerate(kinds):
        known = [
            (point.replicas, float(amount))
            for point in curve.points
            if (amount := number(getattr(point, field))) is not None
        ]
        axes.plot(
            [count for count, _ in known], [amount for _, amount in known],
            color=theme.series[place], marker=marker, label=label, linewidth=1.8, markersize=5,
        )  # fmt: skip
        if known:
            note(axes, f"{known[-1][1]:,.0f}", known[-1], theme)
    limit = float(curve.budget.amount)
    axes.axhline(limit, color=theme.limit, linewidth=1.8, label="budget")
    axes.set_title(f"{shown(curve.environment, 20)}, budget {limit:,.0f}")
    axes.set_xticks([point.replicas for point in curve.points])
    axes.set_xlabel("tasks of each service, all month")
    axes.set_xlim(right=len(curve.points) + 0.9)
    axes.set_ylim(bottom=0)
    money_axis(axes)


def streams(figure: Figure, theme: Theme, found: Streams, currency: str) -> None:
    """Each way to run the platform: what is invoiced, and on top what people's hours cost."""
    axes = figure.add_subplot()
    rows = [row for row in found.rows if number(row.invoice) is not None]
    for place, row in enumerate(rows):
        invoice, labour = float(number(row.invoice) or 0), float(number(row.labour) or 0)
        axes.barh(place, invoice, _BAR, color=theme.series[0], label="" if place else "invoice")
        axes.barh(place, labour, _BAR, left=invoice, color=theme.series[1],
                  label="" if place else "people's hours")  # fmt: skip
        text = f"{invoice + labour:z,.2f}"
        if number(row.labour) is None:
            text += " + hours that are not set"
        note(axes, text, (invoice + labour, place), theme)
    axes.set_yticks(range(len(rows)), [shown(row.name, 40) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.32)
    money_axis(axes, vertical=False)
    axes.tick_params(axis="y", labelcolor=theme.ink)
    axes.set_xlabel(f"{currency} a month")
    figure.legend(loc="outside upper left", ncols=2)
