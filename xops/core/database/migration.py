"""Alembic applies the revisions that tables lack, on a connection that is in a transaction.

On PostgreSQL and on SQLite alike all of it is done, or nothing: both roll table definitions back.
"""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

from xops.core.database.tables import Tables, earlier_versions

logger = logging.getLogger(__name__)

_ENVIRONMENT = Path(__file__).parent / "environment"

_ONE_AT_A_TIME = Lock()
"""Alembic's `op` and `context` are of the whole process."""


def alembic_config(tables: Tables, connection: Connection) -> Config:
    """What Alembic needs to know of the tables."""
    config = Config()
    config.set_main_option("script_location", _escaped(_ENVIRONMENT))
    config.set_main_option("path_separator", "newline")  # a folder's name may hold blanks
    config.set_main_option("version_locations", _escaped(tables.versions))
    config.attributes.update(connection=connection, tables=tables, on_version_apply=_log_step)
    return config


def migrate(tables: Tables, connection: Connection, noted: str | None) -> None:
    """Apply what is missing.

    Args:
        noted: the revision that the database notes. Without one, tables that a release before
            Alembic made are taken as they are.
    """
    config = alembic_config(tables, connection)
    with _ONE_AT_A_TIME:
        if noted is None and (earlier := tables.earlier_revision(connection)) is not None:
            logger.info("tables of %s: taken over as version %d", tables.name, int(earlier))
            command.stamp(config, earlier)
        command.upgrade(config, "head")
    _tell_earlier_releases(tables, connection)


def _tell_earlier_releases(tables: Tables, connection: Connection) -> None:
    """Raise the version that releases before Alembic look at: they refuse what they do not know."""
    if tables.first_table and _has_note(connection):
        row = earlier_versions.update().where(earlier_versions.c.name == tables.name)
        connection.execute(row.values(version=int(tables.newest)))


def _has_note(connection: Connection) -> bool:
    return connection.dialect.has_table(connection, earlier_versions.name)


def _escaped(folder: Path) -> str:
    return str(folder).replace("%", "%%")


def _log_step(ctx: Any, step: Any, **_: Any) -> None:
    if not step.is_stamp:
        revision = step.up_revision
        summary = revision.doc.rstrip(".")
        name = ctx.opts["xops_tables"]
        logger.info("tables of %s, version %d: %s", name, int(revision.revision), summary)
