"""The process: health, its port, its end, managed policies, missing calls, faults."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ONE_TRY = Config(retries={"total_max_attempts": 1})


@pytest.fixture
def faults(endpoint: str) -> Iterator[str]:
    url = f"{endpoint}/xops/faults"
    yield url
    call("DELETE", url)


def call(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_health_names_the_service_and_the_process(endpoint: str) -> None:
    status, body = call("GET", f"{endpoint}/xops/health")
    assert status == 200
    assert b'"service": "xops-embedded-aws"' in body
    assert b'"pid": ' in body
    assert b'"started_at": "' in body


def test_a_port_in_use_is_one_line_and_exit_code_2(endpoint: str) -> None:
    port = endpoint.rpartition(":")[2]
    command = [sys.executable, "-m", "xops.local.aws", "--port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert f"port {port} " in second.stderr
    assert "--port" in second.stderr


def test_managed_policies_are_loaded(client: Any) -> None:
    arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    policy = client("iam").get_policy(PolicyArn=arn)["Policy"]
    assert policy["PolicyName"] == "AmazonECSTaskExecutionRolePolicy"


def test_a_missing_call_fails_at_once(client: Any) -> None:
    with pytest.raises(ClientError) as error:
        client("efs").describe_replication_configurations()
    assert code_of(error)[1] == 400


FAULTED = [
    ("ecs", "ListClusters", "ThrottlingException", "list_clusters"),  # json
    ("elbv2", "DescribeLoadBalancers", "Throttling", "describe_load_balancers"),  # query
    ("ec2", "DescribeVpcs", "RequestExpired", "describe_vpcs"),  # ec2
    ("efs", "DescribeFileSystems", "ExpiredTokenException", "describe_file_systems"),  # rest-json
    ("s3", "ListBuckets", "ExpiredToken", "list_buckets"),  # rest-xml
    ("route53", "ListHostedZones", "Throttling", "list_hosted_zones"),  # rest-xml
]


@pytest.mark.parametrize(("service", "operation", "error", "method"), FAULTED)
def test_faults_speak_the_protocol_of_their_service(
    client: Any, faults: str, service: str, operation: str, error: str, method: str
) -> None:
    fault = f'[{{"service":"{service}","operation":"{operation}","error":"{error}","times":2,'
    status, body = call("POST", faults, f'{fault}"status":400,"message":"as asked"}}]'.encode())
    assert status == 200, body
    asked = getattr(client(service, config=ONE_TRY), method)
    for _ in range(2):
        with pytest.raises(ClientError, match="as asked") as raised:
            asked()
        assert code_of(raised) == (error, 400)
    asked()
    assert call("GET", faults) == (200, b"[]")


def test_a_fault_leaves_other_operations_and_services_alone(client: Any, faults: str) -> None:
    call(
        "POST", faults, b'[{"service":"ecs","operation":"CreateService","error":"ServerException"}]'
    )
    client("ecs").list_clusters()
    client("elb").describe_load_balancers()
    assert b'"times": 1' in call("GET", faults)[1]
    assert call("DELETE", faults) == (200, b"[]")


def test_any_operation_can_fail_or_be_slow(client: Any, faults: str) -> None:
    call("POST", faults, b'[{"service":"sts","operation":"*","delay_seconds":0.3}]')
    started = time.monotonic()
    assert client("sts").get_caller_identity()["Account"] == "123456789012"
    assert time.monotonic() - started >= 0.3


ACL: dict[str, Any] = {
    "Name": "once",
    "Scope": "REGIONAL",
    "DefaultAction": {"Allow": {}},
    "VisibilityConfig": {
        "SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "once"
    },
}  # fmt: skip


def test_a_call_whose_answer_was_lost_is_carried_out_once(client: Any, faults: str) -> None:
    fault = b'[{"service":"wafv2","operation":"CreateWebACL","loses_answer":true,"times":2}]'
    call("POST", faults, fault)
    wafv2 = client("wafv2")
    made = wafv2.create_web_acl(**ACL)["Summary"]
    assert call("GET", faults) == (200, b"[]")
    assert [row["Id"] for row in wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"]] == [made["Id"]]
    with pytest.raises(ClientError, match="duplicate"):  # another call is another call
        wafv2.create_web_acl(**ACL)


def test_what_failed_is_tried_again(client: Any, faults: str) -> None:
    fault = b'[{"service":"ecs","operation":"CreateCluster","error":"ThrottlingException"}]'
    call("POST", faults, fault)
    assert client("ecs").create_cluster(clusterName="again")["cluster"]["status"] == "ACTIVE"
    assert call("GET", faults) == (200, b"[]")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'[{"service":"ecs","operation":"NoSuch","error":"X"}]',
        b'[{"service":"ecs","opration":"*","error":"X"}]',
        b'[{"service":"ecs"}]',
        b'[{"service":"ecs","error":"X","times":0}]',
        b'[{"service":"ecs","error":"X","loses_answer":true}]',
        b'[{"service":"no-such-service","error":"X"}]',
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(faults: str, body: bytes) -> None:
    status, answer = call("POST", faults, body)
    assert status == 400, answer
    assert call("GET", faults) == (200, b"[]")
