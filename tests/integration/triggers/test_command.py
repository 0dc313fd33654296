"""`xops triggers`: what it prints, and its exit codes."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.unit.triggers.samples import POLICY, document
from xops.cli.triggers import app
from xops.core.errors import ExitCode, InputError, XopsError
from xops.triggers.history.ledger import VARIABLE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(VARIABLE, raising=False)


class Shell:
    """The command on one policy and one facts file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "triggers.yaml"
        self.policy.write_text(yaml.safe_dump(POLICY))
        self.facts = folder / "facts.json"

    def given(self, values: list[int | None], **others: Any) -> "Shell":
        self.facts.write_text(json.dumps(document(values, **others)))
        return self

    def run(self, *words: str, facts: bool = True) -> tuple[int, str]:
        given = ["--facts", str(self.facts)] if facts else []
        command = [words[0], *words[1:], *given, "--policy", str(self.policy)]
        result = CliRunner().invoke(app, command)
        if isinstance(result.exception, XopsError):
            raise result.exception
        return result.exit_code, result.output

    def json(self, *words: str, **options: Any) -> tuple[int, Any]:
        code, output = self.run(*words, "--json", **options)
        return code, json.loads(output)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize(
    ("values", "engineers", "code", "status"),
    [
        ([5, 5, 5], 3, 0, "inactive"),
        ([6, 6, 6], 3, 10, "active"),
        ([5, 5, 5], 4, 10, "active"),
        ([5, 5, None], 3, 11, "insufficient_data"),
        ([6, 6, 6, None], 3, 10, "active"),
    ],
)
def test_exit_codes(
    shell: Shell, values: list[int | None], engineers: int, code: int, status: str
) -> None:
    found = shell.given(values, engineers=engineers).json("evaluate")
    assert (found[0], found[1]["status"], found[1]["exit_code"]) == (code, status, code)


def test_the_day_can_be_given(shell: Shell) -> None:
    shell.given([6, 6, 6, 0])
    assert shell.run("evaluate", "--as-of", "2025-10-06")[0] == ExitCode.FINDINGS
    code, _ = shell.run("evaluate", "--as-of", "2025-09-29")
    assert code == ExitCode.INCOMPLETE  # engineers of then: unknown
    with pytest.raises(InputError, match="no date"):
        shell.run("evaluate", "--as-of", "today")


def test_what_is_printed(shell: Shell) -> None:
    code, output = shell.given([6, 6, 6]).run("evaluate")
    assert code == ExitCode.FINDINGS
    assert "iac_prs       active since 2025-09-29" in output
    assert "next: inactive after 4 more weeks in a row at or below 3" in output
    assert "| iac_prs | 6 |" in shell.run("evaluate", "--markdown")[1]


def test_a_facts_file_is_not_remembered_unless_asked(shell: Shell, tmp_path: Path) -> None:
    shell.given([6, 6, 6]).run("evaluate")
    assert not (tmp_path / "home").exists()
    assert "9 entries were added" in shell.run("evaluate", "--record")[1]
    assert "nothing is new" in shell.run("evaluate", "--record")[1]


def test_the_way_of_an_activation(shell: Shell) -> None:
    shell.given([6, 6, 6]).run("evaluate", "--record")
    code, output = shell.run("acknowledge", "iac_prs", "--decision", "accepted", "--by", "me",
                             facts=False)  # fmt: skip
    assert (code, output.strip()) == (0, "iac_prs: active, accepted by me")
    shell.given([6, 6, 6, 3]).run("evaluate", "--record")
    code, found = shell.json("explain", "iac_prs", facts=False)
    assert (code, found["agrees"]) == (0, True)
    assert found["state"] == "cooling (1 of 4), accepted by me"
    code, output = shell.run("explain", "iac_prs", "--week", "2025-09-29", facts=False)
    assert "decided by me" in output
    assert code == 0


def test_explaining_facts_walks_through_their_weeks(shell: Shell) -> None:
    code, output = shell.given([6, None, 6]).run("explain", "iac_prs")
    assert code == 0
    assert "unknown  insufficient data (pending (1 of 3) is kept)  GitHub answered 502" in output
    with pytest.raises(InputError, match="no trigger 'other'"):
        shell.run("explain", "other")


def test_replay_of_a_file_and_of_the_history(shell: Shell) -> None:
    shell.given([6, 6, 6, 6])
    code, output = shell.run("replay", "--weeks", "3")
    assert code == 0
    assert "iac_prs       +██" in output
    with pytest.raises(InputError, match="is empty"):
        shell.run("replay", facts=False)
    shell.run("evaluate", "--record")
    code, found = shell.json("replay", facts=False)
    assert found["source"] == "the history up to entry 12"
    assert len(found["lines"][0]["points"]) == 4


def test_a_policys_tests(shell: Shell, tmp_path: Path) -> None:
    case = {"name": "one", "trigger": "iac_prs", "values": "5x4", "states": "inactive x4"}
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "xops/v1", "cases": [case]}))
    assert shell.run("test", str(file), facts=False) == (0, "1 of 1 cases hold\n")
    file.write_text(yaml.safe_dump({"apiVersion": "xops/v1", "cases": [{**case, "values": "6x4"}]}))
    code, output = shell.run("test", str(file), facts=False)
    assert code == ExitCode.FINDINGS
    assert "failed one: at 1 (value 6) inactive was expected, it is pending(1)" in output


def test_a_history_that_cannot_be_opened_is_a_failure_and_does_not_look_active(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "nothing")
    with pytest.raises(InputError, match=VARIABLE) as caught:
        shell.given([0]).run("evaluate", "--record")
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_a_history_that_somebody_changed_is_found_out(shell: Shell, tmp_path: Path) -> None:
    shell.given([6, 6, 6]).run("evaluate", "--record")
    result = CliRunner().invoke(app, ["verify"])
    assert (result.exit_code, result.output) == (0, "9 entries, 2 documents: whole\n")
    with closing(sqlite3.connect(tmp_path / "home" / "triggers" / "history.sqlite")) as file, file:
        file.execute("DROP TRIGGER xops_trigger_entries_no_UPDATE")
        file.execute(
            "UPDATE xops_trigger_entries SET body = replace(body, '\"value\":6', '\"value\":7')"
            " WHERE sequence = 1"
        )
    result = CliRunner().invoke(app, ["verify", "--json"])
    found = json.loads(result.output)
    assert result.exit_code == ExitCode.FINDINGS
    assert found["problems"] == ["entry 1 was changed after it was made"]
