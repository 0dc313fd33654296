"""The price book: what AWS asks for a unit, as far as somebody has seen it.

A price that nobody has seen does not exist: what is asked for and not here is unpriced, never 0.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationError

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.files.validation import Model
from xops.core.money import Amount, Money

FILE = Path(__file__).with_name("prices.csv")
"""The prices that come with xOps."""

GLOBAL = "global"
"""The region of what costs the same everywhere."""

EDGES = {"ap-southeast-2": "australia-new-zealand"}
"""Where CloudFront serves a region's people from, as its price page groups them."""

OLD_AFTER = timedelta(days=90)
"""A row that was seen longer ago is old; so is one that says no day, or one yet to come."""

_MOST = Decimal(10) ** 9
_FINEST = -40
"""No price has more digits than these allow; arithmetic on them stays exact."""

REGION_CODES = {"ap-southeast-2": "APS2", "us-east-1": "USE1"}
"""What usage types begin with. Source: AWS billing codes."""

_OFTEN_BARE = ("us-east-1", GLOBAL)
"""Where usage types are also written without the code."""


class Confidence(IntEnum):
    """How well a price is known, the weakest first."""

    ESTIMATE = 0
    MEMORY = 1
    SEEN = 2
    SEEN_TWICE = 3
    PRICE_LIST = 4
    """Read from the Price List API."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


_BY_NAME = {str(one): one for one in Confidence}


def _confidence(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in _BY_NAME:
        raise ValueError(f"is none of {', '.join(_BY_NAME)}")
    return _BY_NAME[value]


def is_price(value: Decimal) -> bool:
    """Whether a number can be one at all."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _FINEST and 0 <= value < _MOST


def _price(value: Decimal) -> Decimal:
    if not is_price(value):
        raise ValueError(f"must lie from 0 to below {_MOST}, with {-_FINEST} places at most")
    return value


class Price(Model):
    """One row.

    Attributes:
        item: what xOps calls it.
        usage_type: AWS's name for it without the region's code; empty where it is not known.
        unit: that `usd` is asked for.
        seen_on: the newest day on which a source gave it; None where no source says one.
    """

    item: Annotated[str, Field(pattern=r"^[a-z0-9].*$")]
    service: Annotated[str, Field(min_length=1)]
    region: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*(-\d)?$")]
    usage_type: str = ""
    unit: Annotated[str, Field(min_length=1)]
    usd: Annotated[Amount, Field(ge=0), AfterValidator(_price)]
    seen_on: Annotated[date | None, BeforeValidator(lambda value: value or None)] = None
    confidence: Annotated[Confidence, BeforeValidator(_confidence), PlainSerializer(str)]
    source: Annotated[str, Field(min_length=1)]

    @property
    def money(self) -> Money:
        """What one unit costs."""
        return Money(amount=self.usd)

    def is_old(self, today: date) -> bool:
        """Whether it is to be looked up anew."""
        if self.seen_on is None or self.seen_on > today:
            return True
        return today - self.seen_on > OLD_AFTER

    def is_of(self, usage_type: str) -> bool:
        """Whether a row of a bill with that usage type is at this price.

        The whole name counts: `Fargate-GB-Hours` is a part of `Fargate-ARM-GB-Hours`.
        """
        if not self.usage_type:
            return False
        if usage_type == self.usage_type:
            return self.region in _OFTEN_BARE
        if usage_type == f"{self.region}-{self.usage_type}":  # as KMS writes it
            return True
        code, _, name = usage_type.partition("-")
        return name == self.usage_type and REGION_CODES.get(self.region, code) == code


