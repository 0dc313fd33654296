"""What GraphQL answers: data, and errors that say which part of it is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from githubkit.exception import GraphQLFailed

from xops.core.errors import PermanentError, TemporaryError
from xops.github.access import NEEDED
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    StaleCursorError,
)
from xops.github.refusals import SECONDARY_SECONDS, is_secondary, limit_error, unavailable

# Errors within an answer of status 200 that the same query does not give next time, or not if it
# asks for less. The first is GitHub's own sentence for a query that took too long.
_PASSING_MESSAGES = ("something went wrong", "timeout", "timedout", "timed out", "502", "503")
_PASSING_TYPES = frozenset({"RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED", "INTERNAL"})
_FORBIDDEN_TYPES = frozenset({"FORBIDDEN", "INSUFFICIENT_SCOPES"})
_LASTING_TYPES = frozenset({"NOT_FOUND"}) | _FORBIDDEN_TYPES


@dataclass(frozen=True)
class GraphProblem:
    """One error of a GraphQL answer: its type (empty if GitHub gives none) and where it is."""

    kind: str
    message: str
    path: tuple[str | int, ...]

    @property
    def passing(self) -> bool:
        """Whether asking again, or for less, may help."""
        if self.kind in _LASTING_TYPES:  # their messages hold names: there may be an acme/app-502
            return False
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
    if first.kind in _FORBIDDEN_TYPES:
        return ForbiddenError(attempted, said, f"Give the credential {NEEDED}.")
    remedy = "Run it again; GitHub answered in part only."
    stale = first.kind == "INVALID_CURSOR_ARGUMENTS" or "valid cursor" in first.message
    return (StaleCursorError if stale else PartialAnswerError)(attempted, said, remedy)


def answer_in_part(attempted: str, error: GraphQLFailed, retry_after: float | None) -> Answer:
    """What came of an answer with errors: its data and what is missing.

    Args:
        attempted: what was being done.
        error: the answer.
        retry_after: seconds that it asked to wait, if it did.

    Raises:
        LimitError: a limit is used up; GraphQL says so with status 200.
        UnavailableError, RefusedError, NotVisibleError, ForbiddenError: no data came.
    """
    problems = tuple(
        GraphProblem(row.type or "", row.message, tuple(row.path or ()))
        for row in error.response.errors or ()
    )
    for problem in problems:
        if is_secondary(problem.message) or "rate limit exceeded" in problem.message.lower():
            seconds = SECONDARY_SECONDS if retry_after is None else retry_after + 1
            raise limit_error(attempted, f"a limit is used up: {problem.message}", seconds)
    if error.response.data is not None:
        return Answer(error.response.data, problems)
    found = problem_error(attempted, problems)
    if all(problem.passing for problem in problems):
        raise unavailable(attempted, found.found)
    if isinstance(found, PartialAnswerError):  # nothing at all came: the query itself is refused
        raise RefusedError(attempted, found.found, "Compare the query with GitHub's schema.")
    raise found
