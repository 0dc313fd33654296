"""Where secrets may be read from, and to whom they may be sent: the operator says it, no other.

A file that is reviewed names the secrets that it needs. Who may write such a file could name any
other secret of the machine, and a host of theirs beside it. So the operator lists the sources, and
the hosts of each, in `secrets.yaml` of xOps' home:

    apiVersion: xops/v1
    sources:
    - {variable: XOPS_GITHUB_TOKEN, hosts: [api.github.com]}
    - {variable: "XOPS_SECRET_*"}
    - {folder: secrets}
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.core.files.reading import UnusableTextError, open_regular
from xops.core.files.validation import LocalPath, Model
from xops.core.files.web_address import Origin

VARIABLE = "XOPS_SECRETS"
"""Names the operator's file, instead of the one in xOps' home."""

NAME = "secrets.yaml"
FOLDER = "secrets"
_REMEDY = "See docs/reference/settings.md, section Secret sources."


def _checked_host(text: str) -> str:
    address = text if "://" in text else f"https://{text}"
    origin = Origin.of(address)
    if address.lower() not in (str(origin), f"{origin.scheme}://{origin.host}:{origin.port}"):
        raise ValueError("write HOST or HOST:PORT, and no path")
    if origin.scheme != "https" and not origin.is_loopback:
        raise ValueError("is not https: the secret would be sent in the clear")
    return str(origin)


Host = Annotated[str, AfterValidator(_checked_host)]
"""A server to whom a secret may be sent; kept as its origin."""


class _Source(Model):
    hosts: Annotated[
        tuple[Host, ...],
        Field(description="To whom a command that only reads may send it: HOST or HOST:PORT."),
    ] = ()


class VariableSource(_Source):
    """Variables of the environment, by name; `*` is any part of one."""

    variable: Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_*]*$")]

    def holds_variable(self, name: str) -> bool:
        """Whether a variable is of this source."""
        return fnmatchcase(name, self.variable)

    def holds_file(self, file: Path) -> bool:
        """No file is."""
        return False


class FolderSource(_Source):
    """Files below a folder. A link counts as what it leads to."""

    folder: LocalPath

    def holds_variable(self, name: str) -> bool:
        """No variable is."""
        return False

    def holds_file(self, file: Path) -> bool:
        """Whether a file, which is where all its links lead to, is below the folder."""
        return file.is_relative_to(self.folder.resolve())


def _kind(value: Any) -> str:
    is_folder = "folder" in value if isinstance(value, dict) else isinstance(value, FolderSource)
    return "files" if is_folder else "variables"


Source = Annotated[
    Annotated[VariableSource, Tag("variables")] | Annotated[FolderSource, Tag("files")],
    Discriminator(_kind),
]


class SecretSources(Model):
    """All sources, in the operator's file or by default."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")] = "xops/v1"
    sources: tuple[Source, ...]

    @classmethod
    def configured(
        cls, environ: Mapping[str, str] | None = None, project: Path = settings.ROOT
    ) -> Self:
        """The operator's, or the defaults where there is no such file.

        Args:
            environ: may name the file; the process's own by default.
            project: the folder that is reviewed, of which the file must be no part.

        Raises:
            InputError: the file is wrong, may be written by others, or is a part of the project.
        """
        given = os.environ if environ is None else environ
        file = file_of(given)
        if VARIABLE not in given and not os.path.lexists(file):
            return cls(sources=_defaults())
        _refuse_foreign(file, project)
        read = settings.load(cls, file, prefix="", environ={}, arguments={})
        below = partial(_placed, folder=file.resolve().parent)
        return read.model_copy(update={"sources": tuple(map(below, read.sources))})

    def of_variable(self, name: str) -> list[VariableSource | FolderSource]:
        """The sources that a variable belongs to."""
        return [source for source in self.sources if source.holds_variable(name)]

    def of_file(self, file: Path) -> list[VariableSource | FolderSource]:
        """The sources that a file belongs to, once all links are followed."""
        return [source for source in self.sources if source.holds_file(file)]


def file_of(environ: Mapping[str, str]) -> Path:
    """The operator's file."""
    named = environ.get(VARIABLE)
    return Path(named).expanduser() if named else settings.home() / NAME


def _defaults() -> tuple[VariableSource | FolderSource, ...]:
    github = ("https://api.github.com",)
    variables = (
        VariableSource(variable="XOPS_SECRET_*"),
        VariableSource(variable="XOPS_GITHUB_TOKEN", hosts=github),
        VariableSource(variable="XOPS_GITHUB_APP_KEY", hosts=github),
    )
    home = settings.home()
    # A link in the project's own folder may have come with the project.
    planted = home != settings.ROOT / ".xops" and "XOPS_HOME" not in os.environ
    if planted or (home / FOLDER).is_symlink():
        return variables
    return (*variables, FolderSource(folder=home / FOLDER))


def _placed(source: VariableSource | FolderSource, folder: Path) -> VariableSource | FolderSource:
    if isinstance(source, FolderSource):
        return source.model_copy(update={"folder": folder / source.folder.expanduser()})
    return source


def _refuse_foreign(file: Path, project: Path) -> None:
    """Refuse a file that is not the operator's own word.

    Raises:
        InputError: others may write it, or it came with the project.
    """
    try:
        with open_regular(file) as handle:
            found = os.fstat(handle)
    except UnusableTextError as error:
        raise _unusable(file, error.problem) from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(file, "others may write it: chmod 600 it")
    if found.st_uid not in (os.geteuid(), 0):
        raise _unusable(file, "it belongs to another user")
    if _may_be_of(project, file.resolve()):
        raise _unusable(
            file, "it is in the project's folder, and Git does not say that it is not a part of it"
        )


def _may_be_of(project: Path, file: Path) -> bool:
    if not file.is_relative_to(project.resolve()):
        return False
    from xops.core.files.provenance import is_tracked  # starts programs; most need none

    return is_tracked(file) is not False


def _unusable(file: Path, problem: str) -> InputError:
    finding = Finding(settings.display(file), "", problem)
    return InputError("reading the secret sources", [finding], _REMEDY)
