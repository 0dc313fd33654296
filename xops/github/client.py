"""One connection to GitHub, on githubkit: what it costs, what limits allow, what errors mean.

Requests go one after the other, as GitHub asks. A limit is waited for, as long as the patience
lasts; then the work is given up with a `LimitError`, and goes on from its cursor when it is run
again. Nothing that was written is sent twice: a write that may have arrived is not repeated here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
    GitHubException,
    GraphQLFailed,
    RateLimitExceeded,
    RequestError,
    RequestFailed,
    SecondaryRateLimitExceeded,
)

from xops.core.errors import PermanentError, TemporaryError, XopsError
from xops.core.files.bounded_json import parse_json
from xops.core.files.secret_sources import SecretSources
from xops.github.access import NEEDED, Access, credential_kind
from xops.github.errors import (
    AccessError,
    ForbiddenError,
    LimitError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    UnavailableError,
)
from xops.github.etags import EtagTransport
from xops.github.transport import BoundTransport

logger = logging.getLogger(__name__)

_USER_AGENT = "xops"
_ATTEMPTS = 4
_MOST_REQUESTS = 50_000
"""Of one connection: a hundred repositories of thousands of pull requests take some thousands."""

_RESERVE_POINTS = 50
"""Points of GraphQL's limit that are left to others who use the same credential."""

_NO_MESSAGE = "it gave no message"
_SECONDARY_SECONDS = 60.0
_GONE = frozenset({404, 410, 451})

# Errors within an answer of status 200 that the same query does not give next time, or not if it
# asks for less. The first is GitHub's own sentence for a query that took too long.
_PASSING_MESSAGES = ("something went wrong", "timeout", "timedout", "timed out", "502", "503")
_PASSING_TYPES = frozenset({"RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED", "INTERNAL"})


@dataclass(frozen=True)
class GraphProblem:
    """One error of a GraphQL answer: its type (empty if GitHub gives none) and where it is."""

    kind: str
    message: str
    path: tuple[str | int, ...]

    @property
    def passing(self) -> bool:
        """Whether asking again, or for less, may help."""
        text = self.message.lower()
        return self.kind in _PASSING_TYPES or any(part in text for part in _PASSING_MESSAGES)


