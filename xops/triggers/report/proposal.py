"""The issue of an activation: what it proposes, and how it ended.

Everybody who sees the repository reads it, so that people are named there without their addresses.
"""

from __future__ import annotations

from collections.abc import Iterator

from xops.core.rendering import Markdown, Plain
from xops.triggers.evaluation import EndedActivation, Evaluation, TriggerVerdict
from xops.triggers.report import values
from xops.triggers.report.text import basis, hashes, section


def title(verdict: TriggerVerdict) -> Plain:
    """The title of the proposal to activate; the same for the whole activation."""
    return Plain.of(
        "Trigger {trigger} is active: {action}", trigger=verdict.trigger, action=verdict.action
    )


def body(verdict: TriggerVerdict, evaluation: Evaluation) -> Markdown:
    """What an active trigger proposes, as Markdown: why, what, at what price, on what evidence."""
    return Markdown.joined("\n", _body(verdict, evaluation))


def closing_comment(activation: EndedActivation, evaluation: Evaluation) -> Markdown:
    """Why the issue of an activation that is over is closed."""
    return Markdown.of(
        "This activation of **{trigger}** ended on {ended}: {reason}.\n\nTold by the evaluation of"
        " {as_of}. If the trigger becomes active again, that has an issue of its own.",
        trigger=activation.trigger, ended=activation.ended,
        reason=values.clip(activation.reason.rstrip(".")), as_of=evaluation.as_of,
    )  # fmt: skip


def _body(verdict: TriggerVerdict, evaluation: Evaluation) -> Iterator[Markdown]:
    yield Markdown.of(
        "**{trigger}** is {state} since {since}: {threshold}.",
        trigger=verdict.trigger, state=verdict.state, since=verdict.since,
        threshold=verdict.threshold,
    )  # fmt: skip
    yield Markdown.of(
        "\nAs of {as_of} the value is {value}; {next}.",
        as_of=evaluation.as_of, value=values.value(verdict), next=verdict.next,
    )  # fmt: skip
    yield Markdown.render(f"{basis(evaluation)}.")
    yield Markdown("\nNothing was activated: a person decides.")
    yield from _sections(verdict)
    decide = f"xops triggers acknowledge {verdict.trigger} --decision accepted --reason TEXT"
    yield Markdown.of("\nTo decide: {decide}, or `rejected`.", decide=Markdown.code(decide))
    yield Markdown.of(
        "\nOwner {owner}. Activation {number}: {activation},",
        owner=verdict.owner, number=verdict.number or "without a number",
        activation=Markdown.code(str(verdict.activation)),
    )  # fmt: skip
    yield Markdown.of("{hashes}, xOps {version}.", hashes=hashes(evaluation),
                      version=evaluation.version)  # fmt: skip


def _sections(verdict: TriggerVerdict) -> Iterator[Markdown]:
    yield from section("For", verdict.subjects)
    yield from section("What it would add", _components(verdict))
    yield from section(f"What a {verdict.classification} needs", verdict.needs)
    yield from section("Weeks", [_week(verdict, index) for index in range(len(verdict.series))])
    yield from section("The other reading of the threshold", _other(verdict))
    yield from section("Measured otherwise before", _former(verdict))
    if verdict.people:
        yield from section("Who was counted", values.shorten(list(_people(verdict))))
    else:  # the evidence of a team names addresses
        links = [Markdown.link(row) for row in verdict.evidence]
        yield from section("Evidence", values.shorten(links))
    yield from section("Notes", values.shorten(verdict.warnings))


def _people(verdict: TriggerVerdict) -> Iterator[str]:
    for person in verdict.people:
        doubtful = ", doubtful" if person.doubtful else ""
        yield f"{values.without_address(person.name)}{doubtful}"


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
    return f"{point.period}: {values.count(point.value, point.bounds)}, {point.phase}{kept}"


def _other(verdict: TriggerVerdict) -> Iterator[str]:
    if verdict.beside:
        yield values.other_reading(verdict)
        yield verdict.beside.why


def _former(verdict: TriggerVerdict) -> Iterator[str]:
    if verdict.former:
        yield values.former_series(verdict)
