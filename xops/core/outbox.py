"""Messages that wait in a database until they were sent, each of them posted once.

A message is posted in the transaction of what it tells of: both are kept, or neither. Who sends
marks it as sent afterwards, so that one that was sent before a crash is sent again: its id tells
the receiver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from xops.core.database.upserts import insert


def outbox_table(name: str, metadata: sql.MetaData) -> sql.Table:
    """The table of an outbox."""
    return sql.Table(
        name,
        metadata,
        sql.Column("id", sql.String(36), primary_key=True),
        sql.Column("sequence", sql.Integer, nullable=False),
        sql.Column("body", sql.Text, nullable=False),
        sql.Column("sent_at", sql.String(40)),
    )


@dataclass(frozen=True)
class Message:
    """What waits to be sent; its id is the same however often it is sent."""

    id: UUID
    body: str


class Outbox:
    """An outbox within one transaction.

    Messages of one transaction, and of those that follow each other, keep their order. Two
    transactions at once have none.

    Args:
        connection: of the transaction.
        table: made by `outbox_table`.
    """

    def __init__(self, connection: Connection, table: sql.Table) -> None:
        self._connection = connection
        self._table = table

    def post(self, message: UUID, body: str) -> None:
        """Put a message into the outbox, unless one of this id was put there before."""
        columns = self._table.c
        last = sql.func.coalesce(sql.func.max(columns.sequence), 0)
        row = sql.select(sql.literal(str(message)), last + 1, sql.literal(body, sql.Text))
        # SQLite would take ON for a part of the FROM clause without a condition before it.
        row = row.select_from(self._table).where(sql.true())
        posted = insert(self._connection, self._table)
        posted = posted.from_select(["id", "sequence", "body"], row)
        self._connection.execute(posted.on_conflict_do_nothing(index_elements=["id"]))

    def pending(self, limit: int | None = None) -> Sequence[Message]:
        """The messages that were not sent, oldest first.

        Args:
            limit: how many at most.
        """
        columns = self._table.c
        unsent = sql.select(columns.id, columns.body).where(columns.sent_at.is_(None))
        oldest = unsent.order_by(columns.sequence, columns.id).limit(limit)
        return [Message(UUID(row.id), row.body) for row in self._connection.execute(oldest)]

    def mark_sent(self, message: UUID, at: datetime) -> None:
        """Say that a message was sent: it no longer waits."""
        row = self._table.update().where(self._table.c.id == str(message))
        self._connection.execute(row.values(sent_at=at.isoformat()))
