"""What people can write on a pull request: `xops plan`, `xops apply` and `xops unlock`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

WORD = "xops"


class Verb(StrEnum):
    """What is asked for."""

    PLAN = "plan"
    APPLY = "apply"
    UNLOCK = "unlock"


USAGE: dict[str, str] = {
    "xops plan": "plan again all that this pull request changes",
    "xops apply [ENVIRONMENT]": "try again to apply what approving reviews have released",
    "xops unlock": "release the locks that this pull request holds",
    "xops unlock ENVIRONMENT": "release that lock, whichever pull request holds it (approvers)",
}
"""How each is written, and what it does."""

_ENVIRONMENT = re.compile(r"[a-z](-?[a-z0-9])*")
"""As the names of environment files (`xops.ecs.environment.NAME`)."""

_LONGEST = 40


@dataclass(frozen=True)
class Command:
    """What somebody asks for; `environment` is empty for all of them."""

    verb: Verb
    environment: str = ""


@dataclass(frozen=True)
class NotACommand:
    """A line that begins as a command does, and is none. It is never carried out in part.

    Attributes:
        found: what is wrong with it; may hold text of strangers.
    """

    found: str


def parse(line: str) -> Command | NotACommand | None:
    """The command of a comment's line; None if it is not addressed to xOps.

    Words are taken as they are, in any case: no quotes, no options, nothing is guessed.
    """
    words = line.split()
    if not words or words[0] != WORD:
        return None
    if len(words) == 1:
        return NotACommand("nothing is asked for")
    verb, arguments = words[1].lower(), words[2:]
    if verb not in set(Verb):
        return NotACommand(f"{_cut(words[1])} is no command")
    if len(arguments) > 1:
        return NotACommand(
            f"{verb} takes one environment at most, and {len(arguments)} words are given"
        )
    environment = "".join(arguments).lower()
    if environment and not _ENVIRONMENT.fullmatch(environment):
        return NotACommand(f"{_cut(environment)} is no name of an environment")
    return Command(Verb(verb), environment)


def _cut(word: str) -> str:
    return word if len(word) <= _LONGEST else f"{word[:_LONGEST]}..."
