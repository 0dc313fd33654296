"""What Git and GitHub say of who did something: a login, an address, a name; any may be missing.

Git knows names and addresses, GitHub knows logins. Nothing is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

# Addresses that GitHub gives to those who keep their own private: ID+login@users.noreply.HOST,
# formerly login@. Source: GitHub, "Email addresses reference".
_PRIVATE = re.compile(r"(?:(\d+)\+)?([^@+]+)@users\.noreply\.[a-z0-9.-]+", re.IGNORECASE)

# Also as people mistype it, `Coauthored by: Ann ann@example.com`: it tells who is meant.
_CO_AUTHOR = re.compile(
    r"^[ \t]*co-?au\w+[- ]by[ \t]*:(?P<name>[^<\n]*?)"
    r"(?:<(?P<email>[^>\n]+)|(?<=[\s(])(?P<bare>[^\s<>(),;@]+@[^\s<>(),;@]+)[ \t\r),;]*$)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Identity:
    """What one commit, review or pull request says of who made it; any part may be missing."""

    login: str = ""
    email: str = ""
    name: str = ""
    bot: bool = False

    def __post_init__(self) -> None:
        # GitHub says so, and whoever answers in its place may say anything.
        if not all(isinstance(part, str) for part in (self.login, self.email, self.name)):
            raise TypeError("a login, an address and a name are texts")

    @property
    def known(self) -> bool:
        """Whether it names somebody: a deleted account leaves neither login nor address."""
        return bool(self.login or self.email)

    @property
    def account(self) -> str:
        """Its login, or the one that its private address carries; empty if it has neither."""
        return self.login or private_account(self.email)[1]


@dataclass(frozen=True)
class Activity:
    """Somebody did something at some moment.

    Attributes:
        who: as GitHub or the commit names him or her.
        at: when.
        association: GitHub's `authorAssociation` with the repository, where it tells one.
    """

    who: Identity
    at: datetime
    association: str = ""


def co_authors(message: str) -> list[Identity]:
    """Who is named in the `Co-authored-by:` lines of a commit's message."""
    return [
        Identity(
            email=(found["email"] or found["bare"]).strip(), name=found["name"].strip(" \t(,;")
        )
        for found in _CO_AUTHOR.finditer(message)
    ]


def private_account(email: str) -> tuple[str, str]:
    """The account's number and login that one of GitHub's private addresses carries.

    Each is empty where the address carries none.
    """
    found = _PRIVATE.fullmatch(email.strip())
    return (found[1] or "", found[2]) if found else ("", "")


def keys_of(who: Identity) -> Iterator[str]:
    """By what an identity is known: `login:...` and `email:...`, in lower case."""
    if who.login:
        yield login_key(who.login)
    if private_account(who.email)[1] or who.email.strip():
        yield email_key(who.email)


def login_key(login: str) -> str:
    """The key of a login."""
    return f"login:{login.lower()}"


def email_key(email: str) -> str:
    """The key of an address: of its login if it is a private one of GitHub's."""
    if login := private_account(email)[1]:
        return login_key(login)
    return f"email:{email.strip().lower()}"


def shown_key(key: str) -> str:
    """A key as reports show it."""
    return key.partition(":")[2]
