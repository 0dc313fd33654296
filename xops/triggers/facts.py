"""The facts of an evaluation: what was measured, over which weeks, and how completely.

The model is the schema of a facts file, `deployments/facts.schema.json`.
`xops.triggers.measure.collect` makes facts from GitHub; a file replaces GitHub entirely.

Four rules hold everywhere. A week is half-open, from Monday 00:00 to the next Monday 00:00 in
`timezone`, and is named by the date of its Monday. A number that is not known is null, never 0. A
week of which any part could not be read has no total. Between what an unknown number lies is kept
as its bounds: they may decide all the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator

from xops.core.files import settings
from xops.core.files.bounded_json import parse_json
from xops.core.files.canonical_json import digest_of
from xops.core.files.reading import MOST_BYTES, UnusableTextError, read_text
from xops.core.files.validation import Day, Model, Moment, TimeZone, ValidationIssue, raise_if_any

SCHEMA = settings.ROOT / "deployments" / "facts.schema.json"
WEEK = timedelta(days=7)
_MOST_BYTES = 32 << 20

# A key that came with a later release, left out where it says nothing: facts of an earlier one keep
# the digest by which histories name them.
_LATER = Field(exclude_if=lambda value: value in (None, "", (), {}))

Count = Annotated[int | None, Field(ge=0, description="null is unknown, which is not 0.")]


class Bounds(Model):
    """Between what a count lies that is not known exactly; without any knowledge, 0 and null."""

    at_least: Annotated[int, Field(ge=0)] = 0
    at_most: Annotated[int | None, Field(ge=0, description="null: nobody knows.")] = None

    @field_validator("at_most")
    @classmethod
    def _is_a_range(cls, value: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("at_least")
        if value is not None and least is not None and value < least:
            raise ValueError(f"is below at_least, {least}")
        return value

    def __str__(self) -> str:
        if self.at_most is None:
            return f"at least {self.at_least}" if self.at_least else "unknown"
        return f"{self.at_least} to {self.at_most}"


UNBOUNDED = Bounds()
"""Nothing is known."""


class Bucket(StrEnum):
    """Where a merged pull request that touches infrastructure code is counted."""

    COUNTED = "counted"
    BOT = "bot"
    REVERT = "revert"
    IMAGE_BUMP = "image_bump"


class PullRequestEvidence(Model):
    """One merged pull request, as evidence: who looks it up finds the same."""

    repository: Annotated[str, Field(description="owner/name.")]
    id: Annotated[
        str, _LATER, Field(description="GitHub's; the same whatever the repository is called.")
    ] = ""
    number: Annotated[int, Field(ge=1)]
    url: str
    merged_at: Moment
    author: str = ""
    title: str = ""
    bucket: Bucket = Bucket.COUNTED
    kinds: Annotated[
        tuple[str, ...], Field(description="Which infrastructure code: terraform, helm, ...")
    ] = ()
    paths: Annotated[
        tuple[str, ...], Field(description="Paths that decided; not always all that match.")
    ] = ()
    truncated: Annotated[
        bool, Field(description="GitHub did not list all its files; the class is certain anyway.")
    ] = False


class RepositoryWeek(Model):
    """One repository's part of a week."""

    name: Annotated[str, Field(description="owner/name, as it is called now.")]
    id: Annotated[str, _LATER, Field(description="GitHub's; empty where it was never read.")] = ""
    iac_prs: Count
    bounds: Annotated[
        Bounds | None, _LATER, Field(description="Between what iac_prs lies, where it is null.")
    ] = None
    bots: Count = None
    reverts: Count = None
    image_bumps: Count = None
    reason: Annotated[str, Field(description="Why it is unknown, where it is.")] = ""


class People(Model):
    """One person behind the counts of engineers, or who may have to be counted."""

    name: str
    identities: Annotated[
        tuple[str, ...], Field(description="Logins and addresses that were merged into one.")
    ] = ()
    last_seen: Day | None = None
    merged: Annotated[
        tuple[str, ...], _LATER, Field(description="Why the identities are one person's.")
    ] = ()
    doubtful: Annotated[
        str,
        _LATER,
        Field(
            description="Why it cannot be told whether he or she is one more to count: may be"
            " somebody else's second identity, a machine, an outsider. Empty: is counted."
        ),
    ] = ""


