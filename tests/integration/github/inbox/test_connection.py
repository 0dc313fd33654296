"""Both ways into the database of the inbox, and what they bring with them."""

import asyncio
import subprocess
import sys

from sqlalchemy.engine import Connection

from tests.integration.github.inbox.samples import NOW, delivery
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.connection import open_inbox, open_tables
from xops.github.inbox.inbox import DeliveryState
from xops.github.inbox.tables import environment_locks


def test_both_ways_in_use_the_same_tables_whichever_made_them(url: str) -> None:
    environ = {VARIABLE: url}
    values = {"repository": "acme/web", "number": 1, "head_sha": "a" * 40, "since": NOW}

    def lock(connection: Connection) -> list[str]:
        connection.execute(environment_locks.insert().values(subject="ecs/test", **values))
        return list(connection.execute(environment_locks.select()).scalars())

    assert open_tables(environ).transact(lock) == ["ecs/test"]

    async def story() -> bool:
        async with open_inbox(environ) as inbox:
            (new,) = await inbox.add([(delivery("a"), DeliveryState.RECEIVED, "")])
            held = await asyncio.to_thread(
                open_tables(environ).transact,
                lambda each: list(each.execute(environment_locks.select())),
            )
            assert held[0].since == NOW
            return new

    assert asyncio.run(story())


_USE = """
import asyncio, sys
from xops.github.inbox.connection import open_inbox

async def use():
    async with open_inbox({"XOPS_GITHUB_DATABASE": sys.argv[1]}) as inbox:
        await inbox.claim(1, 1)

asyncio.run(use())
for name in ("alembic", "boto3", "githubkit", "mako", "prefect"):
    if name in sys.modules:
        print(name)
"""


def test_who_uses_tables_that_are_current_imports_no_more_than_the_database(url: str) -> None:
    open_tables({VARIABLE: url}).transact(lambda _: None)
    told = subprocess.run([sys.executable, "-c", _USE, url], check=True, capture_output=True)
    assert told.stdout.decode() == ""
