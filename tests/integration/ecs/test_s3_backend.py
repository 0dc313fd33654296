"""Terraform's S3 backend, with its own lock file, on the state's bucket of the embedded AWS."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from xops.aws.access import Aws
from xops.core.errors import CredentialsError
from xops.ecs.state_bucket import StateBucket
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import find_binary
from xops.ecs.terraform_errors import StateLockedError

STACK = """
terraform {
  backend "s3" {}
}
variable "size" { type = number }
resource "terraform_data" "a" {
  input = var.size
  provisioner "local-exec" {
    command = "for n in $(seq 600); do [ -e release ] || sleep 0.1; done"
  }
}
output "size" { value = terraform_data.a.output }
"""
KEY = "stream1/terraform.tfstate"
LOCK = {
    "ID": "6b1f7c1e-6a0e-4f52-8d3a-0f6c3f1d2a11",
    "Operation": "OperationTypeApply",
    "Info": "",
    "Who": "ann@build-7",
    "Version": "1.11.4",
    "Created": "2026-03-11T09:58:20.5Z",
}


@pytest.fixture
def bucket(aws: Aws) -> StateBucket:
    made = StateBucket("terraform-state", aws.region, aws.client("s3"))
    made.apply(made.changes(exists=made.exists()))
    made.client.delete_object(Bucket=made.name, Key=KEY)
    return made


@pytest.fixture
def terraform(
    aws: Aws, bucket: StateBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Terraform:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    stack, work = tmp_path / "stack", tmp_path / "work"
    stack.mkdir()
    (stack / "main.tf").write_text(STACK)
    made = Terraform(
        binary=find_binary(os.environ),
        stack=stack,
        work=work,
        data=tmp_path / "data",
        environ=aws.terraform_environ(),
        lock_timeout=0,
    )
    emulator = (
        "use_path_style", "skip_credentials_validation", "skip_metadata_api_check",
        "skip_requesting_account_id", "skip_region_validation",
    )  # fmt: skip
    where = {"bucket": bucket.name, "key": KEY, "region": bucket.region, "use_lockfile": "true"}
    made.init(where | dict.fromkeys(emulator, "true"))
    (work / "vars.json").write_text('{"size": 1}')
    (stack / "release").touch()
    return made


@pytest.fixture
def held(bucket: StateBucket) -> str:
    """The lock of a run on another machine; its id."""
    body = json.dumps({**LOCK, "Path": f"{bucket.name}/{KEY}"}).encode()
    bucket.client.put_object(Bucket=bucket.name, Key=f"{KEY}.tflock", Body=body)
    return LOCK["ID"]


def test_state_lives_in_the_bucket_and_no_lock_is_left(
    terraform: Terraform, bucket: StateBucket
) -> None:
    terraform.apply(terraform.plan(terraform.work / "vars.json"))

    assert terraform.output() == {"size": 1}
    listed = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert [row["Key"] for row in listed] == [KEY]
    assert not terraform.plan(terraform.work / "vars.json").has_changes


def test_a_lock_of_another_machine_is_named_and_is_cleared_only_by_its_id(
    terraform: Terraform, held: str
) -> None:
    with pytest.raises(StateLockedError) as caught:
        terraform.plan(terraform.work / "vars.json")

    lock = caught.value.lock
    assert (lock.id, lock.who) == (held, "ann@build-7")
    assert lock.path == "terraform-state/stream1/terraform.tfstate"
    assert "--lock-id " + held in caught.value.remedy

    terraform.force_unlock(held)
    assert terraform.plan(terraform.work / "vars.json").has_changes


def test_rights_that_are_missing_while_locking_are_no_lock(
    terraform: Terraform, fault: Callable[..., None]
) -> None:
    fault(service="s3", operation="PutObject", error="AccessDenied", status=403)

    with pytest.raises(CredentialsError, match="AccessDenied"):
        terraform.plan(terraform.work / "vars.json")


def test_credentials_that_expire_during_an_apply_say_where_the_state_went(
    terraform: Terraform, fault: Callable[..., None]
) -> None:
    """The lock was got before; only the state's own object can no longer be written."""
    saved = terraform.plan(terraform.work / "vars.json")
    (terraform.stack / "release").unlink()

    def expire(_: object) -> None:
        fault(service="s3", operation="PutObject", error="ExpiredToken", status=400)
        (terraform.stack / "release").touch()

    with pytest.raises(CredentialsError, match="ExpiredToken") as caught:
        terraform.apply(saved, expire)

    assert "errored.tfstate" in caught.value.found
    assert (terraform.stack / "errored.tfstate").exists()
