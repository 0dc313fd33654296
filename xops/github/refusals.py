"""What a request that failed means: how limits, refusals and outages are told apart.

A remedy names what to change, so that causes of one status that need different ones are told apart
by GitHub's words: a limit from a missing permission, a repository without issues from a hidden one.
What is between here and GitHub fails too: proxies, certificates, names that lead nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from githubkit.exception import (
    GitHubException,
    RateLimitExceeded,
    RequestError,
    RequestFailed,
    SecondaryRateLimitExceeded,
)

from xops.core.errors import PermanentError, XopsError
from xops.core.files.reading import UnusableTextError
from xops.github.access import NEEDED, Access, credential_kind
from xops.github.errors import (
    AccessError,
    ForbiddenError,
    LimitError,
    NotVisibleError,
    RefusedError,
    UnavailableError,
)

SECONDARY_SECONDS = 60.0
"""How long a secondary limit is waited for where GitHub does not say it."""

_NO_MESSAGE = "it gave no message"
_GONE = frozenset({404, 410, 451})
_OF_THE_PROXY = httpx.codes.PROXY_AUTHENTICATION_REQUIRED
_PROXY_REMEDY = "Give HTTPS_PROXY a user and a password that the proxy takes."
_LATER = "Run it again later; githubstatus.com tells of outages."


def credential_name(access: Access, secret: str) -> str:
    """The credential by its kind and its place, without the secret."""
    kind = "the App" if access.app else f"the {credential_kind(secret)}"
    return f"{kind} in {access.credential}"


def check_token(access: Access, secret: str) -> None:
    """See that a token can be sent: httpx shows a header that cannot, and the token within it.

    Raises:
        AccessError: it holds what no token does.
    """
    if access.app is None and not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise AccessError(
            f"connecting to {access.api_url}",
            f"{access.credential} holds no token: it has white space, or letters that none has",
            "Put the token there as GitHub gave it, alone and in one line.",
        )


@dataclass(frozen=True)
class Refusals:
    """What failures of one connection mean.

    Attributes:
        access: its address and where its credential is.
        credential: how errors name the credential.
    """

    access: Access
    credential: str

    @contextmanager
    def translate(self, attempted: str) -> Iterator[None]:
        """What goes wrong within, an answer of another shape than GitHub's too, as our errors.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
            PermanentError: an answer could not be kept on disk.
        """
        try:
            yield
        except GitHubException as error:
            raise self._of_github(attempted, error) from error
        except httpx.HTTPError as error:
            raise self._of_network(attempted, error) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # Not JSON, or not the JSON it should be: a proxy's page, a damaged private key.
            known = isinstance(error, UnusableTextError)
            what = str(error) if known else f"not what GitHub's API gives ({type(error).__name__})"
            raise RefusedError(
                attempted,
                f"what came back cannot be read: {what}",
                f"Look at what {self.access.api_url} answers (a proxy's page?), and at"
                f" {self.access.credential}.",
            ) from error

    def _of_github(self, attempted: str, error: GitHubException) -> XopsError:
        inner = error.exc if isinstance(error, RequestError) else None
        if isinstance(inner, XopsError):  # of the transport
            return inner
        if isinstance(inner, GitHubException):  # of the token that an App asks for on the way
            return self._of_github(attempted, inner)
        if isinstance(error, RateLimitExceeded):
            secondary = isinstance(error, SecondaryRateLimitExceeded)
            which = "a secondary limit" if secondary else "the hourly limit"
            return limit_error(attempted, f"{which} is used up", _seconds(error))
        if isinstance(error, RequestFailed):
            return self._of_status(attempted, error.response.status_code, _message(error))
        if isinstance(inner, OSError) and inner.filename:
            return _not_kept(inner)
        if inner is None or isinstance(inner, httpx.HTTPError):
            return self._of_network(attempted, inner or error)
        return self._unusable_key(attempted, inner)

    def _of_network(self, attempted: str, error: Exception) -> XopsError:
        if isinstance(error, httpx.LocalProtocolError):  # its text shows headers
            return self._unusable_key(attempted, error)
        said = f"{type(error).__name__}: {error}"
        if "CERTIFICATE_VERIFY_FAILED" in said:
            remedy = "Name the file of its certificate authority in SSL_CERT_FILE."
            return RefusedError(attempted, said, remedy)
        if isinstance(error, httpx.ProxyError):
            if f"{_OF_THE_PROXY:d}" in said:
                return RefusedError(attempted, said, _PROXY_REMEDY)
            return unavailable(attempted, said, "Correct HTTPS_PROXY, or ask who runs the proxy.")
        if isinstance(error, httpx.ConnectError):
            place = f"{self.access.api_url}, by the proxy of HTTPS_PROXY if that is set"
            remedy = f"See that this machine reaches {place}; run it again later."
            return unavailable(attempted, said, remedy)
        return unavailable(attempted, said)

    def _of_status(self, attempted: str, status: int, message: str) -> XopsError:
        if status == _OF_THE_PROXY:
            return RefusedError(attempted, f"a proxy answered {status}", _PROXY_REMEDY)
        said = f"GitHub answered {status}: {message or _NO_MESSAGE}"
        if status == httpx.codes.UNAUTHORIZED:
            return AccessError(attempted, said, f"Renew {self.credential}.")
        if status == httpx.codes.TOO_MANY_REQUESTS or (
            status == httpx.codes.FORBIDDEN and is_secondary(message)
        ):
            return limit_error(attempted, "a secondary limit is used up", SECONDARY_SECONDS)
        if status == httpx.codes.FORBIDDEN:
            return ForbiddenError(attempted, said, self._permission(message))
        if status in _GONE:
            return NotVisibleError(attempted, said, self._place(message))
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return unavailable(attempted, said)
        return RefusedError(attempted, said, "Compare the request with GitHub's API reference.")

    def _permission(self, message: str) -> str:
        if "ip allow list" in message.lower():
            return "Have the address of this machine added to the organisation's IP allow list."
        return f"Give {self.credential} {NEEDED}; under SAML authorise it as well."

    def _place(self, message: str) -> str:
        if "issues" in message.lower():  # "Issues has been disabled in this repository."
            return "Enable issues in the repository's settings, or name another one for proposals."
        return f"Correct the name, or give {self.credential} {NEEDED}."

    def _unusable_key(self, attempted: str, error: Exception) -> PermanentError:
        # The key itself never stands in a message: only what kind of complaint there is.
        return AccessError(
            attempted,
            f"no request can be made with {self.access.credential} ({type(error).__name__})",
            "Name the token, or the App's private key, as GitHub gave it (a PEM file).",
        )


def is_secondary(message: str) -> bool:
    """Whether a refusal is a secondary limit, in GitHub's words of today or of before."""
    lower = message.lower()
    return "secondary rate" in lower or "abuse detection" in lower


