"""The state's bucket on the embedded AWS: made, hardened one property at a time, left alone."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.embedded_aws import reaching
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.errors import CredentialsError, PermanentError, UnreachableError
from xops.core.plan.model import Action, Change
from xops.ecs.state_bucket import StateBucket

PROPERTIES = ["versioning", "encryption", "public_access", "policy", "old_versions_days"]


@pytest.fixture
def bucket(aws: Aws, request: pytest.FixtureRequest) -> StateBucket:
    """A bucket of this test's own name, not yet made."""
    name = f"state-{abs(hash(request.node.name)) % 10**10}"
    return StateBucket(name, aws.region, aws.client("s3"))


@pytest.fixture
def made(bucket: StateBucket) -> StateBucket:
    bucket.apply(changes(bucket))
    return bucket


def changes(bucket: StateBucket) -> list[Change]:
    return bucket.changes(exists=bucket.exists())


def parts(bucket: StateBucket) -> list[str]:
    return [change.target.removeprefix(f"s3://{bucket.name}#") for change in changes(bucket)]


def test_a_missing_bucket_is_one_change_that_shows_how_it_will_be(bucket: StateBucket) -> None:
    assert not bucket.exists()

    [change] = changes(bucket)

    assert (change.action, change.target) == (Action.CREATE, f"s3://{bucket.name}#bucket")
    assert sorted(change.after) == sorted(PROPERTIES)
    assert not bucket.exists(), "looking makes nothing"


def test_a_bucket_that_was_made_needs_nothing_more(made: StateBucket) -> None:
    assert made.exists()
    assert changes(made) == []


def test_s3_itself_says_that_it_is_hardened(made: StateBucket) -> None:
    s3, name = made.client, {"Bucket": made.name}

    assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"
    [rule] = s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert all(s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"].values())
    [statement] = json.loads(s3.get_bucket_policy(**name)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    [lifecycle] = s3.get_bucket_lifecycle_configuration(**name)["Rules"]
    assert lifecycle["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert s3.get_bucket_location(**name)["LocationConstraint"] == "ap-southeast-2"


def test_a_bare_bucket_is_hardened_one_property_at_a_time(bucket: StateBucket) -> None:
    bucket.client.create_bucket(
        Bucket=bucket.name, CreateBucketConfiguration={"LocationConstraint": bucket.region}
    )
    left = parts(bucket)
    assert left[0] == "versioning"
    assert set(left) <= set(PROPERTIES)

    while lacking := changes(bucket):
        assert {change.action for change in lacking} == {Action.UPDATE}
        bucket.apply(lacking[:1])
        assert parts(bucket) == left[1:]
        left = left[1:]

    assert left == []


@pytest.mark.parametrize(
    ("part", "spoil"),
    [
        (
            "versioning",
            lambda s3, name: s3.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Suspended"}
            ),
        ),
        (
            "encryption",
            lambda s3, name: s3.put_bucket_encryption(
                Bucket=name,
                ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
            ),
        ),
        ("public_access", lambda s3, name: s3.delete_public_access_block(Bucket=name)),
        ("policy", lambda s3, name: s3.delete_bucket_policy(Bucket=name)),
        ("old_versions_days", lambda s3, name: s3.delete_bucket_lifecycle(Bucket=name)),
    ],
)
def test_what_somebody_has_weakened_is_found_shown_and_mended(
    made: StateBucket, part: str, spoil: Callable[[Any, str], object]
) -> None:
    made.client.put_object(Bucket=made.name, Key="stream1/terraform.tfstate", Body=b"{}")
    spoil(made.client, made.name)

    [change] = changes(made)
    assert change.target == f"s3://{made.name}#{part}"
    assert change.before != change.after
    assert change.reason == "the state's bucket is not hardened"

    made.apply([change])
    assert changes(made) == []
    assert made.client.get_object(Bucket=made.name, Key="stream1/terraform.tfstate")


def test_the_first_region_takes_no_constraint(endpoint: str, bucket: StateBucket) -> None:
    aws = Aws(Target.EMBEDDED, "us-east-1", reaching(endpoint))
    first = StateBucket(bucket.name, aws.region, aws.client("s3"))

    first.apply(changes(first))

    assert changes(first) == []


def test_somebody_else_s_bucket_is_not_touched(
    bucket: StateBucket, fault: Callable[..., None]
) -> None:
    fault(service="s3", operation="HeadBucket", error="AccessDenied", status=403)

    with pytest.raises(PermanentError, match="belongs to another account, or access to it is den"):
        changes(bucket)


def test_expired_credentials_are_no_missing_property(
    made: StateBucket, fault: Callable[..., None]
) -> None:
    fault(service="s3", operation="GetBucketPolicy", error="ExpiredToken", status=400)

    with pytest.raises(CredentialsError, match="reading the state's bucket"):
        changes(made)


def test_an_endpoint_that_is_not_there_is_unreachable() -> None:
    aws = Aws(Target.EMBEDDED, "ap-southeast-2", {"XOPS_AWS_ENDPOINT": "http://127.0.0.1:9"})

    with pytest.raises(UnreachableError, match="asking embedded who we are"):
        aws.identity()


def test_the_embedded_aws_says_who_we_are(aws: Aws) -> None:
    account, arn = aws.identity()

    assert account == "123456789012"
    assert account in arn
