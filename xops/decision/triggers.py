"""A record's triggers: by what count or mandate Stream 2 is switched on, and for what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from xops.core.files.validation import Model, absent


class _Trigger(Model):
    fact: Annotated[str, Field(min_length=1, description="What is counted or declared.")]
    action: Annotated[str, Field(min_length=1, description="What it calls for, in words.")]
    components: Annotated[
        tuple[str, ...], Field(min_length=1, description="The same, as components of the policy.")
    ]
    runs_on: Annotated[tuple[str, ...], Field(description="Components on which those run.")] = ()
    classification: Literal["Service Addition", "Module Addition", "Architecture Change"]


_COUNTED_OR_DECLARED = "a trigger is counted (above) or declared (mandate), one of the two"


class CountedTrigger(_Trigger):
    """Switches Stream 2 on by a count strictly above a number."""

    metric: Annotated[str, Field(min_length=1, description="The policy's name of the count.")]
    above: Annotated[int, Field(ge=0)]
    fires_from: int
    of: Annotated[int, Field(ge=1)] = 1
    weeks: Annotated[
        int, Field(ge=1, description="Of the last `of` weeks; without another word 1 of 1.")
    ] = 1
    mandate: Annotated[None, absent(_COUNTED_OR_DECLARED)] = None

    @field_validator("fires_from")
    @classmethod
    def _strictly(cls, value: int, info: ValidationInfo) -> int:
        if (above := info.data.get("above")) is not None and value != above + 1:
            raise ValueError(f"must be {above + 1}: the least count that lies above {above}")
        return value

    @field_validator("weeks")
    @classmethod
    def _can_be_met(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("of", value):
            raise ValueError(f"{value} of {info.data['of']} weeks can never be met")
        return value

    @property
    def condition(self) -> str:
        """When it fires, in words."""
        return f"more than {self.above} {self.fact}"


class DeclaredTrigger(_Trigger):
    """Switches Stream 2 on by a declared mandate."""

    above: None = None
    fires_from: int | None = None
    mandate: Annotated[str, Field(min_length=1, description="The policy's name of its kind.")]

    @property
    def condition(self) -> str:
        """When it fires, in words."""
        return self.fact


def _kind_of_trigger(value: Any) -> str | None:
    kinds = {"above": "counted", "mandate": "by declaration"}
    return next((kind for key, kind in kinds.items() if key in given_keys(value)), None)


Trigger = Annotated[
    Annotated[CountedTrigger, Tag("counted")] | Annotated[DeclaredTrigger, Tag("by declaration")],
    Discriminator(
        _kind_of_trigger,
        custom_error_type="kind_of_trigger",
        custom_error_message=_COUNTED_OR_DECLARED,
    ),
]
"""What switches Stream 2 on."""


def given_keys(value: Any) -> set[str]:
    """The keys of a mapping or a model that are not null."""
    values = value if isinstance(value, dict) else vars(value) if isinstance(value, Model) else {}
    return {key for key, given in values.items() if given is not None}
