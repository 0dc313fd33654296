"""The parts that rest on prices: the environments' own plans, ways to run them, both streams."""

from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from tests.unit.finops.report.samples import usd
from xops.finops.analysis.periods import Period
from xops.finops.budget.feasibility import Rates
from xops.finops.budget.promise import Promise
from xops.finops.budget.shape import ServiceShape, Shape, WeeklyHours
from xops.finops.configuration import Labour
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing import assumptions
from xops.finops.pricing.schedules import Bounds
from xops.finops.report import estimates
from xops.finops.report.estimates import EnvironmentFacts, Estimate
from xops.finops.report.model.values import AtLeast, Known, Label, Unknown, number
from xops.finops.report.reconciling import find_price, group_of, reconciliation

REGION = "ap-southeast-2"
PROMISE = Promise(tasks=2, on_demand=1, hours=WeeklyHours())
MARCH = Period.month(date(2026, 3, 1))


@cache
def rates() -> Rates:
    return Rates(PriceBook.load(FILE), assumptions.Assumptions.load(assumptions.FILE))


def service(cpu: int, memory: int, most: int) -> ServiceShape:
    return ServiceShape(cpu, memory, Bounds(2, most), 2, 1, 3)


@cache
def estimate() -> Estimate:
    services = {"open_webui": service(2048, 4096, 6), "crew": service(1024, 2048, 8)}
    shape = Shape(REGION, 3, "nat", services, secrets=("one",))
    return Estimate.of(EnvironmentFacts("prod", usd("180"), shape, PROMISE), rates())


def test_the_curve_has_a_point_for_each_number_of_tasks_and_says_what_has_no_price() -> None:
    curve = estimates.curve(estimate())
    assert [point.replicas for point in curve.points] == list(range(1, 9))
    amounts = [number(point.on_demand) for point in curve.points]
    assert amounts == sorted(amounts, key=lambda amount: amount or Decimal(0))
    assert all(isinstance(point.on_demand, AtLeast) for point in curve.points)
    assert any(text.startswith("at least: no price for") for text in curve.assumptions)


def test_a_task_more_of_each_costs_what_two_tasks_cost() -> None:
    """Beside what is assumed of a service's use: 0.14211 an hour, on demand, 730 hours."""
    points = estimates.curve(estimate()).points
    first, second = number(points[0].on_demand), number(points[1].on_demand)
    assert first is not None
    assert second is not None
    assert second - first == Decimal("0.14211") * 730
    assert number(points[0].spot) == first  # the first one is on demand either way


def test_no_more_tasks_than_the_file_allows_are_counted() -> None:
    points = estimates.curve(estimate()).points
    seventh, eighth = number(points[6].on_demand), number(points[7].on_demand)
    assert seventh is not None
    assert eighth is not None
    assert eighth - seventh == Decimal("0.04737") * 730  # of FastAPI alone


def test_the_own_plan_stands_before_the_scenarios_and_advice_says_what_fits() -> None:
    found = estimates.plans(estimate())
    names = [row.name for row in found.scenarios]
    assert names[0] == "own_plan"
    assert {"on_demand_minimum", "second_replica_on_spot", "k3s_medium"} <= set(names)
    totals = {row.name: f"{row.total:.2f}" for row in found.scenarios}
    assert totals["on_demand_minimum"] == "267.42"
    assert totals["second_replica_on_spot"] == "174.76"
    assert found.advice[0].startswith("promised: 2 of each service")


def test_without_hours_the_streams_have_invoices_alone() -> None:
    found = estimates.streams(estimate(), None)
    assert found.usd_an_hour is None
    assert found.break_even_hours is None
    assert all(row.labour == Unknown("no hours are set") for row in found.rows)
    assert all(isinstance(row.total, Unknown) for row in found.rows)
    assert "43.92 USD a month below" in found.assumptions[0]


def test_hours_make_the_cheaper_invoice_the_dearer_stream() -> None:
    labour = Labour.model_validate({"hours_a_month": {"ecs": "1", "k3s": "6"}, "usd_an_hour": "90"})
    found = estimates.streams(estimate(), labour)
    totals = {row.name: row.total for row in found.rows}
    assert totals["ECS: second_replica_on_spot"] == Known(
        Decimal("174.760880") + 90, Label.ESTIMATED
    )
    assert totals["K3S: k3s_medium_with_load_balancer"] == Known(
        Decimal("130.8420") + 540, Label.ESTIMATED
    )
    assert found.break_even_hours == Decimal("0.5")  # 43.92 / 90, upwards


