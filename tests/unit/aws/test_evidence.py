"""Records in a bucket: conditional requests, read back, errors by their codes."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from xops.aws.evidence import S3Store
from xops.core.errors import CredentialsError, TemporaryError
from xops.core.evidence.stores import RecordExistsError, RecordMissingError


def failed(code: str, operation: str) -> ClientError:
    status = {"HTTPStatusCode": 500 if code == "InternalError" else 400}
    answer = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": status}
    return ClientError(answer, operation)


class S3:
    """boto3's calls on one bucket, exact in what they refuse; `answers` are raised first."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[dict[str, Any]] = []
        self.answers: list[str] = []
        self.keeps_before_failing = False
        self.is_there = True

    def put_object(self, **arguments: Any) -> None:
        self.requests.append(arguments)
        key = arguments["Key"]
        if not self.is_there:
            raise failed("NoSuchBucket", "PutObject")
        if self.keeps_before_failing:
            self.objects.setdefault(key, arguments["Body"])
        if self.answers:
            raise failed(self.answers.pop(0), "PutObject")
        if arguments.get("IfNoneMatch") == "*" and key in self.objects:
            raise failed("PreconditionFailed", "PutObject")
        self.objects[key] = arguments["Body"]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Key not in self.objects:
            raise failed("NoSuchKey", "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, name: str) -> "S3":
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        if not self.is_there:
            raise failed("NoSuchBucket", "ListObjectsV2")
        for key in sorted(self.objects, reverse=True):
            if key.startswith(Prefix):
                yield {"Contents": [{"Key": key}]}
        yield {}


KEY = "ecs/prod/00000001.json"


def store(client: S3) -> S3Store:
    return S3Store(client, "records", "/evidence/")


def test_an_object_is_put_on_the_condition_that_none_is_there() -> None:
    client = S3()
    store(client).put(KEY, b"{}")

    assert store(client).address(KEY) == f"s3://records/evidence/{KEY}"
    assert client.requests == [
        {
            "Bucket": "records",
            "Key": f"evidence/{KEY}",
            "Body": b"{}",
            "ContentType": "application/json",
            "IfNoneMatch": "*",
        }
    ]


def test_another_record_of_that_key_is_never_replaced() -> None:
    client = S3()
    store(client).put(KEY, b"first")
    with pytest.raises(RecordExistsError):
        store(client).put(KEY, b"second")
    assert store(client).read(KEY) == b"first"


def test_an_answer_500_after_it_was_kept_is_found_kept_by_the_next_request() -> None:
    client = S3()
    client.keeps_before_failing, client.answers = True, ["InternalError"]
    with pytest.raises(TemporaryError):
        store(client).put(KEY, b"{}")
    store(client).put(KEY, b"{}")
    assert client.objects == {f"evidence/{KEY}": b"{}"}


def test_records_are_listed_below_their_prefix() -> None:
    client = S3()
    for key in (KEY, "ecs/prod/00000002.json", "ecs/production/00000001.json"):
        store(client).put(key, b"{}")
    assert store(client).keys("ecs/prod/") == [KEY, "ecs/prod/00000002.json"]


def test_where_there_is_no_bucket_yet_there_are_no_records() -> None:
    client = S3()
    client.is_there = False
    assert store(client).keys("ecs/prod/") == []


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(RecordMissingError):
        store(S3()).read(KEY)


def test_a_refusal_is_an_error_with_a_remedy() -> None:
    client = S3()
    client.answers = ["AccessDenied"]
    with pytest.raises(CredentialsError, match="keeping the record s3://records/evidence/ecs"):
        store(client).put(KEY, b"{}")
