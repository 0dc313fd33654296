"""Who is one person. Git knows names and addresses, GitHub knows logins; people have several.

Identities become one person where they share a login or an address, after each repository's
`.mailmap` has replaced addresses, and where the alias file says so. A name alone merges nobody:
two people may have the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xops.core.errors import Finding, InputError
from xops.core.files import settings

# Addresses that GitHub gives to those who keep their own private: ID+login@, formerly login@.
_PRIVATE = re.compile(r"(?:\d+\+)?([^@+]+)@users\.noreply\.github\.com", re.IGNORECASE)

# No person reads these: GitHub's own commits in the browser, and tools that sign as co-authors.
_NOBODY = re.compile(r"(no-?reply|do-?not-?reply)@(?!users\.noreply\.github\.com)", re.IGNORECASE)

KNOWN_BOTS = frozenset(
    {
        "actions-user", "argocd-image-updater", "copilot", "cursoragent@cursor.com", "dependabot",
        "fluxcdbot", "github-actions", "mergify", "pre-commit-ci", "renovate", "renovate-bot",
        "web-flow",
    }
)  # fmt: skip
"""Logins and addresses of well-known programs that GitHub does not always mark as bots."""

_CO_AUTHOR = re.compile(
    r"^[ \t]*co-authored-by:(?P<name>[^<\n]*)<(?P<email>[^>\n]+)>",
    re.IGNORECASE | re.MULTILINE,
)

_MAILMAP = re.compile(
    r"^(?P<proper_name>[^<#]*)<(?P<first>[^>]*)>(?:(?P<name>[^<]*)<(?P<second>[^>]*)>)?"
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


@dataclass(frozen=True)
class Activity:
    """Somebody did something at some moment."""

    who: Identity
    at: datetime


def co_authors(message: str) -> list[Identity]:
    """Who is named in the `Co-authored-by:` lines of a commit's message."""
    return [
        Identity(email=found["email"].strip(), name=found["name"].strip())
        for found in _CO_AUTHOR.finditer(message)
    ]


@dataclass(frozen=True)
class Mailmap:
    """Git's table of proper names and addresses. Source: gitmailmap(5).

    Attributes:
        entries: by address (lower case) and name (lower case, empty for any) the proper name and
            address, each None where the entry leaves it as it is.
    """

    entries: Mapping[tuple[str, str], tuple[str | None, str | None]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a `.mailmap`. As Git does, it passes over lines it does not know."""
        entries: dict[tuple[str, str], tuple[str | None, str | None]] = {}
        for line in text.splitlines():
            found = _MAILMAP.match(line.strip())
            if found is None:
                continue
            name, first = found["proper_name"].strip() or None, found["first"].strip()
            if found["second"] is None:
                entries[first.lower(), ""] = (name, None)
            else:
                key = found["second"].strip().lower(), found["name"].strip().lower()
                entries[key] = (name, first)
        return cls(entries)

    def proper(self, who: Identity) -> Identity:
        """The identity with its proper name and address."""
        email = who.email.lower()
        entry = self.entries.get((email, who.name.lower())) or self.entries.get((email, ""))
        if entry is None:
            return who
        return Identity(who.login, entry[1] or who.email, entry[0] or who.name, who.bot)


class Alias(BaseModel):
    """Identities that belong to one person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, description="As reports show the person.")]
    logins: Annotated[tuple[str, ...], Field(description="On GitHub.")] = ()
    emails: Annotated[tuple[str, ...], Field(description="In commits.")] = ()


class Aliases(BaseModel):
    """The alias file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    people: tuple[Alias, ...] = ()

    @field_validator("people")
    @classmethod
    def _each_belongs_to_one(cls, value: tuple[Alias, ...]) -> tuple[Alias, ...]:
        owner: dict[str, str] = {}
        for alias in value:
            for identity in (*alias.logins, *alias.emails):
                other = owner.setdefault(identity.lower(), alias.name)
                if other != alias.name:
                    raise ValueError(f"{identity} belongs to {other} and to {alias.name}")
        return value

    @classmethod
    def load(cls, file: Path | None) -> Aliases:
        """Read the file; without one nobody has an alias.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        if file is None:
            return cls(api_version="xops/v1")
        return settings.load(cls, file, prefix="", environ={}, arguments={})


