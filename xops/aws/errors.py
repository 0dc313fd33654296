"""What AWS's errors mean, told by botocore's classes and AWS's error codes, never by their text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    ConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    InvalidConfigError,
    LoginError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSLError,
    SSOError,
    TokenRetrievalError,
    UnknownCredentialError,
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
_CONFIGURE = (
    "Correct the profile, or the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name."
)
_TRUST = "If a proxy signs for AWS here, name its certificate in AWS_CA_BUNDLE."
_CLOCK = "Set this machine's clock: AWS refuses what was signed at another time."
_AGAIN = "AWS failed on its side; it is tried again."

# Sources: "Common errors" in the API references of STS, EC2, S3, ECS, SNS and Secrets Manager.
_NOT_ACCEPTED = frozenset({
    "AccessDenied", "AccessDeniedException", "AuthFailure", "AuthorizationError", "ExpiredToken",
    "ExpiredTokenException", "Forbidden", "403", "IncompleteSignature", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidSignatureException", "InvalidToken", "KMSAccessDenied",
    "KMSAccessDeniedException", "MissingAuthenticationToken",
    "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired",
    "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClient",
    "UnrecognizedClientException",
})  # fmt: skip
_CLOCK_IS_WRONG = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_THROTTLED = frozenset({
    "BandwidthLimitExceeded", "EC2ThrottledException", "KMSThrottling", "KMSThrottlingException",
    "LimitExceededException", "PriorRequestNotComplete", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown",
    "Throttled", "ThrottledException", "Throttling", "ThrottlingException",
    "TooManyRequestsException", "TransactionInProgressException",
})  # fmt: skip
_TRANSIENT = frozenset({
    "ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "RequestTimeoutException",
})  # fmt: skip

_NO_CREDENTIALS = (
    CredentialRetrievalError, LoginError, MetadataRetrievalError, NoAuthTokenError,
    NoCredentialsError, RefreshWithMFAUnsupportedError, SSOError, TokenRetrievalError,
)  # fmt: skip
_MISCONFIGURED = (
    ConfigNotFound, ConfigParseError, InvalidConfigError, PartialCredentialsError, ProfileNotFound,
    UnknownCredentialError,
)  # fmt: skip
_DAMAGED_ON_THE_WAY = (ChecksumError, FlexibleChecksumError, IncompleteReadError)


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
    if isinstance(error, _MISCONFIGURED):
        return CredentialsError(attempted, found, _CONFIGURE)
    if isinstance(error, SSLError):
        return PermanentError(attempted, found, _TRUST)
    if isinstance(error, HTTPClientError | ConnectionError):
        return UnreachableError(attempted, found, CHECK_THE_NETWORK)
    if isinstance(error, _DAMAGED_ON_THE_WAY):
        return TemporaryError(attempted, found, _AGAIN)
    return PermanentError(attempted, found, "Correct what it names, then run it again.")


def _of_answer(attempted: str, found: str, error: ClientError) -> XopsError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _NOT_ACCEPTED:
        return CredentialsError(attempted, found, LOG_IN)
    if code in _CLOCK_IS_WRONG:
        return CredentialsError(attempted, found, _CLOCK)
    if code in _THROTTLED or status == 429:
        return ThrottledError(attempted, found, PAUSE)
    if code in _TRANSIENT or status >= 500:
        return TemporaryError(attempted, found, _AGAIN)
    return PermanentError(attempted, found, "Correct what AWS names, then run it again.")
