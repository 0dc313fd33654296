"""How GitHub is reached: address, credential, patience. A credential is named here, never held.

In order of preference: a GitHub App (tokens of one hour, bound to no person), a fine-grained
token (expires, bound to a person), a classic token (sees all that the person sees).
"""

from __future__ import annotations

from dataclasses import dataclass

from xops.core.errors import Finding, InputError
from xops.core.files.secret import SecretReference
from xops.core.files.web_address import Origin

PUBLIC_API = "https://api.github.com"
DEFAULT_CREDENTIAL = SecretReference(variable="XOPS_GITHUB_TOKEN")

NEEDED = "Contents: read, Metadata: read, Pull requests: read (Issues: write for proposals)"
"""The permissions of an App or a fine-grained token; a classic token needs the scope `repo`."""


@dataclass(frozen=True)
class App:
    """A GitHub App.

    Attributes:
        app_id: the App's number, as its settings page shows it.
        installation_id: of the installation to use; None has it looked up from a repository.
    """

    app_id: int
    installation_id: int | None = None


@dataclass(frozen=True)
class Access:
    """Address, credential and patience.

    Attributes:
        api_url: of the REST interface; GitHub Enterprise Server has `https://HOST/api/v3`.
        credential: the token, or the App's private key (PEM).
        app: set if the credential is an App's key.
        timeout_seconds: for one request.
        patience_seconds: how long, in all, limits are waited for before the work is given up; it
            goes on from where it was when it is run again.
    """

    api_url: str = PUBLIC_API
    credential: SecretReference = DEFAULT_CREDENTIAL
    app: App | None = None
    timeout_seconds: float = 30.0
    patience_seconds: float = 900.0

    def __post_init__(self) -> None:
        try:
            origin = Origin.of(self.api_url)
        except ValueError as error:
            raise _wrong_address(str(error)) from None
        if origin.scheme != "https" and not origin.is_loopback:
            raise _wrong_address(
                f"{origin} is not https: the credential would be sent in the clear"
            )


def _wrong_address(problem: str) -> InputError:
    return InputError("reading GitHub's address", [Finding("github.api_url", "", problem)])


def credential_kind(secret: str) -> str:
    """What a token is by its prefix, which GitHub documents; `token` if it has none of them."""
    prefixes = {
        "github_pat_": "fine-grained token",
        "ghp_": "classic token",
        "ghs_": "installation token",
        "gho_": "OAuth token",
        "ghu_": "user token of an App",
    }
    return next((kind for start, kind in prefixes.items() if secret.startswith(start)), "token")
