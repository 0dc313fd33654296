"""Where notices go: the log, an SNS topic, or a webhook."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

import httpx
import tenacity
from prefect.blocks.core import Block
from pydantic import Field, model_validator

from blocks.aws import AwsAccess
from blocks.documents import find
from xops.aws.access import Aws
from xops.aws.errors import translate_aws_errors
from xops.aws.target import Target
from xops.core.errors import PermanentError, TemporaryError
from xops.core.process import redact

logger = logging.getLogger("xops.notification")

_ATTEMPTS = 4
_LONGEST_WAIT = 60.0
_SUBJECT_LENGTH = 100  # Source: SNS Publish, API reference.
_REMEDY = "Correct the xops-notification block in the Prefect UI, or what it refers to."
_GIVEN = {"log": (), "sns": ("topic_arn",), "webhook": ("url_variable", "url_secret_arn")}


class Notification(Block):
    """One channel for notices. A webhook's URL is a secret: only where it is kept stands here."""

    _block_type_name = "xOps notification"
    _block_type_slug = "xops-notification"
    _description = "Where notices go: the log, an SNS topic, or a webhook."

    kind: Literal["log", "sns", "webhook"] = "log"
    topic_arn: Annotated[str | None, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:")] = (
        None
    )
    url_variable: Annotated[
        str | None,
        Field(pattern="^[A-Z][A-Z0-9_]*$", description="The variable that holds the URL."),
    ] = None
    url_secret_arn: Annotated[
        str | None,
        Field(
            pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:",
            description="The secret that holds the URL.",
        ),
    ] = None
    aws_access: Annotated[
        AwsAccess | None, Field(description="The worker's own credentials if empty.")
    ] = None

    @model_validator(mode="after")
    def _what_fits_the_kind(self) -> Self:
        references = ("topic_arn", "url_variable", "url_secret_arn")
        given = [name for name in references if getattr(self, name) is not None]
        wanted = _GIVEN[self.kind]
        if set(given) - set(wanted) or len(given) != bool(wanted):
            need = f"one of {', '.join(wanted)}" if wanted else "no reference"
            raise ValueError(
                f"kind {self.kind!r} takes {need}; given: {', '.join(given) or 'none'}"
            )
        return self

    @classmethod
    def named(cls, name: str) -> Self:
        """The document of this name.

        Raises:
            PermanentError: there is none. A notice that nobody would see is not sent quietly.
        """
        found = find(cls, name)
        if found is None:
            raise PermanentError(
                f"looking for the notification channel {name!r}",
                "there is no block document xops-notification of that name",
                "Save one in the Prefect UI, or name another; `python -m blocks` makes 'default'.",
            )
        return found

    def notify(
        self,
        subject: str,
        body: str,
        *,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Deliver one notice, trying again while that can help.

        Raises:
            TemporaryError: still not delivered after the last attempt.
            PermanentError: refused, or what the block refers to is missing.
        """
        environ = os.environ if environ is None else environ
        deliver = {"log": _log, "sns": _publish, "webhook": _post}[self.kind]
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(TemporaryError),
            sleep=sleep,
            reraise=True,
        )
        attempts(deliver, self, subject, body, environ)

    def aws(self, arn: str, environ: Mapping[str, str]) -> Aws:
        """Access to the region that an ARN names."""
        access = self.aws_access.environ(environ) if self.aws_access else dict(environ)
        return Aws(Target.AWS, arn.split(":")[3], access)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TemporaryError) else 0.0
    growing = float(2 ** (state.attempt_number - 2))
    return min(_LONGEST_WAIT, max(asked, growing))


def _log(block: Notification, subject: str, body: str, environ: Mapping[str, str]) -> None:
    logger.warning("%s\n%s", subject, body)


def _publish(block: Notification, subject: str, body: str, environ: Mapping[str, str]) -> None:
    arn = block.topic_arn or ""
    line = " ".join(subject.split()).encode("ascii", "replace").decode()[:_SUBJECT_LENGTH]
    with translate_aws_errors(f"publishing a notice to {arn}"):
        block.aws(arn, environ).client("sns").publish(TopicArn=arn, Subject=line, Message=body)


def _post(block: Notification, subject: str, body: str, environ: Mapping[str, str]) -> None:
    url, kept = _url(block, environ)
    attempted = f"posting a notice to the webhook whose URL is in {kept}"
    # What Slack, Mattermost, Teams and Google Chat all take.
    with _SecretUrl(url):
        try:
            answer = httpx.post(url, json={"text": f"{subject}\n\n{body}"}, timeout=10)
        except httpx.HTTPError as error:
            # `from None`: the request that httpx attaches to its errors carries the URL.
            found = redact(str(error), [url])
            remedy = "Look whether the receiver is up."
            raise TemporaryError(attempted, found, remedy, retry_after=0) from None
    _refuse_failure(answer, attempted)


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
            retry_after=float(asked) if asked.isdigit() else 0.0,
        )
    raise PermanentError(attempted, found, _REMEDY)


def _url(block: Notification, environ: Mapping[str, str]) -> tuple[str, str]:
    """The URL, and where it is kept, which is all that may be told."""
    if block.url_variable is not None:
        url, kept = environ.get(block.url_variable, ""), f"the variable {block.url_variable}"
    else:
        arn = block.url_secret_arn or ""
        kept = f"the secret {arn}"
        with translate_aws_errors(f"reading {kept}"):
            client = block.aws(arn, environ).client("secretsmanager")
            url = client.get_secret_value(SecretId=arn)["SecretString"]
    if not url:
        raise PermanentError(f"reading {kept}", "it is unset or empty on this worker", _REMEDY)
    if not _is_private(url):
        raise PermanentError(f"reading {kept}", "it holds no https:// address", _REMEDY)
    return url, kept


def _is_private(url: str) -> bool:
    """Whether nobody on the way reads the URL: https, or a receiver on this machine."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    local = parsed.scheme == "http" and parsed.host in ("127.0.0.1", "localhost", "::1")
    return local or (parsed.scheme == "https" and bool(parsed.host))


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
