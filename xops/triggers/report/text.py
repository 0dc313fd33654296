"""An evaluation as people read it: rows for a table, Markdown, the text of a proposal.

Names of repositories and people, titles and messages of GitHub may be anybody's: they enter
Markdown as values of templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from xops.core.rendering import Markdown, Plain
from xops.triggers.evaluation import Evaluation, TriggerStatus, TriggerVerdict
from xops.triggers.facts import Completeness
from xops.triggers.machine import Phase

if TYPE_CHECKING:
    from xops.triggers.replay import Line, Replay

_LISTED = 20
"""How many links a text lists before it says how many more there are."""

_SUMMARIES = {
    TriggerStatus.ACTIVE: "active: {names}",
    TriggerStatus.INACTIVE: "nothing is active",
    TriggerStatus.INSUFFICIENT_DATA: "insufficient data: states are kept until all is known",
}

_MARKS = {Phase.INACTIVE: "·", Phase.PENDING: "+", Phase.ACTIVE: "█", Phase.COOLING: "▒"}


def summary(evaluation: Evaluation) -> str:
    """The evaluation in a line."""
    names = ", ".join(verdict.trigger for verdict in evaluation.active)
    return f"{evaluation.as_of}: " + _SUMMARIES[evaluation.status].format(names=names)


def table(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a trigger: value, threshold, weeks over it, state, what would happen next."""
    return [_row(verdict) for verdict in evaluation.triggers]


def _row(verdict: TriggerVerdict) -> dict[str, str]:
    return {
        "trigger": verdict.trigger,
        "value": format_value(verdict.value),
        "threshold": verdict.threshold,
        "weeks over": "" if verdict.kind == "mandate" else format_value(verdict.weeks_over),
        "state": verdict.state,
        "since": str(verdict.since or ""),
        "next": verdict.next,
        "action": f"{verdict.action} ({verdict.classification})",
    }


def format_value(value: int | None) -> str:
    """A count, or the word for not knowing it."""
    return "unknown" if value is None else str(value)


def notes(evaluation: Evaluation) -> list[str]:
    """All warnings, each with what it is about."""
    of_triggers = [f"{v.trigger}: {text}" for v in evaluation.triggers for text in v.warnings]
    return [*evaluation.warnings, *of_triggers]


def completeness(found: Completeness) -> list[str]:
    """How much was read, and what could not be."""
    read = f"{found.pages} pages, {found.points} points, {found.rest_calls} REST calls"
    unreadable = [f"unreadable: {n}: {why}" for n, why in found.unreadable_repositories.items()]
    renamed = [f"renamed: {old} is {new} now" for old, new in found.renamed_repositories.items()]
    truncated = [f"truncated files: {url}" for url in found.truncated_files]
    return [read, *unreadable, *renamed, *_short(truncated), *found.notes]


def markdown(evaluation: Evaluation) -> Markdown:
    """The whole evaluation for artifacts and comments."""
    return Markdown.joined("\n", _markdown(evaluation))


def _markdown(evaluation: Evaluation) -> Iterator[Markdown]:
    yield Markdown.of("**Triggers on {summary}**", summary=summary(evaluation))
    yield Markdown.of(
        "\nWeek of {week}, {zone}, facts from {source}.\n",
        week=evaluation.week, zone=evaluation.timezone, source=evaluation.source,
    )  # fmt: skip
    rows = table(evaluation)
    yield Markdown.table(rows[0], [row.values() for row in rows])
    yield from _section("Proposed", [_proposed(verdict) for verdict in evaluation.active])
    yield from _section("Notes", notes(evaluation))
    yield from _section("Completeness", completeness(evaluation.completeness))
    yield Markdown.of("\nFacts {facts}, policy {policy}.", **_hashes(evaluation))


def _hashes(evaluation: Evaluation) -> dict[str, Markdown]:
    return {
        "facts": Markdown.code(evaluation.facts[:12]),
        "policy": Markdown.code(evaluation.policy[:12]),
    }


def _section(title: str, lines: Iterable[str]) -> Iterator[Markdown]:
    """A list below a title; its lines are others' text unless they are Markdown already."""
    if lines := list(lines):
        yield Markdown.of("\n**{title}**\n", title=title)
        yield from (Markdown.of("- {line}", line=line) for line in lines)


def _proposed(verdict: TriggerVerdict) -> str:
    needs = ", ".join(verdict.needs)
    return f"{verdict.action}: {verdict.cost}; {verdict.classification} needs {needs}"


