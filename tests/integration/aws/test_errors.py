"""What AWS answers is an error with a cause and a remedy, through a real client."""

from collections.abc import Callable

import pytest

from tests.aws_by_name import closed_port
from xops.aws.access import Aws
from xops.aws.errors import ThrottledError, translate_aws_errors
from xops.aws.evidence import S3Store
from xops.aws.target import Target
from xops.core.errors import (
    CredentialsError,
    PermanentError,
    TemporaryError,
    UnreachableError,
    XopsError,
)
from xops.core.evidence.stores import RecordExistsError, RecordMissingError

Fault = Callable[..., None]


@pytest.fixture
def bucket(aws: Aws) -> str:
    aws.client("s3").create_bucket(
        Bucket="records", CreateBucketConfiguration={"LocationConstraint": aws.region}
    )
    return "records"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ("ExpiredToken", 403, CredentialsError),
        ("AccessDenied", 403, CredentialsError),
        ("Throttling", 400, ThrottledError),
        ("InternalFailure", 500, TemporaryError),
        ("SomethingElse", 400, PermanentError),
    ],
)
def test_an_answer_is_told_by_its_code(
    aws: Aws, fault: Fault, error: str, status: int, kind: type[XopsError]
) -> None:
    fault(service="sts", operation="GetCallerIdentity", error=error, status=status)
    with pytest.raises(XopsError, match="asking embedded who we are") as caught:
        aws.identity()
    assert type(caught.value) is kind


def test_an_error_that_a_service_models_is_told_by_its_code(aws: Aws, fault: Fault) -> None:
    fault(service="ecs", operation="ListClusters", error="ThrottlingException", status=400)
    with pytest.raises(ThrottledError), translate_aws_errors("listing"):
        aws.client("ecs").list_clusters()


def test_an_endpoint_that_does_not_answer_is_unreachable() -> None:
    address = {"XOPS_AWS_ENDPOINT": f"http://127.0.0.1:{closed_port()}"}
    with pytest.raises(UnreachableError, match="Could not connect"):
        Aws(Target.EMBEDDED, "ap-southeast-2", address).identity()


def test_a_record_is_kept_and_never_overwritten(aws: Aws, bucket: str) -> None:
    store = S3Store(aws.client("s3"), bucket, "evidence")
    store.put("ecs/one.json", b"first")
    address = store.address("ecs/one.json")
    assert address == "s3://records/evidence/ecs/one.json"
    with pytest.raises(RecordExistsError, match=f"keeping the record {address}"):
        store.put("ecs/one.json", b"second")
    store.put("ecs/one.json", b"first")
    assert store.read("ecs/one.json") == b"first"
    assert store.keys("ecs/") == ["ecs/one.json"]
    with pytest.raises(RecordMissingError):
        store.read("ecs/two.json")


def test_where_there_is_no_bucket_there_are_no_records(aws: Aws) -> None:
    assert S3Store(aws.client("s3"), "no-such-bucket", "evidence").keys("ecs/") == []


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ("AccessDenied", 403, CredentialsError),
        ("SlowDown", 503, ThrottledError),
        ("InternalError", 500, TemporaryError),
        ("ConditionalRequestConflict", 409, TemporaryError),
        ("NoSuchBucket", 404, PermanentError),
    ],
)
def test_a_record_that_is_not_kept_says_why(
    aws: Aws, fault: Fault, error: str, status: int, kind: type[XopsError]
) -> None:
    fault(service="s3", operation="PutObject", error=error, status=status)
    with pytest.raises(XopsError, match="keeping the record s3://records/evidence/") as caught:
        S3Store(aws.client("s3"), "records", "evidence").put("ecs/two.json", b"{}")
    assert type(caught.value) is kind
