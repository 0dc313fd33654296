"""Plan, budget and actual: the reasons add up to the cent, whatever the figures are."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict
from xops.finops.analysis.periods import Period
from xops.finops.analysis.reconciliation import Item, Variance, actual_items, reconcile

MARCH = Period.month(date(2026, 3, 1))
QUANTITIES = st.none() | st.decimals(0, 10**6, places=6)
PRICES = st.none() | st.decimals(0, 10, places=8)
COSTS = st.decimals(-(10**4), 10**6, places=12)
ITEMS = st.lists(
    st.builds(
        Item,
        st.uuids().map(str),
        st.sampled_from(["a", "b"]),
        QUANTITIES,
        PRICES,
        QUANTITIES,
        COSTS,
    )
)


def item(
    name: str, planned: tuple[str, str] | None, actual: tuple[str, str], group: str = "vCPU"
) -> Item:
    quantity, price = (Decimal(planned[0]), Decimal(planned[1])) if planned else (None, None)
    return Item(name, group, quantity, price, Decimal(actual[0]), Decimal(actual[1]))


def only(items: list[Item]) -> Variance:
    [found] = reconcile(MARCH, items, None).variances
    return found


def parts(found: Variance) -> list[float]:
    return [float(amount) for amount in (found.quantity, found.mix, found.price)]


@given(ITEMS)
def test_the_steps_from_plan_to_actual_add_up_to_the_cent(items: list[Item]) -> None:
    found = reconcile(MARCH, items, None)
    (_, planned), *reasons, (_, actual) = found.steps
    assert planned + sum(amount for _, amount in reasons) == actual
    for one in found.variances:
        assert one.quantity + one.mix + one.price == one.total
    for amount in (planned, actual, *(amount for _, amount in reasons)):
        assert amount == amount.quantize(Decimal("0.01"))


@given(ITEMS)
def test_rounding_moves_a_group_by_half_a_cent_at_most(items: list[Item]) -> None:
    found = reconcile(MARCH, items, None)
    for one in found.variances:
        group = [item for item in items if item.group == one.group and item.is_comparable]
        actual = sum((Fraction(item.actual_cost) for item in group), Fraction(0))
        planned = sum((Fraction(item.planned_cost or 0) for item in group), Fraction(0))
        assert abs(actual - Fraction(one.actual)) <= Fraction(5, 1000)
        assert abs(planned - Fraction(one.planned)) <= Fraction(5, 1000)


@given(ITEMS)
def test_the_actual_cost_is_that_of_the_bill_however_many_lines_are_rounded(
    items: list[Item],
) -> None:
    billed = sum((Fraction(item.actual_cost) for item in items), Fraction(0))
    assert abs(billed - Fraction(reconcile(MARCH, items, None).actual)) <= Fraction(5, 1000)


def test_parts_of_a_cent_are_lost_in_no_line() -> None:
    small = [item(str(number), None, ("1", "0.004")) for number in range(500)]
    found = reconcile(MARCH, small, None)
    assert found.actual == 2
    assert [(one.name, one.amount) for one in found.unplanned] == [
        ("rounding of the lines above to cents", Decimal(2))
    ]


def test_more_hours_are_quantity() -> None:
    found = only([item("on demand", ("100", "0.04"), ("150", "6.00"))])
    assert parts(found) == [2, 0, 0]


def test_another_price_is_price() -> None:
    found = only([item("on demand", ("100", "0.04"), ("100", "5.00"))])
    assert parts(found) == [0, 0, 1]


def test_spot_instead_of_on_demand_is_mix() -> None:
    found = only([
        item("on demand", ("100", "0.04"), ("50", "2.00")),
        item("spot", ("0", "0.01"), ("50", "0.50")),
    ])  # fmt: skip
    assert parts(found) == [0, -1.5, 0]


def test_what_is_on_no_plan_is_unplanned_and_no_variance() -> None:
    found = reconcile(MARCH, [item("nat", None, ("730", "43.07"))], None)
    assert found.variances == ()
    assert [(one.name, one.amount) for one in found.unplanned] == [("nat", Decimal("43.07"))]
    assert found.actual == Decimal("43.07")
    assert found.planned == 0


def test_what_has_no_price_is_unpriced_and_makes_the_verdict_unknown() -> None:
    unpriced = Item("lcu", "lcu", Decimal(730), None, Decimal(100), Decimal(5))
    found = reconcile(MARCH, [unpriced], Money(amount=Decimal(100)))
    assert found.unpriced == ("lcu",)
    assert found.plan_within_budget is BudgetVerdict.UNKNOWN
    assert found.actual == 5


def test_the_budget_stands_between_plan_and_actual() -> None:
    items = [item("on demand", ("100", "1.50"), ("140", "210"))]
    found = reconcile(MARCH, items, Money(amount=Decimal(180)))
    assert found.plan_within_budget is BudgetVerdict.WITHIN
    assert found.left_of_budget == -30
    told = found.to_json()
    assert (told["planned"], told["budget"], told["actual"]) == ("150.00", "180", "210.00")


def test_actual_figures_come_from_the_bill() -> None:
    def row(name: str | None, quantity: str | None, cost: str) -> dict[str, object]:
        return {
            "service": "ECS", "usage_type": name, "effective_cost": Decimal(cost),
            "quantity": None if quantity is None else Decimal(quantity),
        }  # fmt: skip

    planned = {"vCPU": Item("fargate vCPU", "vCPU", Decimal(10), Decimal(1), None, Decimal(0))}
    bill = [
        row("vCPU", "4", "4"),
        row("vCPU", "5", "5.5"),
        row("Nat", None, "3"),
        row(None, "1", "2"),
    ]
    found = {one.name: one for one in actual_items(bill, planned, {"Nat": "network"})}
    assert found["fargate vCPU"].actual_quantity == 9
    assert found["fargate vCPU"].actual_cost == Decimal("9.5")
    assert (found["Nat"].group, found["Nat"].actual_quantity) == ("network", None)
    assert found["ECS"].planned_quantity is None
