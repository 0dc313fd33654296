"""What fires when: `deployments/triggers.yaml`, the thresholds of ADR-005 as data.

The model is the file's schema: `deployments/triggers.schema.json` is generated from it. Paths in
the file are relative to its folder. No secret stands in it, only where it is read from.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from string import ascii_letters, digits, hexdigits
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from xops.core.files import settings
from xops.core.files.canonical_json import digest_of
from xops.core.files.validation import (
    Day,
    LocalPath,
    Model,
    TimeZone,
    absent,
    raise_if_any,
    repeated,
)
from xops.core.money import Amount
from xops.github.credential import Credential, TokenCredential
from xops.triggers.patterns import wrong_kinds, wrong_patterns

FILE = settings.ROOT / "deployments" / "triggers.yaml"
VARIABLE_PREFIX = "XOPS_TRIGGERS__"

_RULES = {"api_version", "timezone", "components", "triggers"}

Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,40}$")]
# A login of Enterprise Managed Users ends in _SHORTCODE.
Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+$")]


def _check_owner(address: str) -> str:
    name, _, host = address.partition("@")
    plain = address.isprintable() and not any(mark in address for mark in " <>,")
    if not name or not host or "@" in host or not plain:
        raise ValueError("is no e-mail address; write it without a name or angle brackets")
    if host.lower() == "users.noreply.github.com" and not name.partition("+")[0].isdecimal():
        # A login is free again once its owner changes it.
        raise ValueError(
            "may become somebody else's: write the form ID+login@users.noreply.github.com"
        )
    return address


def _check_fingerprint(text: str) -> str:
    kind, _, digest = text.partition(":")
    if kind == "SHA256" and len(digest) == 43 and set(digest) <= {*ascii_letters, *digits, *"+/"}:
        return text
    plain = text.replace(" ", "").upper()
    if len(plain) not in (40, 64) or not set(plain) <= set(hexdigits):
        raise ValueError("is no fingerprint: 40 hexadecimal digits, or SHA256: and 43 characters")
    return plain


Owner = Annotated[str, AfterValidator(_check_owner)]
Fingerprint = Annotated[str, AfterValidator(_check_fingerprint)]


class Metric(StrEnum):
    """What is counted, week by week."""

    IAC_PRS = "iac_prs"
    TEAM_SIZE = "team_size"


class Measure(StrEnum):
    """Which of the counts of engineers decides."""

    DAYS28 = "days28"
    DAYS90 = "days90"
    ROSTER = "roster"
    MEMBERS = "members"


class Classification(StrEnum):
    """What kind of change an activation is, which sets what it needs."""

    SERVICE_ADDITION = "Service Addition"
    MODULE_ADDITION = "Module Addition"
    ARCHITECTURE_CHANGE = "Architecture Change"

    @property
    def needs(self) -> tuple[str, ...]:
        """What an activation needs before it may begin. ADR-005 names the classes only."""
        approval = "one approval"
        return {
            Classification.SERVICE_ADDITION: (approval,),
            Classification.MODULE_ADDITION: (approval, "a cost review"),
            Classification.ARCHITECTURE_CHANGE: (approval, "a new ADR number"),
        }[self]


class Enter(Model):
    """Becomes active after `weeks` of the last `of` weeks above the threshold, strictly."""

    above: Annotated[int, Field(ge=0, description="5 means 6 or more.")]
    of: Annotated[int, Field(ge=1, le=26)] = 1
    weeks: Annotated[int, Field(ge=1, le=26)] = 1

    @field_validator("weeks")
    @classmethod
    def _can_be_met(cls, value: int, info: ValidationInfo) -> int:
        return _at_most_of(value, info)


class Leave(Model):
    """Ends after `weeks` of the last `of` weeks at or below the threshold."""

    at_or_below: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1, le=26)] = 4
    weeks: Annotated[int, Field(ge=1, le=26)] = 4

    @field_validator("weeks")
    @classmethod
    def _can_be_met(cls, value: int, info: ValidationInfo) -> int:
        return _at_most_of(value, info)


def _at_most_of(weeks: int, info: ValidationInfo) -> int:
    of = info.data.get("of")
    if of and weeks > of:
        raise ValueError(f"{weeks} of {of} weeks can never be met")
    return weeks


class Action(Model):
    """What is proposed when the trigger becomes active. Nothing is activated by itself."""

    summary: Annotated[str, Field(min_length=1)]
    components: Annotated[
        tuple[Name, ...], Field(min_length=1, description="Each is in `components` below.")
    ]


def _needed(value: object) -> object:
    if value is None:
        raise ValueError("a metric needs it")
    return value


class _Rule(Model):
    """What all triggers have."""

    dwell_weeks: Annotated[
        int,
        Field(ge=0, le=52, description="A metric stays active for at least so many weeks."),
    ] = 4
    warn_days: Annotated[
        int,
        Field(ge=0, le=365, description="A mandate is reported so many days before it expires."),
    ] = 30
    action: Action
    classification: Classification
    owner: Annotated[str, Field(min_length=1, description="Who answers for the threshold.")]
    review_by: Annotated[Day, Field(description="After this day the report asks for a review.")]


class _MetricRule(_Rule):
    """What triggers on a weekly count have."""

    metric: Metric
    mandate: Annotated[None, absent("name a metric or a mandate, one of the two")] = None
    enter: Annotated[Enter, BeforeValidator(_needed)]
    leave: Annotated[Leave, BeforeValidator(_needed)]
    beside: Annotated[
        Enter | None,
        Field(
            # Rules without it keep the digest by which earlier releases recorded them.
            exclude_if=lambda value: value is None,
            description="Another reading of the threshold: reports show what it would say beside"
            " the one that decides.",
        ),
    ] = None

    @field_validator("leave")
    @classmethod
    def _hysteresis(cls, value: Leave, info: ValidationInfo) -> Leave:
        enter = info.data.get("enter")
        if enter and value.at_or_below > enter.above:
            text = f"is above enter.above {enter.above}: a week could call for both"
            raise_if_any([(("at_or_below",), text)])
        return value


class PullRequestTrigger(_MetricRule):
    """A trigger on merged pull requests that change infrastructure code."""

    metric: Literal[Metric.IAC_PRS]
    measure: Annotated[None, absent("is for the metric team_size only")] = None


class TeamSizeTrigger(_MetricRule):
    """A trigger on the number of engineers."""

    metric: Literal[Metric.TEAM_SIZE]
    measure: Annotated[
        Measure,
        BeforeValidator(lambda value: Measure.DAYS28 if value is None else value),
        Field(description="Which count decides."),
    ] = Measure.DAYS28


MetricTrigger = PullRequestTrigger | TeamSizeTrigger
"""A trigger on what is counted week by week."""


_NO_THRESHOLD = "a mandate has no threshold: leave it out"


class MandateTrigger(_Rule):
    """A trigger on a declared mandate: active while one is in force."""

    metric: None = None
    mandate: Literal["second_cloud", "edge"]
    measure: Annotated[None, absent("is for the metric team_size only")] = None
    enter: Annotated[None, absent(_NO_THRESHOLD)] = None
    leave: Annotated[None, absent(_NO_THRESHOLD)] = None
    beside: Annotated[
        None, Field(exclude_if=lambda value: value is None), absent(_NO_THRESHOLD)
    ] = None


_METRIC_TAGS: dict[str, str] = {Metric.IAC_PRS: "of pull requests", Metric.TEAM_SIZE: "of a team"}


def _kind_of_trigger(value: Any) -> str | None:
    """Which of the three it is, by the key that is given; None is none of them."""
    given = value if isinstance(value, dict) else vars(value) if isinstance(value, _Rule) else {}
    metric = given.get("metric")
    if metric is not None:
        return _METRIC_TAGS.get(metric) if isinstance(metric, str) else None
    return None if given.get("mandate") is None else "of a mandate"


Trigger = Annotated[
    Annotated[PullRequestTrigger, Tag("of pull requests")]
    | Annotated[TeamSizeTrigger, Tag("of a team")]
    | Annotated[MandateTrigger, Tag("of a mandate")],
    Discriminator(
        _kind_of_trigger,
        custom_error_type="kind_of_trigger",
        custom_error_message="name a metric (iac_prs, team_size) or a mandate, one of the two",
    ),
]


class Price(Model):
    """What a component costs a month, and who says so."""

    lowest: Annotated[Amount, Field(ge=0, description="As a quoted decimal.")]
    highest: Annotated[Amount, Field(ge=0, description="As a quoted decimal.")]
    currency: Literal["USD"] = "USD"
    source: Annotated[str, Field(min_length=1)]
    dated: Day

    @field_validator("highest")
    @classmethod
    def _is_a_range(cls, value: Amount, info: ValidationInfo) -> Amount:
        lowest = info.data.get("lowest")
        if lowest is not None and value < lowest:
            raise ValueError(f"is below lowest, {lowest}")
        return value


class Component(Model):
    """Something that an activation adds to the platform."""

    title: Annotated[str, Field(min_length=1)]
    requires: Annotated[tuple[Name, ...], Field(description="Components it runs on.")] = ()
    monthly: Annotated[
        Price | None, Field(description="Without one it is unpriced and the total incomplete.")
    ] = None


class Selection(Model):
    """Repositories that are named together; one that is made later belongs to them."""

    organisation: Annotated[Login, Field(description="An organisation or a person on GitHub.")]
    team: Annotated[
        str | None, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Slug: those of the team.")
    ] = None
    topic: Annotated[
        str | None, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Those with the topic.")
    ] = None
    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._*?-]+$", description="Pattern of names: `infra-*`.")
    ] = "*"
    archived: Annotated[bool, Field(description="Archived ones as well.")] = False
    forks: Annotated[bool, Field(description="Forks as well.")] = False


def _refuse_twice(names: tuple[str, ...]) -> None:
    """Refuse a name that stands twice, however it is written."""
    again = repeated([name.lower() for name in names])
    raise_if_any(((index,), f"{names[index]} is named twice") for index in again)


class GitHub(Model):
    """What is read from GitHub."""

    repositories: Annotated[
        tuple[Repository, ...], Field(description="One by one, as owner/name.")
    ] = ()
    select: Annotated[
        tuple[Selection, ...],
        Field(
            validate_default=True,
            description="By organisation, team, topic or pattern, besides those above.",
        ),
    ] = ()
    api_url: Annotated[
        str, Field(pattern="^https?://", description="GitHub Enterprise: https://HOST/api/v3.")
    ] = "https://api.github.com"
    credential: Credential = TokenCredential(variable="XOPS_GITHUB_TOKEN")
    branches: Annotated[
        tuple[str, ...], Field(description="Merged into these; none: the default branch only.")
    ] = ()
    bots: Annotated[
        tuple[str, ...],
        Field(
            description="Logins and addresses of machines besides those that GitHub calls so;"
            " `*` and `?` match as in a shell."
        ),
    ] = ()
    weeks: Annotated[int, Field(ge=1, le=520, description="How far an evaluation looks back.")] = 26
    kinds: Annotated[
        dict[Name, tuple[str, ...]],
        Field(
            description="Path patterns by kind that replace the ones xOps brings; after `!` what"
            " is not of the kind."
        ),
    ] = {}
    exclude: Annotated[
        tuple[str, ...],
        Field(
            description="Path patterns of what is no infrastructure code, whatever its kind; after"
            " `!` what is all the same."
        ),
    ] = ()

    @field_validator("kinds")
    @classmethod
    def _usable_kinds(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        raise_if_any(wrong_kinds(value))
        return value

    @field_validator("exclude")
    @classmethod
    def _usable_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        raise_if_any(wrong_patterns(value))
        return value

    @field_validator("repositories")
    @classmethod
    def _named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _refuse_twice(value)
        return value

    @field_validator("select")
    @classmethod
    def _names_something(
        cls, value: tuple[Selection, ...], info: ValidationInfo
    ) -> tuple[Selection, ...]:
        if not value and info.data.get("repositories") == ():
            raise ValueError("names nothing, and neither does `repositories`")
        return value


class People(Model):
    """Who is one person, and who is declared to belong to the team."""

    aliases: Annotated[
        LocalPath | None, Field(description="File with identities of one person each.")
    ] = None
    mailmap: Annotated[bool, Field(description="Use the .mailmap of each repository as well.")] = (
        True
    )
    roster: Annotated[
        tuple[str, ...] | None, Field(description="The declared team, by name; empty is nobody.")
    ] = None
    members_of: Annotated[
        tuple[
            Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/[a-z0-9][a-z0-9._-]*)?$")],
            ...,
        ],
        Field(
            description="Organisations, or teams as organisation/slug, whose members are counted"
            " as the measure `members`, each person once."
        ),
    ] = ()
    outsiders: Annotated[
        bool,
        Field(
            description="Whether those count who neither own, nor are members or collaborators of"
            " the repositories they contribute to. If not, name their organisation in `members_of`:"
            " GitHub may conceal who is a member."
        ),
    ] = True

    @field_validator("members_of")
    @classmethod
    def _named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _refuse_twice(value)
        return value


class Mandates(Model):
    """Which declarations count."""

    folder: LocalPath = Path("mandates")
    owners: Annotated[
        tuple[Owner, ...],
        Field(description="E-mail addresses whose commits may declare; none: no mandate counts."),
    ] = ()
    signed: Annotated[bool, Field(description="The commit's signature must verify.")] = False
    signing_keys: Annotated[
        tuple[Fingerprint, ...],
        Field(description="Only these keys of owners count, by fingerprint; none: any of theirs."),
    ] = ()
    github_keys: Annotated[
        tuple[Fingerprint, ...],
        Field(
            description="Keys by which GitHub signs what it commits for an account, by fingerprint:"
            " a squash merge counts if its author is an owner. None: it does not."
        ),
    ] = ()

    @field_validator("signing_keys", "github_keys")
    @classmethod
    def _goes_with_signed(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and not info.data.get("signed", True):
            raise ValueError("goes with signed: true")
        return value


class Proposal(Model):
    """Where an activation is proposed: a GitHub issue, made once and updated after."""

    repository: Repository
    labels: tuple[str, ...] = ("xops-trigger",)


class Policy(Model):
    """All triggers, and where their facts come from."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    name: Annotated[
        Name, Field(description="Tells it apart from other policies that share its history.")
    ] = "platform"
    timezone: Annotated[
        TimeZone, Field(description="IANA name: weeks start on Monday 00:00 there.")
    ] = "Australia/Sydney"
    components: Annotated[dict[Name, Component], Field(description="What actions refer to.")]
    triggers: Annotated[dict[Name, Trigger], Field(min_length=1)]
    github: Annotated[
        GitHub | None, Field(description="Without it only facts files can be evaluated.")
    ] = None
    people: People = People()
    mandates: Mandates = Mandates()
    proposal: Annotated[Proposal | None, Field(description="Without it no issue is written.")] = (
        None
    )

    @field_validator("components")
    @classmethod
    def _what_is_required(cls, value: dict[str, Component]) -> dict[str, Component]:
        raise_if_any(
            ((name, "requires", index), f"there is no component {needed}")
            for name, component in value.items()
            for index, needed in enumerate(component.requires)
            if needed not in value
        )
        return value

    @field_validator("triggers")
    @classmethod
    def _known_components(
        cls, value: dict[str, Trigger], info: ValidationInfo
    ) -> dict[str, Trigger]:
        if "components" in info.data:
            raise_if_any(
                ((name, "action", "components", index), f"there is no component {component}")
                for name, trigger in value.items()
                for index, component in enumerate(trigger.action.components)
                if component not in info.data["components"]
            )
        return value

    def rules(self) -> dict[str, Any]:
        """What a verdict depends on besides facts, as JSON: zone, triggers, components.

        Where facts come from is not among it: the same facts give the same verdict on any machine.
        """
        return self.model_dump(mode="json", by_alias=True, include=_RULES)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form of the rules."""
        return digest_of(self.rules())

    def looking_back(self, weeks: int) -> Self:
        """The same policy, reading that many weeks from GitHub."""
        github = self.github and self.github.model_copy(update={"weeks": weeks})
        return self.model_copy(update={"github": github})

    def all_components(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those components and everything they run on, what is needed first."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = [(name, False) for name in reversed(names)]
        while waiting:
            name, has_all = waiting.pop()
            if has_all:
                found[name] = None
            elif name not in seen:  # two that need each other come together
                seen.add(name)
                needed = reversed(self.components[name].requires)
                waiting += [(name, True), *((inner, False) for inner in needed)]
        return tuple(found)

    @classmethod
    def load(
        cls, file: Path = FILE, *, environ: Mapping[str, str] | None = None, **arguments: Any
    ) -> Self:
        """Read the file, overlaid by XOPS_TRIGGERS__* and by `arguments`.

        Paths in it are made absolute: `~` is the person's, the rest is below the file's folder.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        policy = settings.load(
            cls,
            file,
            prefix=VARIABLE_PREFIX,
            environ=os.environ if environ is None else environ,
            arguments=arguments,
        )
        return policy._placed(file.resolve().parent)

    def _placed(self, folder: Path) -> Self:
        people = self.people.model_copy(update={"aliases": _below(folder, self.people.aliases)})
        mandates = self.mandates.model_copy(update={"folder": _below(folder, self.mandates.folder)})
        return self.model_copy(
            update={"people": people, "mandates": mandates, "github": self._github_below(folder)}
        )

    def _github_below(self, folder: Path) -> GitHub | None:
        if self.github is None:
            return None
        credential = self.github.credential
        placed = credential.model_copy(update={"file": _below(folder, credential.file)})
        return self.github.model_copy(update={"credential": placed})


def _below(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path.expanduser()


def schema() -> str:
    """The JSON schema of the file, as `triggers.schema.json` holds it for editors."""
    return json.dumps(Policy.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
