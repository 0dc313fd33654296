"""`xops triggers`: what it prints, and its exit codes."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from typer.testing import CliRunner

from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import write_sources
from tests.unit.triggers.samples import MONDAY, POLICY, WEEK, document, week
from xops.cli.triggers import app
from xops.core.errors import ExitCode, InputError, PermanentError, TemporaryError, XopsError
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

    def measuring(self, github: GitHubServer, **others: Any) -> "Shell":
        """From now on by a policy that reads this GitHub."""
        source = {"repositories": ["octo/web"], "api_url": github.url, "weeks": 4}
        self.policy.write_text(yaml.safe_dump({**POLICY, "github": source, **others}))
        return self

    def run(self, *words: str, facts: bool = True) -> tuple[int, str]:
        given = ["--facts", str(self.facts)] if facts else []
        command = [words[0], *words[1:], *given, "--policy", str(self.policy)]
        result = CliRunner().invoke(app, command)
        if isinstance(result.exception, XopsError):
            raise result.exception
        return result.exit_code, result.stdout

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
    assert "entries were added" in shell.run("evaluate", "--record")[1]
    assert "nothing is new" in shell.run("evaluate", "--record")[1]


def test_it_says_from_what_the_states_follow(shell: Shell) -> None:
    """Five weeks of fives look inactive by themselves, and are active where history knows more."""
    shell.given([6, 6, 6]).run("evaluate", "--record")
    weeks = [week(index, 5) for index in range(3, 8)]
    day = str(MONDAY + 8 * WEEK)
    shell.given([], weeks=weeks, as_of=day, generated_at=f"{day}T06:00:00+11:00")
    code, alone = shell.json("evaluate")
    assert (code, alone["status"], alone["basis"]) == (0, "inactive", "facts")
    assert "these weeks alone" in shell.run("evaluate")[1]
    code, known = shell.json("evaluate", "--record")
    assert (code, known["status"], known["basis"]) == (10, "active", "history")
    assert "all that the history remembers" in shell.run("evaluate", "--record")[1]


@pytest.mark.parametrize("place", ["nowhere/chart.png", "", "facts.json/chart.png"])
def test_a_chart_that_cannot_be_written_is_said_before_anything_is_recorded(
    shell: Shell, tmp_path: Path, place: str
) -> None:
    shell.given([6, 6, 6])
    with pytest.raises(InputError, match="--chart"):
        shell.run("evaluate", "--record", "--chart", str(tmp_path / place))
    assert not (tmp_path / "home").exists()


def test_a_chart_is_written(shell: Shell, tmp_path: Path) -> None:
    shell.given([6, 6, 6]).run("evaluate", "--chart", str(tmp_path / "chart.png"))
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.add("octo/web")
        monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, server.url))
        monkeypatch.delenv("XOPS_GITHUB_TOKEN", raising=False)
        yield server


@pytest.mark.parametrize(
    "token", [None, "github_pat_canary", "canary\nx"], ids=["absent", "expired", "damaged"]
)
def test_a_command_that_measured_nothing_prints_what_it_knows_and_fails(
    shell: Shell, github: GitHubServer, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token:
        monkeypatch.setenv("XOPS_GITHUB_TOKEN", token)
    shell.measuring(github)
    with pytest.raises(PermanentError, match="XOPS_GITHUB_TOKEN") as caught:
        shell.run("evaluate", facts=False)
    assert caught.value.exit_code == ExitCode.FAILED
    code, found = shell.json("evaluate", facts=False)
    assert (code, found["exit_code"]) == (ExitCode.FAILED, ExitCode.FAILED)
    assert found["failure"]["found"] == caught.value.found
    assert found["failure"]["remedy"] == caught.value.remedy
    assert [row["value"] for row in found["triggers"]][:2] == [None, None]
    assert "canary" not in json.dumps(found)


def test_the_evaluation_is_printed_before_the_command_fails(
    shell: Shell, github: GitHubServer
) -> None:
    shell.measuring(github)
    command = ["evaluate", "--policy", str(shell.policy), "--markdown"]
    result = CliRunner().invoke(app, command)
    assert "Nothing was measured on GitHub" in result.stdout
    assert "| iac_prs | unknown |" in result.stdout
    assert isinstance(result.exception, PermanentError)


def test_github_that_is_down_is_worth_another_try(
    shell: Shell, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", TOKEN)
    github.fail(operation=".*", status=502, times=1000)
    code, found = shell.measuring(github).json("evaluate", facts=False)
    assert (code, found["exit_code"]) == (ExitCode.TEMPORARY, ExitCode.TEMPORARY)
    assert "502" in found["failure"]["found"]
    with pytest.raises(TemporaryError):
        shell.run("replay", "--github", facts=False)


def test_the_way_of_an_activation(shell: Shell) -> None:
    shell.given([6, 6, 6]).run("evaluate", "--record")
    code, output = shell.run("acknowledge", "iac_prs", "--decision", "accepted", "--by", "me",
                             "--reason", "capacity is there", facts=False)  # fmt: skip
    assert (code, output.strip()) == (0, "iac_prs: active, accepted by me")
    _, found = shell.json("acknowledge", "iac_prs", "--by", "me", facts=False)
    assert (found["trigger"], found["state"]) == ("iac_prs", "active, acknowledged by me")
    shell.run("acknowledge", "iac_prs", "--decision", "accepted", "--by", "me",
              "--reason", "capacity is there", facts=False)  # fmt: skip
    shell.given([6, 6, 6, 3]).run("evaluate", "--record")
    code, found = shell.json("explain", "iac_prs", facts=False)
    assert (code, found["agrees"], found["value"]) == (0, True, 3)
    assert found["state"] == "cooling (1 of 4), accepted by me"


@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_who_accepts_or_rejects_says_why(shell: Shell, decision: str) -> None:
    shell.given([6, 6, 6]).run("evaluate", "--record")
    with pytest.raises(InputError, match="reason"):
        shell.run("acknowledge", "iac_prs", "--decision", decision, facts=False)
    assert shell.run("acknowledge", "iac_prs", facts=False)[0] == 0


def test_a_verdict_is_explained_by_its_value_its_weeks_and_what_was_decided(shell: Shell) -> None:
    shell.given([4, 6, 6, 6]).run("evaluate", "--record")
    shell.run("acknowledge", "iac_prs", "--decision", "accepted", "--by", "me",
              "--reason", "capacity is there", facts=False)  # fmt: skip
    code, output = shell.run("explain", "iac_prs", "--week", "2025-10-06", facts=False)
    assert code == 0
    rows = [line.split(maxsplit=1) for line in output.splitlines()]
    assert ["Value:", "6"] in rows
    windows = [words for name, words in rows if name == "Window:"]
    assert [line.partition(":")[0] for line in windows] == [
        "2025-09-15", "2025-09-22", "2025-09-29", "2025-10-06"
    ]  # fmt: skip
    assert "4" in windows[0]
    assert "6 is above 5" in windows[-1]
    assert ["Decision:", f"accepted by me on {today()}: capacity is there"] in rows
    assert [words for name, words in rows if name == "Activation:"]
    assert [words for name, words in rows if name == "Series:"]
    assert "give the same verdict" in output


def today() -> date:
    return datetime.now(ZoneInfo("Australia/Sydney")).date()


def test_explaining_facts_walks_through_their_weeks(shell: Shell) -> None:
    code, output = shell.given([6, None, 6]).run("explain", "iac_prs")
    assert code == 0
    assert "unknown  insufficient data (pending (1 of 3) is kept)  GitHub answered 502" in output
    with pytest.raises(InputError, match="no trigger 'other'"):
        shell.run("explain", "other")


def test_facts_are_explained_as_one_object_and_by_the_week_that_is_asked_for(shell: Shell) -> None:
    _, found = shell.given([6, 7, 8]).json("explain", "iac_prs")
    assert (found["trigger"], [row["value"] for row in found["weeks"]]) == ("iac_prs", [6, 7, 8])
    _, found = shell.json("explain", "iac_prs", "--week", str(MONDAY + WEEK))
    assert [row["value"] for row in found["weeks"]] == [7]
    with pytest.raises(InputError, match="no week of 2025-09-16"):
        shell.run("explain", "iac_prs", "--week", "2025-09-16")


def test_markdown_is_printed_as_it_is_and_calls_nobody(shell: Shell) -> None:
    shell.given([6, 6, 6]).run("evaluate", "--record")
    shell.run("acknowledge", "iac_prs", "--by", "@mallory", facts=False)
    _, output = shell.run("evaluate", "--record", "--markdown")
    assert "&#64;\u200bmallory" in output
    assert r"\u200b" not in output


def test_a_replay_is_of_a_file_or_of_github(shell: Shell) -> None:
    with pytest.raises(InputError, match="--github: goes without --facts"):
        shell.given([6]).run("replay", "--github")


def test_an_empty_history_does_not_look_whole() -> None:
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == ExitCode.INCOMPLETE
    assert "nothing was checked" in result.output


def test_replay_of_a_file_and_of_the_history(shell: Shell) -> None:
    shell.given([6, 6, 6, 6])
    code, output = shell.run("replay", "--weeks", "3")
    assert code == 0
    assert "iac_prs       +██" in output
    with pytest.raises(InputError, match="is empty"):
        shell.run("replay", facts=False)
    shell.run("evaluate", "--record")
    code, found = shell.json("replay", facts=False)
    assert found["source"].startswith("the history up to entry ")
    assert len(found["lines"][0]["points"]) == 4


def test_replay_of_the_history_ends_on_the_day_that_is_given(shell: Shell) -> None:
    shell.given([6, 6, 6, 0, 0]).run("evaluate", "--record")
    code, found = shell.json("replay", "--as-of", "2025-10-06", facts=False)
    assert (code, found["as_of"]) == (0, "2025-10-06")
    line = next(row for row in found["lines"] if row["trigger"] == "iac_prs")
    assert [point["value"] for point in line["points"]] == [6, 6, 6]


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
    assert result.exit_code == 0
    assert re.fullmatch(r"\d+ entries, \d+ documents: whole\n", result.output)
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
    with pytest.raises(PermanentError, match="xops triggers verify"):
        shell.given([6, 6, 6, 6]).run("evaluate", "--record")


CLAIM = {
    "kind": "second_cloud", "subject": "azure", "who": "A", "what": "B", "jurisdiction": "AU",
    "evidence": "https://example.com", "effective_from": "2025-01-01", "expires": "2027-01-01",
    "valid": True,
}  # fmt: skip


@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_a_facts_file_proves_no_signature_to_a_command_either(shell: Shell, command: str) -> None:
    shell.policy.write_text(yaml.safe_dump({**POLICY, "mandates": {"signed": True}}))
    shell.given([0], mandates=[CLAIM])
    words = ["explain", "second_cloud"] if command == "explain" else ["evaluate"]
    code, found = shell.json(*words)
    if command == "explain":
        assert found["weeks"][-1]["value"] is None
        assert "mandates.signed" in found["weeks"][-1]["reason"]
        return
    (mandate,) = [row for row in found["triggers"] if row["trigger"] == "second_cloud"]
    assert (code, mandate["value"], mandate["active"]) == (ExitCode.INCOMPLETE, None, False)


def test_what_a_facts_file_claims_of_mandates_is_told_as_unchecked(shell: Shell) -> None:
    code, output = shell.given([0], mandates=[CLAIM]).run("evaluate")
    assert code == ExitCode.FINDINGS
    assert "nobody checked who committed them" in output


def test_a_facts_file_without_mandates_has_those_of_the_folder(shell: Shell) -> None:
    _, output = shell.given([0], mandates=None).run("evaluate")
    assert "reading the mandates in" in output
    assert "No such file or directory" in output