@dataclass(frozen=True)
class Answer:
    """What a GraphQL query gave; with `problems`, parts of `data` are null."""

    data: Mapping[str, Any]
    problems: tuple[GraphProblem, ...] = ()

    def complete(self, attempted: str) -> Mapping[str, Any]:
        """The data, all of it.

        Raises:
            NotVisibleError, ForbiddenError, PartialAnswerError: something is missing.
        """
        if self.problems:
            raise problem_error(attempted, self.problems)
        return self.data


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
        folder: where answers to REST calls are kept; None keeps none.
        environ: where a credential's variable is looked up; the process's own by default.
        sleep: waits so many seconds.
        installed_on: a repository (owner/name) from which an App's installation is found.
        sources: where the credential may be read from, and to whom it may be sent; the operator's
            by default.

    Raises:
        InputError, PermanentError: the credential may not be sent there, or cannot be read.
    """

    def __init__(
        self,
        access: Access,
        *,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        installed_on: str = "",
        sources: SecretSources | None = None,
    ) -> None:
        self.access = access
        self._usage = Usage()
        self._asked = 0
        self._sleep = sleep
        self._secret = access.credential.read_for(access.api_url, environ, sources).strip()
        transport: httpx.BaseTransport = BoundTransport(access.api_url)
        self._etags: EtagTransport | None = None
        if folder is not None:
            owner = f"{access.api_url} {access.credential} {access.app}"
            transport = self._etags = EtagTransport(transport, folder, owner)
        self._transport = transport
        self._github = self._connect(self._strategy(installed_on))
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
        self, query: str, variables: Mapping[str, Any], attempted: str, *, patient: bool = True
    ) -> Answer:
        """Ask a query, which must ask for `rateLimit { limit cost remaining resetAt }` as well.

        Args:
            query: one named operation.
            variables: its variables.
            attempted: what is being done, for errors.
            patient: whether an answer of 5xx is asked for again. A caller who can ask for less
                does so instead.

        Raises:
            AccessError, LimitError, UnavailableError, RefusedError.
        """
        self._leave_reserve(attempted)

        def send() -> Answer:
            self._usage.queries += 1
            try:
                return Answer(self._github.graphql.request(query, dict(variables)))
            except GraphQLFailed as error:
                return _answer_in_part(attempted, error)

        answer = self._send_patiently(attempted, send, retry_unavailable=patient)
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
        """POST or PATCH. After an `UnavailableError` nobody knows whether it arrived: look first.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        self._usage.rest_calls += 1

        def send() -> Any:
            return parse_json(self._github.request(method, path, json=dict(body)).content)

        return self._send_patiently(attempted, send, retry_unavailable=False)

    def _get(
        self, path: str, params: Mapping[str, str | int], attempted: str
    ) -> tuple[Any, str | None]:
        """What is at a path, and where it goes on."""

        def send() -> tuple[Any, str | None]:
            self._usage.rest_calls += 1
            response = self._github.request("GET", path, params=params or None).raw_response
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

    def _strategy(self, installed_on: str) -> BaseAuthStrategy:
        app = self.access.app
        if app is None:
            return TokenAuthStrategy(self._secret)
        found = app.installation_id or self._installation(app.app_id, installed_on)
        return AppInstallationAuthStrategy(app.app_id, self._secret, found)

    def _installation(self, app_id: int, repository: str) -> int:
        attempted = f"finding the installation of App {app_id} on {repository}"
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
            found = github.request("GET", f"/repos/{repository}/installation").json()
        return int(found["id"])

    def _send_patiently[Found](
        self, attempted: str, send: Callable[[], Found], *, retry_unavailable: bool
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
                    return send()
            except LimitError as error:
                self._wait(error)
            except UnavailableError as error:
                if not retry_unavailable or attempt >= _ATTEMPTS:
                    raise
                self._sleep(error.retry_after * attempt)

    def _wait(self, error: LimitError) -> None:
        if self._usage.waited_seconds + error.retry_after > self.access.patience_seconds:
            raise error
        logger.warning("waiting %.0f s: %s", error.retry_after, error.found)
        self._usage.waited_seconds += error.retry_after
        self._sleep(error.retry_after)

    def _leave_reserve(self, attempted: str) -> None:
        remaining, reset = self._usage.remaining_points, self._usage.reset_at
        if remaining is None or reset is None or remaining > _RESERVE_POINTS:
            return
        seconds = (reset - datetime.now(UTC)).total_seconds() + 1
        if seconds > 0:
            self._wait(_limit_error(attempted, f"{remaining} points are left of GraphQL", seconds))
        self._usage.remaining_points = None

    def _account(self, limit: Mapping[str, Any] | None) -> None:
        # GitHub Enterprise without limits answers null, or 0 of 0.
        if not limit:
            return
        self._usage.points += limit["cost"]
        if limit["limit"]:
            self._usage.remaining_points = limit["remaining"]
            self._usage.reset_at = datetime.fromisoformat(limit["resetAt"])

    @contextmanager
    def translate_errors(self, attempted: str) -> Iterator[None]:
        """What goes wrong within, an answer of another shape than GitHub's too, as our errors.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """
        try:
            yield
        except GitHubException as error:
            raise self._translate_error(attempted, error) from error
        except httpx.HTTPError as error:
            raise _unavailable(attempted, f"{type(error).__name__}: {error}") from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # Not JSON, or not the JSON it should be: a proxy's page, a damaged private key.
            raise RefusedError(
                attempted,
                f"what came back cannot be read: {type(error).__name__}",
                f"Look at what {self.access.api_url} answers, and at {self.access.credential}.",
            ) from error

    def _translate_error(self, attempted: str, error: GitHubException) -> XopsError:
        inner = error.exc if isinstance(error, RequestError) else None
        if isinstance(inner, XopsError):  # of the transport
            return inner
        if isinstance(inner, GitHubException):  # of the token that an App asks for on the way
            return self._translate_error(attempted, inner)
        if isinstance(error, RateLimitExceeded):
            secondary = isinstance(error, SecondaryRateLimitExceeded)
            which = "a secondary limit" if secondary else "the hourly limit"
            return _limit_error(attempted, f"{which} is used up", _seconds(error))
        if isinstance(error, RequestFailed):
            return self._refusal(attempted, error.response.status_code, _message(error))
        if inner is None or isinstance(inner, httpx.HTTPError):
            said = f"{type(inner or error).__name__}: {inner or error}"
            return _unavailable(attempted, said)
        return self._unusable_key(attempted, inner)

    def _refusal(self, attempted: str, status: int, message: str) -> XopsError:
        said = f"GitHub answered {status}: {message or _NO_MESSAGE}"
        if status == httpx.codes.UNAUTHORIZED:
            return AccessError(attempted, said, f"Renew {self._credential()}.")
        if status == httpx.codes.FORBIDDEN and "secondary rate" in message.lower():
            return _limit_error(attempted, "a secondary limit is used up", _SECONDARY_SECONDS)
        if status == httpx.codes.FORBIDDEN:
            return ForbiddenError(
                attempted,
                said,
                f"Give {self._credential()} {NEEDED}; under SAML authorise it as well.",
            )
        if status in _GONE:
            return NotVisibleError(
                attempted, said, f"Correct the name, or give {self._credential()} {NEEDED}."
            )
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return _unavailable(attempted, said)
        return RefusedError(attempted, said, "Compare the request with GitHub's API reference.")

    def _unusable_key(self, attempted: str, error: Exception) -> PermanentError:
        # The key itself never stands in a message: only what kind of complaint there is.
        return AccessError(
            attempted,
            f"no request can be made with {self.access.credential} ({type(error).__name__})",
            "Name the token, or the App's private key, as GitHub gave it (a PEM file).",
        )

    def _credential(self) -> str:
        kind = "the App" if self.access.app else f"the {credential_kind(self._secret)}"
        return f"{kind} in {self.access.credential}"


def problem_error(
    attempted: str, problems: Sequence[GraphProblem]
) -> PermanentError | TemporaryError:
    """The error that GraphQL's problems amount to: the first that will not pass by itself."""
    lasting = [problem for problem in problems if not problem.passing]
    first = (lasting or list(problems))[0]
    place = ".".join(map(str, first.path))
    said = f"GraphQL: {first.message}" + (f" (at {place})" if place else "")
    if first.kind == "NOT_FOUND":
        return NotVisibleError(
            attempted, said, f"Correct the name, or give the credential {NEEDED}."
        )
    if first.kind in ("FORBIDDEN", "INSUFFICIENT_SCOPES"):
        return ForbiddenError(attempted, said, f"Give the credential {NEEDED}.")
    return PartialAnswerError(attempted, said, "Run it again; GitHub answered in part only.")


def _answer_in_part(attempted: str, error: GraphQLFailed) -> Answer:
    problems = tuple(
        GraphProblem(row.type or "", row.message, tuple(row.path or ()))
        for row in error.response.errors or ()
    )
    if error.response.data is not None:
        return Answer(error.response.data, problems)
    found = problem_error(attempted, problems)
    if all(problem.passing for problem in problems):
        raise _unavailable(attempted, found.found)
    if isinstance(found, PartialAnswerError):  # nothing at all came: the query itself is refused
        raise RefusedError(attempted, found.found, "Compare the query with GitHub's schema.")
    raise found


def _limit_error(attempted: str, found: str, seconds: float) -> LimitError:
    return LimitError(
        attempted,
        f"{found}; it comes back in {seconds:.0f} s",
        "Run it again then: what was read is kept, and it goes on from there.",
        retry_after=seconds,
    )


def _unavailable(attempted: str, found: str) -> UnavailableError:
    return UnavailableError(
        attempted, found, "Run it again later; githubstatus.com tells of outages.", retry_after=2.0
    )


def _seconds(error: RateLimitExceeded) -> float:
    # The moment of the reset is given in whole seconds: one more, not to come too early.
    return error.retry_after.total_seconds() + 1


def _message(error: RequestFailed) -> str:
    try:
        found = error.response.json()
    except ValueError:
        return ""
    return str(found.get("message", "")) if isinstance(found, dict) else ""
