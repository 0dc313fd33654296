"""The last weeks of each trigger as a picture: counts, thresholds, and ribbons of states."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from xops.core.rendering import visible
from xops.triggers.evaluation import Evaluation, Point, TriggerVerdict
from xops.triggers.facts import Bounds
from xops.triggers.machine import Phase
from xops.triggers.policy import MandateTrigger, Metric, MetricTrigger, Policy, TeamSizeTrigger
from xops.triggers.report import values

# Told apart by people who see red and green alike. Source: Okabe and Ito, colour universal design.
_COLOURS = {
    Phase.INACTIVE: "#DDDDDD",
    Phase.PENDING: "#F0E442",
    Phase.ACTIVE: "#D55E00",
    Phase.COOLING: "#56B4E9",
}
_BAR, _LEAST, _RANGE = "#4C5B6B", "#9AA4AE", "#E3E7EB"
_ENTER, _LEAVE, _FAINT = "#D55E00", "#0072B2", "#777777"
_WIDTH, _METRIC_HEIGHT, _MANDATE_HEIGHT, _FRAME = 8.0, 2.7, 0.75, 1.3
_DPI = 160
"""An artifact shows a picture 690 pixels wide: inches are few, so that labels can be read."""

_LETTERS_ABREAST = 100
_TICKS = 13
_RIBBON = 0.1
"""Height of a ribbon, as a part of the counts' axis."""

_OPEN_END = 1.35
"""How far up the bar of a week goes of which only a least count is known, times that count."""


