"""What a record's score and sensitivity look like: tables, as Markdown or as aligned text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from xops.decision.coverage import CheckedClaim, Coverage
from xops.decision.figures import Vector, decimal
from xops.decision.record import DecisionRecord
from xops.decision.scoring import (
    BudgetComparison,
    Figure,
    FigureVerdict,
    NotDerived,
    ScoreReport,
    Weighting,
)
from xops.decision.sensitivity import ConsensusSensitivity, Draws, Flip, Sensitivity, SingleFlip

UNKNOWN = "unknown"
_VERDICTS = {
    FigureVerdict.FOLLOWS: "follows",
    FigureVerdict.DIFFERS: "does not follow",
    FigureVerdict.UNKNOWN: UNKNOWN,
    FigureVerdict.NOT_DERIVED: "stated, not derived",
}
_POSSIBLE = {True: "some weights give it", False: "no weights give it", None: UNKNOWN}


@dataclass(frozen=True)
class Section:
    """A title, a table (none without a head) and sentences below it."""

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def markdown(sections: Sequence[Section]) -> str:
    """The sections for chat, pull requests and artifacts."""
    return "\n\n".join("\n\n".join(_markdown(section)) for section in sections) + "\n"


def text(sections: Sequence[Section]) -> str:
    """The sections for a terminal, columns aligned."""
    return "\n\n".join("\n".join(_text(section)) for section in sections)


def score_sections(report: ScoreReport) -> list[Section]:
    """A score report from its head to what the software says and the record does not."""
    return [
        _summary(report),
        _options(report),
        _consensus(report),
        _averages(report),
        _weights("Weights of the pillars", report.pillar_weights, "stated averages"),
        _budget(report.budget),
        _coverage(report.coverage),
        *_departures(report.record),
    ]


def sensitivity_sections(found: Sensitivity) -> list[Section]:
    """A sensitivity report: the winner, what flips it, and how often it wins."""
    sections = [_winner(found), _singles(found), _draws(found.draws, found.can_win)]
    return [*sections, _consensus_flip(found.consensus)] if found.consensus else sections


def _summary(report: ScoreReport) -> Section:
    record, review = report.record, report.review
    days = f"{abs(review.days_left)} days {'overdue' if review.is_overdue else 'left'}"
    since = f" {record.accepted_on}" if record.accepted_on else ""
    return Section(
        f"ADR-{record.adr} {record.title}",
        notes=(
            f"{record.status.capitalize()}{since}: option {record.chosen},"
            f" {record.options[record.chosen].name}.",
            f"Owner: {review.owner}. Review by {review.review_by}, {days} on {review.as_of}"
            f" ({review.basis}).",
        ),
    )


def _options(report: ScoreReport) -> Section:
    head = ("option", "", "stated", "recomputed", "", "from the pillars, any weights")
    rows = tuple(
        (row.option, row.name, *_figure(row.score), _any_weights(row.from_pillars))
        for row in report.options
    )
    of = report.record.agents.of
    notes = [f"{of} is recomputed from the agents; how they scored the others is not published."]
    if report.options_from_pillars.is_empty:
        notes.append("No weights of the pillars give all stated scores: they are made otherwise.")
    return Section("Scores of the options", head, rows, tuple(notes))


def _consensus(report: ScoreReport) -> Section:
    stated, recomputed, verdict = _figure(report.consensus)
    weights = _weights("Consensus of the agents", report.agents, "stated consensus")
    first = f"Stated {stated}, recomputed {recomputed}: {verdict}."
    return Section(weights.title, weights.head, weights.rows, (first, *weights.notes))


def _averages(report: ScoreReport) -> Section:
    published = report.pillar_weights.published
    head = ("option", "column", "stated", "recomputed" if published else "plain", "", "any weights")
    rows = tuple(
        (row.option, row.column, *_figure(row.average), _any_weights(row.average))
        for row in report.pillars
    )
    verdict = _VERDICTS[FigureVerdict.NOT_DERIVED]
    stated = tuple((row.says, "", str(row.stated), "", verdict, "") for row in report.not_derived)
    notes = tuple(map(_not_derived, report.not_derived))
    return Section("Averages of the pillars", head, (*rows, *stated), notes)


def _not_derived(row: NotDerived) -> str:
    said = f'The record states "{row.says}"; no value, weight or rule in it gives {row.stated}.'
    if not row.equal_to:
        return said
    return f"{said} Equal to it is {', '.join(row.equal_to)}: an equal number is no derivation."


def _weights(title: str, weighting: Weighting, of: str) -> Section:
    used = "published" if weighting.published else "assumed"
    spans = [f"{_percent(low)} to {_percent(high)}" for low, high in weighting.consistent.spans()]
    spans = spans or ["none"] * len(weighting.names)
    weights = map(_percent, weighting.used)
    rows = tuple(zip(weighting.names, weights, spans, strict=True))
    notes = tuple(_weight_notes(weighting, of))
    return Section(title, ("", used, f"consistent with the {of}"), rows, notes)


def _weight_notes(weighting: Weighting, of: str) -> Iterator[str]:
    if not weighting.published:
        yield "The record publishes no weights: equal ones are ASSUMED."
    if weighting.consistent.is_empty:
        yield f"No weights at all give the {of}."
    elif weighting.consistent.contains(weighting.used):
        yield f"The weights used are among those that give the {of}."
    else:
        yield f"The weights used are not among those that give the {of}; others are."


def _budget(budget: BudgetComparison) -> Section:
    check, currency = budget.check, budget.currency
    above = f"{_percent(budget.excess)} above it" if budget.excess > 0 else "within it"
    return Section(
        f"Budget of {check.stated_budget} {currency} a month",
        ("compute", "fixed", "together", ""),
        ((*map(str, (check.compute_month, check.fixed_month, check.month)), above),),
        (
            f"Stated {check.stated_budget}: {_VERDICTS[budget.verdict]} from the smallest shape"
            f" at this repository's rates ({check.region}).",
            "From what the record took its budget is unknown: this bounds the error, it is no bill."
            " `xops costs budget` has the prices, with their sources and days.",
        ),
    )


def _coverage(coverage: Coverage) -> Section:
    share = UNKNOWN if coverage.share is None else _percent(coverage.share)
    unknown = f", {coverage.unknown} unknown" if coverage.unknown else ""
    notes = [
        f"{coverage.covered} of {len(coverage.claims)} claims have a check that exists{unknown}."
    ]
    return Section(
        f"Enforcement coverage: {share}",
        ("claim without a check", "why"),
        tuple((claim.says, _why(claim)) for claim in coverage.claims if not claim.is_covered),
        tuple(notes),
    )


def _departures(record: DecisionRecord) -> Iterator[Section]:
    rows = tuple(
        (row.kind.replace("_", " "), row.here or "", row.record or "", row.why)
        for row in record.departures.values()
    )
    if rows:
        head = ("by xOps", "here", "in the record", "why")
        yield Section("Added to the record, changed or left out", head, rows)


def _why(claim: CheckedClaim) -> str:
    if claim.unchecked:
        return claim.unchecked
    rows = (row for row in claim.checks if row.why)
    return "; ".join(f"{row.check.name}: {row.status}, {row.why}" for row in rows)


def _winner(found: Sensitivity) -> Section:
    kind = "published" if found.published else "equal weights, which are ASSUMED"
    rows = tuple((option, decimal(value)) for option, value in found.scores.items())
    notes = [f"{found.winner} wins by the pillars ({kind}); {found.record.chosen} was chosen."]
    if found.flip:
        notes.append(_flip(found.flip, found.criteria, found.weights))
    else:
        notes.append("No weights of the pillars give another winner.")
    return Section("Who wins", ("option", "score"), rows, tuple(notes))


def _flip(flip: Flip, names: Sequence[str], weights: Vector) -> str:
    rows = zip(names, weights, flip.weights, strict=True)
    moved = ", ".join(f"{n} {_percent(a)} -> {_percent(b)}" for n, a, b in rows if a != b)
    return (
        f"Smallest change: beyond moving {_percent(flip.distance / 2)} of the weight"
        f" (L1 {decimal(flip.distance, 4)}), {flip.challenger} wins: {moved}."
    )


def _singles(found: Sensitivity) -> Section:
    rows = tuple(
        (row.criterion, _percent(row.weight), _flips_at(row), row.challenger or "")
        for row in found.singles
    )
    least = ", ".join(row.criterion for row in found.smallest_singles)
    note = f"Least change: {least}." if least else "No weight alone flips the winner."
    head = ("criterion", "weight", "flips", "to")
    return Section("One weight changed, the others in their ratios", head, rows, (note,))


def _flips_at(row: SingleFlip) -> str:
    if row.at is None:
        return "never"
    return f"{'above' if row.at >= row.weight else 'below'} {_percent(row.at)}"


def _draws(draws: Draws, possible: dict[str, bool]) -> Section:
    rows = tuple(
        (
            option,
            f"{share.share:.2%}",
            f"± {share.standard_error:.2%}",
            str(possible[option]).lower(),
        )
        for option, share in draws.wins.items()
    )
    note = (
        f"{draws.count} weightings of Dirichlet(1, ..., 1), seed {draws.seed}; {draws.ties} ties."
    )
    head = ("option", "wins", "standard error", "can win at all")
    return Section("Random weights", head, rows, (note,))


def _consensus_flip(consensus: ConsensusSensitivity) -> Section:
    fixed = f"{consensus.next_best}'s stated {consensus.next_score} is taken as fixed"
    stays = f"{consensus.stays_above.share:.2%} of the draws stay above it"
    notes = [f"{fixed}: how the agents scored it is not published. {stays}."]
    if consensus.flip:
        notes.insert(0, _flip(consensus.flip, consensus.names, consensus.weights))
    else:
        notes.insert(0, "No weights of the agents bring it that low.")
    return Section(f"The agents' consensus on {consensus.of}", notes=tuple(notes))


def _figure(figure: Figure) -> tuple[str, str, str]:
    recomputed = UNKNOWN if figure.recomputed is None else decimal(figure.recomputed)
    return str(figure.stated), recomputed, _VERDICTS[figure.verdict]


def _any_weights(figure: Figure) -> str:
    if figure.span is None:
        return UNKNOWN
    low, high = (decimal(end, 0) for end in figure.span)
    return f"{low} to {high}: {_POSSIBLE[figure.possible]}"


def _percent(share: Fraction) -> str:
    return f"{float(share):.1%}"


def _markdown(section: Section) -> Iterator[str]:
    yield f"### {section.title}"
    if section.rows:
        lines = [section.head, ("---",) * len(section.head), *section.rows]
        cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
        yield "\n".join(f"| {' | '.join(line)} |" for line in cells)
    yield from section.notes


def _text(section: Section) -> Iterator[str]:
    yield section.title
    table = [section.head, *section.rows] if section.rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
    yield from (f"  {note}" for note in section.notes)
