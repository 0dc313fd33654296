"""Secrets by reference: a file says where one is read from, and it is read when it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue, ValidationInfo, field_validator

from xops.core.errors import PermanentError
from xops.core.files.validation import Model

_NULL: dict[str, JsonValue] = {"type": "null"}


class SecretReference(Model):
    """Where a secret is read from at run time: a file of its owner's, or a variable."""

    # One class and no union: credentials are secrets with keys of their own beside these two.
    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [given], "properties": {given: {"type": "string"}, other: _NULL}}
                for given, other in (("file", "variable"), ("variable", "file"))
            ]
        }
    )

    file: Annotated[
        Path | None, Field(description="File that holds it, readable by its owner only.")
    ] = None
    variable: Annotated[
        str | None, Field(pattern="^[A-Z_][A-Z0-9_]*$", description="Variable that holds it.")
    ] = None

    @field_validator("variable")
    @classmethod
    def _one_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "file" in info.data and (value is None) == (info.data["file"] is None):
            raise ValueError("write either file or variable: where the secret is read from")
        return value

    def __str__(self) -> str:
        """The place; never what is there."""
        return f"variable {self.variable}" if self.variable else f"file {self.file}"

    def read(self, environ: Mapping[str, str] | None = None) -> str:
        """The secret, without the end of its line.

        Args:
            environ: where a variable is looked up; the process's own by default.

        Raises:
            PermanentError: there is none, or others on this machine may read it.
        """
        environ = os.environ if environ is None else environ
        text = environ.get(self.variable, "") if self.variable else self._of_file()
        if not text.strip():
            raise self._none("it is unset or empty")
        return text.rstrip("\r\n")

    def _of_file(self) -> str:
        if self.file is None or not self.file.is_file():
            raise self._none("there is no such file")
        try:
            if self.file.stat().st_mode & 0o077:
                raise self._none(f"others may read it: chmod 600 {self.file}")
            return self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self._none(f"it cannot be read: {error}") from error

    def _none(self, found: str) -> PermanentError:
        return PermanentError(
            f"reading a secret from the {self}",
            found,
            "Put the secret there, or name another place, and run it again.",
        )