@dataclass(frozen=True)
class Person:
    """One person: a name to show, every login and address, and when he or she was active."""

    name: str
    identities: tuple[str, ...]
    active: tuple[datetime, ...]

    def within(self, start: datetime, end: datetime) -> bool:
        """Whether there was activity in [start, end)."""
        return any(start <= at < end for at in self.active)

    def last_seen(self, before: datetime) -> date | None:
        """The day (in the zone of `before`) of the last activity before a moment."""
        earlier = [at for at in self.active if at < before]
        return max(earlier).astimezone(before.tzinfo).date() if earlier else None


class Directory:
    """Gathers activities and tells the people behind them.

    Args:
        aliases: identities that are merged whatever else is known.
        bots: logins and addresses of programs besides `KNOWN_BOTS` and those that say so.
    """

    def __init__(self, aliases: Aliases | None = None, bots: Iterable[str] = ()) -> None:
        self._bots = KNOWN_BOTS | {bot.lower().removesuffix("[bot]") for bot in bots}
        self._parent: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._active: dict[str, list[datetime]] = {}
        self._fixed: dict[str, str] = {}
        for alias in aliases.people if aliases else ():
            keys = [*map(_login_key, alias.logins), *map(_email_key, alias.emails)]
            self._merge(keys)
            self._fixed.update(dict.fromkeys(keys, alias.name))

    def is_bot(self, who: Identity) -> bool:
        """Whether a program did it."""
        login = who.login or _login_of(who.email)
        if who.bot or login.endswith("[bot]") or who.name.endswith("[bot]"):
            return True
        if _NOBODY.match(who.email):
            return True
        return not self._bots.isdisjoint({login.lower(), who.email.lower()})

    def add(self, activity: Activity) -> None:
        """Take an activity into account; one of a bot, or of nobody known, is passed over."""
        who = activity.who
        if not who.known or self.is_bot(who):
            return
        keys = list(_keys(who))
        self._merge(keys)
        self._active.setdefault(keys[0], []).append(activity.at)
        if who.name:
            for key in keys:
                self._names.setdefault(key, who.name)

    def people(self) -> list[Person]:
        """Everybody who was active, by name."""
        groups: dict[str, list[str]] = {}
        for key in self._parent:
            groups.setdefault(self._root(key), []).append(key)
        people = [self._person(sorted(keys)) for keys in groups.values()]
        return sorted((p for p in people if p.active), key=lambda p: (p.name.lower(), p.identities))

    def _person(self, keys: list[str]) -> Person:
        active = sorted(at for key in keys for at in self._active.get(key, ()))
        shown = [name for key in keys if (name := self._fixed.get(key))]
        shown += sorted(name for key in keys if (name := self._names.get(key)))
        identities = tuple(key.partition(":")[2] for key in keys)
        return Person(shown[0] if shown else identities[-1], identities, tuple(active))

    def _merge(self, keys: list[str]) -> None:
        for key in keys:
            self._parent.setdefault(key, key)
        for key in keys[1:]:
            self._parent[self._root(key)] = self._root(keys[0])

    def _root(self, key: str) -> str:
        while (parent := self._parent[key]) != key:
            self._parent[key] = self._parent[parent]
            key = parent
        return key


def _keys(who: Identity) -> Iterator[str]:
    if who.login:
        yield _login_key(who.login)
    if login := _login_of(who.email):
        yield _login_key(login)
    elif who.email:
        yield _email_key(who.email)


def _login_of(email: str) -> str:
    found = _PRIVATE.fullmatch(email.strip())
    return found[1] if found else ""


def _login_key(login: str) -> str:
    return f"login:{login.lower()}"


def _email_key(email: str) -> str:
    if login := _login_of(email):
        return _login_key(login)
    return f"email:{email.strip().lower()}"


def roster_size(roster: tuple[str, ...], source: str) -> int:
    """How many people a roster declares.

    Raises:
        InputError: somebody is declared twice.
    """
    lower = [name.strip().lower() for name in roster]
    twice = [
        Finding(source, f"people.roster.{index}", f"{roster[index]} is declared twice")
        for index, name in enumerate(lower)
        if name in lower[:index]
    ]
    if twice:
        raise InputError("reading the roster", twice)
    return len(lower)