class LeftOut(Model):
    """A machine or an outsider, who was active and is not counted."""

    name: str
    identities: tuple[str, ...] = ()
    last_seen: Day | None = None
    why: Annotated[str, Field(min_length=1)]


class Engineers(Model):
    """How many people work on the repositories, by four measures. They often disagree."""

    days28: Count = None
    days90: Count = None
    roster: Annotated[Count, Field(description="As declared, not as observed.")] = None
    members: Annotated[Count, _LATER, Field(description="Of the declared teams on GitHub.")] = None
    bounds: Annotated[
        dict[Literal["days28", "days90", "members"], Bounds],
        _LATER,
        Field(description="By measure, between what its count lies where it is null."),
    ] = {}
    people: Annotated[
        tuple[People, ...] | None,
        Field(description="Who was active within 90 days and counts, or may have to."),
    ] = None
    left_out: Annotated[
        tuple[LeftOut, ...],
        _LATER,
        Field(description="Who was active within 90 days and does not count, the latest first."),
    ] = ()
    left_out_more: Annotated[
        int,
        Field(
            exclude_if=lambda value: not value,
            ge=0,
            description="How many more do not count than are listed.",
        ),
    ] = 0
    reason: Annotated[str, Field(description="Why a count is unknown, where one is.")] = ""

    @field_validator("bounds")
    @classmethod
    def _of_unknown_counts(
        cls, value: dict[str, Bounds], info: ValidationInfo
    ) -> dict[str, Bounds]:
        raise_if_any(
            ((measure,), "goes with an unknown count only")
            for measure in value
            if info.data.get(measure) is not None
        )
        return value

    def measured(self, by: str) -> int | None:
        """The count by `days28`, `days90`, `roster` or `members`; None where it is unknown."""
        value: int | None = getattr(self, by)
        return value

    def disagreement(self) -> str:
        """The known counts that differ, as one line; empty where they agree."""
        names = ("days28", "days90", "roster", "members")
        known = {name: count for name in names if (count := self.measured(name)) is not None}
        if len(set(known.values())) < 2:
            return ""
        return ", ".join(f"{name} {value}" for name, value in known.items())


