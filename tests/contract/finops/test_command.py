"""`xops costs` as a person and a machine see it."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from xops.cli import main
from xops.core.errors import ExitCode
from xops.finops.prices.book import FILE
from xops.finops.pricing import assumptions


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prices that somebody looked up here."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["costs", *words])
    return int(ended.value.code or 0), capsys.readouterr().out


def told_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    _, out = run(capsys, "budget", *words, "--json")
    told: dict[str, Any] = json.loads(out)
    return told


def cents(amount: str) -> str:
    return f"{Decimal(amount):.2f}"


def test_the_budget_of_prod_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "budget", "--environment", "prod", "--json")
    told = json.loads(out)
    found = {row["name"]: row for row in told["scenarios"]}

    assert code == ExitCode.FINDINGS
    assert f"{float(found['on_demand_minimum']['total']):.2f}" == "267.42"
    assert f"{float(found['second_replica_on_spot']['total']):.2f}" == "174.76"
    assert {row["budget"] for row in found.values()} == {"180"}
    assert found["on_demand_minimum"]["verdict"] == "over"
    assert found["second_replica_on_spot"]["confidence"] == "estimate"
    assert found["on_demand_minimum"]["old_prices"][0] == "alb"
    assert all(row["assumptions"] and row["lines"] for row in found.values())


def test_the_budget_of_prod_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run(capsys, "budget", "-e", "prod")
    assert "prod in ap-southeast-2: 180.00 USD a month, tax excluded" in out
    assert "Total:        267.42 USD, over the budget: FAIL" in out
    assert "Total:        174.76 USD, within the budget: PASS" in out
    assert "Total:        312.17 USD, over the budget: FAIL" in out
    assert "Fargate Spot for ARM64 is an estimate" in out
    assert "Unpriced:     module.data.aws_backup_vault.this: backup efs has no price" in out
    assert "Single:       no single change fits" in out
    assert (
        "Reachable:    no: the cheapest plan is over by 1.55 USD; it needs 181.55 USD, and 3 lines"
        in out
    )
    assert (
        "With spot:    what has a price fits where Spot is 74.18 % or more below on demand" in out
    )
    assert "Largest:      none fits" in out
    assert "Stream 2:     130.84 USD as k3s_medium_with_load_balancer, beside 312.17 USD" in out
    assert "seen over 90 days ago, or on no known day" in out


def test_beside_the_scenarios_stands_the_environment_s_own_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, total, budget in (("prod", "312.17", "180"), ("peak", "519.65", "380")):
        own = told_of(capsys, "-e", name)["own_plan"]
        assert (cents(own["total"]), own["budget"], own["verdict"]) == (total, budget, "over")
        assert own["confidence"] == "estimate"
        assert own["assumed_a_month"]["nat_gb"] == {"low": "1", "expected": "20", "high": "200"}
        assert len(own["unpriced"]) == 3
        assert sum(Decimal(line["amount"] or 0) for line in own["lines"]) == Decimal(own["total"])


def test_what_would_fit_is_told_with_its_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    found = told_of(capsys, "-e", "prod")["feasibility"]
    assert found["reachable"] is False
    assert cents(found["budget_needed"]) == "181.55"
    assert found["spot_break_even_percent"] == "74.18"
    assert found["cheapest_single_change"] is None
    assert found["single_changes"][0]["lever"] == "purchase"
    assert cents(found["single_changes"][0]["saving"]) == "72.62"
    assert found["largest_plan"] is None


def test_where_the_answer_hangs_on_what_has_no_price_it_is_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out = run(capsys, "budget", "-e", "peak")
    assert "Reachable:    unknown: 198.45 USD left for 3 lines without a price" in out
    assert "Largest:      6 open_webui, 8 crew in business hours: 246.45 USD, and 3 lines" in out
    assert (
        "Single:       of each service 1 on demand, the others on Spot: 301.79 USD, unknown" in out
    )
    assert "a month 1 load balancer units, 10 file system gb" in out


# What may be asked besides


def test_gst_is_on_every_amount(capsys: pytest.CaptureFixture[str]) -> None:
    plain, taxed = told_of(capsys, "-e", "prod"), told_of(capsys, "-e", "prod", "--gst", "10")
    assert (plain["tax"], taxed["tax"]) == ("excluded", "GST of 10 %")
    pairs = zip(plain["scenarios"], taxed["scenarios"], strict=True)
    with_it = {row["name"]: (Decimal(row["total"]), Decimal(more["total"])) for row, more in pairs}
    before, after = with_it["on_demand_minimum"]
    assert after == before * Decimal("1.1")
    assert cents(taxed["own_plan"]["total"]) == "343.38"
    assert "prices with 10 % GST and without discounts" in taxed["scenarios"][0]["assumptions"]


def test_a_savings_plan_is_an_estimate_in_sydney(capsys: pytest.CaptureFixture[str]) -> None:
    told = told_of(capsys, "-e", "prod", "--compute-savings-plan", "20")
    found = {row["name"]: row for row in told["scenarios"]}
    assert cents(found["on_demand_minimum"]["compute"]) == "165.98"  # 207.48 less a fifth
    assert found["on_demand_minimum"]["confidence"] == "estimate"
    assert any("20 % off, an estimate" in line for line in told["terms"])


def test_the_discount_of_spot_is_below_on_demand_whatever_is_committed_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One percent off what runs on demand leaves Spot 3 percent to give."""
    told = told_of(capsys, "-e", "prod", "--compute-savings-plan", "1")["feasibility"]
    assert (cents(told["budget_needed"]), told["spot_break_even_percent"]) == ("180.51", "71.38")