def _short(lines: Sequence[str]) -> list[str]:
    left = len(lines) - _LISTED
    return [*lines[:_LISTED], *([f"and {left} more"] if left > 0 else [])]


def proposal_title(verdict: TriggerVerdict) -> Plain:
    """The title of the proposal to activate; the same for the whole activation."""
    return Plain.of(
        "Trigger {trigger} is active: {action}", trigger=verdict.trigger, action=verdict.action
    )


def proposal(verdict: TriggerVerdict, evaluation: Evaluation) -> Markdown:
    """What an active trigger proposes, as Markdown: why, what, at what price, on what evidence."""
    return Markdown.joined("\n", _proposal(verdict, evaluation))


def _proposal(verdict: TriggerVerdict, evaluation: Evaluation) -> Iterator[Markdown]:
    yield Markdown.of(
        "**{trigger}** is {state} since {since}: {threshold}.",
        trigger=verdict.trigger, state=verdict.state, since=verdict.since,
        threshold=verdict.threshold,
    )  # fmt: skip
    yield Markdown.of(
        "\nAs of {as_of} the value is {value}; {next}.",
        as_of=evaluation.as_of, value=format_value(verdict.value), next=verdict.next,
    )  # fmt: skip
    yield Markdown("Nothing was activated: a person decides.")
    yield from _section("What it would add", _components(verdict))
    yield from _section(f"What a {verdict.classification} needs", verdict.needs)
    yield from _section("Weeks", [_week(verdict, index) for index in range(len(verdict.series))])
    yield from _section("Evidence", _short([Markdown.link(row) for row in verdict.evidence]))
    yield from _section("Notes", verdict.warnings)
    decide = f"xops triggers acknowledge {verdict.trigger} --decision accepted --reason TEXT"
    yield Markdown.of("\nTo decide: {decide}, or `rejected`.", decide=Markdown.code(decide))
    yield Markdown.of(
        "\nOwner {owner}. Activation {activation},",
        owner=verdict.owner, activation=Markdown.code(str(verdict.activation)),
    )  # fmt: skip
    yield Markdown.of("facts {facts}, policy {policy}.", **_hashes(evaluation))


def _components(verdict: TriggerVerdict) -> Iterator[str]:
    for line in verdict.cost.lines:
        if line.lowest is None or line.highest is None:
            yield f"{line.component}: unpriced"
        else:
            price = f"{line.lowest.amount:,.2f} to {line.highest}"
            yield f"{line.component}: {price} a month ({line.source})"
    yield f"together {verdict.cost}"


def _week(verdict: TriggerVerdict, index: int) -> str:
    point = verdict.series[index]
    kept = " (kept)" if point.insufficient else ""
    return f"{point.period}: {format_value(point.value)}, {point.phase}{kept}"


def ribbon(line: Line) -> str:
    """A trigger's past, a character a week; `?` is a week in which its state was kept."""
    return "".join("?" if p.insufficient else _MARKS[p.phase] for p in line.points)


def replay_lines(replay: Replay) -> Iterator[str]:
    """The past of each trigger, and what other thresholds would have made of it."""
    yield f"{' ' * 14}· inactive  + pending  █ active  ▒ cooling  ? unknown, kept"
    for line in replay.lines:
        yield f"{line.trigger:<14}{ribbon(line)}"
        counts = f"{line.flips} flips, {line.active_weeks} weeks active"
        yield f"{'':<14}{counts}, {line.unknown_weeks} unknown, now {line.states[-1]}"
    for line in replay.lines:
        yield from _variants(line)


def _variants(line: Line) -> Iterator[str]:
    if not line.variants:
        return
    windows = list(dict.fromkeys((v.weeks, v.of) for v in line.variants))
    yield f"\n{line.trigger}: flips (weeks active) by threshold and window; [] is the policy"
    yield f"{'':>8}" + "".join(f"{f'{weeks} of {of}':>12}" for weeks, of in windows)
    for above in sorted({v.above for v in line.variants}):
        row = [v for v in line.variants if v.above == above]
        cells = [f"{v.flips} ({v.active_weeks})" for v in row]
        marked = [f"[{c}]" if v.current else c for v, c in zip(row, cells, strict=True)]
        yield f"{f'> {above}':>8}" + "".join(f"{cell:>12}" for cell in marked)