def test_prices_are_as_sure_as_the_weakest_and_as_old_as_the_oldest() -> None:
    found = estimates.prices([estimate()], rates().book.rows, date(2026, 11, 29))
    assert found.weakest == "estimate"
    assert found.oldest is None
    assert found.old
    assert [row.seen_on or date.min for row in found.rows] == sorted(
        row.seen_on or date.min for row in found.rows
    )
    of_book = estimates.prices([], rates().book.rows, date(2026, 11, 29))
    assert len(of_book.rows) == len(rates().book.rows)


def row(usage_type: str, quantity: str | None, cost: str, **others: Any) -> dict[str, Any]:
    return {
        "service": "Amazon Elastic Container Service", "usage_type": usage_type,
        "purchase": "Standard", "unit": "hours",
        "quantity": None if quantity is None else Decimal(quantity),
        "list_cost": Decimal(cost), "effective_cost": Decimal(cost), **others,
    }  # fmt: skip


VCPU, SPOT = "APS2-Fargate-ARM-vCPU-Hours:perCPU", "APS2-SpotUsage-Fargate-ARM-vCPU-Hours:perCPU"


def test_a_month_is_divided_into_quantity_mix_and_price_to_the_cent() -> None:
    rows = [row(VCPU, "4000", "160"), row(SPOT, "500", "5.83"), row("APS2-Other", "3", "7")]
    found = reconciliation(estimate(), MARCH, rows, Label.ACTUAL)
    actual = number(found.actual)
    planned = number(found.planned)
    assert actual == Decimal("172.83")
    assert planned is not None
    assert isinstance(found.planned, AtLeast)
    parts = sum(found.total(part) for part in ("quantity", "mix", "price"))
    assert planned + parts + found.unplanned == actual
    vcpu = next(one for one in found.variances if one.name == "fargate vCPU")
    assert vcpu.mix < 0  # part of it was bought on Spot, where none was planned
    assert vcpu.price == Decimal("4.60")  # 160 for what is 155.40 in the book
    assert any("APS2-Other" in note for note in found.notes)


def test_storage_of_several_services_has_one_usage_type_and_a_price_for_each() -> None:
    def found(service: str) -> str | None:
        one = find_price(
            row("APS2-TimedStorage-ByteHrs", "1", "1", service=service),
            [price for price in rates().book.rows if price.region == REGION],
        )
        return None if one is None else one.item

    assert found("Amazon Elastic File System") == "efs standard"
    assert found("AmazonCloudWatch") == "logs storage"
    assert found("Amazon Simple Storage Service") == "s3 standard"
    assert found("Amazon Something Else") is None


def test_requests_are_counted_by_the_unit_of_their_price() -> None:
    rows = [row("ap-southeast-2-KMS-Requests", "20000", "0.06", service="AWS KMS")]
    found = reconciliation(estimate(), MARCH, rows, Label.ACTUAL)
    requests = next(one for one in found.variances if one.name == "kms requests")
    assert (requests.actual, requests.price) == (Decimal("0.06"), Decimal(0))


def test_a_quantity_that_the_bill_does_not_say_is_divided_by_nothing() -> None:
    found = reconciliation(estimate(), MARCH, [row(VCPU, None, "160")], Label.ACTUAL)
    assert number(found.actual) == 160
    assert [one.actual for one in found.variances if one.name == "fargate vCPU"] == [0]
    assert any("fargate arm64 vCPU" in note for note in found.notes)


@pytest.mark.parametrize(
    ("item", "group"),
    [
        ("fargate spot arm64 vCPU", "fargate vCPU"),
        ("fargate x86_64 memory", "fargate memory"),
        ("nat gateway", "nat gateway"),
        ("ec2 spot t4g.medium", "ec2 spot t4g.medium"),
    ],
)
def test_what_can_stand_for_each_other_is_one_group(item: str, group: str) -> None:
    assert group_of(item) == group
