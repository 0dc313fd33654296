"""Rules of rows together and of a whole dataset: each can fail, and a good dataset keeps all."""

from pathlib import Path

import pytest

from tests.unit.finops.focus.datasets import CLEAN, NAMES, Row, write_csv
from xops.finops.focus.columns import Version
from xops.finops.focus.requirement import GroupRule, Names
from xops.finops.focus.rules import rules_of
from xops.finops.focus.validation import Case, validate

RULES = rules_of(Version.V1_2)


def test_a_good_dataset_conforms(tmp_path: Path) -> None:
    outcome = validate(Case([write_csv(tmp_path / "clean.csv", list(CLEAN))]))
    assert [one.rule.id for one in outcome.violated + outcome.advice + outcome.not_run] == []
    assert outcome.score == 1.0


def test_a_column_of_nobody_is_told_and_one_of_the_provider_is_not(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "odd.csv", list(CLEAN), (*NAMES, "x_Operation", "Cost"))
    (told,) = (one for one in validate(Case([file])).violated)
    assert isinstance(told.rule, Names)
    assert told.first is not None
    assert (told.violations, told.first.value) == (1, "Cost")


def _changed(row: Row, **values: str | None) -> Row:
    return row | values


USAGE = CLEAN[0]
GROUPS: dict[str, tuple[Row, ...]] = {
    "BillingCurrency.one-BillingCurrency": (_changed(USAGE, BillingCurrency="AUD"),),
    "CommitmentDiscountUnit.one-CommitmentDiscountUnit": (
        _changed(CLEAN[2], CommitmentDiscountUnit="Hours"),
    ),
    "EffectiveCost.purchase-is-used": (_changed(CLEAN[2], EffectiveCost="1"),),
    "EffectiveCost.used-and-unused": (
        _changed(CLEAN[2], CommitmentDiscountStatus=None, EffectiveCost="1"),
    ),
    "InvoiceId.one-BillingAccountId": (_changed(USAGE, BillingAccountId="3"),),
    "ServiceName.one-ServiceCategory": (
        _changed(USAGE, ServiceCategory="Storage", ServiceSubcategory="Object Storage"),
    ),
    "ServiceName.one-ServiceSubcategory": (
        _changed(USAGE, ServiceSubcategory="Serverless Compute"),
    ),
    "SkuMeter.one-SkuMeter": (_changed(USAGE, SkuMeter="another"),),
    "SkuPriceId.one-SkuId": (_changed(USAGE, SkuId="another"),),
}  # fmt: skip


@pytest.mark.parametrize(
    "rule", [one for one in RULES if isinstance(one, GroupRule)], ids=lambda one: one.id
)
def test_rows_that_do_not_go_together_break_the_rule_of_their_group(
    rule: GroupRule, tmp_path: Path
) -> None:
    if rule.id == "BilledCost.invoice-sum":
        return  # by a file of its own, in test_focus_validation.py
    file = write_csv(tmp_path / "groups.csv", [*CLEAN, *GROUPS[rule.id]])
    outcome = validate(Case([file]))
    (told,) = (one for one in outcome.violated + outcome.advice if one.rule.id == rule.id)
    assert (told.violations, told.unit) == (1, "groups")
