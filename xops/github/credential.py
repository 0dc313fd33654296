"""The credential as a file names it: which kind it is, and where it is read from at run time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from xops.core.files.secret import SecretReference
from xops.core.files.validation import absent
from xops.github.access import Access, App


class TokenCredential(SecretReference):
    """A token, and where it is read from at run time."""

    kind: Literal["fine_grained", "classic"] = "fine_grained"
    app_id: Annotated[None, absent("goes with kind app only")] = None
    installation_id: Annotated[None, absent("goes with kind app only")] = None


class AppCredential(SecretReference):
    """A GitHub App, and where its private key is read from at run time."""

    kind: Literal["app"]
    app_id: Annotated[int, Field(ge=1)]
    installation_id: Annotated[int | None, Field(ge=1, description="Looked up if empty.")] = None


def _kind_of_credential(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "of an app" if kind == "app" else "of a person"


Credential = Annotated[
    Annotated[TokenCredential, Tag("of a person")] | Annotated[AppCredential, Tag("of an app")],
    Discriminator(_kind_of_credential),
]
"""How GitHub is asked; a token if no kind is given."""


def access(api_url: str, credential: Credential) -> Access:
    """The address and credential of a file, as the client takes them.

    Raises:
        InputError: the credential would go over the network in the clear.
    """
    app = None
    if isinstance(credential, AppCredential):
        app = App(credential.app_id, credential.installation_id)
    return Access(api_url=api_url, credential=credential, app=app)
