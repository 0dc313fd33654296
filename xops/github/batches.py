"""Several parts in one question; where that is too much for GitHub, fewer parts, then smaller ones.

GitHub gives up on a question that takes it too long: with a 502, or with an error at one part of an
answer, while the other parts are good. The same question will not do better. What was answered is
taken; the rest is asked for again, in halves where nothing was, and a part that fails alone is made
smaller as long as it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from xops.core.errors import XopsError
from xops.github.answers import Answer, problem_error
from xops.github.client import Client
from xops.github.errors import (
    ForbiddenError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    StaleCursorError,
    UnavailableError,
)

OF_ONE_PART = (
    ForbiddenError, NotVisibleError, PartialAnswerError, RefusedError, UnavailableError,
)  # fmt: skip
"""Errors that leave other parts readable. A refused credential does not, nor does a limit."""

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Batch[Part]:
    """How parts are asked for together.

    Attributes:
        client: the connection.
        attempted: what is being done with a part, for errors.
        send: asks for parts, in that order, in one question; `patient` as in `Client.graphql`.
        place: where in the answer the part of that index is.
        shrink: makes a part smaller; False if it is as small as it can be.
    """

    client: Client
    attempted: Callable[[Part], str]
    send: Callable[[Sequence[Part], bool], Answer]
    place: Callable[[int], Place]
    shrink: Callable[[Part], bool] = lambda part: False

    def ask(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Any | XopsError]]:
        """What was answered for each part (null if it was null), or why nothing was.

        Raises:
            AccessError: the credential is refused.
            LimitError: a limit outlasts the patience.
            RefusedError: what answers is not GitHub.
        """
        if not parts:
            return
        try:
            answer = self.send(parts, False)
        except (UnavailableError, NotVisibleError) as error:
            yield from self._ask_less(parts, error)
            return
        failed: list[Part] = []
        last: XopsError | None = None
        for index, part in enumerate(parts):
            found = self._found(answer, index, part)
            if isinstance(found, PartialAnswerError) and not isinstance(found, StaleCursorError):
                failed.append(part)
                last = found
            else:
                yield part, found
        if last is None:
            return
        if len(failed) < len(parts):
            yield from self.ask(failed)
        else:
            yield from self._ask_less(failed, last)

    def _ask_less(
        self, parts: Sequence[Part], error: XopsError
    ) -> Iterator[tuple[Part, Any | XopsError]]:
        """Halves of the parts, or a smaller part; if it can be no smaller, the error."""
        middle = len(parts) // 2
        if middle:
            yield from self.ask(parts[:middle])
            yield from self.ask(parts[middle:])
            return
        (part,) = parts
        passing = isinstance(error, (PartialAnswerError, UnavailableError))
        if passing and self.shrink(part):
            yield from self.ask(parts)
        else:
            yield part, self._ask_patiently(part) if passing else error

    def _ask_patiently(self, part: Part) -> Any | XopsError:
        """The last attempt: a server that is out for a moment is waited for."""
        try:
            return self._found(self.send([part], True), 0, part)
        except OF_ONE_PART as error:
            return error

    def _found(self, answer: Answer, index: int, part: Part) -> Any | XopsError:
        place, attempted = self.place(index), self.attempted(part)
        try:
            with self.client.translate_errors(attempted):
                found = _at(answer, place)
        except RefusedError as error:
            return error
        own = [one for one in answer.problems if _concerns(one.path, place, found)]
        return problem_error(attempted, own) if own else found


class Walk(Protocol):
    """A list that is read page by page."""

    @property
    def waiting(self) -> bool:
        """Whether another page is wanted."""

    def answer(self, found: Any | XopsError) -> None:
        """Take the page that was wanted, or why there is none."""


def read_to_the_end[W: Walk](batch: Batch[W], walks: Sequence[W], at_once: int) -> None:
    """Read lists to their end, so many of them in one question.

    Raises:
        As `Batch.ask`.
    """
    while waiting := [walk for walk in walks if walk.waiting]:
        for start in range(0, len(waiting), at_once):
            for walk, found in batch.ask(waiting[start : start + at_once]):
                walk.answer(found)


def _at(answer: Answer, place: Place) -> Any:
    found: Any = answer.data
    for step in place:
        if found is None:
            return None
        found = found[step]
    return found


def _concerns(path: Place, place: Place, found: Any) -> bool:
    """Whether a problem at a path concerns what was found at a place.

    One without a path may concern anything; one above the place does if nothing was found there.
    """
    if not path or path[: len(place)] == place:
        return True
    return found is None and place[: len(path)] == path


def of_repository(found: Mapping[str, Any] | None, id: str, attempted: str) -> Mapping[str, Any]:
    """A repository's part of an answer, if it is of the one that is meant.

    Raises:
        NotVisibleError: none answers by the name, or another one.
    """
    if found is None or found["id"] != id:
        raise NotVisibleError(
            attempted, "another repository answers by that name now", "Run it again."
        )
    return found
