"""Looking a block document up by its name."""

from __future__ import annotations

from typing import cast

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound


def find[Kind: Block](kind: type[Kind], name: str) -> Kind | None:
    """The document of this name, or None if nobody has saved one.

    Prefect says "not found" as a ValueError; any other error is one.
    """
    try:
        return cast("Kind", kind.load(name))
    except ValueError as error:
        if isinstance(error.__cause__, ObjectNotFound):
            return None
        raise
