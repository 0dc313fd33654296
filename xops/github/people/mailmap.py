"""Git's table of proper names and addresses. Source: gitmailmap(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from xops.github.people.identities import Identity

_MAILMAP = re.compile(
    r"^(?P<proper_name>[^<#]*)<(?P<first>[^>]*)>(?:(?P<name>[^<]*)<(?P<second>[^>]*)>)?"
)


@dataclass(frozen=True)
class Mailmap:
    """One repository's table.

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
