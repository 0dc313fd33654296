"""Tables in several revisions, and a database of each kind to keep them in."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sql

from tests.postgres_server import Postgres
from xops.core.database.tables import Tables

REVISIONS = {
    "0001": ("boxes", 'op.execute("CREATE TABLE boxes (name TEXT)")'),
    "0002": (
        "a_colour_each",
        "op.execute(\"ALTER TABLE boxes ADD colour TEXT DEFAULT 'red'\")",
    ),
    "0003": ("nothing_that_works", 'op.execute("ALTER TABLE gone ADD x TEXT")'),
}

_FILE = '''"""{summary}."""

from alembic import op

revision = "{number}"
down_revision = {before}


def upgrade() -> None:
    """Do it."""
    {statement}
'''

MakeTables = Callable[..., Tables]


@pytest.fixture
def boxes(tmp_path: Path) -> MakeTables:
    """`boxes(n)` has the first n revisions, as a release of its own would."""

    def made(count: int, name: str = "boxes") -> Tables:
        folder = tmp_path / f"{name} of release {count}"  # blanks are allowed in names
        folder.mkdir(exist_ok=True)
        before = None
        for number in list(REVISIONS)[:count]:
            what, statement = REVISIONS[number]
            text = _FILE.format(
                summary=what, number=number, before=repr(before), statement=statement
            )
            (folder / f"r{number}_{what}.py").write_text(text)
            before = number
        return Tables(name, sql.MetaData(), folder, first_table="boxes")

    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/made/db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.emptied_database()
