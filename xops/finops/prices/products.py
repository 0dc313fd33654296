"""How AWS's Price List knows what the price book holds. Pure, but for its own table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from xops.finops.prices.book import EDGES, GLOBAL, REGION_CODES

FILE = Path(__file__).with_name("products.csv")

_EDGE_CODES = {"australia-new-zealand": "AU"}
_BARE = "us-east-1"


@dataclass(frozen=True)
class Question:
    """One price to look up.

    Attributes:
        region: that the price book files it under.
        asked_in: whose products are looked through; None for what has no region.
        usage_type: as the price book writes it, without a code for the region.
        usage_types: how AWS may write it: the first that has a product counts.
        where: other attributes that the product has.
        per: how many of AWS's units are one of ours.
    """

    item: str
    service: str
    region: str
    unit: str
    service_code: str
    asked_in: str | None
    usage_type: str
    usage_types: tuple[str, ...]
    where: Mapping[str, str]
    per: Decimal

    @property
    def key(self) -> tuple[str, str]:
        """As rows of the price book are told apart."""
        return self.item, self.region


def regions() -> list[str]:
    """Where prices can be asked for: the code of their usage types is known."""
    return sorted(REGION_CODES)


def questions(region: str) -> list[Question]:
    """Everything that can be asked for one region, with what has none."""
    return [found for row in _rows() if (found := _question(row, region)) is not None]


@cache
def _rows() -> tuple[dict[str, str], ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _question(row: Mapping[str, str], region: str) -> Question | None:
    written = row["usage_type"]
    edge = EDGES.get(region)
    filed: str | None = region
    if "{edge}" in written:
        filed = edge
    elif "{" not in written:
        filed = GLOBAL
    if filed is None:
        return None
    return Question(
        item=row["item"],
        service=row["service"],
        region=filed,
        unit=row["unit"],
        service_code=row["service_code"],
        asked_in=region if filed == region else None,
        usage_type="" if edge and filed == edge else written.rpartition("}-")[2],
        usage_types=tuple(_spellings(written, region, _EDGE_CODES.get(filed, ""))),
        where=dict(pair.split("=", 1) for pair in row["where"].split(";") if pair),
        per=Decimal(row["per"]),
    )


def _spellings(written: str, region: str, edge: str) -> Iterator[str]:
    yield written.format(code=REGION_CODES[region], region=region, edge=edge)
    if region == _BARE and written.startswith("{code}-"):
        yield written.removeprefix("{code}-")
