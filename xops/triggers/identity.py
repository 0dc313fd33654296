"""What a series of readings is: measured from what, for which rule, in whose weeks. Pure.

Readings continue each other only where all of this is the same. Repositories, and the owners of
selections, are the same by GitHub's id where both sides know one, by the name that was asked for
where one does not: what was renamed, or cannot be read for a week, is still the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from xops.core.files.canonical_json import digest_of
from xops.core.files.validation import Model
from xops.triggers.facts import Facts, MeasuredRepository, Origin
from xops.triggers.policy import Enter, Leave, MandateTrigger, PullRequestTrigger, Trigger

Subject = Literal["pull_requests", "engineers", "mandates"]

_MATTERS: dict[Subject, tuple[str, ...]] = {
    "pull_requests": ("classification", "machines"),
    "engineers": ("machines", "people"),
    "mandates": ("mandates",),
}
"""Which of the origin's hashes the readings depend on."""

_HASHES = {
    "classification": "the rules that classify paths (patterns of kinds, exclusions, release)",
    "machines": "the rules by which machines are told from people (bots)",
    "people": "the rules by which people are counted (aliases, roster, teams, outsiders)",
    "mandates": "the rules by which mandates count (folder, owners, signatures)",
}
_RULE = {
    "metric": "the metric",
    "mandate": "the mandate",
    "measure": "the measure",
    "enter": "the threshold",
    "leave": "the exit's threshold",
    "dwell_weeks": "the dwell",
    "warn_days": "the days of warning",
}


class SeriesRepository(Model):
    """A repository that a series is measured from."""

    id: str = Field(default="", description="GitHub's; empty until it could be read once.")
    asked: tuple[str, ...] = Field(description="The names under which it was asked for.")


class SeriesDocument(Model):
    """All that must stay the same for readings to continue each other."""

    policy: str = Field(description="Name of the policy.")
    trigger: str
    rule: dict[str, Any] = Field(description="What the states depend on.")
    timezone: str
    source: str = Field(default="", description="Who says so, of facts that name no origin.")
    api_url: str = ""
    repositories: tuple[SeriesRepository, ...] = ()
    selections: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    hashes: dict[str, str] = {}
    continues: str = Field(
        default="",
        description="Hash of the series' first document, where more of it is known now.",
    )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form, under which the history keeps it."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def root(self) -> str:
        """Names the series: the hash of its first document."""
        return self.continues or self.digest

    def lines(self) -> tuple[str, ...]:
        """The document in words."""
        return tuple(_lines(self))


def describe(policy: str, name: str, trigger: Trigger, facts: Facts) -> SeriesDocument:
    """The series to which readings of these facts belong.

    Args:
        policy: its name.
        name: of the trigger.
        trigger: its rule.
        facts: whose origin says what was measured.
    """
    plain = describe_source(policy, name, trigger, facts.timezone, facts.source)
    if facts.origin is None:
        return plain
    measured = _measured(trigger, facts.origin)
    return SeriesDocument.model_validate({**plain.model_dump(), "source": "", **measured})


def describe_source(
    policy: str, name: str, trigger: Trigger, timezone: str, source: str
) -> SeriesDocument:
    """The series of facts that name no origin but only who says so."""
    return SeriesDocument(
        policy=policy, trigger=name, rule=_rule(trigger), timezone=timezone, source=source
    )


def _rule(trigger: Trigger) -> dict[str, Any]:
    """The part of a rule on which states depend."""
    if isinstance(trigger, MandateTrigger):
        return {"mandate": trigger.mandate, "warn_days": trigger.warn_days}
    keys = {"metric", "measure", "enter", "leave", "dwell_weeks"}
    return trigger.model_dump(mode="json", include=keys)


def _measured(trigger: Trigger, origin: Origin) -> dict[str, Any]:
    """The part of an origin on which the readings of that trigger depend."""
    subject = subject_of(trigger)
    hashes = {name: getattr(origin, name) for name in _MATTERS[subject]}
    if subject == "mandates":
        return {"hashes": hashes}
    return {
        "hashes": hashes,
        "api_url": origin.api_url.rstrip("/").lower(),
        "repositories": _by_identity(map(_asked, origin.repositories)),
        "selections": sorted(set(origin.selections)),
        "branches": sorted(set(origin.branches)) if subject == "pull_requests" else [],
    }


def subject_of(trigger: Trigger) -> Subject:
    """What a trigger looks at."""
    if isinstance(trigger, MandateTrigger):
        return "mandates"
    return "pull_requests" if isinstance(trigger, PullRequestTrigger) else "engineers"


def _asked(row: MeasuredRepository) -> SeriesRepository:
    return SeriesRepository(id=row.id, asked=(row.asked.lower(),))