class Week(Model):
    """One week's merged pull requests. An incomplete week has a reason and no total."""

    start: Annotated[Day, Field(description="Its Monday.")]
    complete: bool = True
    reason: Annotated[str, Field(description="Why the week is unknown, where it is.")] = ""
    iac_prs: Annotated[
        Count, Field(description="By people: without bots, reverts and image bumps.")
    ]
    bounds: Annotated[
        Bounds | None, _LATER, Field(description="Between what iac_prs lies, where it is null.")
    ] = None
    bots: Count = None
    reverts: Count = None
    image_bumps: Count = None
    repositories: tuple[RepositoryWeek, ...] = ()
    pull_requests: tuple[PullRequestEvidence, ...] = ()
    engineers: Annotated[
        Engineers | None, Field(description="As they were at the week's end, where it is known.")
    ] = None

    @field_validator("start")
    @classmethod
    def _is_a_monday(cls, value: date) -> date:
        if value.weekday():
            monday = value - timedelta(days=value.weekday())
            raise ValueError(f"is a {value:%A}: a week starts on its Monday, {monday}")
        return value

    @field_validator("reason")
    @classmethod
    def _says_why(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("complete") is False and not value:
            raise ValueError("say why the week is incomplete")
        return value

    @field_validator("iac_prs")
    @classmethod
    def _unknown_or_complete(cls, value: int | None, info: ValidationInfo) -> int | None:
        complete = info.data.get("complete")
        if complete is True and value is None:
            raise ValueError("is unknown: set complete to false and give a reason")
        if complete is False and value is not None:
            raise ValueError("must be null: the total of an incomplete week is unknown")
        return value

    @field_validator("bounds")
    @classmethod
    def _of_an_unknown_count(cls, value: Bounds | None, info: ValidationInfo) -> Bounds | None:
        if value is not None and info.data.get("iac_prs") is not None:
            raise ValueError("goes with an unknown iac_prs only")
        return value

    @property
    def end(self) -> date:
        """The Monday that no longer belongs to it."""
        return self.start + WEEK


def check_lasts(value: date, info: ValidationInfo) -> date:
    """The day on which a mandate expires, which lies behind the one on which it takes effect.

    Raises:
        ValueError: it does not.
    """
    start = info.data.get("effective_from")
    if start and value <= start:
        raise ValueError(f"must be after effective_from, {start}")
    return value


class Mandate(Model):
    """A declared obligation: in force from `effective_from` up to, not including, `expires`."""

    kind: Literal["second_cloud", "edge"]
    subject: Annotated[str, Field(description="The cloud (azure, gcp) or the site.")]
    who: Annotated[str, Field(description="Who demands it.")]
    what: Annotated[str, Field(description="What is demanded, in a sentence.")]
    jurisdiction: str
    evidence: Annotated[str, Field(description="Link to the document itself.")]
    effective_from: Day
    expires: Day
    valid: Annotated[bool, Field(description="It stands in the folder as an owner committed it.")]
    reason: Annotated[
        str,
        Field(description="Why it is not valid, where it is not: nobody knows whether it binds."),
    ] = ""
    file: Annotated[str, Field(description="Where it stands, or stood.")] = ""
    commit: Annotated[
        str, Field(description="By which an owner declared it; else the one that is at fault.")
    ] = ""

    _lasts = field_validator("expires")(check_lasts)

    @field_validator("reason")
    @classmethod
    def _says_why(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("valid") is False and not value:
            raise ValueError("say why the mandate is not valid")
        return value

    def in_force(self, day: date) -> bool:
        """Whether it binds on that day."""
        return self.valid and self.effective_from <= day < self.expires


class MeasuredRepository(Model):
    """A repository by what outlasts its name."""

    asked: Annotated[str, Field(description="owner/name as the policy says, in lower case.")]
    id: Annotated[str, Field(description="GitHub's; empty where it could not be read yet.")] = ""


class Origin(Model):
    """What the facts were measured from. Facts of another origin do not continue a history.

    A hash stands for each set of rules by which things were counted: of two facts with the same
    hash, the same would have been counted.
    """

    api_url: str
    repositories: Annotated[
        tuple[MeasuredRepository, ...], Field(description="Those that the policy names one by one.")
    ] = ()
    selections: Annotated[
        tuple[str, ...],
        Field(
            description="Those it names by organisation, team, topic or pattern: login=id of the"
            " owner and what is selected; without =id where it was never read. A repository that"
            " comes later belongs to it."
        ),
    ] = ()
    branches: tuple[str, ...] = ()
    classification: Annotated[str, Field(description="Hash of the rules that classify paths.")]
    machines: Annotated[str, Field(description="Hash of the rules by which machines are told.")]
    people: Annotated[str, Field(description="Hash of the rules by which people are counted.")]
    mandates: Annotated[str, Field(description="Hash of the rules by which mandates count.")]


class Failure(Model):
    """Why nothing could be read from GitHub: an error in its three parts."""

    attempted: str
    found: str
    remedy: str = ""
    temporary: Annotated[bool, Field(description="Trying again later may help.")] = False


class Completeness(Model):
    """How much was read, and at what price."""

    pages: Annotated[int, Field(ge=0)] = 0
    points: Annotated[int, Field(ge=0, description="Of GraphQL's rate limit.")] = 0
    rest_calls: Annotated[int, Field(ge=0)] = 0
    truncated_files: Annotated[
        tuple[str, ...], Field(description="Pull requests with more files than GitHub lists.")
    ] = ()
    unreadable_repositories: Annotated[
        dict[str, str], Field(description="owner/name to the reason.")
    ] = {}
    renamed_repositories: Annotated[
        dict[str, str], Field(description="The name that was asked for to the name of today.")
    ] = {}
    notes: tuple[str, ...] = ()


class Facts(Model):
    """All that an evaluation knows."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    generated_at: Moment
    as_of: Annotated[
        Day, Field(description="The day they were read, in the zone: weeks over by then count.")
    ]
    timezone: Annotated[TimeZone, Field(description="IANA name of the zone in which weeks start.")]
    source: Annotated[str, Field(description="github, or who wrote the file.")]
    origin: Annotated[
        Origin | None,
        _LATER,
        Field(description="What they were measured from; null where a file says."),
    ] = None
    failure: Annotated[
        Failure | None, _LATER, Field(description="Why GitHub gave nothing at all, where it did.")
    ] = None
    weeks: Annotated[tuple[Week, ...], Field(description="In any order; a gap is unknown.")]
    engineers: Annotated[
        Engineers | None, Field(description="As of the last week that is over; null is unknown.")
    ] = None
    mandates: Annotated[
        tuple[Mandate, ...] | None, Field(description="[] is none; null is unknown.")
    ] = None
    mandates_reason: Annotated[
        str, Field(description="Why the mandates are unknown, where they are.")
    ] = ""
    completeness: Completeness = Completeness()

    @field_validator("weeks")
    @classmethod
    def _weeks_fit(cls, value: tuple[Week, ...], info: ValidationInfo) -> tuple[Week, ...]:
        problems = list(_duplicates(value))
        if as_of := info.data.get("as_of"):
            problems += _not_over(value, as_of)
        if zone := info.data.get("timezone"):
            problems += _misplaced(value, ZoneInfo(zone))
        raise_if_any(problems)
        return value

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form: sorted keys, no spaces."""
        return digest_of(self.document())

    def document(self) -> dict[str, Any]:
        """The facts as JSON, as the history keeps them and as their digest covers them."""
        return self.model_dump(mode="json", by_alias=True)

    def week(self, start: date) -> Week | None:
        """That week, or None where the facts do not have it."""
        return next((week for week in self.weeks if week.start == start), None)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a facts file, JSON or YAML. No environment variable changes what it says.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        try:
            text = read_text(file, _MOST_BYTES)
        except UnusableTextError as error:
            raise settings.unusable(file, error) from None
        # A year of evidence is megabytes: JSON's own parser, lines only for errors, which a person
        # looks for in a file of their own.
        if len(text) > MOST_BYTES:
            return settings.load_json(cls, file, text)
        try:
            return cls.model_validate(parse_json(text))
        except (ValueError, ArithmeticError):
            return settings.load(cls, file, prefix="", environ={}, arguments={})

    def to_json(self) -> str:
        """The facts as a file holds them."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def monday(day: date) -> date:
    """The Monday of a day's ISO week."""
    return day - timedelta(days=day.weekday())


def last_week(as_of: date) -> date:
    """The Monday of the last week that is over by the start of that day."""
    return monday(as_of) - WEEK


def week_bounds(start: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants between which a week lies, [from, to).

    Both are midnights on the clocks of the zone, so that a week in which they are put forward or
    back has 167 or 169 hours.
    """
    first, last = (datetime(d.year, d.month, d.day, tzinfo=zone) for d in (start, start + WEEK))
    return first, last


def week_of(instant: datetime, zone: ZoneInfo) -> date:
    """The Monday of the week in which an instant lies, on the clocks of the zone."""
    return monday(instant.astimezone(zone).date())


def _duplicates(weeks: Iterable[Week]) -> Iterator[ValidationIssue]:
    seen: set[date] = set()
    for index, week in enumerate(weeks):
        if week.start in seen:
            yield (index, "start"), f"the week of {week.start} is given twice"
        seen.add(week.start)


def _not_over(weeks: Iterable[Week], as_of: date) -> Iterator[ValidationIssue]:
    for index, week in enumerate(weeks):
        if week.end > as_of:
            text = f"the week of {week.start} is not over on {as_of} (as_of)"
            yield (index, "start"), text


def _misplaced(weeks: Iterable[Week], zone: ZoneInfo) -> Iterator[ValidationIssue]:
    for index, week in enumerate(weeks):
        for place, request in enumerate(week.pull_requests):
            if (found := week_of(request.merged_at, zone)) != week.start:
                text = f"lies in the week of {found} in {zone.key}, not of {week.start}"
                yield (index, "pull_requests", place, "merged_at"), text


def schema() -> str:
    """The JSON schema of the file, as `facts.schema.json` holds it for editors."""
    return json.dumps(Facts.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
