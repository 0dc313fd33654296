"""`xops costs` as a person and a machine see it."""

import json

import pytest

from xops.cli import main
from xops.core.errors import ExitCode


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["costs", *words])
    return int(ended.value.code or 0), capsys.readouterr().out


def test_the_budget_of_prod_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "budget", "--environment", "prod", "--json")
    told = json.loads(out)
    found = {row["name"]: row for row in told["scenarios"]}

    assert code == ExitCode.DONE
    assert f"{float(found['on_demand_minimum']['total']):.2f}" == "267.42"
    assert f"{float(found['second_replica_on_spot']['total']):.2f}" == "174.76"
    assert {row["budget"] for row in found.values()} == {"180"}
    assert found["on_demand_minimum"]["verdict"] == "over"
    assert found["second_replica_on_spot"]["confidence"] == "estimate"


def test_the_budget_of_prod_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run(capsys, "budget", "-e", "prod")
    assert "prod in ap-southeast-2: 180.00 USD a month, tax excluded" in out
    assert "Total:        267.42 USD, over the budget" in out
    assert "Total:        174.76 USD, within the budget" in out
    assert "Fargate Spot for ARM64 is an estimate" in out


def test_where_nothing_fits_there_is_something_to_act_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _ = run(capsys, "budget", "-e", "test")
    assert code == ExitCode.FINDINGS


def test_where_prices_are_missing_the_answer_is_unknown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_ENVIRONMENT__REGION", "eu-west-1")
    code, out = run(capsys, "budget", "-e", "prod", "--json")
    assert code == ExitCode.INCOMPLETE
    assert all(row["unpriced"] for row in json.loads(out)["scenarios"])


def test_the_price_book_says_which_rows_are_old(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "prices", "--json")
    told = json.loads(out)
    assert code == ExitCode.FINDINGS
    assert ["alb", "ap-southeast-2"] in told["old"]
    assert {row["confidence"] for row in told["prices"]} <= {
        "estimate", "memory", "seen", "seen twice", "price list",
    }  # fmt: skip
