"""`xops costs report`: what it refuses, and that its answers name commands that there are."""

import shlex
from datetime import date
from pathlib import Path

import pytest
import typer
import yaml

from tests.unit.finops.report.readings_by_hand import readings
from xops import cli
from xops.cli import main
from xops.core.errors import ExitCode
from xops.finops.report import answers, events
from xops.finops.report.model.values import Unknown
from xops.finops.report.spent import Scope
from xops.prefect_server import automations

NOTHING = Unknown("nothing")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["costs", "report", *words])
    return int(ended.value.code or 0), capsys.readouterr().err


def test_a_home_without_costs_says_how_to_get_some(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = run(capsys, "--out", str(tmp_path / "out"))
    assert code == ExitCode.BAD_INPUT
    assert "it holds no charges" in said
    assert "--sample" in said
    assert not (tmp_path / "out").exists()


def test_made_up_costs_are_in_no_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("--out", str(tmp_path / "out"), "--sample", "--store", str(tmp_path))
    code, said = run(capsys, *words)
    assert code == ExitCode.BAD_INPUT
    assert "--sample" in said


def test_an_environment_without_a_file_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = run(capsys, "--out", str(tmp_path / "out"), "-e", "production", "--sample")
    assert code == ExitCode.BAD_INPUT
    assert "production" in said


@pytest.mark.parametrize("environment", [None, "prod"])
def test_every_question_names_a_command_that_there_is(environment: str | None) -> None:
    asked = [*answers.questions(readings(), Scope(environment), NOTHING, NOTHING, NOTHING, [])]
    assert len(asked) == 6
    for one in asked:
        program, *words = shlex.split(one.command)
        assert program == "xops"
        node = typer.main.get_command(cli.app)
        while hasattr(node, "commands"):
            node = node.commands[words.pop(0)]
        known = {name for param in node.params for name in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, one.command


def test_the_automation_waits_for_the_events_that_are_sent() -> None:
    file = yaml.safe_load((automations.FOLDER / "costs.yaml").read_text())
    sent = {events.BUDGET_EXCEEDED, events.FORECAST_EXCEEDED, events.ANOMALY}
    assert set(file["trigger"]["expect"]) == sent
    assert file["trigger"]["match"] == {"prefect.resource.id": "xops.costs.*"}


def test_a_day_of_another_century_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = run(capsys, "--out", str(tmp_path), "--as-of", str(date(1999, 1, 1)), "--sample")
    assert code == ExitCode.BAD_INPUT
    assert "--as-of" in said
