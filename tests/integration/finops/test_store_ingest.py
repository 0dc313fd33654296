"""The store: an export is taken in once, replaced whole, and never mixed with what it is not."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cost_exports import (
    charge,
    charges,
    deliver,
    touched,
    write_csv,
    write_parquet,
)
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.finops.focus.columns import arrow_schema
from xops.finops.store.cost_store import CostStore
from xops.finops.store.engine import open_engine
from xops.finops.store.ingest_text import restatement
from xops.finops.store.partitions import Label
from xops.finops.store.sources import Folder

IN_MAY = datetime(2026, 5, 20, tzinfo=UTC)
IN_JUNE = datetime(2026, 6, 2, tzinfo=UTC)
IN_JULY = datetime(2026, 7, 2, tzinfo=UTC)


def rows(store: CostStore, months: Sequence[str] | None = None, **chosen: Any) -> list[Any]:
    """Month, export, count and sum of what the store's table holds."""
    engine = open_engine(spill=store.folder.parent / "spill")
    try:
        table = store.table(engine, months, **chosen)
        grouped = table.group_by("billing_period", "export_id").agg(
            n=table.count(), cost=table.BilledCost.sum()
        )
        return sorted(tuple(row.values()) for row in grouped.to_pyarrow().to_pylist())
    finally:
        engine.disconnect()


def files(store: CostStore) -> set[str]:
    """Everything in the store, by name."""
    found = (path for path in store.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(store.folder)) for path in found} - {".lock"}


def test_a_store_that_holds_nothing_has_a_table_without_rows(store: CostStore) -> None:
    assert store.months() == []
    assert rows(store) == []
    engine = open_engine(spill=store.folder.parent / "spill")
    found = store.table(engine).to_pyarrow()
    engine.disconnect()
    assert found.schema.names == [*arrow_schema().names, "billing_period", "export_id"]
    assert found.schema.field("BilledCost").type == arrow_schema().field("BilledCost").type


@pytest.mark.parametrize("suffix", [".snappy.parquet", ".csv.gz"])
def test_an_export_is_taken_in_by_month(store: CostStore, tmp_path: Path, suffix: str) -> None:
    months = {"2026-04": charges("2026-04"), "2026-05": charges(count=5)}
    top = deliver(tmp_path, months, suffix=suffix, files=2)
    done = store.ingest(Folder(top), "aws", now=IN_MAY)
    assert [(one.month, one.before, one.restated) for one in done.changes] == [
        ("2026-04", None, False), ("2026-05", None, False),
    ]  # fmt: skip
    assert store.months() == ["2026-04", "2026-05"]
    assert rows(store) == [("2026-04", "aws", 3, Decimal(3)), ("2026-05", "aws", 5, Decimal(5))]
    assert rows(store, ["2026-05"]) == [("2026-05", "aws", 5, Decimal(5))]


def test_the_same_again_changes_nothing(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_MAY)
    before = files(store)
    again = store.ingest(Folder(top), "aws", now=IN_JUNE)
    assert (again.changes, again.unchanged) == ((), ("2026-05",))
    assert files(store) == before


def test_a_copy_with_another_date_is_the_same_content(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_MAY)
    touched(next(top.rglob("*.parquet")))
    again = store.ingest(Folder(top), "aws", now=IN_JUNE)
    assert (again.changes, again.unchanged) == ((), ("2026-05",))


def test_only_the_month_that_changed_is_replaced(store: CostStore, tmp_path: Path) -> None:
    months = {"2026-04": charges("2026-04"), "2026-05": charges()}
    top = deliver(tmp_path, months)
    store.ingest(Folder(top), "aws", now=IN_MAY)
    before = {name for name in files(store) if "2026-04" in name}
    deliver(tmp_path, {"2026-05": charges(count=9)}, execution="execution-2")
    done = store.ingest(Folder(top), "aws", now=IN_MAY)
    assert [one.month for one in done.changes] == ["2026-05"]
    assert done.unchanged == ("2026-04",)
    assert len([name for name in files(store) if "2026-05/aws/" in name]) == 1
    assert not done.restated  # the month goes on: that it grows is no restatement
    assert {name for name in files(store) if "2026-04" in name} == before
    assert rows(store, ["2026-05"]) == [("2026-05", "aws", 9, Decimal(9))]


