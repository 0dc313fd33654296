"""A process that uses an inbox until it is killed, and prints what it was told.

    python -m tests.integration.github.inbox.worker add|claim URL NAME...

`add` adds deliveries in batches of ten and prints the ids that are new. `claim` claims with a lease
of ten minutes and prints the ids that it holds, until none is left.
"""

import asyncio
import sys
from itertools import batched

from tests.integration.github.inbox.conftest import open_at
from tests.integration.github.inbox.samples import delivery
from xops.github.inbox.inbox import DeliveryState

BATCH = 10


async def add(url: str, first: int, last: int) -> None:
    async with open_at(url) as inbox:
        for names in batched(range(first, last), BATCH):
            rows = [(delivery(name), DeliveryState.RECEIVED, "") for name in names]
            told = await inbox.add(rows)
            tell(*[row[0].id for row, is_new in zip(rows, told, strict=True) if is_new])


async def claim(url: str) -> None:
    async with open_at(url) as inbox:
        while some := await inbox.claim(7, 600):
            tell(*[row.delivery.id for row in some])


def tell(*ids: str) -> None:
    """All of them, or nothing: a line is written at once."""
    sys.stdout.write(" ".join(ids) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what, url, *numbers = sys.argv[1:]
    if what == "add":
        asyncio.run(add(url, int(numbers[0]), int(numbers[1])))
    else:
        asyncio.run(claim(url))
