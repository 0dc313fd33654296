"""`xops triggers classify`, as a person or a script uses it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from xops.cli.triggers.classify import classify
from xops.core.errors import InputError
from xops.triggers.measure.classification.working_copy import WorkingCopy
from xops.triggers.policy import FILE

app = typer.Typer()
app.command()(classify)
RUNNER = CliRunner()


def run(*arguments: str, stdin: str = "") -> str:
    result = RUNNER.invoke(app, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def run_json(*arguments: str, stdin: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", stdin=stdin))
    return found


def refused(*arguments: str) -> str:
    result = RUNNER.invoke(app, arguments)
    assert isinstance(result.exception, InputError)
    return str(result.exception)


def test_each_path_is_told_with_its_kind_and_the_rule() -> None:
    output = run("infra/main.tf", "README.md", "apps/web.yaml")
    lines = output.splitlines()
    assert lines[0].startswith("terraform ")
    assert "infra/main.tf" in lines[0]
    assert lines[1].startswith("- ")
    assert "document: " in lines[1]
    assert "open without its content" in lines[2]


def test_scripts_read_json_and_give_paths_on_stdin() -> None:
    found = run_json("-", stdin="infra/main.tf\n\ndocs/web.yaml\r\n")
    assert len(found["digest"]) == 64
    assert [(p["path"], p["kind"], p["excluded_as"]) for p in found["paths"]] == [
        ("infra/main.tf", "terraform", None),
        ("docs/web.yaml", None, "document"),
    ]


def test_a_working_copy_settles_what_the_path_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "web.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata:\n")
    (tmp_path / "x" / "Pulumi.yaml").write_text("name: x\nruntime: nodejs\n")
    (tmp_path / "x" / "vpc.ts").write_text("export const zones = 3\n")
    found = run_json("x/web.yaml", "x/vpc.ts", "--repository", str(tmp_path))
    assert [(p["kind"], p["certain"]) for p in found["paths"]] == [
        ("kubernetes", True),
        ("pulumi", True),
    ]


def test_the_patterns_of_a_policy_count(tmp_path: Path) -> None:
    file = tmp_path / "triggers.yaml"
    kept = FILE.read_text().split("\ngithub:")[0]
    file.write_text(f"{kept}\ngithub:\n  repositories: [acme/infra]\n  exclude: [sandbox/]\n")
    output = run("sandbox/main.tf", "--policy", str(file))
    assert "github.exclude" in output


def test_the_rules_are_measured_on_both_halves() -> None:
    parts = run_json("--measure", "--errors")["parts"]
    assert [(part["half"], part["by"]) for part in parts] == [
        ("learn", "path"), ("learn", "content"), ("held_out", "path"), ("held_out", "content"),
    ]  # fmt: skip
    for part in parts:
        assert len(part["errors"]) == part["missed"] + part["wrongly_found"]
    text = run("--measure")
    assert "held_out by content" in text
    assert "Recall" in text


def test_a_further_set_of_labels_can_be_measured(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\nmain.tf,yes\nsrc/x.py,yes\n")
    output = run("--measure", "--labels", str(file), "--errors")
    assert "0.500" in output
    assert "missed" in output
    assert "src/x.py" in output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give paths"),
        (("main.tf", "--measure"), "goes without paths"),
        (("main.tf", "--errors"), "go with --measure"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in refused(*arguments)


def test_a_working_copy_shows_nothing_from_outside(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata:\n")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "binary.yaml").write_bytes(b"a\0b")
    os.mkfifo(folder / "pipe.yaml")
    paths = ["../secret.yaml", "link.yaml", "binary.yaml", "none.yaml", "", "a\0b", "pipe.yaml"]
    texts = WorkingCopy(folder).texts([*paths, str(tmp_path / "secret.yaml")])
    assert {text for path, text in texts.items() if path != "pipe.yaml"} == {None}
    assert not texts["pipe.yaml"]
