"""`xops decision`: what it prints, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.unit.decision.records import changed
from xops.cli.decision import app
from xops.core.errors import ExitCode, InputError


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


def test_score_as_json() -> None:
    ended = run("score", "--as-of", "2026-11-24", "--json")

    assert ended.exit_code == 0
    report = json.loads(ended.stdout)
    assert [row["stated"] for row in report["options"]] == [83.3, 71.1, 87.1]
    assert [row["recomputed"] for row in report["pillar_averages"]] == [87.5, 60.833333, 90.0]
    assert report["review"]["days_left"] == 107
    assert [row["says"] for row in report["not_derived"]] == ["with 2026-2030 trend 91.2"]
    assert {row["kind"] for row in report["departures"].values()} == {
        "added",
        "changed",
        "left_out",
    }
    assert (report["coverage"]["covered"], report["coverage"]["claims"]) == (10, 18)


def test_sensitivity_as_json_says_its_seed() -> None:
    ended = run("sensitivity", "--draws", "100", "--seed", "7", "--json")

    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["draws"]["seed"] == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "--as-of", "2026-11-24"], "Enforcement coverage: "),
        (["score", "--as-of", "2026-11-24", "--markdown"], "### Scores of the options"),
        (["score", "--as-of", "2026-11-24"], "changed   the embedded AWS"),
        (
            ["score", "--as-of", "2026-11-24", "--markdown"],
            "| with 2026-2030 trend 91.2 |  | 91.2 |  | stated, not derived |  |",
        ),
        (
            ["score", "--as-of", "2026-11-24", "--markdown"],
            "| changed | the embedded AWS | docker-compose |",
        ),
        (["sensitivity", "--draws", "100"], "A wins"),
    ],
)
def test_for_people(words: list[str], said: str) -> None:
    ended = run(*words)

    assert ended.exit_code == 0
    assert said in ended.stdout


def test_an_overdue_review_needs_a_person() -> None:
    assert run("score", "--as-of", "2027-03-12").exit_code == ExitCode.FINDINGS


def test_a_check_that_is_not_there_needs_a_person(tmp_path: Path) -> None:
    file = tmp_path / "record.yaml"
    claims = {"it": {"says": "It is so.", "checks": [{"import_contract": "none such"}]}}
    file.write_text(yaml.safe_dump(changed({"claims": claims})))
    ended = run("score", "--as-of", "2026-11-24", "--record", str(file))

    assert ended.exit_code == ExitCode.FINDINGS
    assert "none such: missing, pyproject.toml has no contract of this name" in ended.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["score", "--as-of", "monday"], "'monday' is no date like 2026-03-16"),
        (["score", "--record", "nowhere.yaml"], "cannot be read"),
    ],
)
def test_bad_input(words: list[str], found: str) -> None:
    ended = run(*words)

    assert isinstance(ended.exception, InputError)
    assert found in str(ended.exception)