def draw(evaluation: Evaluation, policy: Policy) -> Figure:
    """The chart of an evaluation.

    Bars are counts. Of an unknown week the light bar goes from the least to the most that it can
    be, with an arrow where nobody knows the most; `?` is a week of which nothing is known. The
    ribbon below shows the state after each week, hatched where it was kept for want of data; a
    second one shows the other reading of the threshold.
    """
    verdicts = sorted(evaluation.triggers, key=lambda verdict: verdict.kind == "mandate")
    heights = [_METRIC_HEIGHT if v.kind == "metric" else _MANDATE_HEIGHT for v in verdicts]
    figure = Figure(figsize=(_WIDTH, sum(heights) + _FRAME), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(verdicts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, verdict in zip(rows, verdicts, strict=True):
        _draw(axes, verdict, policy)
    figure.suptitle(_headline(evaluation), fontsize=11)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def png(evaluation: Evaluation, policy: Policy) -> bytes:
    """The chart as a picture; equal evaluations give equal bytes."""
    buffer = io.BytesIO()
    draw(evaluation, policy).savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write(evaluation: Evaluation, policy: Policy, file: Path) -> None:
    """The chart as a file."""
    file.write_bytes(png(evaluation, policy))


def _headline(evaluation: Evaluation) -> str:
    nothing = ", nothing was measured on GitHub" if evaluation.failure else ""
    status = str(evaluation.status).replace("_", " ")
    return f"Triggers as of {evaluation.as_of}: {status}{nothing} (weeks by their Monday)"


def _legend() -> list[Patch]:
    phases = [Patch(color=colour, label=str(phase)) for phase, colour in _COLOURS.items()]
    return [
        *phases,
        Patch(facecolor="white", hatch="////", edgecolor=_FAINT, label="unknown, state kept"),
        Patch(color=_BAR, label="counted"),
        Patch(color=_LEAST, label="at least"),
        Patch(facecolor=_RANGE, hatch="....", edgecolor=_BAR, label="at most (▲ no end is known)"),
    ]


def _draw(axes: Axes, verdict: TriggerVerdict, policy: Policy) -> None:
    points = verdict.series
    trigger = policy.triggers[verdict.trigger]
    if isinstance(trigger, MandateTrigger):
        axes.set_ylim(0.0, 1.0)
        axes.set_yticks([])
        axes.set_ylabel("in force", fontsize=7)
        _ribbon(axes, points, bottom=0.0, height=1.0)
    else:
        _draw_counts(axes, points, trigger)
        _draw_ribbons(axes, verdict, trigger)
    subjects = f" ({', '.join(verdict.subjects)})" if verdict.subjects else ""
    told = visible(values.clip(f"{verdict.trigger}: {verdict.state}{subjects}"))
    title = textwrap.fill(told, _LETTERS_ABREAST)
    # Who decided may be called anything: what stands between two $ would be read as mathematics.
    axes.set_title(title, loc="left", fontsize=9, parse_math=False)
    _label_weeks(axes, points)
    axes.spines[["top", "right"]].set_visible(False)


def _label_weeks(axes: Axes, points: Sequence[Point]) -> None:
    """Days and months below the axis, and the year where it begins and where it changes."""
    axes.set_xlim(-0.6, max(len(points), 1) - 0.4)
    every = -(-max(len(points), 1) // _TICKS)
    ticks = list(range(len(points) - 1, -1, -every))[::-1]
    axes.set_xticks(ticks, list(_dates([points[i] for i in ticks])), fontsize=7)


def _dates(points: Sequence[Point]) -> Iterator[str]:
    year = None
    for point in points:
        changed = point.period.year != year
        year = point.period.year
        yield f"{point.period:%d %b\n%Y}" if changed else f"{point.period:%d %b}"


def _what_is_counted(trigger: MetricTrigger) -> str:
    if isinstance(trigger, TeamSizeTrigger):
        return f"engineers ({trigger.measure})"
    return {Metric.IAC_PRS: "merged pull requests\non infrastructure code\na week"}[trigger.metric]


def _draw_counts(axes: Axes, points: Sequence[Point], trigger: MetricTrigger) -> None:
    for index, point in enumerate(points):
        _draw_count(axes, index, point)
    _thresholds(axes, trigger)
    axes.set_ylabel(_what_is_counted(trigger), fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
    highest = max((_top(point) for point in points), default=0.0)
    axes.set_ylim(0.0, max(highest, trigger.enter.above + 0.5) * 1.2)
    axes.set_yticks([tick for tick in axes.get_yticks() if tick >= 0 and tick == int(tick)])


def _draw_count(axes: Axes, index: int, point: Point) -> None:
    if point.value is not None:
        axes.bar(index, point.value, color=_BAR, width=0.7)
        _write(axes, index, point.value, str(point.value))
        return
    bounds = point.bounds or Bounds()
    if bounds.at_most is None and not bounds.at_least:
        _write(axes, index, 0, "?")
        return
    top = _top(point)
    axes.bar(index, bounds.at_least, color=_LEAST, width=0.7)
    axes.bar(
        index, top - bounds.at_least, bottom=bounds.at_least, width=0.7, facecolor=_RANGE,
        edgecolor=_BAR, linewidth=0.6, hatch="....",
    )  # fmt: skip
    if bounds.at_most is None:
        axes.plot(index, top, marker="^", color=_BAR, markersize=6)
        _write(axes, index, top, f"{bounds.at_least}+", above=5)
    else:
        _write(axes, index, top, f"{bounds.at_least}-{bounds.at_most}")


def _write(axes: Axes, index: int, height: float, words: str, above: int = 2) -> None:
    """Words above a bar, which the lines of the thresholds do not strike through."""
    axes.annotate(
        words, (index, height), (0, above), textcoords="offset points", ha="center", va="bottom",
        fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
    )  # fmt: skip


def _top(point: Point) -> float:
    """How high the mark of a week reaches."""
    if point.value is not None:
        return float(point.value)
    bounds = point.bounds or Bounds()
    return bounds.at_least * _OPEN_END if bounds.at_most is None else float(bounds.at_most)


def _thresholds(axes: Axes, trigger: MetricTrigger) -> None:
    # Half a step higher: a bar that touches the line is not above the threshold.
    above, below = trigger.enter.above + 0.5, trigger.leave.at_or_below + 0.5
    axes.axhline(above, color=_ENTER, linestyle="--", linewidth=1)
    axes.axhline(below, color=_LEAVE, linestyle=":", linewidth=1.2)
    place = axes.get_yaxis_transform()
    for text, height, colour, side in (
        (f" enter > {trigger.enter.above}", above, _ENTER, "bottom"),
        (f" leave <= {trigger.leave.at_or_below}", below, _LEAVE, "top"),
    ):
        axes.text(1.0, height, text, color=colour, fontsize=7, va=side, transform=place)


def _draw_ribbons(axes: Axes, verdict: TriggerVerdict, trigger: MetricTrigger) -> None:
    """The states by the reading that decides, and below them by the other one."""
    top = axes.get_ylim()[1]
    height = top * _RIBBON
    ribbons = [(verdict.series, f"decides: {trigger.enter.weeks} of {trigger.enter.of}")]
    if verdict.beside and trigger.beside:
        other = f"beside: > {trigger.beside.above},\n {trigger.beside.weeks} of {trigger.beside.of}"
        ribbons.append((verdict.beside.series, other))
    place = axes.get_yaxis_transform()
    bottom = 0.0
    for points, words in ribbons:
        bottom -= 1.5 * height
        _ribbon(axes, points, bottom=bottom, height=height)
        axes.text(1.0, bottom + height / 2, f" {words}", fontsize=6.5, color=_FAINT, va="center",
                  transform=place)  # fmt: skip
    axes.set_ylim(bottom, top)


def _ribbon(axes: Axes, points: Sequence[Point], *, bottom: float, height: float) -> None:
    for index, point in enumerate(points):
        block = Rectangle(
            (index - 0.5, bottom), 1.0, height, facecolor=_COLOURS[point.phase], edgecolor="white",
            hatch="////" if point.insufficient else None,
        )  # fmt: skip
        axes.add_patch(block)
