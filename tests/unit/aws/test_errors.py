"""What AWS's errors mean, tried with botocore's own exceptions."""

import inspect
from collections.abc import Iterator
from string import Formatter
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from botocore.stub import Stubber

from xops.aws.errors import ThrottledError, translate_aws_errors
from xops.core.errors import (
    CredentialsError,
    PermanentError,
    TemporaryError,
    UnreachableError,
    XopsError,
)

OF_CODE = {
    "AccessDeniedException": CredentialsError,
    "AuthorizationError": CredentialsError,
    "ExpiredToken": CredentialsError,
    "ExpiredTokenException": CredentialsError,
    "InvalidClientTokenId": CredentialsError,
    "RequestExpired": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "UnrecognizedClientException": CredentialsError,
    "ConditionalRequestConflict": TemporaryError,
    "ClusterNotFoundException": PermanentError,
    "NoSuchBucket": PermanentError,
    "PreconditionFailed": PermanentError,
    "ValidationError": PermanentError,
}

OF_CLASS: dict[type[BotoCoreError], type[XopsError]] = {
    exceptions.NoCredentialsError: CredentialsError,
    exceptions.PartialCredentialsError: CredentialsError,
    exceptions.CredentialRetrievalError: CredentialsError,
    exceptions.TokenRetrievalError: CredentialsError,
    exceptions.UnauthorizedSSOTokenError: CredentialsError,
    exceptions.SSOTokenLoadError: CredentialsError,
    exceptions.LoginRefreshRequired: CredentialsError,
    exceptions.ProfileNotFound: CredentialsError,
    exceptions.InfiniteLoopConfigError: CredentialsError,
    exceptions.ConfigNotFound: CredentialsError,
    exceptions.EndpointConnectionError: UnreachableError,
    exceptions.ConnectTimeoutError: UnreachableError,
    exceptions.ReadTimeoutError: UnreachableError,
    exceptions.ConnectionClosedError: UnreachableError,
    exceptions.ProxyConnectionError: UnreachableError,
    exceptions.ResponseStreamingError: UnreachableError,
    exceptions.IncompleteReadError: TemporaryError,
    exceptions.FlexibleChecksumError: TemporaryError,
    exceptions.SSLError: PermanentError,
    exceptions.NoRegionError: PermanentError,
    exceptions.ParamValidationError: PermanentError,
    exceptions.UnknownServiceError: PermanentError,
}


def translated(error: Exception) -> XopsError:
    with pytest.raises(XopsError) as caught, translate_aws_errors("asking"):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.attempted == "asking"
    assert caught.value.found == str(error)
    assert caught.value.remedy.endswith((".", ")."))
    return caught.value


def answer(code: str, status: int = 400) -> ClientError:
    """The exception that a client raises for this answer."""
    client = boto3.client("ecs", "ap-southeast-2", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_client_error("list_clusters", code, "as AWS says it", status)
        with pytest.raises(ClientError) as caught:
            client.list_clusters()
    return caught.value


def of_class(kind: type[BotoCoreError]) -> BotoCoreError:
    """An error of this class, with something for each field that its text or its maker asks for."""
    fields = {name for _, name, _, _ in Formatter().parse(kind.fmt) if name}
    asked = inspect.signature(kind).parameters.values()
    named = {row.name for row in asked if row.kind is row.POSITIONAL_OR_KEYWORD}
    return kind(**{name: f"<{name}>" for name in fields | named})


def every_class(kind: type[Any] = BotoCoreError) -> Iterator[type[BotoCoreError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from every_class(inner)


@pytest.mark.parametrize(("code", "kind"), OF_CODE.items())
def test_a_code_has_one_meaning(code: str, kind: type[XopsError]) -> None:
    assert type(translated(answer(code))) is kind


def test_a_wrong_clock_is_not_answered_with_a_login() -> None:
    assert "clock" in translated(answer("RequestTimeTooSkewed", 403)).remedy


@pytest.mark.parametrize("code", ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
def test_what_botocore_takes_for_throttling_is_throttling(code: str) -> None:
    assert isinstance(translated(answer(code)), ThrottledError)


@pytest.mark.parametrize("code", TransientRetryableChecker._TRANSIENT_ERROR_CODES)
def test_what_botocore_takes_for_transient_is_temporary(code: str) -> None:
    assert isinstance(translated(answer(code)), TemporaryError)


@pytest.mark.parametrize("status", [429, *TransientRetryableChecker._TRANSIENT_STATUS_CODES])
def test_a_status_says_it_where_the_code_is_unknown(status: int) -> None:
    assert isinstance(translated(answer("SomethingNew", status)), TemporaryError)


@pytest.mark.parametrize("status", [400, 404, 409, 412])
def test_what_is_unknown_is_not_tried_again(status: int) -> None:
    assert type(translated(answer("SomethingNew", status))) is PermanentError


def test_the_answer_to_a_head_request_has_its_status_for_a_code() -> None:
    assert isinstance(translated(answer("403", 403)), CredentialsError)
    assert type(translated(answer("404", 404))) is PermanentError


def test_an_exception_that_the_service_models_is_told_by_its_code() -> None:
    client = boto3.client("ecs", "ap-southeast-2", aws_access_key_id="a", aws_secret_access_key="b")
    error = client.exceptions.AccessDeniedException(
        {"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListClusters"
    )
    assert isinstance(translated(error), CredentialsError)


@pytest.mark.parametrize(("kind", "meaning"), OF_CLASS.items())
def test_a_class_has_one_meaning(kind: type[BotoCoreError], meaning: type[XopsError]) -> None:
    assert type(translated(of_class(kind))) is meaning


def test_what_botocore_takes_for_transient_by_class_is_unreachable() -> None:
    untrusted = set(every_class(exceptions.SSLError))
    for kind in TransientRetryableChecker._TRANSIENT_EXCEPTION_CLS:
        for inner in set(every_class(kind)) - untrusted:
            assert isinstance(translated(of_class(inner)), UnreachableError), inner


def test_no_class_of_botocore_escapes() -> None:
    for kind in every_class():
        if kind.__module__ == exceptions.__name__:
            assert isinstance(translated(of_class(kind)), XopsError)


def test_other_errors_are_not_touched() -> None:
    with pytest.raises(KeyError), translate_aws_errors("asking"):
        raise KeyError("ours")
