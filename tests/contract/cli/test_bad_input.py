"""Bad input is exit code 2, whatever the command, and never a traceback."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cli.shell import COMMANDS, GROUPS, Command, Shell, spelling
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.k3s.release.lock import Lock

FACTS = str(ROOT / "deployments" / "facts.example.json")
CASES = str(ROOT / "deployments" / "triggers.test.yaml")
# Values for whatever a command requires besides the one that is wrong.
REQUIRED = {
    "--address": "https://xops.example.com/github",
    "--environment": "local",
    "--lock-id": "1",
    "--k3s": next(iter(Lock.load().versions)),
    "--output": "bundle.tar",
    "--out": "report",
    # Neither a cloud nor a site: nothing is written.
    "--who": "A",
    "--what": "B",
    "--jurisdiction": "AU",
    "--evidence": "https://example.com",
    "--from": "2026-01-01",
    "--until": "2027-01-01",
    "CLUSTER": "onprem",
    "SUBJECT": "ecs/local",
    "DELIVERY": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
    "TRIGGER": "iac_prs",
    "FILE": CASES,
    "FILES": CASES,
    "PLAN": str(Path(__file__).with_name("plan.json")),
}
# A command that would ask GitHub, or the history, where it is not given facts.
WITH_FACTS = {("triggers", "evaluate"), ("triggers", "replay"), ("triggers", "explain")}
# What `triggers classify` reads only if it measures, or reads with no path named.
READ_TO_MEASURE = {"--labels", "--policy"}
CHECKS = {
    "readable_file", "readable_folder", "writable_file", "writable_file_in_new_folder",
    "writable_folder",
}  # fmt: skip

every_command = pytest.mark.parametrize("command", COMMANDS, ids=str)


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS], ids=str)
def test_a_wrong_option(shell: Shell, command: Command) -> None:
    ended = shell.run([*command.words, "--no-such-option"])
    assert (ended.code, ended.out) == (ExitCode.BAD_INPUT, "")
    assert "--no-such-option" in ended.err


@pytest.mark.parametrize("command", GROUPS, ids=str)
def test_a_wrong_command(shell: Shell, command: Command) -> None:
    ended = shell.run([*command.words, "no-such-command"])
    assert (ended.code, ended.out) == (ExitCode.BAD_INPUT, "")
    assert "no-such-command" in ended.err


@pytest.mark.parametrize("command", [row for row in COMMANDS if not row.takes_any_number], ids=str)
def test_an_argument_too_many(shell: Shell, command: Command) -> None:
    ended = shell.run([*command.words, *_required(command), "one", "two", "three"])
    assert ended.code == ExitCode.BAD_INPUT


@every_command
def test_bytes_that_are_no_text(shell: Shell, command: Command) -> None:
    ended = shell.run([*command.words, os.fsdecode(b"\xff")])
    assert ended.code == ExitCode.BAD_INPUT
    assert "is not UTF-8" in ended.err


def test_an_error_is_json_where_that_was_asked_for(shell: Shell) -> None:
    ended = shell.run(["triggers", "evaluate", "--facts", "/no/such/file", "--json"])
    assert ended.code == ExitCode.BAD_INPUT
    assert '"message": "/no/such/file cannot be read: No such file or directory"' in ended.out


@every_command
def test_every_command_takes_json(command: Command) -> None:
    assert "--json" in map(spelling, command.node.params)


def _paths(checks: set[str]) -> list[Any]:
    return [
        pytest.param(command, param, id=f"{command} {spelling(param)}")
        for command in COMMANDS
        for param in command.node.params
        if _is_path(param) and _check(param) in checks
    ]


def _is_path(param: Any) -> bool:
    return param.type_descriptor.annotation is Path


def _check(param: Any) -> str:
    return getattr(param.callback, "__name__", "none")


def test_every_path_is_checked_before_anything_starts() -> None:
    unchecked = [
        f"{command} {spelling(param)}"
        for command in COMMANDS
        for param in command.node.params
        if _is_path(param) and _check(param) not in CHECKS
    ]
    assert unchecked == []
    assert len(_paths(CHECKS)) > 15


def _missing(folder: Path) -> Path:
    return folder / "missing"


def _folder(folder: Path) -> Path:
    return folder


def _below_a_file(folder: Path) -> Path:
    return _text(folder) / "below"


def _too_long(folder: Path) -> Path:
    return folder / ("a" * 300)


def _text(folder: Path) -> Path:
    (folder / "text").write_text("just text\n")
    return folder / "text"


def _not_utf8(folder: Path) -> Path:
    (folder / "latin.yaml").write_bytes("versions: größe".encode("latin-1"))
    return folder / "latin.yaml"


def _in_no_folder(folder: Path) -> Path:
    return folder / "missing" / "new"


def _where_the_system_allows_no_file(_folder: Path) -> Path:
    return Path("/proc/xops-writes-here")


def _forbidden(folder: Path) -> Path:
    closed = folder / "closed"
    closed.mkdir(mode=0o000)
    return closed / "file"


Wrong = Callable[[Path], Path]
FORBIDDEN: list[Wrong] = [_forbidden] if os.geteuid() else []  # permissions do not bind root


@pytest.mark.parametrize("wrong", [_missing, _folder, _below_a_file, _too_long, *FORBIDDEN])
@pytest.mark.parametrize(("command", "param"), _paths({"readable_file"}))
def test_a_file_that_cannot_be_read(
    shell: Shell, command: Command, param: Any, wrong: Wrong, tmp_path: Path
) -> None:
    _refused(shell, command, param, wrong(tmp_path))


@pytest.mark.parametrize("wrong", [_not_utf8, _text])
@pytest.mark.parametrize(("command", "param"), _paths({"readable_file"}))
def test_a_file_of_another_kind(
    shell: Shell, command: Command, param: Any, wrong: Wrong, tmp_path: Path
) -> None:
    path = wrong(tmp_path)
    if (command.words, spelling(param)) == (("bundle", "verify"), "FILE"):
        ended = shell.run([*command.words, str(path)])
        assert (ended.code, "no bundle of xOps" in ended.err) == (ExitCode.FAILED, True)
    else:
        _refused(shell, command, param, path)


@pytest.mark.parametrize("wrong", [_missing, _text, _below_a_file, _too_long, *FORBIDDEN])
@pytest.mark.parametrize(("command", "param"), _paths({"readable_folder"}))
def test_a_folder_that_cannot_be_read(
    shell: Shell, command: Command, param: Any, wrong: Wrong, tmp_path: Path
) -> None:
    _refused(shell, command, param, wrong(tmp_path))


@pytest.mark.parametrize(
    "wrong", [_folder, _below_a_file, _too_long, _where_the_system_allows_no_file, *FORBIDDEN]
)
@pytest.mark.parametrize(
    ("command", "param"), _paths({"writable_file", "writable_file_in_new_folder"})
)
def test_a_file_that_cannot_be_written(
    shell: Shell, command: Command, param: Any, wrong: Wrong, tmp_path: Path
) -> None:
    _refused(shell, command, param, wrong(tmp_path))


@pytest.mark.parametrize(
    "wrong", [_text, _below_a_file, _too_long, _where_the_system_allows_no_file, *FORBIDDEN]
)
@pytest.mark.parametrize(("command", "param"), _paths({"writable_folder"}))
def test_a_folder_that_cannot_be_written(
    shell: Shell, command: Command, param: Any, wrong: Wrong, tmp_path: Path
) -> None:
    _refused(shell, command, param, wrong(tmp_path))


@pytest.mark.parametrize(("command", "param"), _paths({"writable_file"}))
def test_a_file_in_a_folder_that_is_not_there(
    shell: Shell, command: Command, param: Any, tmp_path: Path
) -> None:
    _refused(shell, command, param, _in_no_folder(tmp_path))


@pytest.mark.parametrize("wrong", [_text, _not_utf8])
def test_a_kubeconfig_that_is_none_is_found_before_the_apply(
    shell: Shell, wrong: Wrong, tmp_path: Path
) -> None:
    file = wrong(tmp_path)
    ended = shell.run(["k3s", "apply", "onprem", "--merge-kubeconfig", str(file)])
    assert ended.code == ExitCode.BAD_INPUT
    assert "is no kubeconfig" in ended.err


@pytest.mark.parametrize("wrong", [_missing, _folder, _below_a_file, _too_long, _text, _not_utf8])
@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.words[0] in ("ecs", "k3s")], ids=str
)
def test_an_environment_or_cluster_that_is_none(
    shell: Shell, command: Command, wrong: Wrong, tmp_path: Path
) -> None:
    named = "--environment" if command.words[0] == "ecs" else "CLUSTER"
    param = next(param for param in command.node.params if spelling(param) == named)
    _refused(shell, command, param, wrong(tmp_path), says_where=False)


@pytest.mark.parametrize(
    "day", ["", "today", "2026-02-30", "0001-01-01", "9999-12-31", "2099-12-31"]
)
@pytest.mark.parametrize(
    ("command", "param"),
    [
        pytest.param(command, param, id=f"{command} {spelling(param)}")
        for command in COMMANDS
        for param in command.node.params
        if param.metavar == "DATE"
    ],
)
def test_any_day_has_an_answer(shell: Shell, command: Command, param: Any, day: str) -> None:
    ended = shell.run([*command.words, *_required(command), spelling(param), day])
    assert ended.code in set(ExitCode)


def _refused(
    shell: Shell, command: Command, param: Any, path: Path, *, says_where: bool = True
) -> None:
    is_argument = param.param_type_name == "argument"
    value = [str(path)] if is_argument else [spelling(param), str(path)]
    ended = shell.run([*command.words, *value, *_required(command, but=param)])
    assert ended.code == ExitCode.BAD_INPUT, ended.err
    assert not says_where or str(path) in ended.err
    assert "->" in ended.err


def _required(command: Command, but: Any = None) -> list[str]:
    """The words that make the command complete; without those for `but`."""
    return [word for words in _values(command, but) for word in words]


def _values(command: Command, but: Any) -> Iterator[list[str]]:
    for param in command.node.params:
        name = spelling(param)
        if param is but or name == "HOST":
            continue
        if param.required:
            value = REQUIRED[name]
            yield [value] if param.param_type_name == "argument" else [name, value]
        elif name == "--facts" and command.words in WITH_FACTS:
            yield [name, FACTS]
        elif name == "--measure" and but is not None and spelling(but) in READ_TO_MEASURE:
            yield [name]
