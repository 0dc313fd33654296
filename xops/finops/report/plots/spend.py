"""Plots of what was spent: by month, by budget, by what moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from xops.finops.report.model.spending import (
    BudgetState,
    EnvironmentBudget,
    Forecast,
    Mover,
    Movers,
    Spend,
)
from xops.finops.report.model.values import Amount, Known, number
from xops.finops.report.plots.canvas import Theme, money_axis, note, shown

_MOST_SERVICES = 7
_MOST_MOVERS = 8
_BAR = 0.62
FANS_IN_A_ROW = 3
MOST_BARS, MOST_FANS = 24, 12
"""Environments that are drawn; the table has all."""

_SMALL = 0.3
"""Changes together below this part of the totals are drawn on an axis that begins later."""


def budgets(figure: Figure, theme: Theme, rows: Sequence[EnvironmentBudget], currency: str) -> None:
    """What is spent of each budget: a bar, a line where it ends, the forecast's 80 % on top."""
    axes = figure.add_subplot()
    for place, row in enumerate(reversed(rows)):
        _budget(axes, place, row, theme)
    names = [f"{shown(row.environment)}\n{row.month}" for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(left=0)
    money_axis(axes, vertical=False)
    axes.set_xlabel(currency)
    axes.tick_params(axis="y", labelcolor=theme.ink)
    figure.legend(
        handles=[
            Patch(color=theme.series[0], label="spent"),
            Patch(color=theme.series[1], alpha=0.55, label="forecast, 80 %"),
            Patch(color=theme.limit, label="budget"),
        ],
        loc="outside upper left", ncols=3,
    )  # fmt: skip


def _budget(axes: Axes, place: int, row: EnvironmentBudget, theme: Theme) -> None:
    spent = _number(row.spent)
    colour = theme.bad if row.state is BudgetState.OVER else theme.series[0]
    axes.barh(place, spent, height=_BAR * 0.75, color=colour)
    end = spent
    if isinstance(row.forecast, Forecast):
        low, high = float(row.forecast.low), float(row.forecast.high)
        axes.barh(place, high - low, left=low, height=0.2, color=theme.series[1], alpha=0.55)
        axes.plot([float(row.forecast.expected)], [place], "D", color=theme.series[1], markersize=5)
        end = max(end, high)
    if row.budget is not None:
        limit = float(row.budget.amount)
        axes.vlines(limit, place - 0.38, place + 0.38, color=theme.limit, linewidth=2.5)
        end = max(end, limit)
    said = "unknown" if not isinstance(row.spent, Known) else f"{spent:,.0f}"
    allowed = f" of {row.budget.amount:,.0f}" if row.budget else ""
    note(axes, f"{said}{allowed}", (end, place), theme)
    axes.margins(x=0.16)


def fans(figure: Figure, theme: Theme, rows: Sequence[EnvironmentBudget], currency: str) -> None:
    """Environments' months day by day, and where they end: a fan that opens to 80 %.

    Args:
        figure: where it is drawn.
        theme: its colours.
        rows: environments with days.
        currency: of the amounts.
    """
    columns = min(len(rows), FANS_IN_A_ROW)
    grid = figure.subplots(-(-len(rows) // columns), columns, squeeze=False)
    for axes in grid.flat[len(rows) :]:
        axes.set_visible(False)
    for axes, row in zip(grid.flat, rows, strict=False):
        _fan(axes, row, theme)
    grid[0][0].set_ylabel(f"{currency} since the 1st")


def _fan(axes: Axes, row: EnvironmentBudget, theme: Theme) -> None:
    days = [each.day.toordinal() for each in row.days]
    sums = [float(amount) for amount in accumulate(each.amount for each in row.days)]
    end = row.month_end.toordinal()
    axes.plot(days, sums, color=theme.series[0], linewidth=2)
    axes.fill_between(days, sums, color=theme.series[0], alpha=0.12, linewidth=0)
    if isinstance(row.forecast, Forecast) and row.month.is_partial:
        low, expected, high = (
            float(value) for value in (row.forecast.low, row.forecast.expected, row.forecast.high)
        )
        reach = [days[-1], end]
        axes.fill_between(
            reach, [sums[-1], low], [sums[-1], high], color=theme.series[1], alpha=0.3, linewidth=0
        )
        axes.plot(reach, [sums[-1], expected], color=theme.series[1], linewidth=1.6, ls="--")
    if row.budget is not None:
        axes.axhline(float(row.budget.amount), color=theme.limit, linewidth=1.6)
    first = row.month_end.replace(day=1)
    axes.set_xlim(first.toordinal(), end + 0.5)
    marks = [first, first + timedelta(days=14), row.month_end]
    axes.set_xticks([day.toordinal() for day in marks], [f"{day:%d %b}" for day in marks])
    axes.set_title(shown(row.environment, 20))
    axes.set_ylim(bottom=0)
    money_axis(axes)


def services(figure: Figure, theme: Theme, spend: Spend, currency: str) -> None:
    """Months as bars of services; the last services together; a month that is not whole hatched."""
    axes = figure.add_subplot()
    above, below = [0.0] * len(spend.months), [0.0] * len(spend.months)
    rows = _together(spend)
    for place, (name, amounts) in enumerate(rows):
        colour = theme.series[min(place, len(theme.series) - 1)]
        bottoms = [
            up if value >= 0 else down
            for value, up, down in zip(amounts, above, below, strict=True)
        ]
        bars = axes.bar(range(len(amounts)), amounts, _BAR, bottom=bottoms, color=colour,
                        label=shown(name, 30))  # fmt: skip
        for bar, month in zip(bars, spend.months, strict=True):
            if month.is_partial:
                bar.set(hatch="////", edgecolor=theme.surface, linewidth=0)
        above = [up + max(value, 0) for up, value in zip(above, amounts, strict=True)]
        below = [down + min(value, 0) for down, value in zip(below, amounts, strict=True)]
    _write_totals(axes, spend, above)
    axes.axhline(0, color=theme.muted, linewidth=0.8)
    names = [str(month).replace(" (", "\n(") for month in spend.months]
    axes.set_xticks(range(len(names)), names)
    money_axis(axes)
    axes.set_ylabel(f"{currency} a month")
    figure.legend(loc="outside right upper")


def _together(spend: Spend) -> list[tuple[str, list[float]]]:
    rows = [(row.name, [_number(amount) for amount in row.amounts]) for row in spend.rows]
    rest = rows[_MOST_SERVICES:]
    if len(rest) < 2:
        return rows
    summed = [sum(values) for values in zip(*(amounts for _, amounts in rest), strict=True)]
    return [*rows[:_MOST_SERVICES], (f"{len(rest)} others", summed)]


def _write_totals(axes: Axes, spend: Spend, tops: Sequence[float]) -> None:
    for place, (total, top) in enumerate(zip(spend.totals, tops, strict=True)):
        text = f"{total.amount:,.0f}" if isinstance(total, Known) else "unknown"
        axes.annotate(text, (place, top), (0, 3), textcoords="offset points", ha="center",
                      fontsize=8)  # fmt: skip
    axes.margins(y=0.1)


def movers(figure: Figure, theme: Theme, found: Movers, currency: str) -> None:
    """From one week's costs to the next's, by what moved most."""
    steps = [(f"week of {found.week_before:%d %b}", found.before, True)]
    steps += [(name, change, False) for name, change in moved(found.moved)]
    steps += [(f"week of {found.week:%d %b}", found.after, True)]
    waterfall(figure.add_subplot(), steps, theme, currency)


def moved(rows: Sequence[Mover]) -> list[tuple[str, Decimal]]:
    """What is drawn of them: the largest changes, the others together."""
    ordered = sorted(rows, key=lambda row: (-abs(row.change), row.name))
    rest = ordered[_MOST_MOVERS:]
    named = [(row.name, row.change) for row in ordered[:_MOST_MOVERS]]
    others = sum((row.change for row in rest), Decimal(0))
    if len(rest) == 1:
        return [*named, (rest[0].name, others)]
    return [*named, (f"{len(rest)} others", others)] if rest else named


def waterfall(
    axes: Axes,
    steps: Sequence[tuple[str, Decimal, bool]],
    theme: Theme,
    currency: str,
    *,
    from_zero: bool = False,
) -> None:
    """Bars from left to right, top to bottom: totals, and changes from where the last ended.

    Args:
        axes: where it is drawn.
        steps: name, amount, and whether it is a total.
        theme: its colours.
        currency: of the amounts.
        from_zero: whether the axis begins there however small the changes are.
    """
    level = 0.0
    for place, (_name, amount, is_total) in enumerate(steps):
        value = float(amount)
        start = 0.0 if is_total else level
        level = start + value
        colour = theme.series[0] if is_total else theme.bad if value > 0 else theme.good
        axes.barh(place, value, left=start, height=_BAR, color=colour)
        text = f"{value:z,.2f}" if is_total else f"{value:+z,.2f}"
        note(axes, text, (max(start, level), place), theme)
        if place + 1 < len(steps):
            axes.vlines(level, place, place + 1, color=theme.muted, linewidth=0.7)
    axes.set_yticks(range(len(steps)), [shown(name) for name, _, _ in steps])
    axes.invert_yaxis()
    start = min(0.0, *_levels(steps)) if from_zero else _axis_start(steps)
    most = max(_levels(steps))
    axes.set_xlim(start, most + 0.16 * (most - start) or 1.0)  # no axis where all is nothing
    money_axis(axes, vertical=False)
    axes.tick_params(axis="y", labelcolor=theme.ink)
    axes.set_xlabel(f"{currency}; the axis begins at {start:,.0f}" if start else currency)


def _levels(steps: Sequence[tuple[str, Decimal, bool]]) -> list[float]:
    found: list[float] = []
    for _name, amount, is_total in steps:
        found.append(float(amount) if is_total else found[-1] + float(amount))
    return found


def _axis_start(steps: Sequence[tuple[str, Decimal, bool]]) -> float:
    """0, or where changes that are small beside the totals can be seen."""
    low, high = min(_levels(steps)), max(_levels(steps))
    if low <= 0:
        return min(low * 1.1, 0.0)
    spread = high - low
    return float(int(low - spread)) if 0 < spread < _SMALL * high else 0.0


def _number(amount: Amount) -> float:
    """For drawing alone: what is unknown has no length, and says so in words beside it."""
    return float(number(amount) or 0)