def _by_identity(rows: Iterable[SeriesRepository]) -> list[SeriesRepository]:
    """Each repository once: two names with one id are one."""
    names: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        key = (row.id, "" if row.id else row.asked[0])
        names[key] = names.get(key, set()) | set(row.asked)
    known = {name for (id_, _), asked in names.items() if id_ for name in asked}
    names = {key: asked for key, asked in names.items() if key[0] or known.isdisjoint(asked)}
    made = [SeriesRepository(id=id_, asked=tuple(sorted(asked)))
            for (id_, _), asked in names.items()]  # fmt: skip
    return sorted(made, key=lambda row: row.asked)


def continued(known: SeriesDocument, now: SeriesDocument) -> SeriesDocument | None:
    """The document of the same series with all that both know; None if it is another one.

    Args:
        known: the latest document of a series.
        now: made from facts at hand.
    """
    if _key(known) != _key(now):
        return None
    repositories = _merged(known.repositories, now.repositories)
    selections = _merged_selections(known.selections, now.selections)
    if repositories is None or selections is None:
        return None
    learnt = {"repositories": repositories, "selections": selections}
    if known.model_copy(update=learnt) == known:
        return known
    return now.model_copy(update={**learnt, "continues": known.root})


def teaches(known: SeriesDocument, now: SeriesDocument) -> bool:
    """Whether facts say an id of a repository that a series knew by name only."""
    ids = {row.id for row in known.repositories}
    return any(row.id and row.id not in ids for row in now.repositories)


def same_but_for_github(known: SeriesDocument, now: SeriesDocument) -> bool:
    """Whether a series may go on, of facts for which GitHub gave nothing that could tell."""
    return (known.policy, known.trigger, known.rule, known.timezone) == (
        now.policy, now.trigger, now.rule, now.timezone,
    )  # fmt: skip


def _key(document: SeriesDocument) -> SeriesDocument:
    return document.model_copy(update={"repositories": (), "selections": (), "continues": ""})


def _merged(
    known: Sequence[SeriesRepository], now: Sequence[SeriesRepository]
) -> tuple[SeriesRepository, ...] | None:
    """Both sides' repositories with all ids and names; None where one side has another one."""
    index = _Index(known)
    learnt: dict[int, list[SeriesRepository]] = {place: [] for place in range(len(known))}
    for new in now:
        places = index.places_of(new)
        if not places:
            return None
        for place in places:
            learnt[place].append(new)
    if not all(learnt.values()):
        return None
    return tuple(_by_identity(_learn(known[place], rows) for place, rows in learnt.items()))


class _Index:
    """Repositories by id and by name: an organisation has thousands."""

    def __init__(self, rows: Sequence[SeriesRepository]) -> None:
        self._rows = rows
        self._places: dict[str, set[int]] = {}
        for place, row in enumerate(rows):
            for key in (f"id {row.id}", *row.asked):
                self._places.setdefault(key, set()).add(place)

    def places_of(self, row: SeriesRepository) -> set[int]:
        """Where the same repository stands."""
        keys = (f"id {row.id}", *row.asked) if row.id else row.asked
        found = {place for key in keys for place in self._places.get(key, ())}
        return {place for place in found if _is_same(self._rows[place], row)}


def _is_same(old: SeriesRepository, new: SeriesRepository) -> bool:
    if old.id and new.id:
        return old.id == new.id
    return not set(old.asked).isdisjoint(new.asked)


def _learn(old: SeriesRepository, found: Sequence[SeriesRepository]) -> SeriesRepository:
    names = {*old.asked, *(name for new in found for name in new.asked)}
    ids = [old.id, *(new.id for new in found)]
    return SeriesRepository(id=next(filter(None, ids), ""), asked=tuple(sorted(names)))


def _merged_selections(known: Sequence[str], now: Sequence[str]) -> tuple[str, ...] | None:
    """Both sides' selections with the ids that one of them knows; None where one has another."""
    found: list[str] = []
    for new in now:
        same = [old for old in known if _is_same_selection(old, new)]
        if not same:
            return None
        login, id_, rest = _selection_parts(new)
        id_ = id_ or _selection_parts(same[0])[1]
        found.append(selection_text(login, id_, rest))
    complete = all(any(_is_same_selection(old, new) for new in now) for old in known)
    return tuple(sorted(set(found))) if complete else None


def selection_text(login: str, id_: str, rest: str) -> str:
    """A selection as an origin has it: whose repositories, with GitHub's id if known; which."""
    return f"{login}={id_} {rest}" if id_ else f"{login} {rest}"


