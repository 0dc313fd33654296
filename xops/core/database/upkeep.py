"""Tables are of the revision that this release uses, whichever they were of before."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from xops.core.database.tables import Tables


def bring_up_to_date(tables: Tables, connection: Connection) -> None:
    """Apply the revisions that are missing, in the transaction of the connection.

    The caller sees that nobody else does so at the same time.

    Raises:
        PermanentError: a newer release made the tables.
    """
    found = tables.revision(connection)
    if found != tables.newest:
        from xops.core.database.migration import migrate  # Alembic takes a second to import

        migrate(tables, connection, found)
