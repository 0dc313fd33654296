"""The database of the release before, which kept its runs in SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

from xops.local.database import set_aside_sqlite, sqlite_file


def before(home: Path) -> sqlite3.Connection:
    """A database as a server leaves it that was killed: its last runs are in the journal."""
    file = sqlite_file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file)
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table flow_run (name text)")
    connection.execute("insert into flow_run values ('an old run')")
    connection.commit()
    assert file.with_name("prefect.db-wal").exists()
    return connection


def runs(file: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute("select name from flow_run").fetchall()


def test_it_is_set_aside_with_its_journal_and_stays_readable(tmp_path: Path) -> None:
    open_still = before(tmp_path)
    aside = set_aside_sqlite(tmp_path)
    assert aside is not None
    open_still.close()
    assert not list(sqlite_file(tmp_path).parent.glob("prefect.db*"))
    assert aside.parent.parent == tmp_path / "prefect"
    assert aside.parent.stat().st_mode & 0o777 == 0o700
    assert runs(aside) == [("an old run",)]


def test_where_there_is_none_nothing_is_done(tmp_path: Path) -> None:
    assert set_aside_sqlite(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_move_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    before(tmp_path).close()
    file = sqlite_file(tmp_path)
    aside = set_aside_sqlite(tmp_path)
    assert aside is not None
    aside.rename(file)
    assert set_aside_sqlite(tmp_path) == aside
    assert runs(aside) == [("an old run",)]
