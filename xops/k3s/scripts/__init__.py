"""What runs on the hosts: POSIX shell, read from the files beside this one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import resources


def script(name: str, values: Mapping[str, str]) -> str:
    """The script of that name with its variables set; the first line says what it is for."""
    text = resources.files(__name__).joinpath(f"{name}.sh").read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    assigned = "\n".join(f"{key}={shlex.quote(value)}" for key, value in values.items())
    return f"{first}\n{assigned}\n{rest}"
