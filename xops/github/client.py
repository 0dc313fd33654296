"""One connection to GitHub, on githubkit: what it costs, and what limits allow.

Requests go one after the other, as GitHub asks. A limit is waited for, as long as the patience
lasts; then the work is given up with a `LimitError`, and goes on from its cursor when it is run
again. Nothing that was written is sent twice: a write that may have arrived is not repeated here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from githubkit import (
    AppAuthStrategy,
    AppInstallationAuthStrategy,
    BaseAuthStrategy,
    GitHub,
    TokenAuthStrategy,
)
from githubkit.cache import MemCacheStrategy
from githubkit.exception import (
    GraphQLFailed,
    RequestFailed,
)

from xops.core.errors import Finding, InputError
from xops.core.files.bounded_json import parse_json
from xops.core.files.secret_sources import SecretSources
from xops.github.access import Access
from xops.github.answers import Answer, answer_in_part
from xops.github.errors import (
    ForbiddenError,
    LimitError,
    RefusedError,
    UnavailableError,
)
from xops.github.etags import EtagTransport
from xops.github.refusals import (
    Refusals,
    check_token,
    credential_name,
    limit_error,
    unavailable,
)
from xops.github.transport import BoundTransport

logger = logging.getLogger(__name__)

_USER_AGENT = "xops"
_VERSION = {"X-GitHub-Api-Version": "2022-11-28"}
"""Of the REST interface: what is read here is of that version. Later ones lack parts of it, as a
pull request's `merge_commit_sha`."""

_ATTEMPTS = 4
_MOST_REQUESTS = 50_000
"""Of one connection: a hundred repositories of thousands of pull requests take some thousands."""

_MOST_UNANSWERED = 20
"""Requests in a row. Large questions may fail one after the other while GitHub is well, so a small
one is asked before it is taken for down."""

_PROBE = "query Probe { rateLimit { limit cost remaining resetAt } }"

_RESERVE_POINTS = 50
"""Points of GraphQL's limit that are left to others who use the same credential."""


@dataclass
class Usage:
    """What was asked and what it cost: REST calls answered from what was kept are `unchanged`."""

    queries: int = 0
    points: int = 0
    rest_calls: int = 0
    unchanged: int = 0
    waited_seconds: float = 0.0
    remaining_points: int | None = None
    reset_at: datetime | None = field(default=None, repr=False)


