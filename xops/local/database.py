"""Where the embedded stack's Prefect server keeps its runs: which database, and why that one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from xops.core.errors import Finding, InputError
from xops.local import postgresql

VARIABLE = "XOPS_DATABASE_URL"
_DRIVERS = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
_FORMS = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


class Kind(StrEnum):
    """Who runs the database."""

    EMBEDDED = "PostgreSQL of the embedded stack"
    OWN = f"the one that {VARIABLE} names"
    SQLITE = "SQLite"


@dataclass(frozen=True)
class PrefectDatabase:
    """One database.

    Attributes:
        kind: who runs it.
        found: what it is, for people; holds no password.
        url: its address for SQLAlchemy, password included.
        remedy: what may be done about it; empty where it is as it should be.
    """

    kind: Kind
    found: str
    url: str = field(repr=False)
    remedy: str = ""


def choose(environ: Mapping[str, str], home: Path) -> PrefectDatabase:
    """The database for this machine: the person's own, else PostgreSQL, else SQLite.

    Variables that other software reads (PGHOST, DATABASE_URL, Prefect's own) choose nothing.

    Raises:
        InputError: XOPS_DATABASE_URL is no address of a database that Prefect can use.
    """
    if given := environ.get(VARIABLE):
        return _own(given)
    if postgresql.programs() is not None:
        found = f"{Kind.EMBEDDED}, {postgresql.data_folder(home)}"
        return PrefectDatabase(Kind.EMBEDDED, found, postgresql.url(home))
    file = sqlite_file(home)
    return PrefectDatabase(
        Kind.SQLITE,
        f"{Kind.SQLITE}, {file}: there is no PostgreSQL for {sys.platform}/{platform.machine()}",
        f"sqlite+aiosqlite:///{file}",
        f"It takes one writer at a time and refuses others: name a PostgreSQL in {VARIABLE}.",
    )


def sqlite_file(home: Path) -> Path:
    """Where Prefect puts its SQLite database."""
    return home / "prefect" / "prefect.db"


def set_aside_sqlite(home: Path) -> Path | None:
    """Move the database of a release that ran on SQLite out of the way; where it is now.

    For a stack that is down and whose database is PostgreSQL from now on.
    """
    file = sqlite_file(home)
    if not file.exists():
        return None
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    aside = file.parent / f"sqlite-until-{written:%Y%m%dT%H%M%SZ}"
    aside.mkdir(exist_ok=True, mode=0o700)
    # The database last: as long as it is here, a move that was cut short is gone on with.
    for suffix in ("-shm", "-wal", ""):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.replace(aside / part.name)
    return aside / file.name


def _own(given: str) -> PrefectDatabase:
    from xops.core.database.address import parse_url  # takes a third of a second to import

    try:
        parsed = parse_url(given)
    except ValueError as error:
        raise _wrong(f"{error}; write {_FORMS}") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise _wrong("names no file; what is in memory would be lost with the server")
        parsed = parsed.set(database=str(Path(parsed.database).resolve()))
    elif not parsed.database:
        raise _wrong(f"names no database; write {_FORMS}")
    parsed = parsed.set(drivername=_DRIVERS[backend])
    shown = parsed.set(drivername=backend).render_as_string(hide_password=True)
    return PrefectDatabase(
        Kind.OWN, f"{shown} ({VARIABLE})", parsed.render_as_string(hide_password=False)
    )


def _wrong(message: str) -> InputError:
    return InputError("choosing the database", [Finding(f"variable {VARIABLE}", "", message)])
