"""How the inbox is opened, and a delivery read for who uses it now and then."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sql

from xops.core.database.concurrent import ConcurrentDatabase
from xops.core.database.exclusive import Database
from xops.github.delivery import Delivery
from xops.github.inbox.address import VARIABLE, address
from xops.github.inbox.inbox import Inbox
from xops.github.inbox.tables import TABLES, deliveries

TITLE = "inbox of GitHub's deliveries"


def open_inbox(environ: Mapping[str, str] | None = None) -> Inbox:
    """The inbox, which connects at its first use: `async with open_inbox() as inbox`.

    Raises:
        InputError: the variable names no database.
    """
    database = ConcurrentDatabase(address(environ), TABLES, title=TITLE, variable=VARIABLE)
    return Inbox(database)


def open_tables(environ: Mapping[str, str] | None = None) -> Database:
    """The same database for who uses it now and then, one exclusive transaction a use.

    Raises:
        InputError: the variable names no database.
    """
    return Database(address(environ), TABLES, title=TITLE, variable=VARIABLE)


def read_delivery(tables: Database, identity: str) -> Delivery | None:
    """A delivery of GitHub, by its id in either case; None if the inbox does not have it.

    Raises:
        TemporaryError: the database does not answer.
    """
    wanted = sql.select(deliveries.c.delivery).where(deliveries.c.id == identity.lower())
    found = tables.transact(lambda connection: connection.execute(wanted).scalar())
    return None if found is None else Delivery.model_validate_json(found)
