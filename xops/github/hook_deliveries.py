"""What a hook has sent, as GitHub lists it: of a repository, of an organisation, or of an App.

GitHub never sends a delivery again by itself. It lists each attempt, the newest first, for a few
days; all attempts at one delivery share its GUID, and a redelivery is an attempt of its own.
Source: GitHub, "REST API endpoints for repository webhooks", "... organization webhooks", "...
GitHub App webhooks", "Handling failed webhook deliveries".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from xops.core.errors import Finding, InputError
from xops.github.errors import ForbiddenError, NotVisibleError
from xops.github.policy import GitHubPolicy

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

_NEEDED = (
    "See that the hook is there. Give the credential Webhooks: read and write of the repository"
    " (for an organisation's hook: Organization webhooks; a classic token: admin:repo_hook or"
    " admin:org_hook)."
)


class Attempt(BaseModel):
    """One attempt at one delivery.

    Attributes:
        id: of the attempt.
        guid: of the delivery, in small letters.
        delivered_at: when it was sent, by GitHub's clock.
        throttled_at: when GitHub has put it off, if it did.
        redelivery: whether somebody has asked for it.
        status_code: of the answer; what GitHub makes of an answer that there was not, is 500 or
            more, or 0.
        status: the same for people: `OK`, `timed out`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int
    guid: str
    delivered_at: AwareDatetime
    throttled_at: AwareDatetime | None = None
    redelivery: bool
    status_code: int
    status: str
    event: str
    action: str | None = None

    @property
    def failed(self) -> bool:
        """Whether there was an answer that is none of success, or none in time."""
        return self.status_code >= 400


class _Request(BaseModel):
    headers: dict[str, Any] | None = None
    payload: dict[str, Any] | None = None


class _Whole(Attempt):
    request: _Request


@dataclass(frozen=True)
class Payload:
    """What was sent with an attempt.

    Attributes:
        attempt: the attempt.
        hook_id: of the hook; None if its headers do not say so.
        body: the payload as JSON, though not the bytes that were sent; None if GitHub has it no
            more.
    """

    attempt: Attempt
    hook_id: int | None
    body: bytes | None


@dataclass(frozen=True)
class HookDeliveries:
    """The deliveries of one hook.

    Attributes:
        client: with a credential that may see the hook; of an App's own, with the App's.
        path: of the hook in the REST interface.
        name: the hook for people, and for what is remembered of it.
    """

    client: Client
    path: str
    name: str

    def since(self, moment: datetime) -> Iterator[Attempt]:
        """The attempts that were sent after a moment, the newest first.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        attempted = f"listing the deliveries of {self.name}"
        with _naming_permissions():
            for row in self.client.pages(f"{self.path}/deliveries", attempted):
                with self.client.translate_errors(attempted):
                    found = _attempt(row)
                if found.delivered_at <= moment:
                    return
                yield found

    def read(self, attempt: int) -> Payload:
        """What was sent with an attempt.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        attempted = f"reading delivery {attempt} of {self.name}"
        answer = self.client.get(f"{self.path}/deliveries/{attempt}", attempted)
        with self.client.translate_errors(attempted):
            sent = _Whole.model_validate(answer).request
            body = None if sent.payload is None else json.dumps(sent.payload).encode()
            return Payload(_attempt(answer), _hook_id(sent.headers or {}), body)

    def redeliver(self, attempt: int) -> None:
        """Have GitHub send a delivery again, under its GUID; does not wait until it has.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        path = f"{self.path}/deliveries/{attempt}/attempts"
        self.client.write("POST", path, {}, f"redelivering {attempt} of {self.name}")


@contextmanager
def _naming_permissions() -> Iterator[None]:
    """Whoever may not see a hook is told that there is none: say what it takes."""
    try:
        yield
    except (ForbiddenError, NotVisibleError) as error:
        raise type(error)(error.attempted, error.found, _NEEDED) from error


def _attempt(row: Any) -> Attempt:
    found = Attempt.model_validate(row)
    return found.model_copy(update={"guid": found.guid.lower()})


def _hook_id(headers: Mapping[str, Any]) -> int | None:
    given = {name.lower(): value for name, value in headers.items()}.get("x-github-hook-id")
    text = str(given)
    return int(text) if text.isascii() and text.isdecimal() else None


def hook_of(policy: GitHubPolicy) -> tuple[str, str] | None:
    """Where the policy's hook is in the REST interface, and its name; None if it names none."""
    if policy.hook_of is not None:
        kind = "repos" if "/" in policy.hook_of else "orgs"
        return f"/{kind}/{policy.hook_of}/hooks/{policy.hook_id}", (
            f"hook {policy.hook_id} of {policy.hook_of}"
        )
    app = policy.access.app
    return None if app is None else ("/app/hook", f"the hook of App {app.app_id}")


def connect(policy: GitHubPolicy, environ: Mapping[str, str]) -> HookDeliveries:
    """The deliveries of the policy's hook. Use its client as a context manager.

    Raises:
        InputError: the policy names no hook, or the credential may not be sent there.
        PermanentError: there is no credential where it says, or others may read it.
        AccessError, NotVisibleError: the App is not installed where the hook is.
    """
    from xops.github.client import Client

    found = hook_of(policy)
    if found is None:
        finding = Finding(
            "deployments/github.yaml", "hook_id", "names no hook, and there is no App"
        )
        raise InputError(
            "reading the deliveries of a hook",
            [finding],
            "Write hook_id and hook_of; `xops github setup` says them.",
        )
    path, name = found
    if policy.hook_of is None:
        return HookDeliveries(Client(policy.access, environ=environ, as_app=True), path, name)
    client = Client(policy.access, environ=environ, installed_on=policy.hook_of)
    return HookDeliveries(client, path, name)
