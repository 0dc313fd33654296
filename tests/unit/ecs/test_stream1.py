"""Stream 1 as the steps of a lifecycle, as far as nothing outside is asked."""

from pathlib import Path
from typing import Any

import pytest

from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.errors import PermanentError
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Plan
from xops.ecs.environment import Environment
from xops.ecs.run_folder import RunFolder
from xops.ecs.stream1 import EcsPlan, Stream1
from xops.ecs.terraform import SavedPlan, Terraform
from xops.ecs.terraform_discovery import Binary

KEY = FingerprintKey("k" * 32)


class Silent:
    def plan_ready(self, plan: Plan) -> None: ...

    def note(self, message: str) -> None: ...

    def progress(self, progress: Any) -> None: ...


def stream(tmp_path: Path, name: str, *, destroy: bool = False) -> Stream1:
    environment = Environment.load(name, environ={})
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
    return Stream1(environment, aws, terraform, "123", "arn", folder, Silent(), KEY, destroy)


def test_its_record_is_called_what_was_done(tmp_path: Path) -> None:
    assert stream(tmp_path / "a", "test").kind == "apply"
    assert stream(tmp_path / "b", "test", destroy=True).kind == "destroy"


def test_a_protected_environment_is_not_destroyed(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="destroying ecs/prod: deletion_protection is true"):
        stream(tmp_path, "prod", destroy=True).plan()


def test_nothing_is_left_to_look_at_after_a_destroy(tmp_path: Path) -> None:
    assert stream(tmp_path, "test", destroy=True).verify({}) is None


def test_records_wait_only_for_a_bucket_that_this_very_plan_makes(tmp_path: Path) -> None:
    saved = SavedPlan(tmp_path, "", True, False, 0)
    makes = EcsPlan(Plan(subject="s", target="t"), saved, makes_bucket=True)
    there = EcsPlan(Plan(subject="s", target="t"), saved)

    assert stream(tmp_path / "a", "prod").makes_evidence_store(makes)
    assert not stream(tmp_path / "b", "prod").makes_evidence_store(there)
    assert not stream(tmp_path / "c", "test").makes_evidence_store(makes)
