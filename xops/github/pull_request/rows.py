"""Parts of what GitHub's REST interface answers, typed where they come in."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Sha = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""Of a Git object; 64 digits in a repository of Git's SHA-256 format."""

Moment = AwareDatetime
"""By GitHub's clock, in whole seconds."""


class Row(BaseModel):
    """A part of an answer; what is not read of it may be anything."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def of(cls, answer: Any) -> Self:
        """The part of an answer that is read.

        Raises:
            ValueError: it is of another shape, or null where GitHub never is.
        """
        return cls.model_validate(answer)


class User(Row):
    """Somebody, or a machine."""

    login: str
    type: str = "User"

    @property
    def is_bot(self) -> bool:
        """Whether GitHub says that it is no person."""
        return self.type != "User"


class Pointer(Row):
    """What leads to a Git object."""

    sha: Sha


class Ref(Row):
    """What a branch is at."""

    object: Pointer


class Commit(Row):
    """A commit of Git's database."""

    sha: Sha
    tree: Pointer
    parents: tuple[Pointer, ...]
