"""What people's names and mail domains tell: who may be whom, and who certainly is not.

Two names of two words or more that share no word are two people's. All else may be one person's:
nicknames, initials, names in other scripts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from itertools import chain

# Whoever has an address there is nobody's colleague for that.
_PUBLIC = frozenset(
    {
        "aol", "email", "fastmail", "foxmail", "free", "freemail", "gmail", "gmx", "googlemail",
        "hanmail", "hey", "hotmail", "hushmail", "icloud", "inbox", "laposte", "libero", "live",
        "mac", "mail", "mailbox", "mailfence", "me", "msn", "naver", "orange", "outlook", "pm",
        "posteo", "proton", "protonmail", "qq", "rediffmail", "riseup", "rocketmail", "runbox",
        "seznam", "sina", "t-online", "tuta", "tutanota", "tutamail", "web", "wp", "yahoo",
        "yandex", "yeah", "ymail", "zoho", "zohomail", "126", "139", "163",
    }
)  # fmt: skip
"""Mail providers: what stands before `.com`, `.de`, `.co.uk` in their domains."""

_SECOND = frozenset({"ac", "co", "com", "net", "org"})

_LOCAL = frozenset(
    {"local", "localdomain", "localhost", "internal", "lan", "home", "invalid", "(none)"}
)
"""Last labels of names that machines give themselves: every laptop may be called the same."""

_NOBODY = frozenset(
    {
        "administrator", "admin", "author", "developer", "name", "root", "somebody", "someone",
        "test", "ubuntu", "unknown", "user", "username", "your", "you",
    }
)  # fmt: skip
"""Words of names that programs fill in."""

# Letters that Unicode does not take apart, and how some write those that it does.
_SPELLED = {
    "ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe", "ß": "ss",
    "ð": "d", "đ": "d", "ł": "l", "\N{LATIN SMALL LETTER DOTLESS I}": "i", "þ": "th",
}  # fmt: skip
_AND = re.compile(r" (?:and|und|et|y|e) |[&+/,]", re.IGNORECASE)
_WITHIN = "'\N{RIGHT SINGLE QUOTATION MARK}"
_PLAIN = str.maketrans({**_SPELLED, "ä": "a", "ö": "o", "ü": "u", "å": "a", "ø": "o", "æ": "a"})
_LONG = str.maketrans(_SPELLED)


@lru_cache(maxsize=65_536)
def words(name: str) -> frozenset[str]:
    """The words of a name in every spelling, without single letters."""
    low = unicodedata.normalize("NFC", name).casefold()
    spellings = (_letters(low.translate(_PLAIN)), _letters(low.translate(_LONG)))
    found = {word for spelling in spellings for word in spelling.split()}
    return frozenset(word for word in found if len(word) > 1)


def is_full(name: str) -> bool:
    """Whether it is a name of two words or more with blanks between, none of them a program's.

    Without blanks (`ann-web`, `ann.ale@acme.com`) it is a nickname, which tells nothing.
    """
    parts = [_letters(part).split() for part in name.casefold().split()]
    spelled = [[word for word in part if len(word) > 1] for part in parts]
    full = sum(map(bool, spelled)) > 1 and "@" not in name
    return full and _NOBODY.isdisjoint(chain.from_iterable(spelled))


def normal(name: str) -> str:
    """A name by which it is compared: whether letters are large, and blanks, say nothing."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def telling_words(names: Collection[str]) -> frozenset[str]:
    """The words by which somebody is told from others; empty if the names tell from nobody.

    They do if one of them is a full name, and all are written in Latin letters.
    """
    found = frozenset[str]().union(*map(words, names))
    tells = any(map(is_full, names)) and all(word.isascii() for word in found)
    return found if tells else frozenset()


def fewest_people(names: Collection[str]) -> int:
    """How many people must be behind names: those that certainly are not each other's.

    Pairs write both their names as one: `Ann Ale and Bob Bee`.
    """
    apart: list[frozenset[str]] = []
    for name in sorted(names):
        parts = [telling_words([part]) for part in _AND.split(name)]
        for told in parts if all(parts) else [telling_words([name])]:
            if told and all(told.isdisjoint(other) for other in apart):
                apart.append(told)
    return max(1, len(apart))


def are_different(some: Collection[str], others: Collection[str]) -> bool:
    """Whether two people must be behind the names that each writes."""
    one, other = telling_words(some), telling_words(others)
    return bool(one) and bool(other) and one.isdisjoint(other)


def company_domain(email: str) -> str:
    """The domain of an address, if only people of one organisation have addresses there."""
    domain = email.strip().lower().rpartition("@")[2].strip(".")
    labels = domain.split(".")
    if len(labels) < 2 or labels[-1] in _LOCAL:
        return ""
    rest = 3 if labels[-2] in _SECOND else 2
    return "" if len(labels) <= rest and labels[0] in _PUBLIC else domain


def _letters(text: str) -> str:
    """Without accents, and with a blank for all that is no letter."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(
        one if one.isalpha() else "" if unicodedata.combining(one) or one in _WITHIN else " "
        for one in apart
    )
