"""Prints the part of requirements.lock that xOps itself needs, without the tools that check it.

`scripts/runtime_lock.py > runtime.lock`: for the image and for the bill of materials of a release.
uv notes below each package who wants it (`# via`); what is reached from xOps' own dependencies,
over those notes, is kept as it stands there: version, hashes and markers.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
OWN = "xops (pyproject.toml)"
"""How uv names what `dependencies` in pyproject.toml asks for; groups have `:name` behind it."""

_ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==.*\n(?:[ ].*\n)+", re.MULTILINE)
_WANTED_BY = re.compile(r"^ +# +(?:via )?(\S.*)$", re.MULTILINE)


def runtime_lock(text: str) -> str:
    """The entries of a lock file that xOps needs when it runs, in their order.

    Raises:
        ValueError: something in the file is no entry with notes of who wants it.
    """
    entries = {found[1]: found[0] for found in _ENTRY.finditer(text)}
    if "".join(entries.values()) != text:
        raise ValueError(f"{LOCK.name} has more in it than packages as `make lock` writes them")
    wanted_by = {name: set(_WANTED_BY.findall(entry)) - {"via"} for name, entry in entries.items()}
    if orphans := [name for name, wanting in wanted_by.items() if not wanting]:
        raise ValueError(f"{LOCK.name} does not say who wants {', '.join(orphans)}")
    kept: set[str] = set()
    found = {OWN}
    while found:
        found = {name for name, wanting in wanted_by.items() if wanting & found} - kept
        kept |= found
    return "".join(entry for name, entry in entries.items() if name in kept)


if __name__ == "__main__":
    sys.stdout.write(runtime_lock(LOCK.read_text(encoding="utf-8")))
