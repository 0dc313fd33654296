"""What runs on the hosts: POSIX shell, read from the files beside this one."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from importlib import resources


def script(name: str, values: Mapping[str, str]) -> str:
    """The script of that name with its variables set; the first line says what it is for."""
    first, _, rest = text(name).partition("\n")
    assigned = "\n".join(f"{key}={shlex.quote(value)}" for key, value in values.items())
    return f"{first}\n{assigned}\n{rest}"


def text(name: str) -> str:
    """The script of that name as its file has it, for another one that runs it."""
    return resources.files(__name__).joinpath(f"{name}.sh").read_text(encoding="utf-8")


def script_hashes() -> dict[str, str]:
    """SHA-256 of each script's file, by name: what an apply would run on the hosts."""
    files = sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name.endswith(".sh")
    }
