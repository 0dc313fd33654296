"""Stream 1 as the steps of a lifecycle, as far as nothing outside is asked."""

from pathlib import Path
from typing import Any

import pytest

from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.errors import PermanentError
from xops.core.plan.model import Action, Change, Plan
from xops.ecs.environment import Environment
from xops.ecs.run_folder import RunFolder
from xops.ecs.stream1 import Stream1
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import Binary

LENIENT = {"approval.required_for": ["destroy"]}


class Silent:
    def plan_ready(self, plan: Plan) -> None: ...

    def note(self, message: str) -> None: ...

    def progress(self, progress: Any) -> None: ...

    def services(self, states: Any) -> None: ...


def stream(tmp_path: Path, name: str, *, destroy: bool = False, file: Any = None) -> Stream1:
    environment = Environment.load(name, environ={}, **(file or {}))
    tmp_path.mkdir(exist_ok=True)
    folder = RunFolder(tmp_path / "run")
    terraform = Terraform(
        binary=Binary(("terraform",), "1.11.4", "a test"),
        stack=folder.path,
        work=folder.path,
        data=folder.path,
        environ={},
    )
    aws = Aws(Target.EMBEDDED, environment.region, {})
    return Stream1(environment, aws, terraform, "123", "arn", folder, Silent(), destroy)


def plan(action: Action) -> Plan:
    change = Change(action=action, target="aws_ecs_service.crew")
    return Plan(subject="ecs/test", target="embedded", changes=(change,))


def test_its_record_is_called_what_was_done(tmp_path: Path) -> None:
    assert stream(tmp_path / "a", "test").kind == "apply"
    assert stream(tmp_path / "b", "test", destroy=True).kind == "destroy"


def test_a_protected_environment_is_not_destroyed(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="destroying ecs/prod: deletion_protection is true"):
        stream(tmp_path, "prod", destroy=True).plan()


def test_nothing_is_left_to_look_at_after_a_destroy(tmp_path: Path) -> None:
    assert stream(tmp_path, "test", destroy=True).verify({}) is None


@pytest.mark.parametrize("action", [Action.DELETE, Action.REPLACE])
def test_no_policy_lets_a_destroy_pass(tmp_path: Path, action: Action) -> None:
    assert stream(tmp_path, "test", file=LENIENT).policy(plan(action)) is None


def test_the_policy_of_the_file_approves_what_it_does_not_name(tmp_path: Path) -> None:
    approval = stream(tmp_path, "test", file=LENIENT).policy(plan(Action.UPDATE))
    assert approval is not None
    assert approval.by == "policy of deployments/environments/test.yaml"
    assert approval.digest == plan(Action.UPDATE).digest
