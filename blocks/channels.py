"""The channels for notices: the log, an SNS topic, a webhook whose URL is kept elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import httpx
from pydantic import BeforeValidator, Discriminator, Field, Tag

from xops.aws.access import Aws
from xops.aws.errors import translate_aws_errors
from xops.core.errors import PermanentError, TemporaryError
from xops.core.files.validation import Model
from xops.core.process import redact
from xops.core.rendering import Chat, Plain

logger = logging.getLogger("xops.notification")

Reach = Callable[[str], Aws]
"""Access to the region that an ARN names."""

TopicArn = Annotated[str, Field(title="A topic", pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:")]
UrlVariable = Annotated[str, Field(title="A variable", pattern="^[A-Z][A-Z0-9_]*$")]
UrlSecretArn = Annotated[
    str,
    Field(title="A secret", pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:"),
]

_SUBJECT_LENGTH = 100  # Source: SNS Publish, API reference.
_REMEDY = "Correct the xops-notification block in the Prefect UI, or what it refers to."


class LogChannel(Model):
    """The worker's log."""

    kind: Literal["log"] = "log"

    def deliver(self, subject: str, body: str, environ: Mapping[str, str], reach: Reach) -> None:
        """A warning."""
        logger.warning("%s\n%s", subject, body)


class SnsChannel(Model):
    """An SNS topic."""

    kind: Literal["sns"]
    topic_arn: TopicArn

    def deliver(self, subject: str, body: str, environ: Mapping[str, str], reach: Reach) -> None:
        """One message; its subject in what SNS takes for one."""
        line = (
            Plain.render(" ".join(subject.split()))
            .encode("ascii", "replace")
            .decode()[:_SUBJECT_LENGTH]
        )
        with translate_aws_errors(f"publishing a notice to {self.topic_arn}"):
            sns = reach(self.topic_arn).client("sns")
            sns.publish(TopicArn=self.topic_arn, Subject=line, Message=Plain.lines(body))


class WebhookOfVariable(Model):
    """A webhook whose URL is in a variable of the worker."""

    kind: Literal["webhook"]
    url_variable: UrlVariable

    def deliver(self, subject: str, body: str, environ: Mapping[str, str], reach: Reach) -> None:
        """One POST."""
        url = environ.get(self.url_variable, "")
        _post(url, f"the variable {self.url_variable}", subject, body)


class WebhookOfSecret(Model):
    """A webhook whose URL is in Secrets Manager."""

    kind: Literal["webhook"]
    url_secret_arn: UrlSecretArn

    def deliver(self, subject: str, body: str, environ: Mapping[str, str], reach: Reach) -> None:
        """One POST, to the URL as the secret has it now."""
        arn = self.url_secret_arn
        with translate_aws_errors(f"reading the secret {arn}"):
            secret = reach(arn).client("secretsmanager").get_secret_value(SecretId=arn)
        _post(secret.get("SecretString", ""), f"the secret {arn}", subject, body)


def _given(value: Any) -> Any:
    """A key that is null counts as left out."""
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if part is not None}
    return value


def _tag(value: Any) -> str:
    given = value if isinstance(value, dict) else vars(value)
    kind = given.get("kind", "log")
    return "webhook of a secret" if kind == "webhook" and "url_secret_arn" in given else kind


Channel = Annotated[
    Annotated[LogChannel, Tag("log")]
    | Annotated[SnsChannel, Tag("sns")]
    | Annotated[WebhookOfVariable, Tag("webhook")]
    | Annotated[WebhookOfSecret, Tag("webhook of a secret")],
    Discriminator(_tag),
    BeforeValidator(_given),
]
"""Where notices go; the log unless a kind is named."""

CHANNELS = (LogChannel, SnsChannel, WebhookOfVariable, WebhookOfSecret)


def _post(url: str, kept: str, subject: str, body: str) -> None:
    """Post a notice; of the URL, which is a secret, only where it is kept is told."""
    _refuse_unusable(url, kept)
    attempted = f"posting a notice to the webhook whose URL is in {kept}"
    text = Chat.of("{subject}\n\n{body}", subject=" ".join(subject.split()), body=Chat.lines(body))
    # What Slack, Mattermost, Teams and Google Chat all take.
    with _SecretUrl(url):
        try:
            # Streamed and not read: nobody needs what a receiver says, and it may be anything.
            with httpx.stream("POST", url, json={"text": text}, timeout=10) as answer:
                pass
        except httpx.HTTPError as error:
            # `from None`: the request that httpx attaches to its errors carries the URL.
            found = redact(str(error), [url])
            remedy = "Look whether the receiver is up."
            raise TemporaryError(attempted, found, remedy, retry_after=0) from None
    _refuse_failure(answer, attempted)


def _refuse_unusable(url: str, kept: str) -> None:
    if not url:
        raise PermanentError(f"reading {kept}", "it is unset or empty on this worker", _REMEDY)
    if not _is_private(url):
        raise PermanentError(f"reading {kept}", "it holds no https:// address", _REMEDY)


def _is_private(url: str) -> bool:
    """Whether nobody on the way reads the URL: https, or a receiver on this machine."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    local = parsed.scheme == "http" and parsed.host in ("127.0.0.1", "localhost", "::1")
    return local or (parsed.scheme == "https" and bool(parsed.host))


def _refuse_failure(answer: httpx.Response, attempted: str) -> None:
    if answer.is_success:
        return
    found = f"it answered {answer.status_code}"
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
        asked = answer.headers.get("Retry-After", "")
        raise TemporaryError(
            attempted,
            found,
            "Look whether the receiver is up.",
            retry_after=float(asked) if asked.isascii() and asked.isdigit() else 0.0,
        )
    raise PermanentError(attempted, found, _REMEDY)


class _SecretUrl(logging.Filter):
    """Keeps a URL out of httpx's own log line about the request while it is entered."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._logger = logging.getLogger("httpx")

    def filter(self, record: logging.LogRecord) -> bool:
        return self._url not in record.getMessage()

    def __enter__(self) -> None:
        self._logger.addFilter(self)

    def __exit__(self, *_error: object) -> None:
        self._logger.removeFilter(self)
