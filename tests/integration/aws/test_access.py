"""How AWS is reached: one endpoint for boto3 and Terraform, one session for all clients."""

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.aws_by_name import AwsByName
from tests.embedded_aws import reaching
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.errors import CredentialsError
from xops.ecs.terraform_discovery import base_environment, find_binary

Access = Callable[..., Aws]

ROLE = """
[profile operator]
role_arn = arn:aws:iam::123456789012:role/operator
source_profile = operations
"""
PROVIDER = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
  backend "s3" {
    bucket = "no-such-bucket"
    key    = "state"
    region = "ap-southeast-2"
  }
}
"""


class Elsewhere(ThreadingHTTPServer):
    """What a variable or a profile names instead of AWS; nobody of ours may ask it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Refuse)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Refuse(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(418)

    do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def redirected(url: str) -> str:
    """A profile that names another endpoint in each of the ways there are."""
    services = f"[services local]\nsts =\n  endpoint_url = {url}\ns3 =\n  endpoint_url = {url}\n"
    return f"[profile operations]\nendpoint_url = {url}\nservices = local\n{services}"


def test_aws_is_reached_by_its_own_names(access: Access, by_name: AwsByName) -> None:
    assert access().identity()[0] == "123456789012"
    assert [call.host for call in by_name.calls] == ["sts.ap-southeast-2.amazonaws.com"]


@pytest.mark.parametrize(
    "variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_S3"]
)
def test_an_endpoint_in_the_shell_is_for_other_software(
    access: Access,
    by_name: AwsByName,
    elsewhere: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, elsewhere.url)
    aws = access(**{variable: elsewhere.url})
    aws.identity()
    aws.client("s3").list_buckets()
    assert len(by_name.calls) == 2
    assert elsewhere.asked == []
    assert elsewhere.url not in str(aws.terraform_environ())


def test_an_endpoint_in_a_profile_is_not_followed(
    access: Access, by_name: AwsByName, elsewhere: Elsewhere
) -> None:
    aws = access(redirected(elsewhere.url))
    aws.identity()
    aws.client("s3").list_buckets()
    assert len(by_name.calls) == 2
    assert elsewhere.asked == []


def test_a_role_is_assumed_where_the_calls_go(
    access: Access, by_name: AwsByName, elsewhere: Elsewhere
) -> None:
    access(redirected(elsewhere.url) + ROLE, AWS_PROFILE="operator").identity()
    assert by_name.actions() == ["AssumeRole", "GetCallerIdentity"]
    assert elsewhere.asked == []


def test_terraform_goes_where_boto3_goes(
    access: Access, by_name: AwsByName, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    stack = tmp_path / "stack"
    stack.mkdir()
    (stack / "main.tf").write_text(PROVIDER)
    aws = access(redirected(elsewhere.url))
    done = subprocess.run(
        [*find_binary(os.environ).argv, "init", "-backend=true", "-input=false", "-no-color"],
        cwd=stack,
        env=base_environment(aws.terraform_environ()),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "no-such-bucket" in done.stdout + done.stderr
    assert elsewhere.asked == []
    hosts = {call.host for call in by_name.calls}
    assert any(host.startswith("sts.") for host in hosts)
    assert any("s3" in host for host in hosts)


def test_a_profile_of_the_shell_does_not_hinder_an_emulator(
    endpoint: str, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", elsewhere.url)
    environ = {**reaching(endpoint), "AWS_PROFILE": "nowhere"}
    assert Aws(Target.EMBEDDED, "ap-southeast-2", environ).identity()[0] == "123456789012"
    assert elsewhere.asked == []


def test_a_profile_that_is_not_there_is_said(access: Access) -> None:
    with pytest.raises(CredentialsError, match="nowhere"):
        access(AWS_PROFILE="nowhere").client("s3")


def test_a_role_is_assumed_once_for_all_clients_and_threads(
    access: Access, by_name: AwsByName
) -> None:
    aws = access(ROLE, AWS_PROFILE="operator")

    def poll(_round: int) -> None:
        aws.client("ecs").list_clusters()
        aws.client("elbv2").describe_target_groups()
        aws.identity()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(poll, range(8)))
    assert by_name.actions().count("AssumeRole") == 1
    assert by_name.actions().count("GetCallerIdentity") == 8


def test_a_role_is_renewed_before_it_ends(access: Access, by_name: AwsByName) -> None:
    # 15 minutes are the shortest that STS gives; from there on botocore renews it.
    aws = access(ROLE + "duration_seconds = 900\n", AWS_PROFILE="operator")
    first = aws.identity()
    assert aws.identity() == first
    assert by_name.actions().count("AssumeRole") >= 2


def test_a_client_is_made_once(access: Access) -> None:
    aws = access()
    assert aws.client("ecs") is aws.client("ecs")
    assert aws.client("ecs") is not access().client("ecs")