class Client:
    """GitHub, with the credential that `access` names. Use it as a context manager.

    Args:
        access: address, credential, patience.
        folder: where answers to REST calls are kept; None keeps none. An App's never are: GitHub
            binds an ETag to a token, and an App's lives for an hour.
        environ: where a credential's variable is looked up; the process's own by default.
        sleep: waits so many seconds.
        installed_on: a repository (owner/name), or an organisation or person, from which an App's
            installation is found.
        as_app: asks as the App itself and not as its installation: what belongs to no installation,
            as the deliveries of the App's own hook.
        sources: where the credential may be read from, and to whom it may be sent; the operator's
            by default.

    Raises:
        InputError, PermanentError: the credential may not be sent there, or cannot be read; it is
            no App's, and it is to ask as one.
    """

    def __init__(
        self,
        access: Access,
        *,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        installed_on: str = "",
        as_app: bool = False,
        sources: SecretSources | None = None,
    ) -> None:
        if as_app and access.app is None:
            raise _no_app(access)
        self.access = access
        self._usage = Usage()
        self._asked = 0
        self._unanswered = 0
        self._sleep = sleep
        self._secret = access.credential.read_for(access.api_url, environ, sources).strip()
        check_token(access, self._secret)
        self._refusals = Refusals(access, credential_name(access, self._secret))
        transport: httpx.BaseTransport
        transport = self._bound = BoundTransport(access.api_url)
        self._etags: EtagTransport | None = None
        if folder is not None and access.app is None:
            owner = f"{access.api_url} {access.credential} {access.app}"
            transport = self._etags = EtagTransport(transport, folder, owner)
        self._transport = transport
        self._github = self._connect(self._strategy(installed_on, as_app))
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._github)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def usage(self) -> Usage:
        """What this connection has asked so far."""
        self._usage.unchanged = self._etags.hits if self._etags else 0
        return self._usage

    def graphql(
        self,
        query: str,
        variables: Mapping[str, Any],
        attempted: str,
        *,
        patient: bool = True,
        await_limits: bool = True,
    ) -> Answer:
        """Ask a query, which must ask for `rateLimit { limit cost remaining resetAt }` as well.

        Args:
            query: one named operation.
            variables: its variables.
            attempted: what is being done, for errors.
            patient: whether an answer of 5xx is asked for again. A caller who can ask for less
                does so instead.
            await_limits: whether a limit is waited for. Not for what nothing depends on.

        Raises:
            AccessError, LimitError, UnavailableError, RefusedError.
        """
        self._leave_reserve(attempted, await_limits)

        def send() -> Answer:
            self._usage.queries += 1
            try:
                return Answer(self._github.graphql.request(query, dict(variables)))
            except GraphQLFailed as error:
                return answer_in_part(attempted, error, self._bound.retry_after)

        self._look_whether_it_answers(attempted)
        answer = self._send_patiently(
            attempted, send, retry_unavailable=patient, await_limits=await_limits
        )
        with self.translate_errors(attempted):
            self._account(answer.data.get("rateLimit"))
        return answer

    def get(self, path: str, attempted: str, **params: str | int) -> Any:
        """The JSON at a path of the REST interface, redirects of renamed repositories followed.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        return self._get(path, params, attempted)[0]

    def pages(self, path: str, attempted: str, **params: str | int) -> Iterator[Any]:
        """Every element of a list of the REST interface, a hundred a page.

        Raises:
            As `get`.
        """
        rows, following = self._get(path, {"per_page": 100, **params}, attempted)
        yield from self._rows(rows, attempted)
        while following:
            rows, following = self._get(following, {}, attempted)
            yield from self._rows(rows, attempted)

    def write(self, method: str, path: str, body: Mapping[str, Any], attempted: str) -> Any:
        """POST, PATCH, PUT or DELETE; None if the answer has no body.

        After an `UnavailableError` nobody knows whether it arrived: look first.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        self._usage.rest_calls += 1

        def send() -> Any:
            content = self._github.request(method, path, json=dict(body), headers=_VERSION).content
            return parse_json(content) if content else None

        return self._send_patiently(attempted, send, retry_unavailable=False)

    def _get(
        self, path: str, params: Mapping[str, str | int], attempted: str
    ) -> tuple[Any, str | None]:
        """What is at a path, and where it goes on."""

        def send() -> tuple[Any, str | None]:
            self._usage.rest_calls += 1
            response = self._github.request(
                "GET", path, params=params or None, headers=_VERSION
            ).raw_response
            if "partial-results" in response.headers.get("x-github-sso", ""):
                raise ForbiddenError(
                    attempted,
                    "GitHub leaves out what belongs to organisations with SAML",
                    f"Authorise {self._refusals.credential} for the organisation's single sign-on.",
                )
            return parse_json(response.content), response.links.get("next", {}).get("url")

        return self._send_patiently(attempted, send, retry_unavailable=True)

    def _rows(self, rows: Any, attempted: str) -> list[dict[str, Any]]:
        with self.translate_errors(attempted):
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise TypeError("is no list of mappings")
        return list(rows)

    def _connect(self, auth: BaseAuthStrategy) -> GitHub[Any]:
        return GitHub(
            auth,
            base_url=self.access.api_url,
            user_agent=_USER_AGENT,
            timeout=self.access.timeout_seconds,
            transport=self._transport,
            # Of its own: the default one is shared, and gives a token to any other GitHub as well.
            cache_strategy=MemCacheStrategy(),
            # githubkit's own cache writes request headers, the credential among them, to its
            # database; its retries know nothing of patience and ask a failing query as it was.
            http_cache=False,
            auto_retry=False,
        )

    def _strategy(self, installed_on: str, as_app: bool) -> BaseAuthStrategy:
        app = self.access.app
        if app is None:
            return TokenAuthStrategy(self._secret)
        if as_app:
            return AppAuthStrategy(app.app_id, self._secret)
        found = app.installation_id or self._installation(app.app_id, installed_on)
        return AppInstallationAuthStrategy(app.app_id, self._secret, found)

    def _installation(self, app_id: int, where: str) -> int:
        attempted = f"finding the installation of App {app_id} on {where}"
        self._usage.rest_calls += 1
        with self.translate_errors(attempted):
            github = GitHub(
                AppAuthStrategy(app_id, self._secret),
                base_url=self.access.api_url,
                user_agent=_USER_AGENT,
                timeout=self.access.timeout_seconds,
                transport=BoundTransport(self.access.api_url),
                cache_strategy=MemCacheStrategy(),
                http_cache=False,
                auto_retry=False,
            )
            return int(_installation_of(github, where)["id"])

    def _send_patiently[Found](
        self,
        attempted: str,
        send: Callable[[], Found],
        *,
        retry_unavailable: bool,
        await_limits: bool = True,
    ) -> Found:
        self._asked += 1
        if self._asked > _MOST_REQUESTS:
            raise RefusedError(
                attempted,
                f"its answers lead on and on: {_MOST_REQUESTS} requests were made",
                f"Look at what {self.access.api_url} answers.",
            )
        attempt = 0
        while True:
            attempt += 1
            try:
                with self.translate_errors(attempted):
                    found = send()
                self._unanswered = 0
                return found
            except LimitError as error:
                if not await_limits:
                    raise
                self._wait(error)
            except UnavailableError as error:
                self._unanswered += 1
                if not retry_unavailable or attempt >= _ATTEMPTS:
                    raise
                self._sleep(error.retry_after * attempt)

    def _look_whether_it_answers(self, attempted: str) -> None:
        """After many requests without an answer ask the smallest one before it goes on.

        Raises:
            UnavailableError: GitHub does not answer that either; nothing else is sent from then on.
        """
        if self._unanswered < _MOST_UNANSWERED:
            return
        if self._unanswered == _MOST_UNANSWERED:
            with suppress(UnavailableError), self.translate_errors(attempted):
                self._usage.queries += 1
                self._github.graphql.request(_PROBE)
                self._unanswered = 0
                return
            self._unanswered += 1
        raise unavailable(attempted, f"{_MOST_UNANSWERED} requests in a row had no answer")

    def _wait(self, error: LimitError) -> None:
        if self._usage.waited_seconds + error.retry_after > self.access.patience_seconds:
            raise error
        logger.warning("waiting %.0f s: %s", error.retry_after, error.found)
        self._usage.waited_seconds += error.retry_after
        self._sleep(error.retry_after)

    def _leave_reserve(self, attempted: str, await_limits: bool) -> None:
        remaining, reset = self._usage.remaining_points, self._usage.reset_at
        if remaining is None or reset is None or remaining > _RESERVE_POINTS:
            return
        seconds = (reset - datetime.now(UTC)).total_seconds() + 1
        if seconds > 0:
            error = limit_error(attempted, f"{remaining} points are left of GraphQL", seconds)
            if not await_limits:
                raise error
            self._wait(error)
        self._usage.remaining_points = None

    def _account(self, limit: Mapping[str, Any] | None) -> None:
        # GitHub Enterprise without limits answers null, or 0 of 0.
        if not limit:
            return
        self._usage.points += _counted(limit["cost"])
        if limit["limit"]:
            self._usage.remaining_points = _counted(limit["remaining"])
            self._usage.reset_at = datetime.fromisoformat(limit["resetAt"]).astimezone(UTC)

    def translate_errors(self, attempted: str) -> AbstractContextManager[None]:
        """What goes wrong within, an answer of another shape than GitHub's too, as our errors.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        return self._refusals.translate(attempted)


def _no_app(access: Access) -> InputError:
    found = f"{access.credential} is a token, and only the App itself may ask this"
    finding = Finding("credential", "", f"{found}: name the App's number and its key")
    return InputError("connecting to GitHub as an App", [finding])


def _installation_of(github: GitHub[Any], where: str) -> Any:
    """An App's installation on a repository, an organisation or a person's account."""
    if "/" in where:
        return github.request("GET", f"/repos/{where}/installation").json()
    try:
        return github.request("GET", f"/orgs/{where}/installation").json()
    except RequestFailed as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
    return github.request("GET", f"/users/{where}/installation").json()


def _counted(points: Any) -> int:
    if not isinstance(points, int) or points < 0:
        raise ValueError("is no count of points")
    return points
