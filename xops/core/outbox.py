"""Messages that wait in a database until they were sent, each of them posted once.

A message is posted in the transaction of what it tells of: both are kept, or neither. Who sends
marks it as sent afterwards, so that one that was sent before a crash is sent again: its id tells
the receiver.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy.engine import Connection


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


class Outbox:
    """An outbox within one transaction that excludes all others.

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
        known = sql.select(columns.id).where(columns.id == str(message))
        if self._connection.execute(known).first() is None:
            last = self._connection.execute(sql.select(sql.func.max(columns.sequence))).scalar()
            row = {"id": str(message), "sequence": (last or 0) + 1, "body": body}
            self._connection.execute(self._table.insert().values(row))

    def pending(self) -> list[str]:
        """The bodies of the messages that were not sent, oldest first."""
        columns = self._table.c
        unsent = sql.select(columns.body).where(columns.sent_at.is_(None))
        return list(self._connection.execute(unsent.order_by(columns.sequence)).scalars())

    def mark_sent(self, message: UUID, at: datetime) -> None:
        """Say that a message was sent: it no longer waits."""
        row = self._table.update().where(self._table.c.id == str(message))
        self._connection.execute(row.values(sent_at=at.isoformat()))
