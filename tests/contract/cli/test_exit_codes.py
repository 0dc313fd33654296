"""What commands found is in their exit codes, alike for all of them."""

import json
import platform
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tests.contract.cli.shell import Shell
from xops.core.errors import ExitCode, XopsError
from xops.core.files.settings import ROOT

EXAMPLE = str(ROOT / "deployments" / "facts.example.json")


def test_version(shell: Shell) -> None:
    ended = shell.run(["--version"])
    prefect = metadata.version("prefect")
    assert ended.code == ExitCode.DONE
    assert ended.out == (
        f"xops {metadata.version('xops')} (python {platform.python_version()}, prefect {prefect})\n"
    )


def test_the_help_lists_every_exit_code(shell: Shell) -> None:
    ended = shell.run(["--help"])
    assert ended.code == ExitCode.DONE
    assert all(f"{code}  {code.meaning[:40]}" in ended.out for code in ExitCode)


def test_an_active_trigger_is_a_finding(shell: Shell) -> None:
    ended = shell.run(["triggers", "evaluate", "--facts", EXAMPLE, "--json"])
    evaluation = json.loads(ended.out)
    codes = {"inactive": 0, "active": 10, "insufficient_data": 11}
    assert ended.code == codes[evaluation["status"]] == evaluation["exit_code"]


def test_a_case_that_fails_is_a_finding(shell: Shell, tmp_path: Path) -> None:
    case = {"name": "one", "trigger": "iac_prs", "values": "99x9", "states": "inactive x9"}
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "xops/v1", "cases": [case]}))
    assert shell.run(["triggers", "test", str(file)]).code == ExitCode.FINDINGS


def test_a_machine_with_a_problem_is_a_finding(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_ENVIRONMENT__NETWORK__ZONES", "9")
    ended = shell.run(["doctor", "--json"])
    problems = [row["name"] for row in json.loads(ended.out) if row["verdict"] == "problem"]
    assert ended.code == ExitCode.FINDINGS
    assert "environment local" in problems


def test_a_cluster_file_that_is_right_is_done_and_one_that_waits_for_outputs_is_incomplete(
    shell: Shell,
) -> None:
    ended = shell.run(["k3s", "validate", "onprem"])
    assert (ended.code, "Nothing is wrong." in ended.out) == (ExitCode.DONE, True)
    ended = shell.run(["k3s", "validate", "edge", "--json"])
    assert ended.code == ExitCode.INCOMPLETE
    assert "edge.outputs.json" in json.loads(ended.out)["unchecked"][0]


def test_everything_wrong_with_a_cluster_file_is_bad_input(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("apiVersion: xops/v1\nname: other\nk3s: {version: v1.34.99+k3s1}\nhosts: 5\n")
    ended = shell.run(["k3s", "validate", str(file), "--json"])
    assert ended.code == ExitCode.BAD_INPUT
    rows = json.loads(ended.out)["findings"]
    assert {(row["path"], row["line"]) for row in rows} == {
        ("name", 2), ("k3s.version", 3), ("hosts", 4),
    }  # fmt: skip


def test_nothing_to_stop_is_done(shell: Shell) -> None:
    ended = shell.run(["down", "--json"])
    assert (ended.code, json.loads(ended.out)) == (ExitCode.DONE, {"stopped": []})


def test_a_folder_of_ones_own_that_is_a_file_is_said_without_a_traceback(
    shell: Shell, home: Path
) -> None:
    home.write_text("a file where a folder should be")
    ended = shell.run(["down"])
    assert ended.code == ExitCode.FAILED
    assert str(home) in ended.err
    assert "->" in ended.err


def kinds(kind: type[XopsError] = XopsError) -> set[type[XopsError]]:
    return {kind}.union(*(kinds(inner) for inner in kind.__subclasses__()))


def test_every_error_ends_with_a_code_below_the_findings() -> None:
    codes = {kind.exit_code for kind in kinds()}
    assert codes == {
        ExitCode.FAILED, ExitCode.BAD_INPUT, ExitCode.APPROVAL_REQUIRED, ExitCode.TEMPORARY,
        ExitCode.NOT_RECORDED,
    }  # fmt: skip
