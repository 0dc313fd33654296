"""Register the block types and save the default documents; what a person has saved stays.

One line a document on stdout. Works on the server that PREFECT_API_URL names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from prefect.blocks.core import Block

from blocks import AwsAccess, EcsEnvironment, Notification
from blocks.documents import find
from xops.ecs import environment


def defaults() -> Iterator[tuple[str, Block]]:
    """What a new installation starts with: everything as the files say, notices to the log."""
    for name in environment.names():
        yield name, EcsEnvironment.model_validate({"environment": name})
    yield "default", Notification()


def main() -> None:
    """Bring the server up to date."""
    for kind in (AwsAccess, EcsEnvironment, Notification):
        kind.register_type_and_schema()
    for name, block in defaults():
        if find(type(block), name) is None:
            block.save(name)
            sys.stdout.write(f"saved {block.get_block_type_slug()}/{name}\n")


if __name__ == "__main__":
    main()
