"""Plots of what is odd, and of how much of it all can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from xops.finops.report.model.trust import Anomaly, Coverage, Watch
from xops.finops.report.plots.canvas import Theme, money_axis, note, shown

_BAR = 0.5
_MARKS = 7

MOST_ANOMALIES = 10
"""Of which a bar is drawn; the table has all."""


def anomalies(figure: Figure, theme: Theme, watch: Watch, currency: str) -> None:
    """All days' costs within the band in which they were expected; below, a bar an anomaly."""
    told = watch.anomalies[:MOST_ANOMALIES]
    rows = max(len(told), 1)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[6, rows])
    days = [each.day.toordinal() for each in watch.days]
    amounts = [float(each.amount) for each in watch.days]
    above.plot(days, amounts, color=theme.series[0], linewidth=1.6, label="all costs of a day")
    banded = [each for each in watch.days if each.low is not None and each.high is not None]
    above.fill_between(
        [each.day.toordinal() for each in banded],
        [float(each.low or 0) for each in banded],
        [float(each.high or 0) for each in banded],
        color=theme.series[0], alpha=0.16, linewidth=0, label="expected",
    )  # fmt: skip
    above.set_ylim(bottom=min(0.0, *amounts))
    above.set_ylabel(f"{currency} a day")
    above.tick_params(axis="x", labelbottom=False)
    money_axis(above)
    _timeline(below, told, theme)
    marks = _marks([each.day for each in watch.days])
    below.set_xticks([day.toordinal() for day in marks], [f"{day:%d %b}" for day in marks])
    figure.legend(
        handles=[
            *above.get_legend_handles_labels()[0],
            Patch(color=theme.bad, label="anomaly"),
            Patch(color=theme.good, label="explained by a planned change"),
        ],
        loc="outside upper left", ncols=4,
    )  # fmt: skip


def _timeline(axes: Axes, told: Sequence[Anomaly], theme: Theme) -> None:
    for place, one in enumerate(told):
        first, last = one.first.toordinal(), one.last.toordinal()
        colour = theme.good if one.planned else theme.bad
        axes.barh(place, last - first + 1, 0.7, left=first - 0.5, color=colour)
        axes.annotate(
            shown(f"{one.kind}: {one.series}", 60), (first - 0.5, place), (-4, 0),
            textcoords="offset points", va="center", ha="right", fontsize=8,
        )  # fmt: skip
    axes.set_ylim(max(len(told), 1) - 0.4, -0.6)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def _marks(days: Sequence[date]) -> list[date]:
    """The last day and some before it, at equal distances."""
    every = max(1, len(days) // _MARKS)
    return list(days[::-every])


def coverage(figure: Figure, theme: Theme, found: Coverage) -> None:
    """How much of the costs bears each tag."""
    axes = figure.add_subplot()
    for place, tag in enumerate(found.tags):
        share = tag.share
        if share is None:
            axes.text(0.5, place, "no costs", va="center")
            continue
        percent = float(share) * 100
        axes.barh(place, percent, _BAR, color=theme.series[0])
        axes.barh(place, 100 - percent, _BAR, left=percent, color=theme.bad, alpha=0.75)
        note(axes, f"{tag.percent} %", (100, place), theme)
    axes.set_yticks(range(len(found.tags)), [shown(tag.tag) for tag in found.tags])
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xticks([0, 25, 50, 75, 100])
    money_axis(axes, vertical=False)
    axes.tick_params(axis="y", labelcolor=theme.ink)
    axes.set_xlabel("% of costs")
    figure.legend(
        handles=[Patch(color=theme.series[0], label="with the tag"),
                 Patch(color=theme.bad, alpha=0.75, label="without it")],
        loc="outside upper left", ncols=2,
    )  # fmt: skip
