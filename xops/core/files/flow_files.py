"""Which files a flow's parameter may name: those below folders that the operator has configured.

Who may press Run in the UI is not the worker's operator, and must not have it read any other file.
In a shell a person names what they may read themselves, and any file will do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from xops.core.errors import Finding, InputError
from xops.core.files import settings

VARIABLE = "XOPS_FLOW_FILES"
"""Folders besides the project's `deployments`, with a colon between; instead of `inputs` in the
home."""


def folders(environ: Mapping[str, str]) -> list[Path]:
    """The folders, all links followed."""
    given = environ.get(VARIABLE)
    own = given.split(os.pathsep) if given else [str(settings.home() / "inputs")]
    named = [Path(text).expanduser() for text in own if text]
    return [folder.resolve() for folder in (settings.ROOT / "deployments", *named)]


def flow_file(text: str, parameter: str, environ: Mapping[str, str] | None = None) -> Path:
    """The file that a flow's parameter names, where all its links lead to.

    A path that is not absolute is one of the project's folder. Nothing is opened, and whether there
    is such a file is told of those below the folders only.

    Args:
        text: the path.
        parameter: the parameter's name, for errors.
        environ: the variables to look in; the process's own by default.

    Raises:
        InputError: it is below none of the folders.
    """
    allowed = folders(os.environ if environ is None else environ)
    file = _real(settings.ROOT / text)
    if file is not None and any(file.is_relative_to(folder) for folder in allowed):
        return file
    shown = ", ".join(map(settings.display, allowed))
    raise InputError(
        f"reading the parameter {parameter}",
        [Finding(f"parameter {parameter}", "", f"names no file below {shown}")],
        f"Put the file there, or have the worker's operator name its folder in {VARIABLE}.",
    )


def _real(file: Path) -> Path | None:
    try:
        return file.resolve()
    except (OSError, ValueError, RuntimeError):  # no path, or links in a circle
        return None
