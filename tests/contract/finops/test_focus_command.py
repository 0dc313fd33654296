"""`xops costs validate`: what it says, and its exit codes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.finops.focus.datasets import CLEAN, USAGE, write_csv
from xops.cli import main
from xops.core.errors import ExitCode


@dataclass
class Ended:
    code: int
    out: str
    err: str


type Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str | Path) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(["costs", "validate", *map(str, words)])
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return command


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "good.csv", list(CLEAN))


def test_a_dataset_that_conforms(run: Run, good: Path) -> None:
    ended = run(good)
    assert ended.code == ExitCode.DONE
    assert "FOCUS 1.2, by its columns, profile aws" in ended.out
    assert "conforms, score 100.0 %" in ended.out


def test_a_dataset_that_does_not(run: Run, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "bad.csv", [USAGE, USAGE | {"PricingCategory": "On-Demand"}])
    ended = run(file)
    assert ended.code == ExitCode.FINDINGS
    assert "violates 1 rule, score" in ended.out
    assert "PricingCategory.allowed: one of 4 values that FOCUS names" in ended.out
    assert f"1 row, first {file}:2 On-Demand" in ended.out


def test_a_known_gap_of_the_provider_is_listed_apart(run: Run, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "gap.csv", [USAGE | {"ListUnitPrice": None}])
    ended = run(file)
    assert ended.code == ExitCode.DONE
    waived = ended.out.partition("Waived")[2]
    assert "ListUnitPrice.of-what-is-priced" in waived
    assert "is null for some product offerings, AWS Data Exports User Guide" in waived
    assert run(file, "--strict").code == ExitCode.FINDINGS


def test_a_dataset_without_rows_is_incomplete(run: Run, tmp_path: Path) -> None:
    ended = run(write_csv(tmp_path / "none.csv", []))
    assert ended.code == ExitCode.INCOMPLETE
    assert "score unknown" in ended.out
    assert "Not run, since there are no rows" in ended.out


def test_as_json(run: Run, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "bad.csv", [USAGE | {"BilledCost": None}])
    ended = run(file, "--json", "--version", "1.2")
    told = json.loads(ended.out)
    assert ended.code == ExitCode.FINDINGS
    assert (told["rows"], told["version"], told["version_guessed"]) == (1, "1.2", False)
    assert told["conforms"] is False
    (rule,) = told["rules"]
    assert rule["rule"] == "BilledCost.not-null"
    assert rule["first"] == {"file": str(file), "row": 1, "value": None}
    assert told["columns"]["BilledCost"] < 1 == told["columns"]["Tags"]


def test_totals_of_invoices_are_held_against_charges(run: Run, tmp_path: Path, good: Path) -> None:
    invoices = tmp_path / "invoices.csv"
    invoices.write_text("id,total\none,10\n")
    ended = run(good, "--invoices", invoices)
    assert ended.code == ExitCode.FINDINGS
    assert "BilledCost.invoice-sum" in ended.out


@pytest.mark.parametrize(
    "words",
    [("--version", "1.3"), ("--profile", "azure"), ("--without", "taxes")],
    ids=lambda words: words[0],
)
def test_what_an_option_does_not_know(run: Run, words: tuple[str, str], good: Path) -> None:
    ended = run(good, *words)
    assert (ended.code, ended.out) == (ExitCode.BAD_INPUT, "")
    assert f"argument {words[0]}: '{words[1]}' is none of" in ended.err


def test_only_what_is_asked_for_is_held_against_the_data(run: Run, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "bad.csv", [USAGE | {"BilledCost": None, "Tags": "what"}])
    ended = run(file, "--only", "Tags", "--only", "ListCost.not-null", "--json")
    told = json.loads(ended.out)
    assert [rule["rule"] for rule in told["rules"]] == ["Tags.format"]
    assert sum(told["counts"].values()) == 3
    refused = run(file, "--only", "Tag")
    assert refused.code == ExitCode.BAD_INPUT
    assert "'Tag' is no column or rule of 1.2" in refused.err


def test_text_of_others_does_nothing_to_a_terminal(run: Run, tmp_path: Path) -> None:
    hostile = "[red]\x1b[2J\u202e"
    file = write_csv(tmp_path / "hostile.csv", [USAGE | {"ChargeCategory": hostile}])
    out = run(file).out
    assert "[red]" in out
    assert "\x1b[2J" not in out
    assert "\u202e" not in out
