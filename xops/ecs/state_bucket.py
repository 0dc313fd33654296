"""The bucket that holds Terraform's state (and, where asked, the evidence).

It must exist before Terraform can start, so Terraform cannot make it. What it lacks is part of
the plan like everything else, and is set right one property at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from xops.aws.errors import translate_aws_errors
from xops.core.errors import PermanentError, StalePlanError, TemporaryError
from xops.core.plan.model import Action, Change
from xops.core.plan.values import Json, as_data

_ABSENT = (
    "404", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError",
)  # fmt: skip

_OLD_VERSIONS_DAYS = 90


@dataclass(frozen=True)
class StateBucket:
    """One bucket, seen through boto3's S3 client."""

    name: str
    region: str
    client: Any

    def exists(self) -> bool:
        """Whether the bucket is there and ours.

        Raises:
            PermanentError: it belongs to somebody else.
        """
        with translate_aws_errors(f"looking for the state's bucket {self.name}"):
            try:
                self.client.head_bucket(Bucket=self.name)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _ABSENT:
                    return False
                if code == "403":
                    raise self._not_ours() from error
                raise
        return True

    def changes(self, *, exists: bool) -> list[Change]:
        """What must be done to it: made, hardened where a property is missing, or nothing.

        Args:
            exists: as `exists()` has told. It is asked once a plan: Terraform's backend hangs on
                the same answer, and another run may make the bucket at any moment.
        """
        if not exists:
            target = self._target("bucket")
            return [Change(action=Action.CREATE, target=target, after=self._wanted())]
        found = self._found()
        return [
            Change(
                action=Action.UPDATE,
                target=self._target(name),
                before=as_data(found[name]),
                after=wanted,
                reason="the state's bucket is not hardened",
            )
            for name, wanted in self._wanted().items()
            if found[name] != wanted
        ]

    def apply(self, changes: list[Change]) -> None:
        """Do what `changes` says; each property is set by one idempotent call.

        Raises:
            StalePlanError: the bucket was to be made, and another run has made it since.
            PermanentError: somebody else has a bucket of this name.
        """
        names = {change.target.rsplit("#", 1)[1] for change in changes}
        with translate_aws_errors(f"preparing the state's bucket {self.name}"):
            if "bucket" in names:
                self._create()
                names = set(self._wanted())
            for name in self._wanted():
                if name in names:
                    self._put(name)

    def read(self, key: str) -> bytes | None:
        """An object; None if there is none of this key."""
        with translate_aws_errors(f"reading s3://{self.name}/{key}"):
            try:
                body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", *_ABSENT):
                    return None
                raise
        return body

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin so, in order."""
        with translate_aws_errors(f"listing s3://{self.name}/{prefix}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix
            )
            return [row["Key"] for page in pages for row in page.get("Contents", [])]

    def put_new(self, key: str, body: bytes) -> None:
        """Add an object and read it back; S3 itself refuses to overwrite.

        Raises:
            TemporaryError: what lies there then is something else.
        """
        address = f"s3://{self.name}/{key}"
        with translate_aws_errors(f"keeping {address}"):
            try:
                self.client.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                # Stored by an earlier try whose answer was lost: what lies there says so.
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
        if self.read(key) != body:
            raise TemporaryError(
                f"keeping {address}", "what lies there is something else", "Run it again."
            )

    def delete(self, key: str) -> None:
        """Remove an object; its versions stay for as long as the bucket keeps old ones."""
        with translate_aws_errors(f"removing s3://{self.name}/{key}"):
            self.client.delete_object(Bucket=self.name, Key=key)

    def _target(self, part: str) -> str:
        return f"s3://{self.name}#{part}"

    def _create(self) -> None:
        arguments: dict[str, Any] = {"Bucket": self.name}
        # S3 refuses its first region as a constraint: there it is what a bucket without one gets.
        if self.region != "us-east-1":
            arguments["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        try:
            self.client.create_bucket(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "BucketAlreadyOwnedByYou":
                raise self._made_meanwhile() from error
            if code == "BucketAlreadyExists":
                raise self._not_ours() from error
            raise

    def _wanted(self) -> dict[str, Json]:
        return {
            "versioning": "Enabled",
            "encryption": "aws:kms",
            "public_access": dict.fromkeys(
                (
                    "BlockPublicAcls",
                    "IgnorePublicAcls",
                    "BlockPublicPolicy",
                    "RestrictPublicBuckets",
                ),
                True,
            ),
            "policy": _tls_only(self.name),
            "old_versions_days": _OLD_VERSIONS_DAYS,
        }

    def _found(self) -> dict[str, Json]:
        bucket = self.client
        with translate_aws_errors(f"reading the state's bucket {self.name}"):
            return {
                "versioning": self._read(bucket.get_bucket_versioning, lambda a: a.get("Status")),
                "encryption": self._read(bucket.get_bucket_encryption, _algorithm),
                "public_access": self._read(
                    bucket.get_public_access_block,
                    lambda answer: answer["PublicAccessBlockConfiguration"],
                ),
                "policy": self._read(
                    bucket.get_bucket_policy, lambda answer: json.loads(answer["Policy"])
                ),
                "old_versions_days": self._read(
                    bucket.get_bucket_lifecycle_configuration, _noncurrent_days
                ),
            }

    def _read(self, call: Callable[..., Any], pick: Callable[[Mapping[str, Any]], Json]) -> Json:
        try:
            return pick(call(Bucket=self.name))
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return None
            raise

    def _put(self, name: str) -> None:
        bucket, wanted = self.client, self._wanted()[name]
        calls: dict[str, Callable[[], object]] = {
            "versioning": lambda: bucket.put_bucket_versioning(
                Bucket=self.name, VersioningConfiguration={"Status": wanted}
            ),
            "encryption": lambda: bucket.put_bucket_encryption(
                Bucket=self.name, ServerSideEncryptionConfiguration=_encryption(wanted)
            ),
            "public_access": lambda: bucket.put_public_access_block(
                Bucket=self.name, PublicAccessBlockConfiguration=wanted
            ),
            "policy": lambda: bucket.put_bucket_policy(Bucket=self.name, Policy=json.dumps(wanted)),
            "old_versions_days": lambda: bucket.put_bucket_lifecycle_configuration(
                Bucket=self.name, LifecycleConfiguration=_lifecycle(wanted)
            ),
        }
        calls[name]()

    def _made_meanwhile(self) -> StalePlanError:
        return StalePlanError(
            f"making the state's bucket {self.name}",
            "another run has made it since this plan was made",
            "Plan again: what is left is planned on that bucket, as soon as the other run is done.",
        )

    def _not_ours(self) -> PermanentError:
        return PermanentError(
            f"looking for the state's bucket {self.name}",
            "a bucket of this name belongs to another account, or access to it is denied",
            "Name another one as `state.bucket` in the environment file, or correct the rights.",
        )


def _tls_only(name: str) -> Json:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DenyInsecureTransport",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


def _encryption(algorithm: str) -> Json:
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm},
        "BucketKeyEnabled": True,
    }
    return {"Rules": [rule]}


def _algorithm(answer: Mapping[str, Any]) -> Json:
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
    return rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]


def _lifecycle(days: int) -> Json:
    rule = {
        "ID": "old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    return {"Rules": [rule]}


def _noncurrent_days(answer: Mapping[str, Any]) -> Json:
    for rule in answer["Rules"]:
        if "NoncurrentVersionExpiration" in rule:
            return rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
    return None
