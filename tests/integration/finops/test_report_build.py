"""Reports of a store: sums are those of the store to the cent, and other commands say the same."""

import csv
import json
from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.hostile import HOSTILE
from tests.integration.finops import sample_costs
from tests.integration.finops.sample_costs import TODAY, sources, store_of_actual_costs, take_in
from xops.cli import main
from xops.core.errors import ExitCode, InputError
from xops.core.rendering import visible
from xops.finops.focus.sample import Planted, planted
from xops.finops.focus.sample_meters import NEW_METER
from xops.finops.report import files, memory
from xops.finops.report.build import build
from xops.finops.report.files import Written
from xops.finops.report.model.report import Report
from xops.finops.report.model.spending import Movers, Spend
from xops.finops.report.model.trust import Restatement, Watch
from xops.finops.report.model.values import Known, Label, Unknown, number
from xops.finops.report.sample import make_sample_store
from xops.finops.report.spent import Scope
from xops.finops.store.cost_store import CostStore

ALL = Scope()
Made = tuple[Report, Written, CostStore]


def tell_nobody(message: str, percent: float) -> None:
    """Nobody waits."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The sample's report, written."""
    folder = tmp_path_factory.mktemp("report")
    store = make_sample_store(folder, TODAY)
    found = build(sources(store, folder), ALL, TODAY)
    return found, files.write(found, folder / "out", tell_nobody), store


def data(made: Made) -> Path:
    return made[1].page.parent / "data"


def store_totals(store: CostStore) -> dict[str, tuple[Decimal, Decimal]]:
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for partition in store.partitions():
        billed, effective = found.get(partition.month, (Decimal(0), Decimal(0)))
        for total in partition.totals:
            billed, effective = billed + total.billed, effective + total.effective
        found[partition.month] = billed, effective
    return found


