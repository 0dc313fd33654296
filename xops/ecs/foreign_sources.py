"""What a branch may not bring from elsewhere: modules that no digest covers, another state.

A module that is downloaded may be another one when it is applied than when it was planned and
approved. A second file of the branch can put another backend over that of the stack: the plan would
be compared with its state, and the apply would write ours there. Both are looked at after `init`,
which runs nothing of the branch, and before the plan, which does.

Sources: Terraform's manifest of modules (`modules/modules.json` in its data folder) and its note of
the backend (`terraform.tfstate` there), as Terraform 1.11 to 1.15 write them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xops.core.errors import PermanentError
from xops.core.files.reading import UnusableTextError, read_bytes

LOCAL_STATE = "../../../local/terraform.tfstate"
"""Where a stack has its state while there is no bucket, seen from the stack's folder."""

_MOST_BYTES = 1 << 22


def refuse_foreign(data: Path, stack: Path, backend: Mapping[str, str]) -> None:
    """Refuse a configuration that was prepared from more than the files of its branch.

    Args:
        data: Terraform's data folder, after `init`.
        stack: the folder that Terraform runs in, two levels below the branch's terraform/.
        backend: the options of the state's bucket that `init` was given; none: a local backend.

    Raises:
        PermanentError: names the modules, or what of the backend is not ours.
    """
    found = [*_foreign_modules(data, stack), *_foreign_backend(data, backend)]
    if found:
        raise PermanentError(
            "planning a branch that nobody has reviewed",
            "; ".join(found),
            "Copy such a module into terraform/modules, where it is reviewed and part of the"
            " digest; leave the backend to xOps.",
        )


def _foreign_modules(data: Path, stack: Path) -> Iterator[str]:
    rows = _read(data / "modules" / "modules.json").get("Modules") or []
    sources = stack.parents[1].resolve()
    for row in rows:
        if not (stack / row["Dir"]).resolve().is_relative_to(sources):
            yield f"module {row['Key']} is from {row['Source']}, which is not in its terraform/"


def _foreign_backend(data: Path, backend: Mapping[str, str]) -> Iterator[str]:
    used = _read(data / "terraform.tfstate").get("backend") or {}
    kind, wanted = used.get("type"), "s3" if backend else "local"
    options = backend or {"path": LOCAL_STATE}
    if kind != wanted:
        yield f"its backend is {kind or 'none'} instead of {wanted}"
        return
    for name, value in sorted((used.get("config") or {}).items()):
        if value not in (None, [], {}) and _as_option(value) != options.get(name):
            yield f"its backend sets {name}"


def _as_option(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(file: Path) -> dict[str, Any]:
    """Terraform's note; empty where there is none."""
    if not file.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(read_bytes(file, _MOST_BYTES))
    except (UnusableTextError, ValueError, RecursionError) as error:
        raise PermanentError(
            "planning a branch that nobody has reviewed",
            f"what Terraform has noted in {file.name} cannot be read: {error}",
            "Run it again.",
        ) from error
    return found
