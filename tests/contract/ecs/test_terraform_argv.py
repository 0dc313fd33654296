"""What the `terraform` program gets from us, verb by verb: argv, environment, folder, files."""

import hashlib
import inspect
import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import python_terraform
from python_terraform import IsFlagged, IsNotFlagged

from xops.core.errors import PermanentError, StalePlanError
from xops.ecs.terraform import SavedPlan, Terraform
from xops.ecs.terraform_discovery import Binary
from xops.ecs.terraform_errors import StateLockedError, TerraformError
from xops.ecs.terraform_events import TerraformStep

SAMPLES = Path(__file__).parents[2] / "unit" / "ecs" / "samples"
CANARY = "canary-8c2e"
SUMMARY = json.dumps(
    {
        "type": "change_summary",
        "changes": {"add": 2, "change": 1, "import": 0, "remove": 4, "operation": "plan"},
    }
)
VERSION = '{"type":"version","terraform":"1.11.4","ui":"1.2"}\n'

Make = Callable[..., Terraform]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def planned(make: Make, tool: Any, tmp_path: Path, **values: Any) -> SavedPlan:
    tool.answer("plan", f"{VERSION}{SUMMARY}\n", 2)
    return make().plan(tmp_path / "vars.json", **values)


# Verb by verb


def test_init(make: Make, tool: Any) -> None:
    make().init({"bucket": "state", "use_lockfile": "true"})

    assert tool.last == [
        "init",
        "-input=false",
        "-no-color",
        "-reconfigure",
        "-lockfile=readonly",
        "-backend-config=bucket=state",
        "-backend-config=use_lockfile=true",
    ]


def test_init_without_a_backend_s_options(make: Make, tool: Any) -> None:
    make().init({})

    assert tool.last == [
        "init", "-input=false", "-no-color", "-reconfigure", "-lockfile=readonly",
    ]  # fmt: skip


def test_validate(make: Make, tool: Any) -> None:
    tool.answer("validate", '{\n  "valid": true,\n  "diagnostics": []\n}\n')

    make().validate()

    assert tool.last == ["validate", "-json"]


def test_plan(make: Make, tool: Any, tmp_path: Path) -> None:
    planned(make, tool, tmp_path)

    assert tool.last == [
        "plan",
        "-json",
        "-input=false",
        "-lock-timeout=60s",
        "-detailed-exitcode",
        f"-var-file={tmp_path}/vars.json",
        f"-out={tmp_path}/work/apply.tfplan",
    ]


def test_plan_of_a_destroy(make: Make, tool: Any, tmp_path: Path) -> None:
    planned(make, tool, tmp_path, destroy=True)

    assert tool.last == [
        "plan",
        "-json",
        "-input=false",
        "-lock-timeout=60s",
        "-detailed-exitcode",
        "-destroy",
        f"-var-file={tmp_path}/vars.json",
        f"-out={tmp_path}/work/destroy.tfplan",
    ]


def test_show(make: Make, tool: Any, tmp_path: Path) -> None:
    saved = planned(make, tool, tmp_path)
    tool.answer("show", '{"format_version":"1.2"}\n')

    assert make().show(saved) == {"format_version": "1.2"}
    assert tool.last == ["show", "-json", "-no-color", str(saved.path)]


@pytest.mark.parametrize("destroy", [False, True])
def test_apply_takes_a_plan_file_and_nothing_that_could_widen_it(
    make: Make, tool: Any, tmp_path: Path, destroy: bool
) -> None:
    """No -auto-approve, no -var-file, no -target: only what was planned and approved."""
    saved = planned(make, tool, tmp_path, destroy=destroy)

    make(lock_timeout=5).apply(saved)

    assert tool.last == ["apply", "-json", "-input=false", "-lock-timeout=5s", str(saved.path)]


def test_output(make: Make, tool: Any) -> None:
    tool.answer("output", '{\n  "url": {"sensitive": false, "type": "string", "value": "u"}\n}\n')

    assert make().output() == {"url": "u"}
    assert tool.last == ["output", "-json", "-no-color"]


def test_state_list(make: Make, tool: Any) -> None:
    tool.answer("state", "terraform_data.a\nmodule.b.terraform_data.c[0]\n")

    assert make().state_list() == ["terraform_data.a", "module.b.terraform_data.c[0]"]
    assert tool.last == ["state", "list"]


def test_force_unlock_names_the_one_lock(make: Make, tool: Any) -> None:
    make().force_unlock("6b1f7c1e")

    assert tool.last == ["force-unlock", "-force", "-no-color", "6b1f7c1e"]


def test_a_state_is_pushed_under_its_lock_and_never_by_force(
    make: Make, tool: Any, tmp_path: Path
) -> None:
    make(lock_timeout=7).state_push(tmp_path / "kept.tfstate")

    file = str(tmp_path / "kept.tfstate")
    assert tool.last == ["state", "push", "-lock=true", "-lock-timeout=7s", file]

    tool.answer("state", "Error: cannot import state with serial 3 over newer state\n", 1)
    with pytest.raises(TerraformError, match="terraform state push: Error: cannot import"):
        make().state_push(tmp_path / "kept.tfstate")