def test_some_hours_of_all_tasks_are_added_to_the_month(capsys: pytest.CaptureFixture[str]) -> None:
    told = told_of(capsys, "-e", "prod", "--peak-hours", "40")
    assert (cents(told["peak"]["added"]), cents(told["peak"]["total"])) == ("12.60", "324.77")
    _, out = run(capsys, "budget", "-e", "prod", "--peak-hours", "40")
    assert "Peak 40:      12.60 USD more, 324.77 USD in all, over the budget: FAIL" in out


def test_stream_2_stands_beside_stream_1(capsys: pytest.CaptureFixture[str]) -> None:
    beside = told_of(capsys, "-e", "prod")["stream_2_beside_stream_1"]
    assert (cents(beside["stream_1"]), cents(beside["stream_2"])) == ("312.17", "130.84")
    assert cents(beside["difference"]) == "-181.32"
    assert beside["labour"] is None


def test_other_quantities_are_assumed_where_a_file_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "assumed.yaml"
    more = "insights_metrics: {low: 0, expected: 10, high: 10}\n"
    file.write_text(assumptions.FILE.read_text() + more)
    told = told_of(capsys, "-e", "prod", "--assume", str(file))["own_plan"]
    assert cents(told["total"]) == "315.17"
    assert len(told["unpriced"]) == 2


@pytest.mark.parametrize("option", ["--gst", "--compute-savings-plan"])
@pytest.mark.parametrize("value", ["x", "-1", "101", "NaN", "1e-99", "Infinity", "0.123456789012"])
def test_a_percentage_is_from_0_to_100(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["costs", "budget", "-e", "prod", option, value])
    assert ended.value.code == ExitCode.BAD_INPUT
    assert "is no percentage from 0 to 100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "code"),
    [("test", ExitCode.FINDINGS), ("peak", ExitCode.FINDINGS), ("sit", ExitCode.INCOMPLETE)],
)
def test_the_code_goes_by_the_environment_s_own_plan(
    capsys: pytest.CaptureFixture[str], name: str, code: ExitCode
) -> None:
    assert run(capsys, "budget", "-e", name)[0] == code


def test_an_own_plan_within_the_budget_leaves_nothing_to_act_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XOPS_ENVIRONMENT__BUDGET__AMOUNT", "'1000'")
    header = FILE.read_text().partition("\n")[0]
    of_backups = "backup efs,Backup,ap-southeast-2,,GB-month,0.06,2026-11-01,price list,a test"
    moved = "".join(
        f"efs elastic {way},EFS,ap-southeast-2,,GB,0.04,2026-11-01,price list,a test\n"
        for way in ("read", "write")
    )
    (tmp_path / "prices.csv").write_text(f"{header}\n{of_backups}\n{moved}")
    assumed = tmp_path / "assumed.yaml"
    metrics = "".join(
        f"{name}: {{low: 0, expected: 1, high: 2}}\n"
        for name in ("insights_metrics", "file_system_read_gb", "file_system_written_gb")
    )
    assumed.write_text(assumptions.FILE.read_text() + metrics)
    code, out = run(capsys, "budget", "-e", "prod", "--assume", str(assumed))
    assert code == ExitCode.DONE, out


def test_where_prices_are_missing_the_answer_is_unknown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_ENVIRONMENT__REGION", "eu-west-1")
    code, out = run(capsys, "budget", "-e", "prod", "--json")
    assert code == ExitCode.INCOMPLETE
    told = json.loads(out)
    assert all(row["unpriced"] for row in told["scenarios"])
    assert told["feasibility"]["reachable"] is None
    assert told["feasibility"]["largest_plan"] is None
    assert told["feasibility"]["spot_break_even_percent"] is None
    code, out = run(capsys, "budget", "-e", "prod")
    assert code == ExitCode.INCOMPLETE
    assert "With spot:    unknown: its tasks have no price" in out
    assert re.search(r"Compute:      0.00 USD, and \d+ lines without a price", out)
    assert "(-" not in out


def test_the_price_book_says_which_rows_are_old(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "prices", "--json")
    told = json.loads(out)
    assert code == ExitCode.FINDINGS
    assert ["alb", "ap-southeast-2"] in told["old"]
    assert {row["confidence"] for row in told["prices"]} <= {
        "estimate", "memory", "seen", "seen twice", "price list",
    }  # fmt: skip


# A plan of Terraform's


def test_the_region_stands_in_the_file_of_an_environment_or_is_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"format_version": "1.2", "planned_values": {}}')
    with pytest.raises(SystemExit) as ended:
        main(["costs", "price-plan", str(file), "-e", "prod", "--region", "us-east-1"])
    assert ended.value.code == ExitCode.BAD_INPUT
    assert "argument --region: stands in the file of prod" in capsys.readouterr().err


def test_a_plan_is_priced_on_the_same_terms(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gateway = {"address": "aws_nat_gateway.it", "mode": "managed", "type": "aws_nat_gateway"}
    values = {"root_module": {"resources": [gateway]}}
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"format_version": "1.2", "planned_values": values}))

    _, plain = run(capsys, "price-plan", str(file), "--json")
    code, taxed = run(capsys, "price-plan", str(file), "--gst", "10", "--json")

    assert code == ExitCode.DONE
    before, after = (json.loads(text)["after"]["expected"]["amount"] for text in (plain, taxed))
    assert Decimal(after) == Decimal(before) * Decimal("1.1")
    assert json.loads(taxed)["terms"] == ["prices with 10 % GST and without discounts"]
