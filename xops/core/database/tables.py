"""The tables of one user of a database, and the revision that they are of.

The revisions are files of Alembic's, `rNNNN_WHAT.py`, in one line from 0001 on; the database notes
which was applied last. To look at that costs two short reads and no import of Alembic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from xops.core.errors import PermanentError

_FILE = re.compile(r"r(\d{4})_\w+\.py")

earlier_versions = sql.Table(
    "xops_schema_versions",
    sql.MetaData(),
    sql.Column("name", sql.String(40), primary_key=True),
    sql.Column("version", sql.Integer, nullable=False),
)
"""Where releases before Alembic noted the version of their tables: the number of a revision."""


@dataclass(frozen=True)
class Tables:
    """What somebody keeps in a database.

    Attributes:
        name: under which their revision is noted, and which messages show.
        metadata: the tables as this release uses them.
        versions: the folder with the revisions that make them.
        many_writers: they are written by several processes at once, each for a moment: SQLite keeps
            a write-ahead log, and gives room back piece by piece.
        first_table: a table of the first revision, if a release before Alembic made it. If it is
            there and nothing is noted, the tables are of revision 0001.
    """

    name: str
    metadata: sql.MetaData
    versions: Path
    many_writers: bool = False
    first_table: str | None = None

    @cached_property
    def newest(self) -> str:
        """The last revision that this release knows."""
        return max(
            found[1] for file in self.versions.iterdir() if (found := _FILE.match(file.name))
        )

    @cached_property
    def note(self) -> sql.Table:
        """Where the revision is noted: Alembic's table under a name of its own.

        Prefect's tables, which may lie in the same database, have one of Alembic's usual name.
        """
        column = sql.Column("version_num", sql.String(32), primary_key=True)
        return sql.Table(f"xops_{self.name}_revision", sql.MetaData(), column)

    def revision(self, connection: Connection) -> str | None:
        """The revision that the database notes; None if it notes none.

        Raises:
            PermanentError: a newer release made the tables.
        """
        if not sql.inspect(connection).has_table(self.note.name):
            return None
        found: str | None = connection.execute(sql.select(self.note.c.version_num)).scalar()
        return self._known(found)

    def earlier_revision(self, connection: Connection) -> str | None:
        """The revision of tables that a release before Alembic made; None if there are none.

        Raises:
            PermanentError: a newer release made the tables.
        """
        if self.first_table is None:
            return None
        inspector = sql.inspect(connection)
        if inspector.has_table(earlier_versions.name):
            columns = earlier_versions.c
            noted = sql.select(columns.version).where(columns.name == self.name)
            if (version := connection.execute(noted).scalar()) is not None:
                return self._known(f"{version:04}")
        return "0001" if inspector.has_table(self.first_table) else None

    def _known(self, found: str | None) -> str | None:
        if found is not None and found > self.newest:
            raise PermanentError(
                f"opening the tables of {self.name}",
                f"they are of version {_number(found)};"
                f" this release knows versions up to {_number(self.newest)}",
                "Use the newer release of xOps that made them.",
            )
        return found


def _number(revision: str) -> str:
    return revision.lstrip("0")
