"""The price book: every row is whole, none is there twice, and none is matched by halves."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError
from xops.finops.prices.book import FILE, OLD_AFTER, Confidence, Price, PriceBook

SYDNEY = "ap-southeast-2"
HEADER = "item,service,region,usage_type,unit,usd,seen_on,confidence,source\n"
ROW = f"alb,ELB,{SYDNEY},LoadBalancerUsage,hour,0.0252,2017-12-18,seen,a page\n"


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load(FILE)


def found(book: PriceBook, item: str, region: str = SYDNEY) -> Price:
    price = book.find(item, region)
    assert price is not None
    return price


@pytest.mark.parametrize(
    ("item", "region", "usd"),
    [
        ("fargate arm64 vCPU", SYDNEY, "0.03885"),
        ("fargate arm64 memory", SYDNEY, "0.00426"),
        ("fargate x86_64 vCPU", SYDNEY, "0.04856"),
        ("fargate arm64 vCPU", "us-east-1", "0.03238"),
        ("ec2 t4g.medium", SYDNEY, "0.0424"),
        ("nat gateway", SYDNEY, "0.059"),
    ],
)
def test_what_is_asked_for_has_its_price(book: PriceBook, item: str, region: str, usd: str) -> None:
    assert found(book, item, region).usd == Decimal(usd)


@pytest.mark.parametrize(
    ("item", "a_month"),
    [
        ("public ipv4 address", "3.65"),
        ("alb lcu", "5.84"),
        ("alb", "18.396"),
        ("nat gateway", "43.07"),
        ("ec2 t4g.medium", "30.952"),
    ],
)
def test_an_hour_times_730_is_a_month(book: PriceBook, item: str, a_month: str) -> None:
    assert found(book, item).unit.endswith("hour")
    assert found(book, item).money.a_month().amount == Decimal(a_month)


def test_arm_costs_a_fifth_less_than_x86(book: PriceBook) -> None:
    """Who prices it as x86 is a quarter too high."""
    for part in ("vCPU", "memory"):
        for region in (SYDNEY, "us-east-1"):
            x86 = found(book, f"fargate x86_64 {part}", region).usd
            arm = found(book, f"fargate arm64 {part}", region).usd
            assert Decimal("1.24") < x86 / arm < Decimal("1.26")


def test_what_costs_the_same_everywhere_is_found_in_any_region(book: PriceBook) -> None:
    assert found(book, "route53 zone", "eu-west-1") is found(book, "route53 zone")


def test_what_nobody_has_seen_has_no_price(book: PriceBook) -> None:
    assert book.find("alb", "eu-west-1") is None
    assert book.find("quantum computer", SYDNEY) is None


# Usage types of a bill


@pytest.mark.parametrize(
    ("usage_type", "item"),
    [
        ("APS2-Fargate-vCPU-Hours:perCPU", "fargate x86_64 vCPU"),
        ("APS2-Fargate-ARM-vCPU-Hours:perCPU", "fargate arm64 vCPU"),
        ("APS2-SpotUsage-Fargate-ARM-vCPU-Hours:perCPU", "fargate spot arm64 vCPU"),
        ("APS2-Fargate-GB-Hours", "fargate x86_64 memory"),
        ("APS2-Fargate-ARM-GB-Hours", "fargate arm64 memory"),
        ("APS2-BoxUsage:t4g.medium", "ec2 t4g.medium"),
    ],
)
def test_a_usage_type_has_one_price(book: PriceBook, usage_type: str, item: str) -> None:
    """Part of a name is another price: `Fargate-GB-Hours` stands in `Fargate-ARM-GB-Hours`."""
    rows = [row.item for row in book.rows if row.region == SYDNEY and row.is_of(usage_type)]
    assert rows == [item]


def test_the_first_region_is_written_with_its_code_and_without(book: PriceBook) -> None:
    price = found(book, "fargate arm64 vCPU", "us-east-1")
    assert price.is_of("Fargate-ARM-vCPU-Hours:perCPU")
    assert price.is_of("USE1-Fargate-ARM-vCPU-Hours:perCPU")
    assert not price.is_of("APS2-Fargate-ARM-vCPU-Hours:perCPU")
    assert not found(book, "fargate arm64 vCPU").is_of("Fargate-ARM-vCPU-Hours:perCPU")


def test_a_row_without_a_usage_type_is_of_none(book: PriceBook) -> None:
    without = [row for row in book.rows if not row.usage_type]
    assert without
    assert not any(row.is_of(each) for row in without for each in ("", "APS2-", "anything"))


# Age


@given(st.integers(-2000, 2000))
def test_a_row_is_old_after_ninety_days_and_before_its_day(days: int) -> None:
    today = date(2026, 11, 29)
    price = Price.model_validate(_row(seen_on=today - timedelta(days)))
    assert price.is_old(today) is not (0 <= days <= OLD_AFTER.days)


def test_a_row_without_a_day_is_old(book: PriceBook) -> None:
    today = date(2026, 11, 29)
    assert Price.model_validate(_row(seen_on="")).is_old(today)
    oldest, *_ = book.old(today)
    assert oldest.seen_on is None


def test_confidence_has_an_order() -> None:
    assert min(Confidence) is Confidence.ESTIMATE
    assert Confidence.MEMORY < Confidence.SEEN < Confidence.SEEN_TWICE < Confidence.PRICE_LIST
    assert str(Confidence.SEEN_TWICE) == "seen twice"


# What is wrong with a book


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + ROW.replace("0.0252", ""), "prices.csv:2: usd"),
        (HEADER + ROW.replace("0.0252", "-1"), "prices.csv:2: usd"),
        (HEADER + ROW.replace("0.0252", "NaN"), "prices.csv:2: usd"),
        (HEADER + ROW.replace("0.0252", "free"), "prices.csv:2: usd"),
        (HEADER + ROW.replace("0.0252", "1e-90"), "prices.csv:2: usd"),
        (HEADER + ROW.replace("0.0252", "1e30"), "prices.csv:2: usd"),
        (HEADER + ROW.replace("2017-12-18", "18 Dec"), "prices.csv:2: seen_on"),
        (HEADER + ROW.replace(",seen,", ",sure,"), "is none of estimate, memory, seen"),
        (HEADER + ROW.replace("a page", ""), "prices.csv:2: source"),
        (HEADER + ROW + ROW, "prices.csv:3: item: alb of ap-southeast-2 has a price already"),
        (HEADER + ROW[:-8] + "\n", "prices.csv:2:"),
        (HEADER + ROW.replace("\n", ",more\n"), "prices.csv:2:"),
        (HEADER.replace("usd", "eur") + ROW, "prices.csv:2: usd"),
        (HEADER + '"' + ROW, "prices.csv"),
    ],
)
def test_a_damaged_book_is_refused_with_its_lines(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        PriceBook.load(file)
    assert said in str(caught.value)


def test_a_book_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv"):
        PriceBook.load(tmp_path / "absent.csv")


def _row(**given: object) -> dict[str, object]:
    row: dict[str, object] = {
        "item": "alb", "service": "ELB", "region": SYDNEY, "unit": "hour", "usd": "0.0252",
        "seen_on": "2026-01-01", "confidence": "seen", "source": "a page",
    }  # fmt: skip
    return row | given