def limit_error(attempted: str, found: str, seconds: float) -> LimitError:
    """A limit that comes back in so many seconds."""
    return LimitError(
        attempted,
        f"{found}; it comes back in {seconds:.0f} s",
        "Run it again then: what was read is kept, and it goes on from there.",
        retry_after=seconds,
    )


def unavailable(attempted: str, found: str, remedy: str = _LATER) -> UnavailableError:
    """GitHub did not answer, or with an error of its own."""
    return UnavailableError(attempted, found, remedy, retry_after=2.0)


def _not_kept(error: OSError) -> PermanentError:
    return PermanentError(
        f"keeping what GitHub answers in {error.filename}",
        error.strerror or type(error).__name__,
        "Correct the path or its permissions, or free some space; XOPS_HOME says where it is.",
    )


def _seconds(error: RateLimitExceeded) -> float:
    # The moment of the reset is given in whole seconds: one more, not to come too early.
    return error.retry_after.total_seconds() + 1


def _message(error: RequestFailed) -> str:
    """What GitHub says; of a request that is not valid also which field, and why."""
    try:
        found = error.response.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    return "; ".join([str(found.get("message", "")), *_details(found.get("errors"))])


def _details(errors: Any) -> Iterator[str]:
    for row in errors if isinstance(errors, list) else ():
        said = row.get("message") or row.get("code") if isinstance(row, dict) else row
        if said:
            yield str(said)