def test_a_closed_month_that_is_restated_shows_what_it_was(
    store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_JUNE)
    deliver(tmp_path, {"2026-05": [*charges(), charge(cost="-0.75", ChargeClass="Correction")]})
    (change,) = store.ingest(Folder(top), "aws", now=IN_JULY).restated
    told = change.to_json()
    assert told["before"]["USD"]["billed"] == "3.000000000000"
    assert told["totals"]["USD"]["billed"] == "2.250000000000"
    assert told["delta"] == {"USD": "-0.750000000000"}
    assert rows(store) == [("2026-05", "aws", 4, Decimal("2.25"))]


def test_the_last_days_of_a_month_are_no_restatement(store: CostStore, tmp_path: Path) -> None:
    """What was taken in while it went on was never complete."""
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_MAY)
    deliver(tmp_path, {"2026-05": charges(count=31)})
    (change,) = store.ingest(Folder(top), "aws", now=IN_JUNE).changes
    assert not change.restated
    assert change.before is not None


def test_a_month_without_rows_is_known_to_have_none(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-04": [], "2026-05": charges()})
    done = store.ingest(Folder(top), "aws", now=IN_MAY)
    assert store.months() == ["2026-04", "2026-05"]
    assert rows(store, ["2026-04"]) == []
    assert "2026-04: there are no rows" in done.notes


def test_credits_that_exceed_the_charges_are_kept_and_said(
    store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {"2026-05": [charge(), charge(cost="-5", ChargeCategory="Credit")]})
    done = store.ingest(Folder(top), "aws", now=IN_MAY)
    assert rows(store) == [("2026-05", "aws", 2, Decimal(-4))]
    assert any("credits and refunds exceed" in note for note in done.notes)


@pytest.mark.parametrize("write", [write_parquet, write_csv])
def test_a_plain_folder_is_split_by_the_months_of_its_rows(
    store: CostStore, tmp_path: Path, write: Any
) -> None:
    name = "all.parquet" if write is write_parquet else "all.csv.gz"
    write(tmp_path / "plain" / name, [*charges(), *charges("2026-06", count=2)])
    store.ingest(Folder(tmp_path / "plain"), "aws", now=IN_JULY)
    assert rows(store) == [("2026-05", "aws", 3, Decimal(3)), ("2026-06", "aws", 2, Decimal(2))]


def test_one_bad_file_keeps_the_whole_export_out(store: CostStore, tmp_path: Path) -> None:
    months = {"2026-04": charges("2026-04"), "2026-05": charges()}
    top = deliver(tmp_path, months, suffix=".csv.gz")
    bad = top / "data/BILLING_PERIOD=2026-05/focus-00001.csv.gz"
    write_csv(bad, [charge(BilledCost="lots")])
    with pytest.raises(InputError) as refused:
        store.ingest(Folder(top), "aws", now=IN_MAY)
    (finding,) = refused.value.findings
    assert (finding.source, finding.path, finding.line) == (str(bad), "BilledCost", 2)
    assert store.months() == []
    assert files(store) == set()


def test_rows_of_another_month_are_refused(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": [*charges(), charge("2026-04")]})
    with pytest.raises(InputError, match="1 rows are of 2026-04, not 2026-05"):
        store.ingest(Folder(top), "aws", now=IN_MAY)


def test_the_same_charges_by_two_names_are_refused(store: CostStore, tmp_path: Path) -> None:
    store.ingest(Folder(deliver(tmp_path, {"2026-05": charges()})), "aws", now=IN_MAY)
    other = deliver(tmp_path, {"2026-05": charges(count=4)}, name="again", suffix=".csv.gz")
    with pytest.raises(InputError, match="100% of the charges are those of aws already"):
        store.ingest(Folder(other), "again", now=IN_MAY)
    assert rows(store) == [("2026-05", "aws", 3, Decimal(3))]


def test_two_exports_of_different_charges_stand_side_by_side(
    store: CostStore, tmp_path: Path
) -> None:
    store.ingest(Folder(deliver(tmp_path, {"2026-05": charges()})), "aws", now=IN_MAY)
    others = [charge(cost="2", SubAccountId="111111111111")]
    other = deliver(tmp_path, {"2026-05": others}, name="other")
    store.ingest(Folder(other), "other", now=IN_MAY)
    assert rows(store) == [("2026-05", "aws", 3, Decimal(3)), ("2026-05", "other", 1, Decimal(2))]


def test_currencies_are_not_mixed_unless_they_are_kept_apart(
    store: CostStore, tmp_path: Path
) -> None:
    mixed = [charge(), charge(day=2, cost="7", BillingCurrency="AUD")]
    top = deliver(tmp_path, {"2026-05": mixed})
    with pytest.raises(InputError) as refused:
        store.ingest(Folder(top), "aws", now=IN_MAY)
    told = [(one.source, one.path, one.message) for one in refused.value.findings]
    assert told == [
        ("aws", "2026-05", "1 rows, 7.000000000000 AUD"),
        ("aws", "2026-05", "1 rows, 1.000000000000 USD"),
    ]
    store.ingest(Folder(top), "aws", now=IN_MAY, apart=True)
    assert store.currencies() == ["AUD", "USD"]
    with pytest.raises(InputError, match="charges in AUD, USD"):
        rows(store)
    assert rows(store, currency="AUD") == [("2026-05", "aws", 1, Decimal(7))]


def test_a_currency_of_another_month_is_another_currency(store: CostStore, tmp_path: Path) -> None:
    store.ingest(Folder(deliver(tmp_path, {"2026-04": charges("2026-04")})), "aws", now=IN_MAY)
    euros = [charge(BillingCurrency="EUR")]
    with pytest.raises(InputError, match="several currencies"):
        store.ingest(Folder(deliver(tmp_path, {"2026-05": euros})), "aws", now=IN_MAY)


def test_sample_data_stays_marked_and_alone(store: CostStore, tmp_path: Path) -> None:
    write_parquet(tmp_path / "sample" / "x.parquet", charges(), sample=True)
    store.ingest(Folder(tmp_path / "sample"), "sample", now=IN_MAY)
    assert [one.label for one in store.partitions()] == [Label.SAMPLE]
    real = deliver(tmp_path, {"2026-04": charges("2026-04")})
    with pytest.raises(InputError, match="sample data beside real charges"):
        store.ingest(Folder(real), "aws", now=IN_MAY)


def test_a_tag_that_no_row_carries_is_said(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": [charge(Tags='{"user:owner": "x"}')]})
    notes = store.ingest(Folder(top), "aws", now=IN_MAY, tags=("environment", "owner")).notes
    assert len(notes) == 1
    assert "no row carries the tag environment: activate it as a cost allocation tag" in notes[0]


def test_a_refresh_that_is_under_way_is_refused(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()}, files=2)
    store.ingest(Folder(top), "aws", now=IN_MAY)
    deliver(tmp_path, {"2026-05": charges(count=9)}, files=2)
    next(top.rglob("*00002*")).unlink()
    with pytest.raises(TemporaryError, match="1 of its 2 files are not there"):
        store.ingest(Folder(top), "aws", now=IN_MAY)
    assert rows(store) == [("2026-05", "aws", 3, Decimal(3))]


def test_progress_is_told_from_nothing_to_all(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()}, files=3)
    told: list[tuple[str, float]] = []
    store.ingest(
        Folder(top), "aws", now=IN_MAY,
        told=lambda message, percent: told.append((message, percent or 0.0)),
    )  # fmt: skip
    shares = [percent for _, percent in told]
    assert shares == sorted(shares)
    assert shares[0] == 0 < shares[-1] <= 100
    assert len({message for message, _ in told}) == 3


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 2, "month": "2026-05"}', "{}"])
def test_a_manifest_that_somebody_changed_is_said(
    store: CostStore, tmp_path: Path, content: str
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_MAY)
    manifest = store.folder / "billing_period=2026-05" / "manifest.json"
    manifest.write_text(content)
    for work in (store.partitions, lambda: store.ingest(Folder(top), "aws", now=IN_MAY)):
        with pytest.raises(InputError, match=r"manifest\.json"):
            work()