def sums(rows: list[dict[str, Any]]) -> dict[str, tuple[Decimal, Decimal]]:
    found: dict[str, tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for row in rows:
        billed, effective = found[row["month"]]
        found[row["month"]] = (
            billed + Decimal(row["billed"]), effective + Decimal(row["effective"]),
        )  # fmt: skip
    return dict(found)


def test_csv_json_and_parquet_add_up_to_what_the_store_holds(made: Made) -> None:
    expected = store_totals(made[2])
    with (data(made) / "costs.csv").open(newline="") as file:
        assert sums(list(csv.DictReader(file))) == expected
    told = json.loads((data(made) / "report.json").read_text())
    assert sums(told["tables"]["costs"]) == expected
    assert sums(pq.read_table(data(made) / "costs.parquet").to_pylist()) == expected


def test_the_months_on_the_page_are_those_of_the_store(made: Made) -> None:
    spend = made[0].spend
    assert isinstance(spend, Spend)
    shown = {
        month.name: total.amount
        for month, total in zip(spend.months, spend.totals, strict=True)
        if isinstance(total, Known)
    }
    assert shown == {month: billed for month, (billed, _) in store_totals(made[2]).items()}
    assert [month.name for month in spend.months if month.is_partial] == ["2026-11"]


def test_every_number_of_a_sample_is_labelled_so(made: Made) -> None:
    report = made[0]
    assert report.label is Label.SAMPLE
    told = json.loads((data(made) / "report.json").read_text())
    for name in ("costs", "days", "services", "budgets", "movers", "anomalies", "coverage"):
        rows = told["tables"][name]
        assert rows, name
        assert {row["label"] for row in rows} == {"sample"}, name
    for name in ("replicas", "scenarios", "streams"):
        assert {row["label"] for row in told["tables"][name]} == {"estimated"}, name


def test_what_was_planted_is_found(made: Made) -> None:
    watch = made[0].watch
    assert isinstance(watch, Watch)
    found = {(one.series, one.first) for one in watch.unexplained}
    sown = planted(TODAY - timedelta(days=1))
    assert found == {(f"{one.environment}: {_service(one)}", one.first) for one in sown}
    assert made[0].exit_code is ExitCode.FINDINGS


def _service(one: Planted) -> str:
    return NEW_METER.service.name if one.kind == "new service" else one.service


def test_the_other_commands_say_the_same(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    report, _, store = made
    forecast = _told(capsys, "forecast", store)
    rows = {row["environment"]: row for row in forecast["environments"]}
    for row in report.budgets:
        other = rows[row.environment]
        assert number(row.spent) == Decimal(other["actual"])
        assert not isinstance(row.forecast, Unknown)
        assert row.forecast.expected == Decimal(other["expected"])
        assert row.forecast.low == Decimal(other["low"])
    odd = _told(capsys, "anomalies", store)["anomalies"]
    assert isinstance(report.watch, Watch)
    assert [(one.first.isoformat(), one.amount) for one in report.watch.anomalies] == [
        (one["from"], Decimal(one["cost"])) for one in odd
    ]


def _told(capsys: pytest.CaptureFixture[str], command: str, store: CostStore) -> Any:
    with pytest.raises(SystemExit):
        main(["costs", command, "--store", str(store.folder), "--as-of", str(TODAY), "--json"])
    return json.loads(capsys.readouterr().out)


def test_the_parts_of_a_reconciliation_add_up_to_the_cent(made: Made) -> None:
    assert {one.environment for one in made[0].reconciliations} == {"prod", "sit", "test"}
    for one in made[0].reconciliations:
        planned, actual = number(one.planned), number(one.actual)
        assert planned is not None
        parts = sum(one.total(part) for part in ("quantity", "mix", "price"))
        assert planned + parts + one.unplanned == actual
        assert one.month.name == "2026-10"


def test_one_environment_s_report_holds_its_charges_alone(made: Made, tmp_path: Path) -> None:
    whole, _, store = made
    part = build(sources(store, tmp_path), Scope("prod"), TODAY)
    expected = sum(row.billed for row in whole.costs if row.environment == "prod")
    assert sum(row.billed for row in part.costs) == expected
    assert {row.environment for row in part.days} == {"prod"}
    assert [row.environment for row in part.budgets] == ["prod"]
    assert [one.environment for one in part.plans] == ["prod"]
    assert part.budgets[0].spent == next(
        row.spent for row in whole.budgets if row.environment == "prod"
    )


def test_the_same_store_gives_the_same_files(made: Made, tmp_path: Path) -> None:
    report, written, store = made
    again = files.write(build(sources(store, tmp_path), ALL, TODAY), tmp_path / "out", tell_nobody)
    for file in sorted(path for path in written.page.parent.rglob("*") if path.is_file()):
        other = again.page.parent / file.relative_to(written.page.parent)
        assert other.read_bytes() == file.read_bytes(), file.name
    assert report.as_of == TODAY


def test_days_after_the_one_that_is_asked_for_do_not_count(made: Made, tmp_path: Path) -> None:
    early = build(sources(made[2], tmp_path), ALL, date(2026, 11, 10))
    assert max(row.day for row in early.days) < date(2026, 11, 10)
    spend = early.spend
    assert isinstance(spend, Spend)
    assert str(spend.months[-1]) == "2026-11 (to 09 Nov)"
    whole = made[0].spend
    assert isinstance(whole, Spend)
    assert number(spend.totals[-1]) < number(whole.totals[-1])  # type: ignore[operator]


@pytest.mark.parametrize("today", [date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)])
def test_the_first_days_of_a_month_have_a_report(made: Made, tmp_path: Path, today: date) -> None:
    report = build(sources(made[2], tmp_path), ALL, today)
    month = {row.month.name for row in report.budgets}
    assert month == ({"2026-10"} if today.day == 1 else {"2026-11"})
    assert all(row.month.is_partial for row in report.budgets)


def test_a_store_without_charges_says_how_to_get_some(tmp_path: Path) -> None:
    store = CostStore.open(tmp_path / "costs")
    with pytest.raises(InputError, match="it holds no charges") as caught:
        build(sources(store, tmp_path), ALL, TODAY)
    assert "xops costs ingest" in caught.value.remedy


def test_a_store_of_another_year_says_what_it_holds(made: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the newest month in it is 2026-11"):
        build(sources(made[2], tmp_path), ALL, date(2028, 1, 1))


def some_in_aud(rows: pa.Table) -> pa.Table:
    position = rows.schema.get_field_index("BillingCurrency")
    is_tax = pc.equal(rows["ChargeCategory"], "Tax")
    return rows.set_column(position, rows.field(position), pc.if_else(is_tax, "AUD", "USD"))


def test_amounts_of_two_currencies_are_never_added_up(tmp_path: Path) -> None:
    store = store_of_actual_costs(tmp_path, some_in_aud, months=2, apart=True)
    report = build(sources(store, tmp_path), ALL, TODAY)
    assert report.currency == "USD"
    assert "charges in AUD" in [gap.what for gap in report.gaps]
    assert {row.category for row in report.costs} == {"Usage"}
    only = sum(
        total.billed
        for partition in store.partitions()
        for total in partition.totals
        if total.currency == "USD"
    )
    assert sum(row.billed for row in report.costs) == only


def without_days(*days: date) -> sample_costs.Change:
    def change(rows: pa.Table) -> pa.Table:
        begun = pc.cast(rows["ChargePeriodStart"], pa.date32())
        lost = pa.array(list(days), pa.date32())
        usage = pc.equal(rows["ChargeCategory"], "Usage")
        return rows.filter(pc.invert(pc.and_(usage, pc.is_in(begun, lost))))

    return change


def test_a_day_that_was_not_delivered_is_unknown_and_no_zero(tmp_path: Path) -> None:
    lost = date(2026, 11, 18)
    store = store_of_actual_costs(tmp_path, without_days(lost))
    report = build(sources(store, tmp_path), ALL, TODAY)
    assert isinstance(report.movers, Unknown)
    assert [gap.what for gap in report.gaps] == ["1 days"]
    assert lost not in {row.day for row in report.days}
    assert {str(row.month) for row in report.budgets} == {"2026-11 (to 27 Nov, 1 day missing)"}
    watch = report.watch
    assert isinstance(watch, Watch)
    assert lost not in {one.day for one in watch.days}


def test_on_the_first_of_a_month_the_report_is_of_the_month_before(tmp_path: Path) -> None:
    store = store_of_actual_costs(tmp_path)  # with charges of the first, which is not over
    report = build(sources(store, tmp_path), ALL, date(2026, 11, 1))
    assert isinstance(report.spend, Spend)
    assert report.spend.months[-1].name == "2026-10"
    assert {row.month.name for row in report.budgets} == {"2026-10"}


def with_hostile_tags(rows: pa.Table) -> pa.Table:
    texts = [text for text in HOSTILE.values() if visible(text) == text and text.strip()]
    found = rows.to_pylist()
    for number_, row in enumerate(found):
        if row["Tags"] and number_ % 3 == 0:
            tags = json.loads(row["Tags"])
            tags["environment"] = texts[number_ % len(texts)]
            row["Tags"] = json.dumps(tags)
            row["ResourceId"] = "=cmd|' /C calc'!A0<img src=x onerror=alert(1)>"
    return pa.Table.from_pylist(found, schema=rows.schema)


def test_tags_of_others_are_text_in_everything_that_is_written(tmp_path: Path) -> None:
    store = store_of_actual_costs(tmp_path, with_hostile_tags, months=1)
    report = build(sources(store, tmp_path), ALL, TODAY)
    written = files.write(report, tmp_path / "out", tell_nobody)
    hostile = [row.environment for row in report.budgets if "<" in row.environment]
    assert hostile
    html = written.page.read_text()
    for tag in ("<script", "<img", "<div hidden", "<details><img", "onerror=alert(1)>"):
        assert tag not in html, tag
        assert tag not in written.summary, tag
    for file in (tmp_path / "out" / "plots").glob("*.svg"):
        assert "<img" not in file.read_text()
    for file in (tmp_path / "out" / "data").glob("*.csv"):
        with file.open(newline="") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert not [cell for cell in cells if cell.lstrip().startswith(("=", "@"))], file.name


def dearer(rows: pa.Table) -> pa.Table:
    found = rows.to_pylist()
    if found[0]["BillingPeriodStart"].month == 10:
        usage = next(row for row in found if row["ChargeCategory"] == "Usage")
        usage["BilledCost"] += Decimal("12.34")
    return pa.Table.from_pylist(found, schema=rows.schema)


def test_a_closed_month_that_is_billed_anew_is_told_of(tmp_path: Path) -> None:
    store = store_of_actual_costs(tmp_path)
    first = build(sources(store, tmp_path), ALL, TODAY)
    assert first.restatements == Unknown("no earlier report is remembered to compare with")
    memory.remember(first, store.folder)
    for file in (tmp_path / "exports").glob("*.parquet"):
        pq.write_table(dearer(pq.read_table(file)), file)
    take_in(tmp_path)
    later = TODAY + timedelta(days=1)
    second = build(sources(store, tmp_path), ALL, later)
    assert isinstance(second.restatements, tuple)
    [told] = second.restatements
    assert isinstance(told, Restatement)
    assert (told.month, told.found_on) == ("2026-10", later)
    assert told.after - told.before == Decimal("12.34")


def test_the_store_is_not_touched_by_what_is_remembered(tmp_path: Path) -> None:
    store = store_of_actual_costs(tmp_path, months=2)
    report = build(sources(store, tmp_path), ALL, TODAY)
    memory.remember(report, store.folder)
    again = build(sources(store, tmp_path), ALL, TODAY)
    assert again.restatements == ()
    assert replace(again, restatements=report.restatements) == report
    assert isinstance(again.movers, Movers)
