"""A role, assumed by botocore itself from the file that the block writes, as in an ECS task."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from blocks import AwsAccess
from tests import aws_by_name
from tests.http_servers import serving
from xops.aws.access import Aws
from xops.aws.target import Target

ROLE = "arn:aws:iam::123456789012:role/xops-run"


class TaskCredentials(BaseHTTPRequestHandler):
    """What the ECS agent answers a task that asks for its credentials."""

    def do_GET(self) -> None:
        answer = {
            "AccessKeyId": "ASIATASK",
            "SecretAccessKey": "emulator",
            "Token": "emulator",
            "Expiration": "2099-01-01T00:00:00Z",
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of an ECS task, whose AWS is on this machine."""
    with serving(TaskCredentials) as agent, aws_by_name.running() as aws:
        given = {**aws.environ, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{agent}/"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        yield dict(os.environ)


def who(environ: dict[str, str]) -> str:
    return Aws(Target.AWS, "ap-southeast-2", environ).identity()[1]


def test_the_role_is_assumed_with_the_tasks_credentials(
    task: dict[str, str], tmp_path: Path
) -> None:
    access = AwsAccess(role_arn=ROLE, session_name="xops-prod")
    assert who(access.environ(task, tmp_path)).endswith(":assumed-role/xops-run/xops-prod")


def test_keys_of_the_worker_do_not_come_before_the_role(
    task: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulator")
    access = AwsAccess(role_arn=ROLE)
    environ = access.environ(dict(os.environ), tmp_path)
    assert ":assumed-role/xops-run/" in who(environ)
    assert ":assumed-role/" not in who(dict(os.environ))


def test_terraform_is_told_the_same(task: dict[str, str], tmp_path: Path) -> None:
    environ = AwsAccess(role_arn=ROLE).environ(task, tmp_path)
    told = Aws(Target.AWS, "ap-southeast-2", environ).terraform_environ()
    assert told["AWS_PROFILE"] == "xops"
    assert Path(told["AWS_CONFIG_FILE"]).parent == tmp_path
    assert told["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == task["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert "AWS_ACCESS_KEY_ID" not in told
