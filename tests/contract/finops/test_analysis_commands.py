"""`xops costs anomalies`, `forecast` and `explain` as a person and a machine see them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.charges import charge, table
from xops.cli import main
from xops.core.errors import ExitCode
from xops.core.evidence.log import RecordKind
from xops.core.evidence.settings import FolderEvidence, open_evidence
from xops.finops.focus.sample import write_sample
from xops.finops.store.cost_store import CostStore
from xops.finops.store.sources import Folder

UNTIL = date(2026, 11, 25)
AS_OF = ("--as-of", str(UNTIL))
PROD = {"environment": "prod", "owner": "platform"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the sample, in which a rise, a drop and a new service are planted."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "exports", until=UNTIL)
    return _stored(folder)


def _stored(folder: Path) -> Path:
    store = CostStore.open(folder / "store")
    store.ingest(Folder(folder / "exports"), "charges", now=datetime.now(UTC))
    return store.folder


def stored(folder: Path, charges: Iterable[Mapping[str, Any]]) -> Path:
    """A store of these charges."""
    (folder / "exports").mkdir()
    pq.write_table(table(charges), folder / "exports" / "charges.parquet")
    return _stored(folder)


def days(count: int, cost: str = "5", **others: Any) -> Iterator[dict[str, Any]]:
    """A charge on each of the days before the one that is today in these tests."""
    for number in range(count, 0, -1):
        yield charge(UNTIL - timedelta(days=number), cost, tags=PROD, **others)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


Shown = pytest.CaptureFixture[str]


def run(shown: Shown, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["costs", *words])
    out = shown.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def told(shown: Shown, *words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(shown, *words, "--json")
    return code, json.loads(out)


def test_what_is_planted_in_the_sample_is_found_and_nothing_else(
    capsys: Shown, sample: Path
) -> None:
    code, found = told(capsys, "anomalies", "--store", str(sample), *AS_OF)
    assert code == ExitCode.FINDINGS
    assert found["label"] == "sample"
    assert [(one["kind"], one["environment"], one["from"]) for one in found["anomalies"]] == [
        ("rise", "prod", "2026-11-19"), ("new", "sit", "2026-11-13"), ("drop", "sit", "2026-11-05"),
    ]  # fmt: skip
    assert found["anomalies"][0]["causes"][0]["usage_type"] == "APS2-NatGateway-Bytes"


@pytest.mark.parametrize(
    "words",
    [
        ("anomalies",),
        ("forecast",),
        ("explain",),
        ("explain", "--since-last-week"),
        ("explain", "--untagged"),
    ],
)
def test_people_are_told_that_data_are_a_sample(
    capsys: Shown, sample: Path, words: tuple[str, ...]
) -> None:
    _, out, _ = run(capsys, *words, "--store", str(sample), *AS_OF)
    assert "sample data: made up" in out
    assert "2026-11-23 to 2026-11-24: more is to come" in out


def test_an_applied_plan_explains_what_is_odd(capsys: Shown, sample: Path) -> None:
    digest = "c" * 64
    moment = datetime(2026, 11, 12, 20, tzinfo=UTC)
    log = open_evidence(FolderEvidence().open(), "ecs/sit")
    log.clock = lambda: moment
    log.append(RecordKind.INTENT, digest, {"approval": {"by": "jo"}, "stage": "all"}, opens=True)
    asked = ("--environment", "sit", "--store", str(sample), *AS_OF)
    code, found = told(capsys, "anomalies", *asked, "--days", "13")
    assert code == ExitCode.DONE
    [only] = found["anomalies"]
    assert (only["kind"], only["planned"][0]["who"]) == ("new", "jo")
    _, out, _ = run(capsys, "anomalies", *asked)
    assert "changed on 2026-11-12: plan cccccccccccc, approved by jo" in out


def test_whose_changes_are_unknown_is_said(capsys: Shown, sample: Path) -> None:
    asked = ("--store", str(sample), *AS_OF)
    for words in (("anomalies",), ("explain",), ("explain", "--since-last-week")):
        _, found = told(capsys, *words, *asked)
        assert found["changes_unknown"] == ["prod"]
        assert "unknown of prod: --with-bucket reads" in run(capsys, *words, *asked)[1]


def test_nothing_odd_is_done(capsys: Shown, tmp_path: Path) -> None:
    store = stored(tmp_path, days(60))
    code, found = told(capsys, "anomalies", "--store", str(store), *AS_OF)
    assert (code, found["anomalies"], found["label"]) == (ExitCode.DONE, [], "actual")
    assert found["unknown"] is None


def test_missing_days_are_incomplete_and_no_drop(capsys: Shown, tmp_path: Path) -> None:
    charges = [one for one in days(60) if one["ChargePeriodStart"].day != 17]
    store = stored(tmp_path, charges)
    code, found = told(capsys, "anomalies", "--store", str(store), *AS_OF)
    assert (code, found["anomalies"]) == (ExitCode.INCOMPLETE, [])
    assert found["missing"] == ["2026-10-17", "2026-11-17"]


@pytest.mark.parametrize("command", ["anomalies", "forecast", "explain"])
def test_without_costs_the_answer_is_unknown(capsys: Shown, command: str) -> None:
    code, found = told(capsys, command, *AS_OF)
    assert code == ExitCode.INCOMPLETE
    assert (found["label"], found["from"]) == (None, None)
    assert "`xops costs ingest` takes costs in" in run(capsys, command, *AS_OF)[1]


@pytest.mark.parametrize(
    "words", [("anomalies",), ("forecast",), ("explain",), ("explain", "--untagged")]
)
def test_an_environment_that_no_charge_names_is_unknown_and_not_free(
    capsys: Shown, tmp_path: Path, words: tuple[str, ...]
) -> None:
    store = stored(tmp_path, days(60))
    code, found = told(capsys, *words, "-e", "sit", "--store", str(store), *AS_OF)
    assert code == ExitCode.INCOMPLETE
    assert found["unknown"].startswith("no costs name sit")


def test_a_short_history_gives_no_forecast(capsys: Shown, tmp_path: Path) -> None:
    store = stored(tmp_path, days(15))
    code, found = told(capsys, "forecast", "--store", str(store), *AS_OF)
    [only] = found["environments"]
    assert (code, only["expected"], only["verdict"]) == (ExitCode.INCOMPLETE, None, "unknown")
    assert only["unknown"] == "13 days with costs are known, 28 are needed"
    assert only["actual"].startswith("75.")


@pytest.mark.parametrize(
    ("cost", "verdict", "code"), [("5", "within", ExitCode.DONE), ("7", "over", ExitCode.FINDINGS)]
)
def test_a_forecast_is_held_against_the_budget_of_the_environment(
    capsys: Shown, tmp_path: Path, cost: str, verdict: str, code: ExitCode
) -> None:
    store = stored(tmp_path, days(60, cost))
    ended, found = told(capsys, "forecast", "-e", "prod", "--store", str(store), *AS_OF)
    [only] = found["environments"]
    assert (ended, only["verdict"], only["budget"]) == (code, verdict, "180")
    assert float(only["expected"]) == pytest.approx(30 * int(cost))


def test_what_was_spent_already_is_over_whatever_is_unknown(capsys: Shown, tmp_path: Path) -> None:
    store = stored(tmp_path, days(10, "30"))
    code, found = told(capsys, "forecast", "-e", "prod", "--store", str(store), *AS_OF)
    [only] = found["environments"]
    assert (code, only["verdict"], only["expected"]) == (ExitCode.FINDINGS, "over", None)


def test_tax_and_credits_are_no_part_of_a_forecast_and_a_purchase_counts_once(
    capsys: Shown, tmp_path: Path
) -> None:
    first = date(2026, 11, 1)
    others = [
        charge(first, "99", ChargeCategory="Tax", tags=PROD, PricingCategory=None),
        charge(first, "-99", ChargeCategory="Credit", tags=PROD),
        charge(first, "12", ChargeCategory="Purchase", tags=PROD),
    ]
    store = stored(tmp_path, [*days(60), *others])
    _, found = told(capsys, "forecast", "-e", "prod", "--store", str(store), *AS_OF)
    assert float(found["environments"][0]["expected"]) == pytest.approx(150 + 12)


def test_charges_in_another_currency_are_left_out_and_named(capsys: Shown, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    aud = days(60, "900", BillingCurrency="AUD", PricingCurrency="AUD")
    pq.write_table(table([*days(60), *aud]), exports / "charges.parquet")
    store = CostStore.open(tmp_path / "store")
    store.ingest(Folder(exports), "charges", now=datetime.now(UTC), apart=True)
    code, found = told(capsys, "forecast", "-e", "prod", "--store", str(store.folder), *AS_OF)
    assert code == ExitCode.DONE
    assert found["other_currencies"] == ["AUD"]


def test_a_day_and_why(capsys: Shown, sample: Path) -> None:
    code, out, _ = run(capsys, "explain", "--day", "2026-11-20", "--store", str(sample), *AS_OF)
    assert code == ExitCode.DONE
    assert "APS2-NatGateway-Bytes" in out.partition("Because:")[2]


def test_a_day_that_is_not_known_is_incomplete(capsys: Shown, sample: Path) -> None:
    code, out, _ = run(capsys, "explain", "--day", "2025-01-01", "--store", str(sample), *AS_OF)
    assert code == ExitCode.INCOMPLETE
    assert "unknown: no costs of that day were delivered" in out


def test_what_changed_since_last_week(capsys: Shown, sample: Path) -> None:
    code, found = told(capsys, "explain", "--since-last-week", "--store", str(sample), *AS_OF)
    assert code == ExitCode.DONE
    first, second, *_ = found["changed"]["movers"]
    assert (first["environment"], first["usage_type"]) == ("prod", "APS2-NatGateway-Bytes")
    assert second["service"] == "Amazon Relational Database Service"


def test_less_than_two_weeks_are_compared_with_nothing(capsys: Shown, tmp_path: Path) -> None:
    asked = ("explain", "--since-last-week", "--store", str(stored(tmp_path, days(10))), *AS_OF)
    code, found = told(capsys, *asked)
    assert (code, found["changed"]["difference"]) == (ExitCode.INCOMPLETE, None)
    assert len(found["changed"]["missing"]) == 6
    _, out, _ = run(capsys, *asked)
    assert "6 of the days from 2026-11-09 on were not delivered" in out
    assert "+" not in out


def test_a_month_of_which_nothing_was_delivered_cost_nobody_knows_what(
    capsys: Shown, tmp_path: Path
) -> None:
    store = stored(tmp_path, [one for one in days(60) if one["ChargePeriodStart"].month < 11])
    asked = ("forecast", "-e", "prod", "--store", str(store), "--as-of", "2026-11-02")
    code, found = told(capsys, *asked)
    assert (code, found["environments"][0]["actual"]) == (ExitCode.INCOMPLETE, None)
    assert float(found["environments"][0]["expected"]) == pytest.approx(150)
    assert "unknown so far" in run(capsys, *asked)[1]


def test_charges_in_no_currency_of_budgets_are_not_said_to_be_none(
    capsys: Shown, tmp_path: Path
) -> None:
    store = stored(tmp_path, days(60, BillingCurrency="AUD", PricingCurrency="AUD"))
    code, found = told(capsys, "forecast", "--store", str(store), *AS_OF)
    assert code == ExitCode.INCOMPLETE
    assert found["unknown"] == "charges of the 180 days before 2026-11-25 are in AUD, none in USD"


def test_a_tag_is_called_by_the_key_that_it_is_configured_to_have(
    capsys: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_COSTS_TAGS__SERVICE", "usage")
    store = stored(tmp_path, days(60))
    _, found = told(capsys, "explain", "--untagged", "--store", str(store), *AS_OF)
    tags = [one["tag"] for one in found["untagged"]["coverage"]]
    assert tags == ["environment", "usage", "owner"]


def test_what_rounds_to_nothing_has_no_sign_of_a_loss(capsys: Shown, tmp_path: Path) -> None:
    tiny = charge(UNTIL - timedelta(days=5), "-0.001", tags=PROD, ServiceName="tiny")
    store = stored(tmp_path, [*days(60), tiny])
    for words in (("explain", "--since-last-week"), ("explain", "--day", "2026-11-20")):
        assert "-0.00" not in run(capsys, *words, "--store", str(store), *AS_OF)[1]


def test_what_has_no_owner(capsys: Shown, sample: Path) -> None:
    code, found = told(capsys, "explain", "--untagged", "--store", str(sample), *AS_OF)
    assert code == ExitCode.FINDINGS
    coverage = {one["tag"]: float(one["percent"]) for one in found["untagged"]["coverage"]}
    assert 50 < coverage["owner"] < coverage["environment"] < 100
    assert "natgateway" in found["untagged"]["resources"][0]["resource"]


def test_all_that_has_an_owner_is_done(capsys: Shown, tmp_path: Path) -> None:
    store = stored(tmp_path, days(60))
    code, _, _ = run(capsys, "explain", "--untagged", "--store", str(store), *AS_OF)
    assert code == ExitCode.DONE


def test_hostile_names_do_not_act_on_a_terminal(capsys: Shown, tmp_path: Path) -> None:
    hostile = "[bold]\x1b[2J\u202ex"
    odd = charge(UNTIL - timedelta(days=5), "90", tags=PROD, x_UsageType=hostile)
    owned = charge(UNTIL - timedelta(days=5), "1", ResourceId=hostile, tags={})
    store = stored(tmp_path, [*days(60), odd, owned])
    for words in (("anomalies",), ("explain", "--since-last-week"), ("explain", "--untagged")):
        _, out, _ = run(capsys, *words, "--store", str(store), *AS_OF)
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "[bold]\\x1b[2J\\u202ex" in out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("forecast", "-e", "porduction"), "porduction"),
        (("anomalies", "--as-of", "yesterday"), "no date like"),
        (("explain", "--untagged", "--since-last-week"), "different questions"),
        (("explain", "--day", str(UNTIL), *AS_OF), "is not before"),
        (("explain", "--day", "2026-13-01", *AS_OF), "no date like"),
        (("anomalies", "--days", "0"), "greater than or equal to 1"),
    ],
)
def test_bad_input_is_named(capsys: Shown, words: tuple[str, ...], problem: str) -> None:
    code, _, err = run(capsys, *words)
    assert code == ExitCode.BAD_INPUT
    assert problem in err
