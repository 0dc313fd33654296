"""Where notices go: the log, an SNS topic, or a webhook."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import tenacity
from prefect.blocks.core import Block
from pydantic import Field, GetJsonSchemaHandler, TypeAdapter, ValidationError, model_validator
from pydantic_core import CoreSchema

from blocks.aws import AwsAccess
from blocks.channels import CHANNELS, Channel, TopicArn, UrlSecretArn, UrlVariable
from blocks.documents import find
from blocks.forms import one_of
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.errors import Finding, InputError, PermanentError, TemporaryError
from xops.prefect_server.watch import TOPIC_VARIABLE, URL_VARIABLE

_ATTEMPTS = 4
_LONGEST_WAIT = 60.0

_CHANNEL: TypeAdapter[Channel] = TypeAdapter(Channel)


class Notification(Block):
    """One channel for notices. A webhook's URL is a secret: only where it is kept stands here."""

    _block_type_name = "xOps notification"
    _block_type_slug = "xops-notification"
    _description = (
        "Where notices go: to the worker's log, to an SNS topic, or to a webhook, whose URL is a"
        " secret and is kept elsewhere. The automations use the document named default."
    )
    _code_example = """
        ```python
        from blocks import Notification

        Notification.named("default").notify("A subject", "What happened, and where to look.")
        ```
    """

    kind: Annotated[
        Literal["log", "sns", "webhook"],
        Field(
            title="Channel",
            description="The worker's log; sns, which needs a topic; or webhook, which needs the"
            " variable or the secret that holds its URL.",
        ),
    ] = "log"
    topic_arn: Annotated[
        TopicArn | None,
        Field(title="Topic ARN", description="For sns: the ARN of the topic."),
    ] = None
    url_variable: Annotated[
        UrlVariable | None,
        Field(
            title="Variable of the URL",
            description="For webhook: the name of the worker's environment variable that holds the"
            " URL.",
        ),
    ] = None
    url_secret_arn: Annotated[
        UrlSecretArn | None,
        Field(
            title="Secret of the URL",
            description="For webhook: the ARN of the secret in Secrets Manager that holds the URL.",
        ),
    ] = None
    aws_access: Annotated[
        AwsAccess | None,
        Field(
            title="AWS access",
            description="How AWS is reached for a topic or a secret. Without one the worker's own"
            " credentials are taken.",
        ),
    ] = None

    @model_validator(mode="after")
    def _what_fits_the_kind(self) -> Self:
        _ = self.channel
        return self

    @property
    def channel(self) -> Channel:
        """The same as a model."""
        names = ("kind", "topic_arn", "url_variable", "url_secret_arn")
        return _CHANNEL.validate_python({name: getattr(self, name) for name in names})

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

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Self:
        """What the variables of a machine say: for what must not ask the server for a document.

        Raises:
            InputError: a variable names no topic.
        """
        if environ.get(URL_VARIABLE):
            return cls(kind="webhook", url_variable=URL_VARIABLE)
        topic = environ.get(TOPIC_VARIABLE)
        try:
            return cls(kind="sns", topic_arn=topic) if topic else cls()
        except ValidationError:
            finding = Finding(f"variable {TOPIC_VARIABLE}", "", "names no topic of SNS")
            raise InputError("finding where notices go", [finding]) from None

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
        given = os.environ if environ is None else environ

        def reach(arn: str) -> Aws:
            access = self.aws_access.environ(given) if self.aws_access else dict(given)
            return Aws(Target.AWS, arn.split(":")[3], access)

        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(TemporaryError),
            sleep=sleep,
            reraise=True,
        )
        attempts(self.channel.deliver, subject, body, given, reach)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        """The fields, and which of them go together."""
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema)["oneOf"] = one_of(CHANNELS)
        return schema


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TemporaryError) else 0.0
    growing = float(2 ** (state.attempt_number - 2))
    return min(_LONGEST_WAIT, max(asked, growing))
