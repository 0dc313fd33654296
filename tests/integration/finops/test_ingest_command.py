"""`xops costs ingest` as a person and a machine see it."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cost_explorer_server import Spent, Told, cost_explorer
from tests.cost_exports import charge, charges, deliver, write_csv
from xops.cli import main
from xops.cli.costs import data
from xops.core.errors import ExitCode
from xops.finops.store.cost_explorer.explorer import whole_days

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(capture: Capture, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["costs", "ingest", *words])
    said = capture.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def told(capture: Capture, *words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(capture, *words, "--json")
    found: dict[str, Any] = json.loads(out)
    return code, found


def test_months_rows_and_totals_for_machines(capsys: Capture, tmp_path: Path, home: Path) -> None:
    top = deliver(tmp_path, {"2026-04": charges("2026-04"), "2026-05": charges(count=2)})
    code, found = told(capsys, "--from", str(top))
    assert code == ExitCode.DONE
    assert found["store"] == str(home / "costs")
    (export,) = found["exports"]
    assert export["export"] == "focus"
    assert [(row["month"], row["rows"], row["label"]) for row in export["months"]] == [
        ("2026-04", 3, "actual"), ("2026-05", 2, "actual"),
    ]  # fmt: skip
    total = {"rows": 2, "billed": "2.000000000000", "effective": "2.000000000000"}
    assert export["months"][1]["totals"] == {"USD": total}
    assert found["cost"]["usd"] == "0"
    code, again = told(capsys, "--from", str(top))
    assert (code, again["exports"][0]["months"]) == (ExitCode.DONE, [])
    assert again["exports"][0]["unchanged"] == ["2026-04", "2026-05"]


def test_a_restated_month_is_something_to_act_on(capsys: Capture, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-01": charges("2026-01")})
    run(capsys, "--from", str(top))
    deliver(tmp_path, {"2026-01": charges("2026-01", count=5)})
    code, out, _ = run(capsys, "--from", str(top))
    assert code == ExitCode.FINDINGS
    assert (
        "2026-01          5 rows             5.00 USD, actual; restated by +2.00, was 3.00" in out
    )


def test_progress_is_said_once_a_file(capsys: Capture, tmp_path: Path) -> None:
    top = deliver(tmp_path, {"2026-05": charges()}, files=2)
    _, _, err = run(capsys, "--from", str(top))
    assert len([line for line in err.splitlines() if line.startswith("reading ")]) == 2


def test_a_bad_cell_is_named_with_file_line_and_column(capsys: Capture, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "x.csv.gz", [charge(), charge(BilledCost="[red]lots")])
    code, _, err = run(capsys, "--from", str(file))
    assert code == ExitCode.BAD_INPUT
    assert f"{file}:3: BilledCost: '[red]lots' is not a number" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "deployments/costs.yaml: exports: names no export"),
        (["--from", "/no/such/folder"], "/no/such/folder: is no folder and no file"),
        (["--from", "gs://bucket/x"], "no folder or s3://BUCKET/PREFIX"),
        (["--from", "x", "--source", "cost-explorer"], "cannot be given together with --from"),
        (["--source", "aws"], "cost-explorer"),
        (["--months", "0"], "--months"),
    ],
)
def test_bad_input_is_said_and_nothing_is_made(
    capsys: Capture, home: Path, words: list[str], expected: str
) -> None:
    code, _, err = run(capsys, *words)
    assert code == ExitCode.BAD_INPUT
    assert expected in " ".join(err.split())
    assert not list(home.rglob("manifest.json"))


def test_one_of_several_exports_that_fails_hinders_no_other(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = deliver(tmp_path, {"2026-05": charges()})
    exports = f"[{{name: bad, location: {tmp_path}/none}}, {{name: good, location: {good}}}]"
    monkeypatch.setenv("XOPS_COSTS_EXPORTS", exports)
    code, found = told(capsys)
    assert code == ExitCode.INCOMPLETE
    assert [one["export"] for one in found["exports"]] == ["good"]
    assert [(one["export"], one["error"]) for one in found["errors"]] == [("bad", "InputError")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cost Explorer as an emulator has it, with a dollar spent on each day."""
    spent = Told()
    with cost_explorer(spent) as url:
        monkeypatch.setenv("XOPS_COSTS_TARGET", "localstack")
        monkeypatch.setenv("XOPS_AWS_ENDPOINT", url)
        yield spent


def test_cost_explorer_says_what_the_run_cost(capsys: Capture, asked: Told) -> None:
    days = whole_days(datetime.now(UTC).date(), 2)
    asked.spent = [Spent(day, Decimal(1), environment="prod") for day in days]
    code, found = told(capsys, "--source", "cost-explorer")
    assert code == ExitCode.DONE
    assert found["cost"] == {"cost_explorer_requests": 2, "usd": "0.02", "most_usd": "0.10"}
    months = found["exports"][0]["months"]
    assert {row["label"] for row in months} == {"estimated"}
    assert sum(row["rows"] for row in months) == len(days)
    _, out, _ = run(capsys, "--source", "cost-explorer")
    assert "0.00 USD for 0 requests to Cost Explorer, of 0.10 at most" in out


def test_access_denied_is_a_failure_and_no_zero(capsys: Capture, asked: Told) -> None:
    asked.refusals = [(400, "AccessDeniedException")]
    code, _, err = run(capsys, "--source", "cost-explorer")
    assert code == ExitCode.FAILED
    assert "AccessDeniedException" in err


def test_money_that_does_not_reach_is_a_failure_and_no_answer_by_half(
    capsys: Capture, asked: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_COSTS_COST_EXPLORER__MOST_USD_A_RUN", "'0.01'")
    code, _, err = run(capsys, "--source", "cost-explorer")
    assert code == ExitCode.FAILED
    assert "would cost more than the 0.01 USD that a run may spend" in err


def test_the_command_imports_no_engine_before_it_works() -> None:
    assert not {"ibis", "duckdb", "pyarrow"} & set(vars(data))