@dataclass(frozen=True)
class PriceBook:
    """Prices by item and region."""

    rows: tuple[Price, ...]

    @classmethod
    def load(cls, file: Path | None = None) -> PriceBook:
        """Read one file, or the prices that come with xOps and those that were looked up here.

        Raises:
            InputError: everything that is wrong with it, with its lines.
        """
        if file is not None:
            return cls._read(file)
        looked_up = own_file()
        packaged = cls._read(FILE)
        if not os.path.lexists(looked_up):
            return packaged
        units = {row.item: row.unit for row in packaged.rows}
        return packaged.overlaid(cls._read(looked_up, units))

    def overlaid(self, other: PriceBook) -> PriceBook:
        """With the rows of another book: of two for one thing, the one that was seen later."""
        rows = {(row.item, row.region): row for row in self.rows}
        for row in other.rows:
            known = rows.get((row.item, row.region))
            if known is None or _day(row) >= _day(known):
                rows[row.item, row.region] = row
        return PriceBook(tuple(rows.values()))

    @classmethod
    def _read(cls, file: Path, units: Mapping[str, str] | None = None) -> PriceBook:
        attempted = f"reading the prices of {file}"
        try:
            text = read_text(file)
        except UnusableTextError as error:
            raise InputError(
                attempted, [Finding(str(file), "", error.problem, error.line)]
            ) from None
        findings: list[Finding] = []
        rows = list(_read_rows(text, str(file), findings))
        findings += _find_twins(rows, str(file))
        findings += _find_other_units(rows, units or {}, str(file))
        if findings:
            raise InputError(attempted, findings)
        return cls(tuple(row for _, row in rows))

    @cached_property
    def _by_item(self) -> dict[tuple[str, str], Price]:
        return {(row.item, row.region): row for row in self.rows}

    def find(self, item: str, region: str) -> Price | None:
        """The price there, or the one that holds everywhere; None: nobody has seen one."""
        places = (region, EDGES.get(region), GLOBAL)
        return next(
            filter(None, (self._by_item.get((item, place or "")) for place in places)), None
        )

    def find_row(self, item: str, region: str) -> Price | None:
        """The row of exactly that region."""
        return self._by_item.get((item, region))

    def old(self, today: date) -> list[Price]:
        """The rows that are to be looked up anew, the oldest first."""
        found = [row for row in self.rows if row.is_old(today)]
        return sorted(found, key=lambda row: (row.seen_on or date.min, row.item, row.region))


def own_file() -> Path:
    """Where `xops costs prices refresh` writes what it has looked up."""
    return settings.home() / "prices.csv"


def _day(row: Price) -> date:
    return row.seen_on or date.min


def to_csv(book: PriceBook) -> str:
    """The text of a file of prices, in the order of items and regions."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Price.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in sorted(book.rows, key=lambda one: (one.item, one.region)):
        writer.writerow(row.model_dump(mode="json") | {"usd": f"{row.usd:f}"})
    return out.getvalue()


def _read_rows(text: str, name: str, findings: list[Finding]) -> Iterable[tuple[int, Price]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        for row in reader:
            line = reader.line_num
            try:
                yield line, Price.model_validate(_cells(row))
            except ValidationError as error:
                findings += [
                    Finding(name, ".".join(map(str, one["loc"])), one["msg"], line)
                    for one in error.errors(include_url=False)
                ]
    except csv.Error as error:
        findings.append(Finding(name, "", str(error), reader.line_num))


def _cells(row: dict[Any, Any]) -> dict[str, Any]:
    """The row as read: a cell too many or too few is told by its absence or its strange name."""
    return {str(key): value for key, value in row.items() if value is not None}


def _find_other_units(
    rows: Iterable[tuple[int, Price]], units: Mapping[str, str], name: str
) -> list[Finding]:
    """A price a month in the place of one an hour would count 730 times."""
    return [
        Finding(name, "unit", f"{row.item} is priced by {known}, and not by {row.unit}", line)
        for line, row in rows
        if (known := units.get(row.item, row.unit)) != row.unit
    ]


def _find_twins(rows: Iterable[tuple[int, Price]], name: str) -> list[Finding]:
    seen: dict[tuple[str, str], int] = {}
    twins = []
    for line, row in rows:
        key = (row.item, row.region)
        if key in seen:
            message = f"{row.item} of {row.region} has a price already, on line {seen[key]}"
            twins.append(Finding(name, "item", message, line))
        seen.setdefault(key, line)
    return twins
