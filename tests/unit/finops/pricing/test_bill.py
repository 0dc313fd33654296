"""Bills: sums are exact, and what has no price is never a zero."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from xops.core.money import Money
from xops.finops.prices.book import Confidence, Price, PriceBook
from xops.finops.pricing.bill import Bill, Usage

BOOK = PriceBook(
    tuple(
        Price.model_validate(
            {
                "item": item, "service": "S", "region": "eu-west-1", "unit": "hour", "usd": usd,
                "seen_on": seen, "confidence": known, "source": "a test",
            }
        )
        for item, usd, seen, known in (
            ("a", "0.1", "2026-11-01", "price list"),
            ("b", "0.25", "2026-01-01", "seen"),
            ("undated", "1", "", "estimate"),
        )
    )
)  # fmt: skip
QUANTITIES = st.decimals(0, 10**6, places=4)
USAGES = st.lists(st.builds(Usage, st.sampled_from(["a", "b"]), QUANTITIES, st.just("a test")))


def bill(*items: str) -> Bill:
    return Bill.of([Usage(item, Decimal(2), "a test") for item in items], BOOK, "eu-west-1")


@given(USAGES, USAGES)
def test_a_total_is_the_sum_of_its_parts(first: list[Usage], second: list[Usage]) -> None:
    one, other = Bill.of(first, BOOK, "eu-west-1"), Bill.of(second, BOOK, "eu-west-1")
    assert (one + other).total == one.total + other.total
    prices = {"a": Decimal("0.1"), "b": Decimal("0.25")}
    assert one.total.amount == sum(usage.quantity * prices[usage.item] for usage in first)


def test_what_has_no_price_is_named_and_costs_nothing_that_is_known() -> None:
    found = bill("a", "c")
    assert found.total == Money(amount=Decimal("0.2"))
    assert [usage.item for usage in found.unpriced] == ["c"]
    assert [line.amount for line in found.lines] == [Money(amount=Decimal("0.2")), None]
    assert found.lines[1].to_json()["amount"] is None


def test_it_is_as_sure_as_its_weakest_line_and_as_old_as_its_oldest() -> None:
    assert bill("a", "b").confidence is Confidence.SEEN
    assert bill("a", "b").seen_on == date(2026, 1, 1)
    assert bill("a", "undated").confidence is Confidence.ESTIMATE
    assert bill("a", "undated").seen_on is None
    assert bill("c").confidence is None
    assert bill("a", "b", "undated").old(date(2026, 11, 29)) == ["b", "undated"]
