"""An evaluation as people read it: lines for a terminal, rows for a table, Markdown.

Names of repositories and people, titles and messages of GitHub may be anybody's: they enter
Markdown as values of templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from xops.core.rendering import Markdown
from xops.triggers.evaluation import ALONE, Evaluation, TriggerStatus, TriggerVerdict
from xops.triggers.facts import Completeness, LeftOut, People
from xops.triggers.report import values

_SUMMARIES = {
    TriggerStatus.ACTIVE: "active: {names}",
    TriggerStatus.INACTIVE: "nothing is active",
    TriggerStatus.INSUFFICIENT_DATA: "insufficient data: states are kept until all is known",
}
_BASES = {
    "history": "The states follow from all that the history remembers",
    "facts": "The states follow from these weeks alone: without a history nobody knows what was"
    " active before them",
}


def summary(evaluation: Evaluation) -> str:
    """The evaluation in a line."""
    names = ", ".join(verdict.trigger for verdict in evaluation.active)
    nothing = "nothing was measured on GitHub; " if evaluation.failure else ""
    status = _SUMMARIES[evaluation.status].format(names=names)
    return f"{evaluation.as_of}: {nothing}{status}"


def basis(evaluation: Evaluation) -> str:
    """From what the states follow."""
    return _BASES[evaluation.basis]


def lines(verdict: TriggerVerdict) -> Iterator[str]:
    """One trigger for a terminal."""
    yield f"{verdict.trigger:<13} {_standing(verdict)}"
    yield from (f"{'':<13} {values.clip(text)}" for text in _details(verdict))


def _details(verdict: TriggerVerdict) -> Iterator[str]:
    yield f"value {values.value(verdict)}{_weeks_over(verdict)}; {verdict.threshold}"
    if verdict.kept:
        yield f"kept: {verdict.kept}"
    if verdict.beside:
        yield f"beside {values.other_reading(verdict)}; {verdict.beside.why}"
    if verdict.former:
        yield values.former_series(verdict)
    if verdict.people or verdict.left_out:
        yield _people(verdict)
    yield f"next: {verdict.next}"
    yield f"action: {verdict.action} ({verdict.classification})"


def _weeks_over(verdict: TriggerVerdict) -> str:
    if verdict.weeks_over is None or (verdict.value is None and not verdict.weeks_over):
        return ""  # where nothing is known to be over, nobody counted 0 either
    return ", 1 week over" if verdict.weeks_over == 1 else f", {verdict.weeks_over} weeks over"


def _people(verdict: TriggerVerdict) -> str:
    certain = values.names(row.name for row in verdict.people if not row.doubtful)
    doubtful = values.names(row.name for row in verdict.people if row.doubtful)
    left_out = values.names((row.name for row in verdict.left_out), verdict.left_out_more)
    parts = (("counted", certain), ("doubtful", doubtful), ("not counted", left_out))
    return "; ".join(f"{word}: {names}" for word, names in parts if names)


def table(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a trigger: value, threshold, state by both readings, what would happen next."""
    return [_row(verdict) for verdict in evaluation.triggers]


def _row(verdict: TriggerVerdict) -> dict[str, str]:
    return {
        "trigger": verdict.trigger,
        "value": values.value(verdict),
        "threshold": verdict.threshold,
        "state": _standing(verdict),
        "beside": verdict.beside.state if verdict.beside else "",
        "next": verdict.next,
        "action": f"{verdict.action} ({verdict.classification})",
    }


def _standing(verdict: TriggerVerdict) -> str:
    since = f" since {verdict.since}" if verdict.since else ""
    number = f" (activation {verdict.number})" if verdict.active and verdict.number else ""
    return f"{verdict.state}{since}{number}"


def notes(evaluation: Evaluation) -> list[str]:
    """All warnings, each with what it is about."""
    of_triggers = [f"{v.trigger}: {text}" for v in evaluation.triggers for text in _own_notes(v)]
    # From what the states follow stands by itself, in `basis`.
    general = [text for text in evaluation.warnings if text != ALONE]
    return [values.clip(text) for text in (*general, *of_triggers)]


def _own_notes(verdict: TriggerVerdict) -> list[str]:
    return [*([f"kept: {verdict.kept}"] if verdict.kept else []), *verdict.warnings]


def completeness(found: Completeness) -> list[str]:
    """How much was read, and what could not be."""
    read = f"{found.pages} pages, {found.points} points, {found.rest_calls} REST calls"
    if not (found.pages or found.points or found.rest_calls):
        read = "nothing was read from GitHub"
    unreadable = [f"unreadable: {n}: {why}" for n, why in found.unreadable_repositories.items()]
    renamed = [f"renamed: {old} is {new} now" for old, new in found.renamed_repositories.items()]
    truncated = [f"truncated files: {url}" for url in found.truncated_files]
    kinds = (unreadable, renamed, truncated, found.notes)
    return [read, *(values.clip(line) for kind in kinds for line in values.shorten(kind))]


def markdown(evaluation: Evaluation) -> Markdown:
    """The whole evaluation for artifacts and comments."""
    return Markdown.joined("\n", _markdown(evaluation))


