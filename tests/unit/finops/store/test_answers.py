"""Which answers of Cost Explorer hold, what they mean, and which days are asked for."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError
from xops.finops.store.changes import first_day_after
from xops.finops.store.cost_explorer.answers import Answers, Day, Group, holds
from xops.finops.store.cost_explorer.explorer import whole_days
from xops.finops.store.cost_explorer.questions import charges, has_tag, parse_groups, questions

MAY_10 = date(2026, 5, 10)
GROUP = Group(
    keys=("Amazon S3", "environment$prod"),
    currency="USD",
    unblended=Decimal("0.0000300172"),
    amortized=Decimal("0.00003001725555"),
)


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked_at", "now", "expected"),
    [
        (at(5, 11), at(5, 11, 5), True),  # some hours
        (at(5, 11), at(5, 11, 6), False),
        (at(5, 13, 23), at(5, 20), False),  # before it was settled
        (at(5, 14), at(5, 20), True),
        (at(5, 14), at(6, 5, 23), True),
        (at(5, 14), at(6, 6), False),  # since then its month is invoiced
        (at(6, 6), at(6, 7), True),
        (at(6, 6), at(12, 31), True),  # for good
        (at(6, 7), at(6, 6), False),  # by a clock that was wrong
        (at(5, 12), at(5, 11, 5), False),
    ],
)
def test_an_answer_holds(asked_at: datetime, now: datetime, expected: bool) -> None:
    assert holds(MAY_10, Day(asked_at=asked_at, groups=()), now) is expected


def test_answers_are_kept(tmp_path: Path) -> None:
    kept = Answers(tmp_path, "usage")
    kept.keep({MAY_10: Day(asked_at=at(5, 14), groups=(GROUP,))})
    again = Answers(tmp_path, "usage")
    days = [MAY_10, MAY_10 + timedelta(days=1)]
    assert again.usable(days, at(5, 20)) == {MAY_10: Day(asked_at=at(5, 14), groups=(GROUP,))}
    assert Answers(tmp_path, "other").usable(days, at(5, 20)) == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"days": 1}', '{"days": {"x": {}}}'])
def test_answers_that_somebody_changed_are_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "usage.json").write_text(content)
    with pytest.raises(InputError, match=r"(?s)usage\.json.*Remove the file"):
        Answers(tmp_path, "usage").usable([MAY_10], at(5, 20))


def test_each_question_groups_by_two_and_the_second_is_the_rest_of_the_first() -> None:
    usage, other = (one.parameters() for one in questions("stage"))
    assert [len(one["GroupBy"]) for one in (usage, other)] == [2, 2]
    assert other["Filter"] == {"Not": usage["Filter"]}
    assert usage["GroupBy"][1] == {"Type": "TAG", "Key": "stage"}


def test_a_group_is_a_charge_of_a_day() -> None:
    usage, other = questions("environment")
    (row,) = charges(usage, MAY_10, Day(asked_at=at(5, 14), groups=(GROUP,)), "000000000000")
    assert row["BilledCost"] == Decimal("0.000030017200")
    assert row["EffectiveCost"] == Decimal("0.000030017256")  # half to even, at 12 places
    assert row["Tags"] == '{"environment": "prod"}'
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (at(5, 10), at(5, 11))
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (at(5, 1), at(6, 1))
    assert "ListCost" not in row  # Cost Explorer does not know it
    refund = GROUP.model_copy(update={"keys": ("Amazon S3", "Refund")})
    (row,) = charges(other, MAY_10, Day(asked_at=at(5, 14), groups=(refund,)), "000000000000")
    assert row["ChargeCategory"] == "Adjustment"


def test_a_tag_is_there_if_a_group_has_a_value() -> None:
    untagged = GROUP.model_copy(update={"keys": ("Amazon S3", "environment$")})
    assert has_tag([Day(asked_at=at(5, 14), groups=(untagged, GROUP))])
    assert not has_tag([Day(asked_at=at(5, 14), groups=(untagged,))])


def test_what_is_no_amount_is_refused() -> None:
    metrics = {name: {"Amount": "x", "Unit": "USD"} for name in ("UnblendedCost", "AmortizedCost")}
    with pytest.raises(ArithmeticError):
        parse_groups({"Groups": [{"Keys": ["a", "b"], "Metrics": metrics}]})


@given(st.dates(date(1991, 1, 1), date(2198, 1, 1)), st.integers(1, 13))
def test_the_days_asked_for_are_whole_months_up_to_yesterday(today: date, months: int) -> None:
    days = whole_days(today, months)
    assert days[-1] == today - timedelta(days=1)
    assert days[0].day == 1
    assert len({day.strftime("%Y-%m") for day in days}) == months
    assert days == sorted(set(days))


@given(st.dates(date(1990, 1, 1), date(2199, 12, 31)))
def test_a_month_is_over_on_the_first_day_of_the_next(day: date) -> None:
    after = first_day_after(day.strftime("%Y-%m"))
    assert after.day == 1
    assert timedelta(0) < after - day <= timedelta(days=31)


def test_a_total_without_groups_is_no_answer_and_not_nothing_spent() -> None:
    nothing, something = (
        {"Groups": [], "Total": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}
        for amount in ("0", "5.01")
    )
    assert parse_groups(nothing) == parse_groups({"Groups": [], "Total": {}}) == []
    with pytest.raises(ValueError, match="a total without groups"):
        parse_groups(something)
