"""Tax on top and a discount for what is committed to: on every price, and said."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.finops.prices.book import FILE, Confidence, Price, PriceBook
from xops.finops.prices.terms import Terms

BOOK = PriceBook.load(FILE)
SYDNEY, VIRGINIA = "ap-southeast-2", "us-east-1"


def row(terms: Terms, item: str, region: str = SYDNEY) -> Price:
    found = terms.apply(BOOK).find(item, region)
    assert found is not None
    return found


def test_without_terms_the_book_is_the_same() -> None:
    assert Terms().apply(BOOK) == BOOK


def test_gst_is_on_everything() -> None:
    taxed = Terms(gst_percent=Decimal(10)).apply(BOOK)
    for before, after in zip(BOOK.rows, taxed.rows, strict=True):
        assert after.usd == before.usd * Decimal("1.1")
        assert after.confidence is before.confidence


@pytest.mark.parametrize("item", ["fargate arm64 vCPU", "fargate x86_64 memory", "ec2 t4g.medium"])
def test_a_percentage_is_an_estimate_where_no_dated_row_is(item: str) -> None:
    found = row(Terms(savings_plan_percent=Decimal(20)), item)
    assert found.usd == row(Terms(), item).usd * Decimal("0.8")
    assert found.confidence is Confidence.ESTIMATE
    assert "20 % off, an estimate" in found.source


def test_a_dated_row_is_taken_instead_of_the_percentage() -> None:
    found = row(Terms(savings_plan_percent=Decimal(50)), "fargate arm64 vCPU", VIRGINIA)
    assert (found.usd, found.confidence) == (Decimal("0.0255"), Confidence.SEEN)
    assert found.is_of("Fargate-ARM-vCPU-Hours:perCPU")


@pytest.mark.parametrize(
    "item", ["fargate spot arm64 vCPU", "ec2 spot t4g.medium, low", "alb", "nat gateway"]
)
def test_what_no_savings_plan_covers_stays_as_it_is(item: str) -> None:
    assert row(Terms(savings_plan_percent=Decimal(20)), item) == row(Terms(), item)


def test_all_terms_are_said() -> None:
    assert Terms().said() == ("prices without tax and without discounts",)
    tax, plan = Terms(Decimal(10), Decimal("27.5")).said()
    assert tax == "prices with 10 % GST"
    assert "else 27.5 % off, an estimate" in plan


@given(
    st.decimals(0, 100, places=2, allow_nan=False),
    st.decimals(0, 100, places=2, allow_nan=False),
)
def test_both_are_exact(gst: Decimal, discount: Decimal) -> None:
    listed = row(Terms(), "fargate arm64 vCPU").usd
    found = row(Terms(gst, discount), "fargate arm64 vCPU").usd
    assert found * 10000 == listed * (100 - discount) * (100 + gst)