def _markdown(evaluation: Evaluation) -> Iterator[Markdown]:
    yield Markdown.of("**Triggers on {summary}**", summary=summary(evaluation))
    yield from _failure(evaluation)
    yield Markdown.of(
        "\nWeek of {week}, {zone}, facts from {source}. {basis}.\n",
        week=evaluation.week, zone=evaluation.timezone, source=evaluation.source,
        basis=basis(evaluation),
    )  # fmt: skip
    rows = table(evaluation)
    yield Markdown.table(rows[0], [row.values() for row in rows])
    yield from section("Proposed", [_proposed(verdict) for verdict in evaluation.active])
    yield from section("Ended", [values.ended(row) for row in evaluation.ended])
    yield from section("Other readings of a threshold", _others(evaluation))
    yield from section("Measured otherwise before", _formers(evaluation))
    for verdict in evaluation.triggers:
        yield from _counted(verdict)
    yield from section("Notes", notes(evaluation))
    yield from section("Completeness", completeness(evaluation.completeness))
    yield Markdown.of("\n{hashes}, xOps {version}.", hashes=hashes(evaluation),
                      version=evaluation.version)  # fmt: skip


def _failure(evaluation: Evaluation) -> Iterator[Markdown]:
    if failure := evaluation.failure:
        yield Markdown.of(
            "\n**Nothing was measured on GitHub.** {attempted}: {found}. {remedy}",
            attempted=failure.attempted, found=values.clip(failure.found.rstrip(".")),
            remedy=failure.remedy,
        )  # fmt: skip


def hashes(evaluation: Evaluation) -> Markdown:
    """Which facts and which rules the evaluation follows from."""
    return Markdown.of(
        "Facts {facts}, policy {policy}",
        facts=Markdown.code(evaluation.facts[:12]),
        policy=Markdown.code(evaluation.policy[:12]),
    )


def section(title: str, rows: Iterable[str]) -> Iterator[Markdown]:
    """A list below a title; its lines are others' text unless they are Markdown already."""
    if listed := list(rows):
        yield Markdown.of("\n**{title}**\n", title=title)
        yield from (Markdown.of("- {line}", line=_clipped(line)) for line in listed)


def _clipped(line: str) -> str:
    return line if isinstance(line, Markdown) else values.clip(line)


def _proposed(verdict: TriggerVerdict) -> str:
    needs = ", ".join(verdict.needs)
    what = f"{verdict.action}: {verdict.cost}; {verdict.classification} needs {needs}"
    number = f"activation {verdict.number}: " if verdict.number else ""
    subjects = f", for {', '.join(verdict.subjects)}" if verdict.subjects else ""
    return f"{verdict.trigger}{subjects}: {number}{what}"


def _others(evaluation: Evaluation) -> Iterator[str]:
    for verdict in evaluation.triggers:
        if other := verdict.beside:
            yield (
                f"{verdict.trigger}: {verdict.threshold} decides: {verdict.state}; beside it"
                f" {values.other_reading(verdict)}; {other.why}"
            )


def _formers(evaluation: Evaluation) -> Iterator[str]:
    for verdict in evaluation.triggers:
        if verdict.former:
            yield f"{verdict.trigger}: {values.former_series(verdict)}"


def _counted(verdict: TriggerVerdict) -> Iterator[Markdown]:
    """Who and what a trigger's value is made of."""
    people = [_person(row) for row in verdict.people]
    yield from section(f"Who was counted by {verdict.trigger}", people)
    left_out = [_left_out(row) for row in verdict.left_out]
    more = [f"and {verdict.left_out_more} more"] if verdict.left_out_more else []
    yield from section(f"Not counted by {verdict.trigger}", [*left_out, *more])
    if not people:  # of a team they are the evidence
        links = [Markdown.link(row) for row in verdict.evidence]
        yield from section(f"Evidence of {verdict.trigger}", values.shorten(links))


def _person(person: People) -> Markdown:
    merged = f"; one person: {', '.join(person.merged)}" if person.merged else ""
    doubtful = f"; doubtful: {person.doubtful}" if person.doubtful else ""
    known = _known(person.name, person.identities, person.last_seen)
    return Markdown.of(
        "{known}{merged}{doubtful}", known=known, merged=values.clip(merged),
        doubtful=values.clip(doubtful),
    )  # fmt: skip


def _left_out(row: LeftOut) -> Markdown:
    known = _known(row.name, row.identities, row.last_seen)
    return Markdown.of("{known}: {why}", known=known, why=values.clip(row.why))


def _known(name: str, identities: Sequence[str], last_seen: date | None) -> Markdown:
    own = tuple(identities) not in ((), (name,))
    return Markdown.of(
        "{name}{identities}, {seen}",
        # An address as code: within text a space of no width would keep it from calling somebody.
        name=Markdown.code(name) if "@" in name else values.clip(name),
        identities=Markdown.of(" ({all})", all=values.codes(identities)) if own else "",
        seen=f"last seen {last_seen}" if last_seen else "not dated",
    )
