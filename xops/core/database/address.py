"""The address of a database, and its errors in words that name the database and no password."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from xops.core.errors import Finding, InputError, PermanentError, TemporaryError, XopsError

_OPTIONS = {
    "sqlite": frozenset[str](),
    "postgresql": frozenset(
        (
            "host", "port", "ssl", "passfile", "service", "servicefile", "target_session_attrs",
            "krbsrvname", "gsslib", "prepared_statement_cache_size",
        )
    ),
}  # fmt: skip
"""The databases that can be used, and the options of their drivers that a URL can hold: asyncpg
takes numbers for others, of which a URL has none."""

_NUMBERS = ("port", "prepared_statement_cache_size")

_PASSING = frozenset(
    (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
    )
)  # fmt: skip
"""Result codes of SQLite that are about locks, resources and the disk (sqlite.org/rescode.html)."""

_DISK_FULL = "53100"


def parse_url(given: str) -> URL:
    """The URL of a SQLite or PostgreSQL database.

    Raises:
        ValueError: it is none, with what it is instead. No part of it that may be a password is
            said.
    """
    try:
        parsed = make_url(given)
    except (ArgumentError, ValueError):  # the latter: a port that is no number
        raise ValueError("is no URL") from None
    if "@" in (parsed.host or ""):  # a part of the password would count as the host's name
        raise ValueError("has an @ in its password: write it as %40")
    backend = parsed.get_backend_name()
    if backend not in _OPTIONS:
        raise ValueError(f"names a database of the kind {backend!r}")
    if unknown := sorted(parsed.query.keys() - _OPTIONS[backend]):
        raise ValueError(f"has options that its driver does not take: {', '.join(unknown)}")
    for name in _NUMBERS:
        if not all(part.isdecimal() for part in parsed.normalized_query.get(name, ())):
            raise ValueError(f"has an option {name} that is no number")
    return parsed


@dataclass(frozen=True)
class Address:
    """Where a database is, and what people call it.

    Attributes:
        url: with the driver that is used.
        title: what is in it: "history".
        variable: the environment variable that names it.
    """

    url: URL
    title: str
    variable: str

    @classmethod
    def parse(cls, url: str, title: str, variable: str) -> Self:
        """Read sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.

        Raises:
            InputError: the URL names no such database.
        """
        try:
            parsed = parse_url(url)
        except ValueError as error:
            raise _not_a_url(title, variable, str(error)) from None
        is_server = parsed.get_backend_name() == "postgresql"
        # asyncpg is there anyway, Prefect brings it; another driver would be one more to keep.
        driver = "postgresql+asyncpg" if is_server else "sqlite"
        return cls(parsed.set(drivername=driver), title, variable)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The file that SQLite opens, if there is one."""
        name = self.url.database
        return Path(name) if self.is_sqlite and name and name != ":memory:" else None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file that SQLite opens."""
        return self.url.get_backend_name() == "sqlite"

    def make_private_file(self) -> None:
        """Make the file of SQLite where there is none, and its folder, for their owner alone.

        SQLite gives its log the modes of the file.
        """
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.file.exists():
                self.file.touch(mode=0o600)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Say what the drivers raise in the errors of xOps.

        Raises:
            TemporaryError: the database does not answer, is locked for too long or has no room.
            PermanentError: it refuses what is asked of it.
            InputError: an option of its URL is wrong.
        """
        try:
            yield
        except DBAPIError as error:
            cause = error if error.orig is None else error.orig
            raise self._of_driver(cause, is_lost=error.connection_invalidated) from error
        except sqlite3.Error as error:  # of what goes around SQLAlchemy
            raise self._of_driver(error) from error
        except SQLAlchemyError as error:
            raise self._refused(_first_line(error)) from error
        except OSError as error:  # no connection, or none in time
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _of_driver(self, cause: BaseException, *, is_lost: bool = False) -> XopsError:
        found = _first_line(cause)
        if type(getattr(cause, "__cause__", None)).__name__ == "ClientConfigurationError":
            message = f"has an option that is wrong: {found}"
            return _not_a_url(self.title, self.variable, message)
        sqlite_code = _primary(getattr(cause, "sqlite_errorcode", None))
        state = str(getattr(cause, "sqlstate", "") or "")
        if state == _DISK_FULL or sqlite_code == sqlite3.SQLITE_FULL:
            return self._full(found)
        if is_lost or _may_pass(state) or sqlite_code in _PASSING:
            return self._unreachable(found)
        return self._refused(found)

    def _full(self, found: str) -> TemporaryError:
        remedy = "Nothing was written. Free room on the disk where it lies; run it again."
        return TemporaryError(f"writing to the {self.title} {self}", found, remedy)

    def _unreachable(self, found: str) -> TemporaryError:
        remedy = f"See that the database runs and that {self.variable} names it; run it again."
        return TemporaryError(f"opening the {self.title} {self}", found, remedy)

    def _refused(self, found: str) -> PermanentError:
        remedy = "See that the account may create tables and insert, and that nobody changed them."
        return PermanentError(f"using the {self.title} {self}", found, remedy)


def _not_a_url(title: str, variable: str, found: str) -> InputError:
    return InputError(
        f"opening the {title}",
        [Finding(f"variable {variable}", "", found)],
        "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _primary(sqlite_code: int | None) -> int | None:
    """The result code without what an extended one adds above its lowest byte."""
    return None if sqlite_code is None else sqlite_code & 0xFF


def _may_pass(sqlstate: str) -> bool:
    """Whether it is about the connection, locks, rollbacks, resources or an operator.

    Source: PostgreSQL's manual, appendix A.
    """
    return sqlstate == "55P03" or sqlstate[:2] in ("08", "40", "53", "57")