def _selection_parts(text: str) -> tuple[str, str, str]:
    """Login of the owner, GitHub's id of it or "", and what is selected."""
    owner, _, rest = text.partition(" ")
    login, _, id_ = owner.partition("=")
    return login, id_, rest


def _is_same_selection(old: str, new: str) -> bool:
    (old_login, old_id, old_rest), (login, id_, rest) = map(_selection_parts, (old, new))
    same_owner = old_id == id_ if old_id and id_ else old_login == login
    return same_owner and old_rest == rest


def differences(before: SeriesDocument, now: SeriesDocument) -> tuple[str, ...]:
    """What is measured otherwise now, in words."""
    zone = _instead("the time zone is", before.timezone, now.timezone)
    return (*_rule_differences(before, now), *zone, *_origin_differences(before, now))


def _origin_differences(before: SeriesDocument, now: SeriesDocument) -> Iterator[str]:
    if before.source and now.source:
        yield from _instead("the facts come from", before.source, now.source)
    elif before.source:
        yield f"the facts say what they were measured from, which those of {before.source} did not"
    elif now.source:
        yield f"the facts of {now.source} do not say what they were measured from"
    else:
        yield from _instead("GitHub is", before.api_url, now.api_url)
        yield from _repository_differences(before.repositories, now.repositories)
        yield from _set_differences(
            "measured from {}", before.selections, now.selections, _is_same_selection
        )
        yield from _set_differences("merged into {}", before.branches, now.branches)
        yield from (
            text
            for name, text in _HASHES.items()
            if before.hashes.get(name) != now.hashes.get(name)
        )


def _rule_differences(before: SeriesDocument, now: SeriesDocument) -> Iterator[str]:
    for key, text in _RULE.items():
        old, new = before.rule.get(key), now.rule.get(key)
        if old != new:
            yield f"{text}: {_rule_text(key, new)} instead of {_rule_text(key, old)}"


def _rule_text(key: str, value: Any) -> str:
    if key == "enter" and value:
        return entry_text(Enter.model_validate(value))
    if key == "leave" and value:
        return exit_text(Leave.model_validate(value))
    return "none" if value is None else str(value)


def entry_text(enter: Enter) -> str:
    """An entry in words: "> 5 in 3 of 4 weeks"; one that a single week meets as "> 5"."""
    return f"> {enter.above}" + (f" in {enter.weeks} of {enter.of} weeks" if enter.of > 1 else "")


def exit_text(leave: Leave) -> str:
    """An exit in words: "<= 3 in 4 of 4"."""
    return f"<= {leave.at_or_below} in {leave.weeks} of {leave.of}"


def _instead(what: str, before: str, now: str) -> Iterator[str]:
    if before != now:
        yield f"{what} {now} instead of {before}"


def _repository_differences(
    before: Sequence[SeriesRepository], now: Sequence[SeriesRepository]
) -> Iterator[str]:
    was, is_ = _Index(before), _Index(now)
    gone = [row for row in before if not is_.places_of(row)]
    came = [row for row in now if not was.places_of(row)]
    replaced = {name for row in gone for name in row.asked} & {n for row in came for n in row.asked}
    yield from (f"{name} is another repository now" for name in sorted(replaced))
    yield from (
        f"measured from {row.asked[0]} as well" for row in came if replaced.isdisjoint(row.asked)
    )
    yield from (
        f"no longer measured from {row.asked[0]}" for row in gone if replaced.isdisjoint(row.asked)
    )


def _set_differences(
    what: str,
    before: Sequence[str],
    now: Sequence[str],
    is_same: Callable[[str, str], bool] = str.__eq__,
) -> Iterator[str]:
    came = [row for row in now if not any(is_same(old, row) for old in before)]
    gone = [row for row in before if not any(is_same(row, new) for new in now)]
    yield from (f"{what.format(row)} as well" for row in came)
    yield from (f"no longer {what.format(row)}" for row in gone)


def _lines(document: SeriesDocument) -> Iterator[str]:
    yield f"trigger {document.trigger} of the policy {document.policy}"
    rule = ((key, document.rule.get(key)) for key in _RULE)
    yield ", ".join(
        f"{_RULE[key].removeprefix('the ')} {_rule_text(key, value)}"
        for key, value in rule
        if value is not None
    )
    yield f"weeks start in {document.timezone}"
    if document.source:
        yield f"facts of {document.source}"
    if document.api_url:
        yield f"GitHub at {document.api_url}"
    for row in document.repositories:
        yield f"repository {' = '.join(row.asked)}" + (f" (id {row.id})" if row.id else "")
    yield from (f"repositories of {row}" for row in document.selections)
    yield from (f"merged into {row}" for row in document.branches)
    yield from (f"{_HASHES[name]}: {row[:12]}" for name, row in document.hashes.items())
