"""The alias file: which identities belong to one person, as somebody who knows them declares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xops.core.files import settings


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

    @property
    def identities(self) -> frozenset[str]:
        """All logins and addresses in it, in lower case."""
        return frozenset(
            identity.lower() for alias in self.people for identity in (*alias.logins, *alias.emails)
        )

    @classmethod
    def load(cls, file: Path | None) -> Aliases:
        """Read the file; without one nobody has an alias.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        if file is None:
            return cls(api_version="xops/v1")
        return settings.load(cls, file, prefix="", environ={}, arguments={})
