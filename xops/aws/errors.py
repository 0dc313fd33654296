"""What AWS's errors mean, told by botocore's classes and AWS's error codes, never by their text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from xops.core.errors import (
    CredentialsError,
    PermanentError,
    TemporaryError,
    UnreachableError,
    XopsError,
)

LOG_IN = (
    "Log in again (for example `aws sso login`) or correct the role's rights, then run it again;"
    " what was done so far is not done twice."
)
PAUSE = "It is tried again after a pause; if it persists, look for other tools using this account."
CHECK_THE_NETWORK = "Check the network and, for the embedded AWS, that it runs (`xops doctor`)."

# Source: "Common errors" in the API references of STS, EC2, S3 and ECS.
_NOT_ACCEPTED = frozenset({
    "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken",
    "ExpiredTokenException", "Forbidden", "403", "IncompleteSignature", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidToken", "MissingAuthenticationToken", "NotAuthorized",
    "OptInRequired", "RequestExpired", "SignatureDoesNotMatch", "UnauthorizedOperation",
    "UnrecognizedClient", "UnrecognizedClientException",
})  # fmt: skip
_THROTTLED = frozenset({
    "BandwidthLimitExceeded", "EC2ThrottledException", "LimitExceededException",
    "PriorRequestNotComplete", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
    "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling",
    "ThrottledException", "ThrottlingException", "TooManyRequestsException",
    "TransactionInProgressException",
})  # fmt: skip

_NO_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError,
    SSOError, ProfileNotFound,
)  # fmt: skip


class ThrottledError(TemporaryError):
    """AWS asked for fewer requests."""


@contextmanager
def translate_aws_errors(attempted: str) -> Iterator[None]:
    """Turn boto3's exceptions into xOps errors with a cause and a remedy.

    Raises:
        CredentialsError, ThrottledError, UnreachableError, TemporaryError, PermanentError.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _as_xops_error(attempted, error) from error


def _as_xops_error(attempted: str, error: BotoCoreError | ClientError) -> XopsError:
    found = str(error)
    if isinstance(error, ClientError):
        return _of_answer(attempted, found, error)
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsError(attempted, found, LOG_IN)
    if isinstance(error, HTTPClientError | ConnectionError):
        return UnreachableError(attempted, found, CHECK_THE_NETWORK)
    return PermanentError(attempted, found, "Correct what it names, then run it again.")


def _of_answer(attempted: str, found: str, error: ClientError) -> XopsError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _NOT_ACCEPTED:
        return CredentialsError(attempted, found, LOG_IN)
    if code in _THROTTLED or status == 429:
        return ThrottledError(attempted, found, PAUSE)
    if status >= 500:
        return TemporaryError(attempted, found, "AWS failed on its side; it is tried again.")
    return PermanentError(attempted, found, "Correct what AWS names, then run it again.")