def test_a_part_that_is_gone_is_an_error_and_no_zero(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_MAY)
    next(store.folder.rglob("part-*.parquet")).unlink()
    with pytest.raises(PermanentError, match="1 of 1 files are gone"):
        rows(store)


def test_the_manifest_says_where_charges_come_from(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()}, execution="e-7")
    store.ingest(Folder(top), "aws", now=IN_MAY)
    file = store.folder / "billing_period=2026-05" / "manifest.json"
    (kept,) = json.loads(file.read_text())["partitions"]
    assert kept["execution"] == "e-7"
    assert kept["address"] == str(top)
    assert kept["label"] == "actual"
    assert kept["totals"] == [
        {
            "currency": "USD",
            "rows": 3,
            "billed": "3.000000000000",
            "effective": "3.000000000000",
        }
    ]


def test_a_restatement_to_nothing_says_what_was_there(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_JUNE)
    deliver(tmp_path, {"2026-05": []})
    (change,) = store.ingest(Folder(top), "aws", now=IN_JULY).restated
    (shown,) = change.shown
    assert (shown.rows, shown.billed) == (0, Decimal(0))
    assert restatement(change, shown) == "restated by -3.00, was 3.00"


def test_an_effective_cost_that_is_restated_is_told_by_itself(
    store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_JUNE)
    deliver(tmp_path, {"2026-05": [*charges(count=2), charge(day=3, EffectiveCost=Decimal(9))]})
    (change,) = store.ingest(Folder(top), "aws", now=IN_JULY).restated
    told = change.to_json()
    assert Decimal(told["delta"]["USD"]) == 0
    assert Decimal(told["effective_delta"]["USD"]) == 8
    said = restatement(change, change.after[0])
    assert said == "effective cost restated by +8.00, was 3.00"