def test_a_binary_of_several_words_keeps_them_in_front(make: Make, tool: Any) -> None:
    binary = Binary(("env", "WORD=1", str(tool.program)), "1.15.5", "test")

    make(binary=binary).state_list()

    assert tool.last == ["state", "list"]
    assert tool.calls[-1]["environ"]["WORD"] == "1"


# What it runs in


def test_nothing_of_ours_reaches_terraform_but_what_it_needs(
    make: Make, tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = {
        "TF_CLI_ARGS": "-lock=false",
        "TF_CLI_ARGS_apply": "-parallelism=1",
        "TF_CLI_CONFIG_FILE": "/elsewhere",
        "TF_DATA_DIR": "/elsewhere",
        "TF_LOG": "trace",
        "TF_WORKSPACE": "other",
        "TF_VAR_region": "us-east-1",
        "TF_PLUGIN_CACHE_DIR": "/elsewhere",
        "AWS_PROFILE": "private",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "GITHUB_TOKEN": CANARY,
        "PREFECT_API_KEY": CANARY,
        "PYTHONPATH": "/elsewhere",
    }
    for name, value in stray.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")

    make().state_list()

    environ = tool.calls[-1]["environ"]
    own = {
        "AWS_REGION": "ap-southeast-2",
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "TF_DATA_DIR": str(tmp_path / "data"),
        "TF_CLI_CONFIG_FILE": str(tmp_path / "work" / "terraform.rc"),
    }
    assert environ | own == environ
    # LC_CTYPE is Python's own doing: the stand-in is a Python program.
    passed = environ.keys() - own.keys() - {"LC_CTYPE"}
    assert passed <= {
        "PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    }  # fmt: skip
    assert {name: environ[name] for name in passed} == {name: os.environ[name] for name in passed}
    assert environ["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert CANARY not in json.dumps(tool.calls)


def test_it_runs_in_the_stack_s_folder(make: Make, tool: Any, tmp_path: Path) -> None:
    make().state_list()

    assert tool.calls[-1]["cwd"] == str(tmp_path / "stack")


def test_its_configuration_is_its_own(make: Make, tool: Any, tmp_path: Path) -> None:
    make().state_list()

    assert (tmp_path / "work" / "terraform.rc").read_text() == (
        f'disable_checkpoint = true\nplugin_cache_dir = "{tmp_path}/home/terraform-plugins"\n'
    )
    assert (tmp_path / "home" / "terraform-plugins").is_dir()
    assert mode(tmp_path / "work") == 0o700


def test_with_a_mirror_the_provider_comes_from_nowhere_else(make: Make, tmp_path: Path) -> None:
    make(mirror=Path("/mirror")).state_list()

    text = (tmp_path / "work" / "terraform.rc").read_text()
    provider = "registry.terraform.io/hashicorp/aws"
    assert f'filesystem_mirror {{ path = "/mirror"\n include = ["{provider}"] }}' in text
    assert f'direct {{ exclude = ["{provider}"] }}' in text


# What it leaves behind


def test_a_plan_file_and_the_logs_are_their_owner_s(make: Make, tool: Any, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        saved = planned(make, tool, tmp_path)
    finally:
        os.umask(before)

    assert mode(saved.path) == 0o600
    assert saved.sha256 == hashlib.sha256(b"a plan").hexdigest()
    logs = tmp_path / "work" / "logs"
    assert [(file.name, mode(file)) for file in logs.iterdir()] == [("plan.log", 0o600)]
    assert mode(logs) == 0o700


def test_what_may_hold_secrets_is_not_kept(
    make: Make, tool: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    saved = planned(make, tool, tmp_path)
    tool.answer("show", json.dumps({"secret": CANARY}))
    tool.answer("output", json.dumps({"secret": {"sensitive": True, "value": CANARY}}))

    assert make().show(saved) == {"secret": CANARY}
    assert make().output() == {"secret": CANARY}

    kept = [file.read_text() for file in (tmp_path / "work").rglob("*") if file.is_file()]
    assert CANARY not in "".join(kept)
    assert CANARY not in caplog.text


def test_secrets_are_kept_out_of_errors(make: Make, tool: Any) -> None:
    tool.answer("force-unlock", f"Error: refused for {CANARY}\n", 1)

    with pytest.raises(TerraformError) as caught:
        make(secrets=(CANARY,)).force_unlock("1")

    assert caught.value.found == "Error: refused for ***"


# What it answers


@pytest.mark.parametrize(("code", "has_changes"), [(0, False), (2, True)])
def test_exit_code_2_of_a_plan_means_changes(
    make: Make, tool: Any, tmp_path: Path, code: int, has_changes: bool
) -> None:
    tool.answer("plan", f"{VERSION}{SUMMARY}\n", code)

    saved = make().plan(tmp_path / "vars.json")

    assert (saved.has_changes, saved.steps, saved.destroy) == (has_changes, 7, False)


def test_a_plan_that_fails_says_why(make: Make, tool: Any, tmp_path: Path) -> None:
    row = json.loads((SAMPLES / "diagnostics.json").read_text())["locked in S3"]
    event = {"type": "diagnostic", "diagnostic": {"severity": "error", **row}}
    tool.answer("plan", f"Warning: no JSON\n{VERSION}{json.dumps(event)}\n", 1)

    with pytest.raises(StateLockedError) as caught:
        make().plan(tmp_path / "vars.json")

    assert caught.value.attempted == "terraform plan"
    assert caught.value.lock.who == "ann@build-7"


@pytest.mark.parametrize("code", [0, 1])
def test_an_error_event_is_a_failure_whatever_the_exit_code(
    make: Make, tool: Any, tmp_path: Path, code: int
) -> None:
    saved = planned(make, tool, tmp_path)
    tool.answer("apply", (SAMPLES / "apply-failed.jsonl").read_text(), code)

    with pytest.raises(TerraformError, match=r"terraform_data\.broken: local-exec provisioner err"):
        make().apply(saved)


@pytest.mark.parametrize(
    ("output", "found"), [("", "exit code 139"), ("panic: \x1b[31mred\x1b[0m\n", "panic: red")]
)
def test_a_failure_without_an_event_says_what_there_is(
    make: Make, tool: Any, tmp_path: Path, output: str, found: str
) -> None:
    tool.answer("plan", output, 139)

    with pytest.raises(TerraformError) as caught:
        make().plan(tmp_path / "vars.json")

    assert caught.value.found == found


def test_progress_of_an_apply_counts_to_the_plan_s_steps(
    make: Make, tool: Any, tmp_path: Path
) -> None:
    saved = planned(make, tool, tmp_path)
    tool.answer("apply", (SAMPLES / "apply.jsonl").read_text())
    progress: list[TerraformStep] = []

    make().apply(saved, progress.append)

    assert [(p.done, p.total) for p in progress if p.event == "apply_complete"] == [
        (1, 7), (2, 7), (3, 7), (4, 7),
    ]  # fmt: skip


@pytest.mark.parametrize("tamper", [Path.unlink, lambda path: path.write_bytes(b"A plan")])
def test_a_plan_file_that_is_not_the_one_approved_never_reaches_terraform(
    make: Make, tool: Any, tmp_path: Path, tamper: Callable[[Path], object]
) -> None:
    saved = planned(make, tool, tmp_path)
    tamper(saved.path)

    with pytest.raises(StalePlanError, match="SHA-256 differs"):
        make().apply(saved)

    assert [call["argv"][0] for call in tool.calls] == ["plan"]


def test_an_invalid_configuration_is_named_without_the_warnings(make: Make, tool: Any) -> None:
    rows = [
        {"severity": "warning", "summary": "Deprecated"},
        {"severity": "error", "summary": "Unsupported argument", "detail": "No such argument."},
    ]
    tool.answer("validate", json.dumps({"valid": False, "diagnostics": rows}, indent=2), 1)

    with pytest.raises(TerraformError) as caught:
        make().validate()

    assert caught.value.found == "Unsupported argument: No such argument."


@pytest.mark.parametrize("output", ["", "panic\n", "{half"])
def test_output_that_is_no_json_is_shown_as_it_is(make: Make, tool: Any, output: str) -> None:
    tool.answer("output", output)

    with pytest.raises(PermanentError, match="reading Terraform's JSON"):
        make().output()


def test_no_state_is_an_empty_list_and_any_other_failure_is_not(make: Make, tool: Any) -> None:
    tool.answer("state", "\x1b[31mNo state file was found!\n\nState management\x1b[0m\n", 1)
    assert make().state_list() == []

    tool.answer("state", "\x1b[31mError: refused\x1b[0m\n", 1)
    with pytest.raises(TerraformError, match="terraform state list: Error: refused"):
        make().state_list()


# The library that builds the argument lists


def test_python_terraform_builds_arguments_as_it_did_when_it_was_chosen() -> None:
    built = python_terraform.Terraform("/", terraform_bin_path="terraform").generate_cmd_string(
        "state list",
        "an argument",
        a_flag=IsFlagged,
        no_flag=IsNotFlagged,
        nothing=None,
        yes=True,
        no=False,
        text="a b",
        number=3,
        target=["x", "y"],
        backend_config={"k": "v", "l": "w"},
    )

    assert built == [
        "terraform", "state", "list", "-a-flag", "-yes=true", "-no=false", "-text=a b",
        "-number=3", "-target=x", "-target=y", "-backend-config=k=v", "-backend-config=l=w",
        "an argument",
    ]  # fmt: skip


def test_python_terraform_s_builder_is_the_one_that_was_read() -> None:
    """Read it again before raising the version: it also writes variables to files of its own."""
    source = inspect.getsource(python_terraform.Terraform.generate_cmd_string)

    assert hashlib.sha256(source.encode()).hexdigest()[:16] == "1b4a8023330dd57e"
