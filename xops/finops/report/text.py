"""The report in short, as Markdown for an artifact and a chat. Names in it may be anybody's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xops.core.rendering import Markdown
from xops.finops.report.model.report import Report
from xops.finops.report.model.spending import EnvironmentBudget, Forecast, Movers, Spend
from xops.finops.report.model.trust import Coverage, Watch
from xops.finops.report.model.values import Label, Unknown
from xops.finops.report.wording import money

_MOST = 5
"""Lines of a list; the page has all."""

_MOST_BUDGETS = 20
"""Rows of the table of budgets."""

_TIME = re.compile(r"(?<!\S)\d\d:\d\d(?:-\d\d:\d\d)?(?!\S)", re.ASCII)
"""A time of day, or from when to when, as a word of its own."""


def summary(report: Report) -> Markdown:
    """What a person is to know, with the label and the currency of every number."""
    return Markdown.joined("\n", _summary(report))


def _summary(report: Report) -> Iterator[Markdown]:
    yield Markdown.of(
        "**Costs of {scope}, days before {day}** ({label}, {currency} without tax)",
        scope=report.scope, day=report.as_of, label=report.label, currency=report.currency,
    )  # fmt: skip
    if report.label is Label.SAMPLE:
        yield Markdown("\nSample data: every amount was made up, or follows from what was.")
    if report.exchange is not None:
        yield Markdown.of(
            "\n{currency} at {rate} of {day}.",
            currency=report.exchange.currency, rate=report.exchange.rate,
            day=report.exchange.seen_on,
        )  # fmt: skip
    yield Markdown("")
    ends = f"ends at ({report.label.derived})"
    yield Markdown.table(
        ("environment", "month", "spent", "budget", ends, "80 % between", "state"),
        map(_row, report.budgets[:_MOST_BUDGETS]),
    )
    yield Markdown("")
    for line in _lines(report):
        yield Markdown.of("- {line}", line=_with_times(line))


def _with_times(line: str) -> Markdown:
    """A line of others' text; its times of day are code, in which a colon needs no escape.

    A chat shows Markdown as it is written.
    """
    parts, end = [], 0
    for found in _TIME.finditer(line):
        parts += [Markdown.render(line[end : found.start()]), Markdown.code(found[0])]
        end = found.end()
    return Markdown.joined("", [*parts, Markdown.render(line[end:])])


def _row(row: EnvironmentBudget) -> tuple[str, ...]:
    ends = row.forecast
    between = f"{money(ends.low)} to {money(ends.high)}" if isinstance(ends, Forecast) else ""
    return (
        row.environment,
        str(row.month),
        money(row.spent),
        money(row.budget.amount) if row.budget else "none",
        money(ends.expected if isinstance(ends, Forecast) else ends),
        between,
        str(row.state),
    )


def _lines(report: Report) -> Iterator[str]:
    if (left := len(report.budgets) - _MOST_BUDGETS) > 0:
        yield f"and {left} more environments, which the page lists"
    for gap in report.gaps:
        yield f"unknown: {gap.what}: {gap.reason}"
    yield from _coverage_lines(report.coverage)
    if isinstance(report.spend, Spend):
        for month, total in zip(report.spend.months[-2:], report.spend.totals[-2:], strict=True):
            yield f"{month} in all, with tax and credits: {money(total)}"
    yield from _mover_lines(report.movers)
    yield from _anomaly_lines(report.watch)
    for plan in report.plans:
        yield from (f"{plan.environment}: {advice}" for advice in plan.advice)
    old, all_of_them = len(report.prices.old), len(report.prices.rows)
    yield f"prices: {report.prices.weakest} at the weakest, {old} of {all_of_them} are old"
    yield f"this report: {report.cost.calls} calls of Cost Explorer, {report.cost.usd:.2f} USD"


def _coverage_lines(found: Coverage | Unknown) -> Iterator[str]:
    if isinstance(found, Unknown):
        yield f"tag coverage: unknown: {found.reason}"
        return
    for tag in found.tags:
        share = "no costs" if tag.percent is None else f"{tag.percent} % of costs have it"
        yield f"tag {tag.tag}: {share}, {money(tag.untagged)} belong to nobody"


def _mover_lines(found: Movers | Unknown) -> Iterator[str]:
    if isinstance(found, Unknown):
        yield f"what moved: unknown: {found.reason}"
        return
    yield (
        f"week of {found.week}: {money(found.after)}, {found.after - found.before:+z,.2f} against"
        " the week before"
    )
    ordered = sorted(found.moved, key=lambda row: (-abs(row.change), row.name))
    yield from (f"moved: {row.name}: {row.change:+z,.2f}" for row in ordered[:_MOST])


def _anomaly_lines(found: Watch | Unknown) -> Iterator[str]:
    if isinstance(found, Unknown):
        yield f"anomalies: unknown: {found.reason}"
        return
    unexplained = found.unexplained
    for one in unexplained[:_MOST]:
        yield (
            f"{one.kind} from {one.first} to {one.last}: {one.series}: {money(one.amount)},"
            f" expected {money(one.expected)}; {one.cause}"
        )
    if len(unexplained) > _MOST:
        yield f"and {len(unexplained) - _MOST} more anomalies"
    if not unexplained:
        yield "no anomaly without a known cause"
