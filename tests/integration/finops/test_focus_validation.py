"""Which rules apply, which are waived, which cannot be told, and what the sums come to."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.finops.focus.datasets import CLEAN, NAMES, SPOT, USAGE, write_csv
from xops.core.errors import InputError
from xops.finops.focus.applicability import profiles, waivers
from xops.finops.focus.columns import FOCUS_COLUMNS, Kind, Version
from xops.finops.focus.invoices import read_invoices
from xops.finops.focus.outcome import Checked, State, Validation
from xops.finops.focus.requirement import Criterion
from xops.finops.focus.rules import rules_of
from xops.finops.focus.validation import Case, validate

AWS = profiles()["aws"].without


def _find(outcome: Validation, rule: str) -> Checked:
    (found,) = (one for one in outcome.checked if one.rule.id == rule)
    return found


def _ids(checked: list[Checked]) -> list[str]:
    return [one.rule.id for one in checked]


def test_the_first_row_that_breaks_a_rule_is_shown_with_what_it_has(tmp_path: Path) -> None:
    wrong = USAGE | {"PricingCategory": "On-Demand"}
    file = write_csv(tmp_path / "one.csv", [USAGE, wrong, USAGE, wrong])
    (told,) = validate(Case([file])).violated
    assert (told.rule.id, told.violations) == ("PricingCategory.allowed", 2)
    assert str(told.first) == f"{file}:2 On-Demand"


def test_spot_that_is_not_dynamic_is_found_by_either_name_of_its_meter(tmp_path: Path) -> None:
    by_meter = SPOT | {"PricingCategory": "Standard"}
    by_usage = by_meter | {"SkuMeter": "Compute", "x_UsageType": SPOT["SkuMeter"]}
    names = (*NAMES, "x_UsageType")
    file = write_csv(tmp_path / "spot.csv", [SPOT, by_meter, by_usage], names)
    assert _find(validate(Case([file])), "PricingCategory.of-spot").violations == 2


def test_a_column_that_the_dataset_need_not_have_is_not_asked_for(tmp_path: Path) -> None:
    names = tuple(name for name in NAMES if not name.startswith(("Commitment", "Tags")))
    file = write_csv(tmp_path / "usage.csv", [USAGE], names)
    assert "Tags.present" in _ids(validate(Case([file], version=Version.V1_2)).violated)
    without = frozenset({Criterion.COMMITMENTS, Criterion.TAGS})
    outcome = validate(Case([file], version=Version.V1_2, without=without))
    assert (outcome.violated, outcome.not_run) == ([], [])
    assert _find(outcome, "Tags.present").state is State.NOT_APPLICABLE


def test_usage_alone_conforms_under_its_profile(tmp_path: Path) -> None:
    left = ("Commitment", "Capacity", "Contracted", "List", "Pricing", "Sku", "Tags")
    kept = ("ContractedCost", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit")
    names = tuple(name for name in NAMES if not name.startswith(left) or name in kept)
    file = write_csv(tmp_path / "usage.csv", [USAGE], names)
    outcome = validate(Case([file], without=profiles()["usage-only"].without))
    assert (_ids(outcome.violated), _ids(outcome.not_run)) == ([], [])


def test_a_rule_that_needs_what_is_missing_is_not_run(tmp_path: Path) -> None:
    names = tuple(name for name in NAMES if name != "ChargeCategory")
    outcome = validate(Case([write_csv(tmp_path / "one.csv", [USAGE], names)]))
    assert "ChargeCategory.present" in _ids(outcome.violated)
    told = _find(outcome, "ListUnitPrice.null-for-tax")
    assert (told.state, told.why) == (State.NOT_RUN, "there is no ChargeCategory")


def test_a_file_without_rows_neither_conforms_nor_violates(tmp_path: Path) -> None:
    outcome = validate(Case([write_csv(tmp_path / "none.csv", [])]))
    assert (outcome.violated, outcome.score, outcome.rows) == ([], None, 0)
    assert outcome.not_run
    assert outcome.to_json()["conforms"] is None


def test_a_known_gap_is_waived_for_its_provider_and_no_other(tmp_path: Path) -> None:
    gap = USAGE | {"ListUnitPrice": None}
    file = write_csv(tmp_path / "gap.csv", [gap])
    outcome = validate(Case([file]))
    told = _find(outcome, "ListUnitPrice.of-what-is-priced")
    assert (told.state, told.violations, told.waived) == (State.WAIVED, 0, 1)
    assert "AWS Data Exports User Guide" in told.waivers[0].source
    assert (outcome.violated, outcome.waived) == ([], [told])
    assert outcome.score is not None
    assert outcome.score < 1
    both = write_csv(tmp_path / "both.csv", [gap, gap | {"ProviderName": "Another"}])
    told = _find(validate(Case([both])), "ListUnitPrice.of-what-is-priced")
    assert (told.state, told.violations, told.waived) == (State.VIOLATED, 1, 1)


def test_a_strict_look_waives_nothing(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "gap.csv", [USAGE | {"SkuPriceId": None, "SkuPriceDetails": None}])
    assert _ids(validate(Case([file], waive=False)).violated) == ["SkuPriceId.of-what-is-priced"]


def test_every_waiver_is_of_a_rule_that_exists() -> None:
    assert waivers().keys() <= {rule.id for rule in rules_of(Version.V1_2)}


@pytest.mark.parametrize(
    ("last", "version"), [("Tags", "1.0"), ("SkuMeter", "1.1"), ("InvoiceId", "1.2")]
)
def test_the_version_is_that_of_the_columns(last: str, version: str, tmp_path: Path) -> None:
    names = [one.name for one in FOCUS_COLUMNS if one.since is Version.V1_0]
    file = write_csv(tmp_path / "one.csv", [USAGE], tuple(dict.fromkeys((*names, last))))
    outcome = validate(Case([file], without=AWS))
    assert (str(outcome.version), outcome.guessed) == (version, True)


def test_several_files_are_one_dataset(tmp_path: Path) -> None:
    one = write_csv(tmp_path / "one.csv", [USAGE])
    other = write_csv(tmp_path / "two.csv", [USAGE, USAGE | {"BillingCurrency": "AUD"}])
    outcome = validate(Case([one, other]))
    assert outcome.rows == 3
    told = _find(outcome, "BillingCurrency.one-BillingCurrency")
    assert told.first is not None
    assert "AUD, USD" in str(told.first)


@pytest.mark.parametrize(("total", "conforms"), [("5.00", True), ("5.01", False)])
def test_an_invoice_s_charges_add_up_to_its_total(
    total: str, conforms: bool, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "one.csv", [USAGE, USAGE])
    outcome = validate(Case([file], invoices={"one": Decimal(total)}))
    assert (_ids(outcome.violated) == []) is conforms
    assert _find(validate(Case([file])), "BilledCost.invoice-sum").state is State.NOT_APPLICABLE


def test_an_invoice_without_any_charge_does_not_add_up(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "one.csv", [USAGE])
    outcome = validate(Case([file], invoices={"another": Decimal(1)}))
    assert _ids(outcome.violated) == ["BilledCost.invoice-sum"]


def test_a_list_of_invoices_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "invoices.csv"
    file.write_text("id,total\none,1\none,2\ntwo,many\n")
    with pytest.raises(InputError) as caught:
        read_invoices(file)
    assert [finding.line for finding in caught.value.findings] == [3, 4]
    file.write_text("invoice,sum\n")
    with pytest.raises(InputError, match="first line is id,total"):
        read_invoices(file)


def test_numbers_where_strings_belong_break_the_type_of_every_column(tmp_path: Path) -> None:
    file = tmp_path / "mistyped.parquet"
    columns = [one for one in FOCUS_COLUMNS if one.kind is not Kind.JSON]
    pq.write_table(pa.table({one.name: pa.array([1], pa.int64()) for one in columns}), file)
    outcome = validate(Case([file], version=Version.V1_2))
    broken = {one.rule.id for one in outcome.violated}
    assert {f"{one.name}.type" for one in columns} <= broken


def test_times_are_shown_in_utc_wherever_this_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Australia/Sydney")
    time.tzset()
    file = tmp_path / "times.parquet"
    moment = pa.array([datetime(2026, 10, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"ChargePeriodStart": moment, "ChargePeriodEnd": moment}), file)
    try:
        told = _find(validate(Case([file])), "ChargePeriodEnd.after-start")
        assert str(told.first).endswith(":1 2026-10-01 00:00:00")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_tags_may_be_a_map_as_aws_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "map.parquet"
    tags = pa.array([[("environment", "prod")]], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"Tags": tags}), file)
    assert _find(validate(Case([file])), "Tags.format").state is State.HELD


PAIRS = [
    '{"a": {"b": 1}}', '{"a": [1]}', '{"a": 1, "a": 2}', "[1]", '"text"', "{'a': 1}", "{", "1",
    '{"a": 1,}', '{"a": 1 , }', '{"a": NaN}', '{"a": -Infinity}', '{"a": inf}',
]  # fmt: skip


@pytest.mark.parametrize("text", PAIRS)
def test_only_an_object_of_plain_values_is_a_set_of_tags(text: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "tags.csv", [USAGE | {"Tags": text}])
    assert _ids(validate(Case([file])).violated) == ["Tags.format"]


@pytest.mark.parametrize(
    "text", ['{"a": "[{"}', '{"a,}": "NaN \\" ,}", "inf": "nan"}', "{}", '{"a": null, "b": 1e-3}']
)
def test_brackets_within_a_tag_are_text(text: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "tags.csv", [USAGE | {"Tags": text}])
    assert validate(Case([file])).violated == []


PRICES = st.decimals("0.000001", "9999", places=6)
QUANTITIES = st.decimals("0.0001", "99999", places=4)


@examples(10)
@given(rows=st.lists(st.tuples(PRICES, QUANTITIES, st.booleans()), min_size=1, max_size=30))
def test_a_cost_is_price_times_quantity_and_a_hundredth_beside_it_is_not(
    rows: list[tuple[Decimal, Decimal, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    charges = [
        USAGE
        | {
            "ListUnitPrice": str(price),
            "PricingQuantity": str(quantity),
            "ConsumedQuantity": str(quantity),
            "ContractedUnitPrice": str(price),
            "ContractedCost": str(price * quantity),
            "ListCost": str(price * quantity * (1 if right else Decimal("1.01")) + (not right)),
        }
        for price, quantity, right in rows
    ]
    file = write_csv(tmp_path_factory.mktemp("costs") / "costs.csv", charges)
    outcome = validate(Case([file]))
    wrong = sum(not right for *_, right in rows)
    assert _find(outcome, "ListCost.price-times-quantity").violations == wrong
    assert _find(outcome, "ContractedCost.price-times-quantity").violations == 0


@examples(10)
@given(
    used=st.decimals("0", "9999", places=2),
    unused=st.decimals("0", "9999", places=2),
    missing=st.decimals("-1", "1", places=2),
)
def test_a_commitment_costs_what_its_used_and_unused_parts_cost(
    used: Decimal,
    unused: Decimal,
    missing: Decimal,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    used_row, unused_row, purchase = CLEAN[2:5]
    rows = [
        used_row | {"EffectiveCost": str(used)},
        unused_row | {"EffectiveCost": str(unused)},
        purchase | {"BilledCost": str(used + unused + missing)},
    ]
    file = write_csv(tmp_path_factory.mktemp("sums") / "sums.csv", rows)
    told = _find(validate(Case([file])), "EffectiveCost.purchase-is-used")
    assert (told.state is State.HELD) is (missing == 0)


@pytest.mark.parametrize("version", [None, Version.V1_0, Version.V1_2])
def test_totals_of_invoices_that_no_row_names_are_not_held_against_anything(
    version: Version | None, tmp_path: Path
) -> None:
    """FOCUS 1.0 has no InvoiceId: that the totals were not looked at is not that they hold."""
    names = tuple(one.name for one in FOCUS_COLUMNS if one.since is Version.V1_0)
    file = write_csv(tmp_path / "one.csv", [USAGE], names)
    outcome = validate(Case([file], version=version, invoices={"one": Decimal(1)}))
    told = _find(outcome, "BilledCost.invoice-sum")
    assert (told.state, told.why) == (State.NOT_RUN, "there is no InvoiceId")
    assert told in outcome.not_run


def test_rows_of_no_provider_are_not_waived(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "nobody.csv", [USAGE | {"ProviderName": None, "SkuId": None}])
    told = _find(validate(Case([file])), "SkuId.of-what-is-priced")
    assert (told.violations, told.waived) == (1, 0)


def test_an_empty_list_of_invoices_is_none(tmp_path: Path) -> None:
    file = tmp_path / "invoices.csv"
    file.write_text("id,total\n")
    with pytest.raises(InputError, match="names no invoice"):
        read_invoices(file)
    file.write_text("id,total\none,1\n\n")
    assert read_invoices(file) == {"one": Decimal(1)}
