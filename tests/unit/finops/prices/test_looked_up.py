"""The book with what was looked up, and the questions that are asked for it."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from xops.core.errors import InputError
from xops.finops.prices.book import FILE, Price, PriceBook, own_file, to_csv
from xops.finops.prices.price_list import Listed
from xops.finops.prices.products import Question, questions, regions
from xops.finops.prices.refresh import Outcome, look_up, read_rows

BOOK = PriceBook.load(FILE)
SYDNEY = "ap-southeast-2"


def changed(item: str, usd: str, seen_on: date | None) -> PriceBook:
    row = BOOK.find_row(item, SYDNEY)
    assert row is not None
    return PriceBook((row.model_copy(update={"usd": Decimal(usd), "seen_on": seen_on}),))


def usd(book: PriceBook, item: str) -> str:
    found = book.find(item, SYDNEY)
    assert found is not None
    return f"{found.usd:f}"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))


def test_what_is_written_is_read_again() -> None:
    own_file().write_text(to_csv(BOOK))
    assert set(PriceBook.load(own_file()).rows) == set(BOOK.rows)


def test_what_was_looked_up_lies_over_what_comes_with_xops() -> None:
    own_file().write_text(to_csv(changed("alb", "0.03", date(2026, 11, 29))))
    assert usd(PriceBook.load(), "alb") == "0.03"
    assert usd(PriceBook.load(FILE), "alb") == "0.0252"
    assert len(PriceBook.load().rows) == len(BOOK.rows)


@pytest.mark.parametrize("seen_on", [date(2017, 12, 17), None])
def test_of_two_rows_the_one_that_was_seen_later_counts(seen_on: date | None) -> None:
    own_file().write_text(to_csv(changed("alb", "0.03", seen_on)))
    assert usd(PriceBook.load(), "alb") == "0.0252"


def test_without_a_file_of_one_s_own_the_book_is_the_packaged_one() -> None:
    assert PriceBook.load() == BOOK


@pytest.mark.parametrize(
    ("item", "usd"), [("alb", "0"), ("route53 queries", "900000000"), ("backup efs", "0.0000")]
)
def test_a_price_that_cannot_be_is_not_taken_though_nobody_had_one(item: str, usd: str) -> None:
    """None is known of backups: a price of nothing would make them free."""
    answer = Listed("x", "SKU", Decimal(usd), "Hrs", "2026-01-01")
    (found,) = look_up([asked(item)], lambda _: [answer], PriceBook(()), date(2026, 11, 29))
    assert found.outcome is Outcome.FAR_OFF
    assert found.said
    assert read_rows([found]).rows == ()


def test_a_row_of_one_s_own_in_another_unit_is_refused_with_its_line() -> None:
    """A price a month in the place of one an hour would count 730 times."""
    row = BOOK.find_row("alb", SYDNEY)
    assert row is not None
    own_file().write_text(to_csv(PriceBook((row.model_copy(update={"unit": "month"}),))))
    with pytest.raises(InputError, match=r"prices.csv:2: unit: alb is priced by hour, and not by"):
        PriceBook.load()


# Questions


def asked(item: str, region: str = SYDNEY) -> Question:
    return next(one for one in questions(region) if one.item == item)


@pytest.mark.parametrize(
    ("item", "region", "usage_types"),
    [
        ("fargate arm64 vCPU", SYDNEY, ("APS2-Fargate-ARM-vCPU-Hours:perCPU",)),
        ("kms key", SYDNEY, ("ap-southeast-2-KMS-Keys",)),
        ("cloudfront transfer", SYDNEY, ("AU-DataTransfer-Out-Bytes",)),
        ("route53 zone", SYDNEY, ("HostedZone",)),
        ("alb", "us-east-1", ("USE1-LoadBalancerUsage", "LoadBalancerUsage")),
        ("kms key", "us-east-1", ("us-east-1-KMS-Keys",)),
    ],
)
def test_usage_types_are_whole(item: str, region: str, usage_types: tuple[str, ...]) -> None:
    assert asked(item, region).usage_types == usage_types


def test_what_has_no_region_is_filed_as_global_or_by_its_edge() -> None:
    assert (asked("route53 zone").region, asked("route53 zone").asked_in) == ("global", None)
    assert asked("cloudfront transfer").region == "australia-new-zealand"
    assert asked("alb").asked_in == SYDNEY


def test_where_no_edge_is_known_cloudfront_is_not_asked_for() -> None:
    assert not [one for one in questions("us-east-1") if one.service == "CloudFront"]


def test_every_question_is_about_a_row_or_says_its_unit() -> None:
    for region in regions():
        found = questions(region)
        assert len({one.key for one in found}) == len(found)
        for one in found:
            row = BOOK.find(one.item, region)
            assert row is None or row.unit == one.unit
            assert row is None or row.service == one.service
            assert one.per > 0


def test_every_priced_row_of_sydney_is_asked_for_or_is_known_not_to_be() -> None:
    """Spot has a feed of its own; of the rest the list's name is not known."""
    asked_for = {one.item for one in questions(SYDNEY)}
    left = {row.item for row in BOOK.rows if row.region == SYDNEY} - asked_for
    assert not {item for item in left if "spot" not in item}


def test_the_name_that_is_asked_for_is_the_one_bills_have() -> None:
    for one in questions(SYDNEY):
        if one.usage_type and "AU-" not in one.usage_types[0]:
            values = {
                "item": one.item, "service": one.service, "region": one.region, "unit": one.unit,
                "usd": "1", "confidence": "seen", "source": "x", "usage_type": one.usage_type,
            }  # fmt: skip
            assert Price.model_validate(values).is_of(one.usage_types[0])
