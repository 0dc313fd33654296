"""Where costs come from and how they are told apart: `deployments/costs.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from xops.aws.target import Target
from xops.core.files import settings
from xops.core.files.validation import Day, Model, TimeZone, raise_if_any, repeated
from xops.core.money import Amount

FILE = settings.ROOT / "deployments" / "costs.yaml"
PREFIX = "XOPS_COSTS_"
"""Of variables that overlay the file: XOPS_COSTS_TIMEZONE=UTC."""

COST_EXPLORER = "cost-explorer"
"""The name under which Cost Explorer's answers are kept."""

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\x00-\x1f\\]*)?")

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""A name that is also one of a folder."""

TagKey = Annotated[str, Field(min_length=1, max_length=128)]
"""Source: AWS's "Tag naming limits and requirements"."""


def _check_location(text: str) -> str:
    if not text or text.isspace() or "\0" in text:
        raise ValueError("is no path of a folder")
    if "://" in text and not _BUCKET.fullmatch(text):
        raise ValueError("is neither a folder nor s3://BUCKET/PREFIX")
    return text


Location = Annotated[str, AfterValidator(_check_location)]
"""A folder, from the project's if it is not absolute, or `s3://BUCKET/PREFIX`."""


class Tags(Model):
    """The keys of the tags by which charges are told apart."""

    environment: TagKey = "environment"
    service: TagKey = "service"
    owner: TagKey = "owner"


class Export(Model):
    """An export of a provider's, as it is delivered.

    Attributes:
        name: under which its charges are kept; another name would be another export.
    """

    name: Name
    location: Location
    format: Literal["focus"] = "focus"


class CostExplorerUse(Model):
    """What asking Cost Explorer may cost."""

    most_usd_a_run: Annotated[Amount, Field(ge=0, le=10)] = Decimal("0.10")


class Exchange(Model):
    """What a US dollar is worth, as somebody has seen it."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    rate: Annotated[Amount, Field(gt=0, description="Of that currency for 1 USD.")]
    seen_on: Day
    source: Annotated[str, Field(min_length=1)]


class LabourHours(Model):
    """Hours a month that people spend on each way to run the platform."""

    ecs: Annotated[Amount, Field(ge=0)]
    k3s: Annotated[Amount, Field(ge=0)]


class Labour(Model):
    """What people cost."""

    hours_a_month: LabourHours
    usd_an_hour: Annotated[Amount, Field(ge=0)]


class CostConfiguration(Model):
    """The file. What it does not set is not known: no rate and no hours are made up.

    Attributes:
        timezone: in which days and weeks of reports begin.
        target, region: where buckets and Cost Explorer are.
        currencies: whether one store may hold several, which are then never added up.
        accounts: the environment that an account is of, for charges without a tag.
        gst_percent: Australia's goods and services tax, for amounts that include it.
    """

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    timezone: TimeZone = "Australia/Sydney"
    target: Target = Target.AWS
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "ap-southeast-2"
    tags: Tags = Tags()
    exports: tuple[Export, ...] = ()
    currencies: Literal["one", "apart"] = "one"
    cost_explorer: CostExplorerUse = CostExplorerUse()
    accounts: dict[Annotated[str, Field(pattern=r"^\d{12}$")], Name] = {}
    exchange: Exchange | None = None
    gst_percent: Annotated[Amount, Field(ge=0, le=100)] = Decimal(10)
    labour: Labour | None = None

    @model_validator(mode="after")
    def _check_exports(self) -> Self:
        names = [export.name for export in self.exports]
        raise_if_any(
            (("exports", index, "name"), f"{names[index]!r} is given twice")
            for index in repeated(names)
        )
        raise_if_any(
            (("exports", index, "name"), f"{name!r} is kept for Cost Explorer's answers")
            for index, name in enumerate(names)
            if name == COST_EXPLORER
        )
        return self

    @classmethod
    def load(cls, file: Path = FILE, environ: Mapping[str, str] | None = None) -> Self:
        """Read the file; variables that begin with `XOPS_COSTS_` come before it.

        Raises:
            InputError: everything that is wrong with it.
        """
        given = os.environ if environ is None else environ
        return settings.load(cls, file, prefix=PREFIX, environ=given, arguments={})
