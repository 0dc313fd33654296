"""S3: conditions in bucket policies.

AWS applies a policy's statement only to requests that meet every one of its conditions. The usual
"TLS only" statement denies everything where `aws:SecureTransport` is false, and so nothing to a
client that uses TLS.

moto 5.2.5 hands no request context to the evaluation, so that such a statement denies every
request to the bucket.

Here a request counts as made over TLS: the embedded AWS listens on the loopback address, where
there is nothing for TLS to protect. A condition on any other key is not met, since nothing is
known about the caller; its statement neither allows nor denies.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
"""

import json
from collections.abc import Mapping
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3 import urls
from moto.s3.models import FakeBucket, S3Backend, s3_backends

from xops.local.aws.extension import substitute

REQUEST_CONTEXT = {"aws:securetransport": "true"}


class ConditionalBucket(FakeBucket):
    """moto's bucket, whose policy's statements apply only where their conditions are met."""

    def get_permission(self, action: str, resource: str) -> PermissionResult:
        """Whether the policy allows, denies or says nothing of `action` on `resource`."""
        if self.policy is None:
            return PermissionResult.NEUTRAL
        document = json.loads(self.policy)
        statements = document["Statement"]
        given = statements if isinstance(statements, list) else [statements]
        applying = [_unconditional(one) for one in given if is_met(one.get("Condition", {}))]
        policy = IAMPolicy(json.dumps({**document, "Statement": applying}))
        return policy.is_action_permitted(action, resource)


def is_met(condition: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a request meets every operator and key of a `Condition` element."""
    return all(
        operator in ("Bool", "StringEquals") and REQUEST_CONTEXT.get(key.lower()) in _values(wanted)
        for operator, keys in condition.items()
        for key, wanted in keys.items()
    )


def _values(wanted: Any) -> list[str]:
    return [str(value).lower() for value in (wanted if isinstance(wanted, list) else [wanted])]


def _unconditional(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != "Condition"}


class ConditionalS3(S3Backend):
    """moto's S3 with such buckets."""

    def create_bucket(self, *arguments: Any, **options: Any) -> FakeBucket:
        """Create a bucket as moto does; only how it reads its policy differs."""
        bucket = super().create_bucket(*arguments, **options)
        # moto names the class of its buckets inside this very method; there is no other hook.
        bucket.__class__ = ConditionalBucket  # type: ignore[type-abstract]
        return bucket


def install() -> None:
    """Put this extension in the place of moto's own S3."""
    substitute(s3_backends, urls, ConditionalS3)
