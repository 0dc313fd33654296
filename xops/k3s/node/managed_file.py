"""A file of xOps' on a host: what it shall hold, who may read it, who must hear of a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

HEADER = "# Managed by xOps; what is changed here by hand is put back.\n"


@dataclass(frozen=True)
class File:
    """A file as it shall be.

    Attributes:
        path: where, on the host.
        content: all of it.
        mode: its permissions; its owner is root.
        restarts: whether K3S must be restarted to read it anew.
        once: whether it is made where it is missing, and belongs to K3S from then on.
        secrets: the passwords and keys within its content, which no plan and no message shows.
    """

    path: str
    content: str
    mode: int = 0o600
    restarts: bool = True
    once: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SecretContent:
    """A text, and the passwords and keys within it, which were read just now."""

    content: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class SecretFiles:
    """The contents that hold passwords and keys; None for no such file.

    Attributes:
        registries: of registries.yaml.
        snapshot_keys: the manifest of the Secret with which K3S reaches the snapshots' bucket.
    """

    registries: SecretContent | None = None
    snapshot_keys: SecretContent | None = None


def managed(values: Mapping[str, Any], *, sort_keys: bool = False) -> str:
    """The values as YAML, below the line that tells a reader whose file it is."""
    return HEADER + yaml.safe_dump(dict(values), sort_keys=sort_keys, default_flow_style=False)
