"""Evidence in an S3 bucket."""

from __future__ import annotations

from typing import Any, Protocol

from xops.aws.errors import translate_aws_errors


class S3Client(Protocol):
    """The one call of boto3's S3 client that a store needs."""

    def put_object(self, **arguments: Any) -> Any:
        """As in boto3."""
        ...


class S3Store:
    """Records as objects below one prefix of a bucket."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = prefix.strip("/")

    def put(self, key: str, body: bytes) -> str:
        """One conditional request: S3 itself refuses to overwrite.

        Raises:
            CredentialsError, ThrottledError, UnreachableError, TemporaryError: S3 does not let us.
            PermanentError: there is no such bucket, or a record of that key is there already.
        """
        name = f"{self.prefix}/{key}"
        address = f"s3://{self.bucket}/{name}"
        with translate_aws_errors(f"keeping the record {address}"):
            self._client.put_object(
                Bucket=self.bucket,
                Key=name,
                Body=body,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        return address
