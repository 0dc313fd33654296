"""Looking prices up anew: what was asked, what came, and what becomes of the book.

Nothing is guessed: a question with two answers, one with none and one whose answer is far from
what was known leave the row as it was, and each is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from xops.core.errors import CredentialsError, XopsError
from xops.core.files.reading import UnusableTextError
from xops.finops.prices import spot_feed
from xops.finops.prices.book import Confidence, Price, PriceBook, is_price
from xops.finops.prices.price_list import Listed
from xops.finops.prices.products import Question

_FAR = 4
"""A price so many times another one is rather another unit: a person looks first."""


class Outcome(StrEnum):
    """What came of a question."""

    NEW = "new"
    CHANGED = "changed"
    CONFIRMED = "confirmed"
    GONE = "gone"
    """There was a price, and the list has none any more: it is kept."""
    ABSENT = "absent"
    """There was none, and the list has none either."""
    AMBIGUOUS = "ambiguous"
    FAR_OFF = "far off"
    NOT_READ = "not read"


WRITTEN = (Outcome.NEW, Outcome.CHANGED, Outcome.CONFIRMED)
TO_LOOK_AT = (Outcome.GONE, Outcome.AMBIGUOUS, Outcome.FAR_OFF)


@dataclass(frozen=True)
class LookedUp:
    """One question with its answer.

    Attributes:
        before: the book's row until now.
        after: the row that was read; None where none was.
        said: why there is none, or why it is not taken.
    """

    item: str
    region: str
    outcome: Outcome
    before: Price | None
    after: Price | None = None
    said: str = ""

    def to_json(self) -> dict[str, Any]:
        """For machines; amounts are exact."""
        return {
            "item": self.item,
            "region": self.region,
            "outcome": self.outcome,
            "before": f"{self.before.usd:f}" if self.before else None,
            "after": f"{self.after.usd:f}" if self.after else None,
            "said": self.said,
        }


def look_up(
    questions: Sequence[Question],
    ask: Callable[[Question], list[Listed]],
    book: PriceBook,
    today: date,
    *,
    partial: bool = False,
) -> Iterator[LookedUp]:
    """Ask one question after the other.

    Args:
        partial: whether a question that fails is told and left out.

    Raises:
        CredentialsError: no question is allowed.
        XopsError: one has failed, and `partial` is False.
    """
    for question in questions:
        before = book.find_row(*question.key)
        try:
            listed = ask(question)
        except CredentialsError:
            raise  # the next question would be refused as well
        except XopsError as error:
            if not partial:
                raise
            yield LookedUp(
                *question.key, Outcome.NOT_READ, before, said=f"{error.attempted}: {error.found}"
            )
        else:
            yield _answered(question, listed, before, today)


def look_up_spot(body: bytes, region: str, book: PriceBook, today: date) -> Iterator[LookedUp]:
    """The rows of Fargate Spot, from its feed.

    Raises:
        UnusableTextError: it is no such feed.
    """
    found = spot_feed.prices(body, region)
    for item in spot_feed.ITEMS.values():
        before = book.find_row(item, region)
        prices = found.get(item, [])
        if len(prices) != 1:
            yield _without_one(item, region, before, len(prices))
            continue
        usage_type = before.usage_type if before else ""
        yield _judged(
            before,
            Price(
                item=item,
                service="Fargate",
                region=region,
                usage_type=usage_type,
                unit="vCPU-hour" if item.endswith("vCPU") else "GB-hour",
                usd=prices[0],
                seen_on=today,
                confidence=Confidence.SEEN,
                source=f"the public feed of Fargate Spot prices, read {today}",
            ),
        )


def _answered(
    question: Question, listed: list[Listed], before: Price | None, today: date
) -> LookedUp:
    if len(listed) != 1:
        return _without_one(*question.key, before, len(listed))
    (found,) = listed
    usd = _plain(found.usd * question.per)
    if not is_price(usd):
        said = f"{found.usd} by {found.unit} is no price by {question.unit}"
        return LookedUp(*question.key, Outcome.FAR_OFF, before, said=said)
    source = (
        f"AWS Price List Query API, {question.service_code}, {found.usage_type}, SKU {found.sku},"
        f" {found.unit}, effective {found.effective}"
    )
    return _judged(
        before,
        Price(
            item=question.item,
            service=question.service,
            region=question.region,
            usage_type=question.usage_type,
            unit=question.unit,
            usd=usd,
            seen_on=today,
            confidence=Confidence.PRICE_LIST,
            source=source,
        ),
    )


def _plain(value: Decimal) -> Decimal:
    """Without the zeros at its end, which AWS writes to ten places."""
    return Decimal(f"{value.normalize():f}")


def _without_one(item: str, region: str, before: Price | None, count: int) -> LookedUp:
    if count:
        said = f"{count} products answer it"
        return LookedUp(item, region, Outcome.AMBIGUOUS, before, said=said)
    if before is None:
        return LookedUp(item, region, Outcome.ABSENT, None, said="no product answers it")
    said = "no product answers it any more; the price is kept"
    return LookedUp(item, region, Outcome.GONE, before, said=said)


def _judged(before: Price | None, after: Price) -> LookedUp:
    key = (after.item, after.region)
    if not after.usd:
        return LookedUp(*key, Outcome.FAR_OFF, before, after, "0: look whether nothing is asked")
    if before is None:
        return LookedUp(*key, Outcome.NEW, None, after)
    if before.usd == after.usd:
        return LookedUp(*key, Outcome.CONFIRMED, before, after)
    if not before.usd / _FAR <= after.usd <= before.usd * _FAR:
        said = f"over {_FAR} times another price: look whether the unit is {after.unit}"
        return LookedUp(*key, Outcome.FAR_OFF, before, after, said)
    return LookedUp(*key, Outcome.CHANGED, before, after)


def read_rows(found: Sequence[LookedUp]) -> PriceBook:
    """The rows that may be written."""
    rows = (one.after for one in found if one.outcome in WRITTEN)
    return PriceBook(tuple(row for row in rows if row is not None))


def read_spot(address: str, region: str, book: PriceBook, today: date) -> list[LookedUp]:
    """Fargate Spot's rows; where the feed does not come or is none, that is said of each."""
    try:
        return list(look_up_spot(spot_feed.fetch(address), region, book, today))
    except XopsError as error:
        said = error.found
    except UnusableTextError as error:
        said = error.problem
    return [
        LookedUp(item, region, Outcome.NOT_READ, book.find_row(item, region), said=said)
        for item in spot_feed.ITEMS.values()
    ]
