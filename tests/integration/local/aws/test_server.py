"""The process: health, its port, its end, managed policies, missing calls, faults."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.embedded_aws import Signed, control
from xops.aws.embedded_key import EmbeddedKey, load_or_create_embedded_key

ONE_TRY = Config(retries={"total_max_attempts": 1})


@pytest.fixture
def faults(endpoint: str) -> Iterator[str]:
    url = f"{endpoint}/xops/faults"
    yield url
    call("DELETE", url)


def call(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    answer = control(url).request(method, url, content=body)
    return answer.status_code, answer.content


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_health_names_the_service_and_the_process(endpoint: str) -> None:
    status, body = call("GET", f"{endpoint}/xops/health")
    assert status == 200
    assert b'"service": "xops-embedded-aws"' in body
    assert b'"pid": ' in body
    assert b'"started_at": "' in body


# Who may give orders. Each of these was answered once, `reset` to a page of another origin.

ROUTES = [
    ("GET", "/", b""),
    ("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15"),
    ("POST", "/moto-api/reset", b""),
    ("GET", "/moto-api/data.json", b""),
    ("GET", "/moto-api/", b""),
    ("POST", "/xops/faults", b"[]"),
    ("GET", "/xops/faults", b""),
    ("DELETE", "/xops/faults", b""),
    ("POST", "/xops/health", b""),
    ("OPTIONS", "/moto-api/reset", b""),
    ("PUT", "/a-bucket/a-key", b"text"),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_an_order_without_a_signature_is_refused(
    endpoint: str, method: str, path: str, body: bytes
) -> None:
    answer = httpx.request(method, f"{endpoint}{path}", content=body)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (
        403,
        "MissingAuthenticationToken",
    )
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_another_key_is_refused(endpoint: str) -> None:
    own = load_or_create_embedded_key(os.environ)
    for other in (EmbeddedKey("XOPSANOTHER", own.secret_access_key), EmbeddedKey("test", "test")):
        assert _code(httpx.get(endpoint, auth=Signed(other, "s3"))) == "InvalidClientTokenId"
    guessed = EmbeddedKey(own.access_key_id, "guessed")
    assert _code(httpx.get(endpoint, auth=Signed(guessed, "s3"))) == "SignatureDoesNotMatch"


def _code(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    return answer.headers["x-amzn-errortype"]


class Altered(Signed):
    """Signs a request, then sends another: what somebody could who has heard it once."""

    def __init__(self, change: Callable[[httpx.Request], None]) -> None:
        super().__init__(load_or_create_embedded_key(os.environ))
        self._change = change

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for signed in super().auth_flow(request):
            self._change(signed)
            yield signed


def _with(name: str, value: str) -> Callable[[httpx.Request], None]:
    return lambda request: request.headers.update({name: value})


def _another_path(request: httpx.Request) -> None:
    request.url = request.url.copy_with(path="/moto-api/reset")


def _another_query(request: httpx.Request) -> None:
    request.url = request.url.copy_with(query=b"a=c")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_another_path, "SignatureDoesNotMatch"),
        (_another_query, "SignatureDoesNotMatch"),
        (_with("X-Amz-Date", "20200101T000000Z"), "RequestExpired"),
        (_with("X-Amz-Date", "yesterday"), "IncompleteSignature"),
        (_with("Host", "evil.example:80"), "AccessDenied"),
        (_with("Host", "127.0.0.1.evil.example"), "AccessDenied"),
        (_with("Host", "localhost"), "SignatureDoesNotMatch"),
        (_with("Origin", "http://127.0.0.1:8000"), "AccessDenied"),
        (_with("Origin", "null"), "AccessDenied"),
        (_with("Authorization", "AWS4-HMAC-SHA256 nonsense"), "IncompleteSignature"),
        (_with("Authorization", "AWS4-HMAC-SHA256 Credential=a/b"), "IncompleteSignature"),
        (_with("Authorization", "Basic dGVzdDp0ZXN0"), "MissingAuthenticationToken"),
    ],
)
def test_a_signature_is_good_for_its_own_request(
    endpoint: str, change: Callable[[httpx.Request], None], code: str
) -> None:
    asked = httpx.post(f"{endpoint}/xops/faults?a=b", content=b"[]", auth=Altered(change))
    assert _code(asked) == code


def test_a_body_is_the_one_that_was_signed(endpoint: str) -> None:
    class AnotherBody(Signed):
        def auth_flow(
            self, request: httpx.Request
        ) -> Generator[httpx.Request, httpx.Response, None]:
            for signed in super().auth_flow(request):
                yield httpx.Request(
                    "POST", signed.url, headers=dict(signed.headers), content=b'["x"]'
                )

    key = load_or_create_embedded_key(os.environ)
    asked = httpx.post(f"{endpoint}/xops/faults", content=b'["y"]', auth=AnotherBody(key))
    assert _code(asked) == "SignatureDoesNotMatch"


def test_the_refusal_speaks_the_protocol_of_its_service(client: Any) -> None:
    wrong = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    for service, _, _, method in FAULTED:
        with pytest.raises(ClientError, match="installation") as raised:
            getattr(client(service, config=ONE_TRY, **wrong), method)()
        assert code_of(raised) == ("InvalidClientTokenId", 403)


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
