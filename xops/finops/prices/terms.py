"""On which terms prices are taken: tax on top, and a discount for what is committed to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from xops.finops.prices.book import Confidence, Price, PriceBook

_ON_DEMAND = ("fargate arm64 ", "fargate x86_64 ", "ec2 ")
_NOT_COMMITTED = "ec2 spot "
# What a Compute Savings Plan holds for. Source: Savings Plans user guide, "Plan types".

_DATED = "compute sp 1yr no upfront "
_NONE = Decimal(0)


@dataclass(frozen=True)
class Terms:
    """What is added to prices as they are listed, and what is taken off.

    Attributes:
        gst_percent: goods and services tax; 10 in Australia.
        savings_plan_percent: what a Compute Savings Plan is taken to give off Fargate and EC2 on
            demand where the book has no dated row of one; None: nothing is committed to.
    """

    gst_percent: Decimal = _NONE
    savings_plan_percent: Decimal | None = None

    def said(self) -> tuple[str, ...]:
        """For people: every total rests on this."""
        tax = f"prices with {self.gst_percent} % GST" if self.gst_percent else "prices without tax"
        if self.savings_plan_percent is None:
            return (f"{tax} and without discounts",)
        return (
            tax,
            "all of Fargate and EC2 on demand within a Compute Savings Plan: its dated price (one"
            f" year, nothing upfront) where the book has one, else {self.savings_plan_percent} %"
            " off, an estimate",
        )

    def apply(self, book: PriceBook) -> PriceBook:
        """The book on these terms."""
        rows = {(row.item, row.region): row for row in book.rows}
        return PriceBook(tuple(self._taxed(self._committed(row, rows)) for row in book.rows))

    def _committed(self, row: Price, rows: dict[tuple[str, str], Price]) -> Price:
        if self.savings_plan_percent is None or not _is_covered(row.item):
            return row
        service, _, what = row.item.partition(" ")
        if dated := rows.get((f"{service} {_DATED}{what}", row.region)):
            return dated.model_copy(update={"item": row.item, "usage_type": row.usage_type})
        said = f"{row.source}; {self.savings_plan_percent} % off, an estimate"
        left = 1 - self.savings_plan_percent / 100
        estimated = {"usd": row.usd * left, "confidence": Confidence.ESTIMATE, "source": said}
        return row.model_copy(update=estimated)

    def _taxed(self, row: Price) -> Price:
        if not self.gst_percent:
            return row
        return row.model_copy(update={"usd": row.usd * (1 + self.gst_percent / 100)})


def _is_covered(item: str) -> bool:
    return item.startswith(_ON_DEMAND) and not item.startswith(_NOT_COMMITTED)
