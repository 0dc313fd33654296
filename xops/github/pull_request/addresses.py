"""Where things are in GitHub's REST interface, and nothing else: no name leads out of its place."""

from __future__ import annotations

import re
from urllib.parse import quote

from xops.core.errors import Finding, InputError

_REPOSITORY = re.compile(r"[A-Za-z0-9_-]+/(?!\.{1,2}\Z)[A-Za-z0-9._-]+", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)

_MOST_BRANCH_CHARACTERS = 1_000
"""GitHub takes fewer; an address cannot be of any length."""


def repository_path(repository: str) -> str:
    """The address of a repository.

    Args:
        repository: owner/name.

    Raises:
        InputError: it is no such name.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise _wrong("repository", repository, "is no owner/name")
    return f"/repos/{repository}"


def object_id(sha: str) -> str:
    """The id of a Git object, as it is.

    Raises:
        InputError: it is none of 40 or 64 hexadecimal digits.
    """
    if not _SHA.fullmatch(sha):
        raise _wrong("commit", sha, "is no id of 40 or 64 hexadecimal digits")
    return sha


def branch_name(branch: str) -> str:
    """A branch's name as a part of an address.

    Raises:
        InputError: it is longer than any, or empty.
    """
    name = branch.removeprefix("refs/heads/")
    if not 0 < len(name) <= _MOST_BRANCH_CHARACTERS:
        raise _wrong("branch", name, "is no name of a branch")
    return quote(name, safe="")


def _wrong(what: str, given: str, problem: str) -> InputError:
    return InputError("asking GitHub", [Finding(what, given[:80], problem)])
