"""Evidence in an S3 bucket."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from xops.aws.errors import translate_aws_errors
from xops.core.errors import PermanentError
from xops.core.evidence.stores import MOST_BYTES, exists, missing

# Of a request that S3 has stored and then answered with an error, the second finds the first.
_TAKEN = frozenset({"PreconditionFailed", "412"})
_NOTHING = frozenset({"NoSuchKey", "404"})
_NO_STORE = frozenset({"NoSuchBucket"})


class S3Store:
    """Records as objects below one prefix of a bucket.

    Args:
        client: boto3's S3 client.
        bucket, prefix: where.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = prefix.strip("/")

    def put(self, key: str, body: bytes) -> None:
        """One conditional request: S3 itself refuses to overwrite.

        Raises:
            RecordExistsError: another body is there.
            CredentialsError, ThrottledError, UnreachableError, TemporaryError: S3 does not let us.
            PermanentError: there is no such bucket.
        """
        try:
            with translate_aws_errors(f"keeping the record {self.address(key)}"):
                self._put(key, body)
        except _TakenError:
            if self.read(key) != body:
                raise exists(self.address(key)) from None

    def _put(self, key: str, body: bytes) -> None:
        try:
            self._client.put_object(
                Bucket=self.bucket,
                Key=self._name(key),
                Body=body,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if _code(error) in _TAKEN:
                raise _TakenError from error
            raise

    def read(self, key: str) -> bytes:
        """The object's content.

        Raises:
            RecordMissingError: there is none.
            CredentialsError, ThrottledError, UnreachableError, TemporaryError: S3 does not let us.
            PermanentError: it is larger than a record is.
        """
        with translate_aws_errors(f"reading the record {self.address(key)}"):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key))
            except ClientError as error:
                if _code(error) in _NOTHING | _NO_STORE:
                    raise missing(self.address(key)) from error
                raise
            content: bytes = answer["Body"].read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise PermanentError(
                f"reading the record {self.address(key)}",
                f"it is larger than {MOST_BYTES >> 20} MiB",
                "Look who has written it: no record of xOps' is.",
            )
        return content

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix; none where there is no bucket yet.

        Raises:
            CredentialsError, ThrottledError, UnreachableError, TemporaryError: S3 does not let us.
        """
        with translate_aws_errors(f"listing the records in {self.address(prefix)}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._name(prefix)
            )
            try:
                names = [row["Key"] for page in pages for row in page.get("Contents", [])]
            except ClientError as error:
                if _code(error) in _NO_STORE:
                    return []
                raise
        return sorted(name.removeprefix(f"{self.prefix}/") for name in names)

    def address(self, key: str) -> str:
        """The object's URI."""
        return f"s3://{self.bucket}/{self._name(key)}"

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


class _TakenError(Exception):
    """S3 has another object, or this one, under that key."""


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
