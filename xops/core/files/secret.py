"""Secrets by reference: a file says where one is read from, and it is read when it is needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.reading import UnusableTextError, decode, open_regular, read_handle
from xops.core.files.secret_sources import FolderSource, SecretSources, VariableSource, file_of
from xops.core.files.settings import display
from xops.core.files.validation import LocalPath, Model, error_details, validation_error
from xops.core.files.web_address import Origin

_NULL: dict[str, JsonValue] = {"type": "null"}
_PLACES = ("file", "variable")


class SecretReference(Model):
    """Where a secret is read from at run time: a file of its owner's, or a variable.

    Both only if they are of a source that the operator has configured (`SecretSources`).
    """

    # One class and no union: credentials are secrets with keys of their own beside these two.
    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [given], "properties": {given: {"type": "string"}, other: _NULL}}
                for given, other in (_PLACES, _PLACES[::-1])
            ]
        }
    )

    file: Annotated[
        LocalPath | None, Field(description="File that holds it, readable by its owner only.")
    ] = None
    variable: Annotated[
        str | None, Field(pattern="^[A-Z_][A-Z0-9_]*$", description="Variable that holds it.")
    ] = None

    @model_validator(mode="wrap")
    @classmethod
    def _showing_nothing(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Errors without what was found: a person may have written the secret itself here."""
        try:
            return handler(value)
        except ValidationError as error:
            details = [
                _without_input(row["loc"], row["type"], row["msg"]) for row in error.errors()
            ]
            raise validation_error(details) from None

    @field_validator("variable")
    @classmethod
    def _one_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "file" in info.data and (value is None) == (info.data["file"] is None):
            raise ValueError("write either file or variable: where the secret is read from")
        return value

    def __str__(self) -> str:
        """The place; never what is there."""
        return f"variable {self.variable}" if self.variable else f"file {self.file}"

    def read(
        self, environ: Mapping[str, str] | None = None, sources: SecretSources | None = None
    ) -> str:
        """The secret, without the end of its line.

        Args:
            environ: where a variable is looked up; the process's own by default.
            sources: where secrets may be read from; the operator's by default.

        Raises:
            InputError: it is of none of the operator's sources, or these are wrong.
            PermanentError: there is none, or others on this machine may read it.
        """
        self._sources(sources)
        return self._read(environ)

    def read_for(
        self,
        address: str,
        environ: Mapping[str, str] | None = None,
        sources: SecretSources | None = None,
    ) -> str:
        """As `read`, to be sent to an address.

        Raises:
            InputError, PermanentError: as `read`, or its sources do not allow it to be sent there.
        """
        hosts = sorted({host for source in self._sources(sources) for host in source.hosts})
        try:
            wanted = str(Origin.of(address))
        except ValueError as error:
            raise self._refused(f"the address it would be sent to {error}") from None
        if wanted not in hosts:
            known = f"only to {', '.join(hosts)}" if hosts else "to no host"
            raise self._refused(f"it may not be sent to {wanted}: its source allows it {known}")
        return self._read(environ)

    def _sources(self, sources: SecretSources | None) -> Sequence[VariableSource | FolderSource]:
        known = sources or SecretSources.configured()
        if self.variable:
            found = known.of_variable(self.variable)
        else:
            found = known.of_file(self._real_file())
        if not found:
            raise self._refused("it is of no configured source")
        return found

    def _read(self, environ: Mapping[str, str] | None) -> str:
        if self.variable:
            text = (os.environ if environ is None else environ).get(self.variable, "")
        else:
            text = read_private(self._real_file(), str(self))
        if not text.strip():
            raise _none(str(self), "it is unset or empty")
        return text.rstrip("\r\n")

    def _real_file(self) -> Path:
        """Where all its links lead to: what is compared with a source is what is read."""
        return Path(self.file or "").expanduser().resolve()

    def _refused(self, found: str) -> InputError:
        return InputError(
            "reading a secret that a file names",
            [Finding(str(self), "", found)],
            f"Allow it in the operator's file {display(file_of(os.environ))} (docs/reference/"
            "settings.md, section Secret sources), or name another place.",
        )


def read_private(file: Path, name: str) -> str:
    """The text of a file that nobody else may read, which is no link.

    Args:
        file: where.
        name: what it is called in errors.

    Raises:
        PermanentError: there is none, or others on this machine may read it.
    """
    if not os.path.lexists(file):
        raise _none(name, "there is no such file")
    try:
        with open_regular(file, follow=False) as handle:
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                raise _none(name, f"others may read it: chmod 600 {file}")
            return decode(read_handle(handle))
    except UnusableTextError as error:
        raise _none(name, error.problem) from None


def _none(name: str, found: str) -> PermanentError:
    return PermanentError(
        f"reading a secret from the {name}",
        found,
        "Put the secret there, or name another place, and run it again.",
    )


def _without_input(loc: tuple[int | str, ...], kind: str, message: str) -> Any:
    said = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return error_details(((), "has a key that is not known"))
    return error_details((loc, said))
