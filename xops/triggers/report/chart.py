"""The last weeks of each trigger as a picture: counts, thresholds, and a ribbon of states."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from xops.triggers.evaluation import Evaluation, Point, TriggerVerdict
from xops.triggers.machine import Phase
from xops.triggers.policy import MandateTrigger, Policy

# Told apart by people who see red and green alike. Source: Okabe and Ito, colour universal design.
_COLOURS = {
    Phase.INACTIVE: "#DDDDDD",
    Phase.PENDING: "#F0E442",
    Phase.ACTIVE: "#D55E00",
    Phase.COOLING: "#56B4E9",
}
_BAR, _ENTER, _LEAVE = "#4C5B6B", "#D55E00", "#0072B2"
_WIDTH, _METRIC_HEIGHT, _MANDATE_HEIGHT, _FRAME = 11.0, 2.6, 0.9, 1.0
_DPI = 110


def png(evaluation: Evaluation, policy: Policy) -> bytes:
    """The chart of an evaluation; equal evaluations give equal bytes.

    Bars are counts, a gap with `?` is an unknown week; the ribbon below shows the state after each
    week, hatched where it was kept for want of data.
    """
    verdicts = sorted(evaluation.triggers, key=lambda verdict: verdict.kind == "mandate")
    heights = [_METRIC_HEIGHT if v.kind == "metric" else _MANDATE_HEIGHT for v in verdicts]
    figure = Figure(figsize=(_WIDTH, sum(heights) + _FRAME), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(verdicts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, verdict in zip(rows, verdicts, strict=True):
        _draw(axes, verdict, policy)
    figure.suptitle(f"Triggers as of {evaluation.as_of}: {evaluation.status}", fontsize=11)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write(evaluation: Evaluation, policy: Policy, file: Path) -> None:
    """The chart as a file."""
    file.write_bytes(png(evaluation, policy))


def _legend() -> list[Patch]:
    phases = [Patch(color=colour, label=str(phase)) for phase, colour in _COLOURS.items()]
    return [*phases, Patch(facecolor="white", hatch="////", edgecolor="#777777", label="kept")]


def _draw(axes: Axes, verdict: TriggerVerdict, policy: Policy) -> None:
    points = verdict.series
    if verdict.kind == "metric":
        _bars(axes, points)
        _thresholds(axes, verdict, policy)
    _ribbon(axes, points, of_metric=verdict.kind == "metric")
    axes.set_title(f"{verdict.trigger}: {verdict.state}", loc="left", fontsize=9)
    axes.set_xlim(-0.6, max(len(points), 1) - 0.4)
    every = max(1, len(points) // 13)
    ticks = range(len(points) - 1, -1, -every)
    axes.set_xticks(list(ticks), [f"{points[i].period:%d %b}" for i in ticks], fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Axes, points: Sequence[Point]) -> None:
    known = [(index, p.value) for index, p in enumerate(points) if p.value is not None]
    axes.bar([index for index, _ in known], [value for _, value in known], color=_BAR, width=0.7)
    for index, value in known:
        axes.text(index, value, str(value), ha="center", va="bottom", fontsize=7)
    for index, point in enumerate(points):
        if point.value is None:
            axes.text(index, 0, "?", ha="center", va="bottom", fontsize=9, color="#777777")


def _thresholds(axes: Axes, verdict: TriggerVerdict, policy: Policy) -> None:
    trigger = policy.triggers[verdict.trigger]
    if isinstance(trigger, MandateTrigger):
        return
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
    highest = max((p.value for p in verdict.series if p.value is not None), default=0)
    axes.set_ylim(top=max(highest, above) * 1.2)


def _ribbon(axes: Axes, points: Sequence[Point], *, of_metric: bool) -> None:
    top = axes.get_ylim()[1] if of_metric else 1.0
    height = top * 0.1 if of_metric else 1.0
    bottom = -1.6 * height if of_metric else 0.0
    for index, point in enumerate(points):
        block = Rectangle(
            (index - 0.5, bottom), 1.0, height, facecolor=_COLOURS[point.phase], edgecolor="white",
            hatch="////" if point.insufficient else None,
        )  # fmt: skip
        axes.add_patch(block)
    axes.set_ylim(bottom, top)
    ticks = [tick for tick in axes.get_yticks() if tick >= 0 and tick == int(tick)]
    axes.set_yticks(ticks if of_metric else [])
    axes.tick_params(axis="y", labelsize=7)