def test_more_rows_of_the_same_money_restate_nothing(store: CostStore, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=IN_JUNE)
    deliver(tmp_path, {"2026-05": [*charges(), charge(day=9, cost="0")]})
    done = store.ingest(Folder(top), "aws", now=IN_JULY)
    assert (len(done.changes), done.restated) == (1, ())


@pytest.mark.parametrize("other", ["x copy.csv", "x.csv.gz", "x.parquet"])
def test_the_same_charges_twice_in_one_folder_are_refused(
    store: CostStore, tmp_path: Path, other: str
) -> None:
    plain = tmp_path / "plain"
    (write_parquet if other.endswith("parquet") else write_csv)(plain / other, charges())
    write_csv(plain / "x.csv", charges())
    with pytest.raises(InputError, match=r"has the charges of .* again"):
        store.ingest(Folder(plain), "aws", now=IN_MAY)
    assert store.months() == []
    write_csv(plain / "x.csv", [])
    write_csv(plain / "none.csv", [])  # two headers are alike, and count nothing
    store.ingest(Folder(plain), "aws", now=IN_MAY)
    assert [one.rows for one in store.partitions()] == [3]


def test_a_plain_folder_that_one_file_was_taken_from_is_read_again(
    store: CostStore, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    write_csv(plain / "a.csv", charges())
    write_csv(plain / "b.csv", [charge(cost="50")])
    write_csv(plain / "june.csv", charges("2026-06"))
    store.ingest(Folder(plain), "aws", now=IN_MAY)
    (plain / "june.csv").unlink()
    assert store.ingest(Folder(plain), "aws", now=IN_MAY).unchanged == ("2026-05",)
    (plain / "b.csv").unlink()
    store.ingest(Folder(plain), "aws", now=IN_MAY)
    assert rows(store) == [("2026-05", "aws", 3, Decimal(3)), ("2026-06", "aws", 3, Decimal(3))]


def test_files_without_a_row_are_said(store: CostStore, tmp_path: Path) -> None:
    write_csv(tmp_path / "plain" / "x.csv", [])
    done = store.ingest(Folder(tmp_path / "plain"), "aws", now=IN_MAY)
    assert done.notes == ("there are no rows, so that no month is known of",)
    assert store.months() == []


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_goes_while_it_is_read_is_waited_for(
    store: CostStore, tmp_path: Path, replaced: bool
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    file = next(top.rglob("*.parquet"))

    class Changing(Folder):
        def fetch(self, *asked: Any) -> Any:
            fetched = super().fetch(*asked)
            file.unlink()
            if replaced:
                write_parquet(file, [charge(cost="77")])
            return fetched

    with pytest.raises(TemporaryError, match="replaced or removed while it was read"):
        store.ingest(Changing(top), "aws", now=IN_MAY)
    assert store.months() == []


def test_a_link_is_refused_and_not_left_out(store: CostStore, tmp_path: Path) -> None:
    write_csv(tmp_path / "elsewhere.csv", charges())
    write_csv(tmp_path / "plain" / "a.csv", charges())
    (tmp_path / "plain" / "b.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(InputError, match=r"b\.csv: is a link"):
        store.ingest(Folder(tmp_path / "plain"), "aws", now=IN_MAY)


@pytest.mark.parametrize("begin", [0.1, 0.9])
def test_a_part_that_is_damaged_is_said_with_what_to_do(
    store: CostStore, tmp_path: Path, begin: float
) -> None:
    top = deliver(tmp_path, {"2026-05": charges(count=20)})
    store.ingest(Folder(top), "aws", now=IN_MAY)
    part = next(store.folder.rglob("part-*.parquet"))
    content = bytearray(part.read_bytes())
    first = int(begin * len(content))
    content[first : first + 400] = b"U" * len(content[first : first + 400])
    part.write_bytes(content)
    with pytest.raises(PermanentError, match=r"Remove the manifest\.json"), store.reading():
        everything(store)


def everything(store: CostStore) -> Any:
    engine = open_engine(spill=store.folder.parent / "spill")
    try:
        return store.table(engine).to_pyarrow()
    finally:
        engine.disconnect()
