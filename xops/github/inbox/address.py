"""Where the inbox is kept. No database is imported to know that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from xops.core.files import settings

VARIABLE = "XOPS_GITHUB_DATABASE"
"""The environment variable that holds the database's URL, which may hold a password."""


def address(environ: Mapping[str, str] | None = None) -> str:
    """The URL of the database that XOPS_GITHUB_DATABASE names, else of a file in xOps' home."""
    environ = os.environ if environ is None else environ
    if given := environ.get(VARIABLE):
        return given
    home = Path(environ["XOPS_HOME"]).resolve() if "XOPS_HOME" in environ else settings.home()
    return f"sqlite:///{home / 'github' / 'inbox.db'}"
