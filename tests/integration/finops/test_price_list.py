"""AWS's Price List through boto3, from a server that speaks its protocol: nothing is guessed."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.price_list_server import REGION, PriceList, cost, price_list, product, question
from xops.aws.errors import ThrottledError
from xops.core.errors import CredentialsError, PermanentError, UnreachableError
from xops.finops.prices import price_list as adapter
from xops.finops.prices.book import FILE, Confidence, PriceBook
from xops.finops.prices.products import questions
from xops.finops.prices.refresh import LookedUp, Outcome, look_up, read_spot

BOOK = PriceBook.load(FILE)
TODAY = date(2026, 11, 29)
ARM = "APS2-Fargate-ARM-vCPU-Hours:perCPU"


@pytest.fixture
def served() -> Iterator[PriceList]:
    with price_list() as running:
        yield running


def client_of(address: str, attempts: int = 1) -> Any:
    return boto3.client(
        "pricing",
        region_name=adapter.REGION,
        endpoint_url=address,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=2
        ),
    )


def looked_up(served: PriceList, item: str, **options: Any) -> LookedUp:
    client = client_of(served.address)
    asked = [question(item)]
    (found,) = look_up(asked, lambda one: adapter.ask(client, one), BOOK, TODAY, **options)
    return found


def test_every_question_has_one_answer_where_the_list_is_as_the_book(served: PriceList) -> None:
    client = client_of(served.address)
    found = list(look_up(questions(REGION), lambda one: adapter.ask(client, one), BOOK, TODAY))
    outcomes = {(one.item, one.region): one.outcome for one in found}
    assert outcomes.pop(("backup efs", REGION)) is Outcome.ABSENT
    assert outcomes["fargate arm64 vCPU", REGION] is Outcome.CONFIRMED
    assert outcomes["s3 put requests", REGION] is Outcome.CONFIRMED  # asked for one, kept by 1,000
    assert outcomes["route53 zone", "global"] is Outcome.CONFIRMED
    assert outcomes["cloudfront transfer", "australia-new-zealand"] is Outcome.CONFIRMED
    assert set(outcomes.values()) <= {Outcome.CONFIRMED, Outcome.NEW, Outcome.ABSENT}


def test_it_is_asked_by_whole_usage_types_and_attributes(served: PriceList) -> None:
    looked_up(served, "nlb")
    (request,) = served.asked
    assert request["ServiceCode"] == "AWSELB"
    assert {row["Field"]: row["Value"] for row in request["Filters"]} == {
        "usagetype": "APS2-LoadBalancerUsage",
        "operation": "LoadBalancing:Network",
        "regionCode": REGION,
    }


def test_a_changed_price_becomes_a_row_with_its_source_and_day(served: PriceList) -> None:
    served.products[ARM] = [product(ARM, "0.0399000000", unit="hours")]
    found = looked_up(served, "fargate arm64 vCPU")
    assert found.outcome is Outcome.CHANGED
    assert found.before is not None
    assert found.after is not None
    assert found.before.usd == cost("fargate arm64 vCPU")
    assert (found.after.usd, found.after.seen_on) == (Decimal("0.0399"), TODAY)
    assert found.after.confidence is Confidence.PRICE_LIST
    assert found.after.is_of(ARM)
    assert "effective 2026-11-01" in found.after.source


def test_a_price_that_nobody_had_seen_is_new(served: PriceList) -> None:
    usage_type = "APS2-WarmStorage-ByteHrs-EFS"
    served.products[usage_type] = [
        product(usage_type, "0.0600000000", service="AWSBackup", operation="Storage")
    ]
    found = looked_up(served, "backup efs")
    assert found.outcome is Outcome.NEW
    assert found.after is not None
    assert (found.after.usd, found.after.unit) == (Decimal("0.06"), "GB-month")


def test_pages_are_followed_to_the_end(served: PriceList) -> None:
    served.a_page = 1
    served.products[ARM] = [product(ARM, "0.04"), product(ARM, "0.05")]
    assert looked_up(served, "fargate arm64 vCPU").outcome is Outcome.AMBIGUOUS
    assert [request.get("NextToken") for request in served.asked] == [None, "1"]


def test_two_answers_are_none(served: PriceList) -> None:
    served.products[ARM].append(product(ARM, "0.04", operation="Another"))
    found = looked_up(served, "fargate arm64 vCPU")
    assert (found.outcome, found.after, found.said) == (
        Outcome.AMBIGUOUS, None, "2 products answer it",
    )  # fmt: skip


def test_a_price_that_disappears_is_said(served: PriceList) -> None:
    del served.products[ARM]
    found = looked_up(served, "fargate arm64 vCPU")
    assert (found.outcome, found.after) == (Outcome.GONE, None)
    assert "the price is kept" in found.said


def test_a_price_in_another_unit_is_looked_at_by_a_person(served: PriceList) -> None:
    served.products[ARM] = [product(ARM, "38.85", unit="1000 hours")]
    assert looked_up(served, "fargate arm64 vCPU").outcome is Outcome.FAR_OFF


def test_of_tiers_the_first_that_costs_something_counts(served: PriceList) -> None:
    usage_type = "APS2-DataTransfer-Out-Bytes"
    served.products[usage_type] = [
        product(usage_type, "0.0000000000", "0.1140000000", "0.098", service="AWSDataTransfer")
    ]
    assert looked_up(served, "transfer to internet").outcome is Outcome.CONFIRMED


def test_what_is_not_sold_on_demand_is_no_answer(served: PriceList) -> None:
    document = product(ARM, "0.01").replace('"OnDemand"', '"Reserved"')
    served.products[ARM].append(document)
    assert looked_up(served, "fargate arm64 vCPU").outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("[]", "a product has no product"),
        ('{"product": {}}', "attributes"),
        (product(ARM, "free"), "no number of USD"),
        (product(ARM, "-1"), "no number of USD"),
        (product(ARM, "NaN"), "no number of USD"),
        (product(ARM, "1e999999"), "no number of USD"),
        (product(ARM, "1e-999999"), "no number of USD"),
        (product(ARM, "0.1").replace('"USD"', '"CNY"'), "no number of USD"),
        (product(ARM), "a product has no price"),
    ],
)
def test_an_answer_that_is_not_as_documented_is_no_price(
    served: PriceList, broken: str, said: str
) -> None:
    client = client_of(served.address)

    class Answering:
        def get_products(self, **_: Any) -> dict[str, Any]:
            real: dict[str, Any] = client.get_products(
                ServiceCode="AmazonECS",
                Filters=[{"Type": "TERM_MATCH", "Field": "usagetype", "Value": ARM}],
            )
            return real | {"PriceList": [broken]}

    with pytest.raises(PermanentError, match=said):
        adapter.ask(Answering(), question("fargate arm64 vCPU"))


# What goes wrong


def test_throttling_is_waited_for(served: PriceList) -> None:
    served.failing = ["ThrottlingException"]
    found = adapter.ask(client_of(served.address, attempts=3), question("alb"))
    assert [one.usd for one in found] == [cost("alb")]


def test_throttling_without_an_end_is_an_error_and_no_empty_answer(served: PriceList) -> None:
    served.failing = ["ThrottlingException"]
    with pytest.raises(ThrottledError, match="asking the price list for alb"):
        looked_up(served, "alb")


def test_a_partial_refresh_says_what_was_not_read(served: PriceList) -> None:
    served.failing = ["ThrottlingException"]
    found = looked_up(served, "alb", partial=True)
    assert (found.outcome, found.after) == (Outcome.NOT_READ, None)
    assert "not now" in found.said


@pytest.mark.parametrize("partial", [True, False])
def test_who_may_not_ask_is_told_so_at_once(served: PriceList, partial: bool) -> None:
    served.failing = ["AccessDeniedException"] * 9
    with pytest.raises(CredentialsError, match="not now"):
        looked_up(served, "alb", partial=partial)
    assert len(served.failing) == 8


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(UnreachableError):
        adapter.ask(client_of("http://127.0.0.1:9"), question("alb"))


# Fargate Spot


def spot(served: PriceList) -> dict[str, LookedUp]:
    address = served.environ["XOPS_FARGATE_SPOT_FEED"]
    return {one.item: one for one in read_spot(address, REGION, BOOK, TODAY)}


def test_spot_s_estimate_gives_way_to_what_was_seen(served: PriceList) -> None:
    found = spot(served)["fargate spot arm64 vCPU"]
    assert found.before is not None
    assert found.after is not None
    assert found.before.confidence is Confidence.ESTIMATE
    assert (found.after.usd, found.after.confidence) == (Decimal("0.0125"), Confidence.SEEN)
    assert spot(served)["fargate spot x86_64 memory"].outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (None, "503"),
        ({"price": []}, "no list `prices`"),
        ([1], "no list `prices`"),
        (
            {"prices": [{"unit": "GB-Hours", "price": {"USD": "1e-999999"},
                         "attributes": {"aws:region": REGION}}]},
            "no number of USD",
        ),
        (
            {"prices": [{"unit": "GB-Hours", "price": {"USD": "x"},
                         "attributes": {"aws:region": REGION}}]},
            "no number of USD",
        ),
    ],
)  # fmt: skip
def test_a_feed_that_fails_leaves_its_rows_as_they_were(
    served: PriceList, feed: Any, said: str
) -> None:
    served.feed = feed
    found = spot(served)
    assert {one.outcome for one in found.values()} == {Outcome.NOT_READ}
    assert all(said in one.said and one.before is not None for one in found.values())


def test_a_feed_with_two_prices_for_one_thing_gives_none(served: PriceList) -> None:
    served.feed["prices"] *= 2
    assert {one.outcome for one in spot(served).values()} == {Outcome.AMBIGUOUS}


def test_a_feed_without_the_region_is_said(served: PriceList) -> None:
    served.feed = {"prices": [1, {"unit": "GB-Hours"}, {"unit": "GB-Hours", "attributes": 3}]}
    assert {one.outcome for one in spot(served).values()} == {Outcome.GONE}
