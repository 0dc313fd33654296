"""The revisions make the tables that the code uses, on both databases."""

import re

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from xops.core.database.exclusive import Database
from xops.core.database.migration import alembic_config
from xops.core.database.tables import Tables
from xops.github.inbox.tables import TABLES as GITHUB
from xops.triggers.history.ledger import TABLES as TRIGGERS

ALL = [GITHUB, TRIGGERS]


@pytest.fixture(params=ALL, ids=lambda tables: tables.name)
def tables(request: pytest.FixtureRequest) -> Tables:
    found: Tables = request.param
    return found


def database(url: str, tables: Tables) -> Database:
    return Database(url, tables, title=tables.name, variable="URL")


def test_the_tables_that_revisions_make_are_those_that_the_code_uses(
    url: str, tables: Tables
) -> None:
    def work(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        other = {tables.note.name}
        found: list[object] = compare_metadata(context, tables.metadata)
        return [row for row in found if not set(re.findall(r"xops_\w+", repr(row))) & other]

    assert database(url, tables).transact(work) == []


def test_the_comparison_sees_a_difference(url: str, tables: Tables) -> None:
    """Each index, type and default of NULL: what would be found if somebody forgot a revision."""
    changed = sql.MetaData()
    for table in tables.metadata.sorted_tables:
        table.to_metadata(changed)
    table = changed.sorted_tables[0]
    sql.Index("one_more", next(iter(table.c)))
    table.append_column(sql.Column("one_more", sql.Integer))

    def work(connection: Connection) -> set[str]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return {row[0] for row in compare_metadata(context, changed) if isinstance(row, tuple)}

    assert {"add_index", "add_column"} <= database(url, tables).transact(work)


def test_both_keep_their_tables_in_one_database(url: str) -> None:
    for tables in ALL:
        assert database(url, tables).transact(tables.revision) == tables.newest


def test_revisions_follow_each_other_in_one_line(url: str, tables: Tables) -> None:
    def work(connection: Connection) -> tuple[list[str], list[str]]:
        script = ScriptDirectory.from_config(alembic_config(tables, connection))
        return list(script.get_heads()), [row.revision for row in script.walk_revisions()]

    heads, numbers = database(url, tables).transact(work)
    assert heads == [tables.newest]
    assert numbers == [f"{number:04}" for number in range(len(numbers), 0, -1)]
