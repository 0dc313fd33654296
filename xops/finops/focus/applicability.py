"""What a dataset supports, and what its provider is known to lack."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xops.core.files import settings
from xops.core.files.validation import Model
from xops.finops.focus.requirement import Criterion

_HERE = Path(__file__).parent
DEFAULT_PROFILE = "aws"


class Profile(Model):
    """A kind of dataset.

    Attributes:
        without: what it does not support.
    """

    summary: str
    without: frozenset[Criterion]


class _Profiles(Model):
    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    profiles: dict[str, Profile]


class Waiver(Model):
    """A rule that a provider's exports break as the provider says itself.

    Attributes:
        provider: as ProviderName has it; rows of others are not waived.
    """

    provider: str
    rule: str
    reason: str
    source: str
    seen_on: date


class _Waivers(Model):
    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    sources: dict[str, str]
    waivers: tuple[Waiver, ...]

    @model_validator(mode="after")
    def _sources_are_named(self) -> Self:
        missing = {one.source for one in self.waivers} - self.sources.keys()
        if missing:
            raise ValueError(f"no source is named {', '.join(sorted(missing))}")
        return self


@cache
def profiles() -> dict[str, Profile]:
    """By name."""
    return _load(_Profiles, "profiles.yaml").profiles


@cache
def waivers() -> dict[str, tuple[Waiver, ...]]:
    """By rule, each with the whole text of its source."""
    read = _load(_Waivers, "waivers.yaml")
    found: dict[str, tuple[Waiver, ...]] = {}
    for one in read.waivers:
        whole = one.model_copy(update={"source": read.sources[one.source]})
        found[one.rule] = (*found.get(one.rule, ()), whole)
    return found


def _load[M: Model](model: type[M], name: str) -> M:
    return settings.load(model, _HERE / name, prefix="", environ={}, arguments={})
