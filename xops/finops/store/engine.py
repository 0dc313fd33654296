"""DuckDB, bounded: so much memory, a folder to spill to, two threads, UTC, no network.

Two of its habits matter for money. The quotient of a decimal is a double, whatever it is divided
by: `divide` casts it back. And a double that is read as a decimal goes through its shortest text,
which is what was written: 0.1 stays 0.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import ibis

from xops.core.errors import DiskFullError, Finding, InputError, PermanentError

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

MONEY = "decimal(38, 12)"
"""The type of all amounts: 26 digits before the point, 12 after it."""

MEMORY = "1GB"
THREADS = 2
_MOST_SPILLED = "64GB"
_NO_PATTERN = str.maketrans({"[": "[[]", "*": "[*]", "?": "[?]"})
_REPORT = "Look at what it names, and report it with the file if that is sound."
_NO_ROOM = ("No space left", "max_temp_directory_size", "Could not write all bytes")
_SETTINGS = (
    "TimeZone = 'UTC'",
    # How far a statement is can be asked for; the engine itself prints nothing.
    "enable_progress_bar = true",
    "enable_progress_bar_print = false",
)


def open_engine(*, spill: Path, memory: str = MEMORY) -> Backend:
    """An engine of its own, in memory: close it with `disconnect()`.

    Args:
        spill: where it puts what does not fit into memory; made if need be.
        memory: the most that it takes, like "1GB"; what is above goes to `spill`.

    Raises:
        InputError: the folder cannot be made.
    """
    try:
        spill.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        found = Finding(str(spill), "", f"cannot be made: {error.strerror}")
        raise InputError("opening the engine", [found], "Name another folder.") from None
    engine = ibis.duckdb.connect(
        memory_limit=memory,
        temp_directory=str(spill),
        max_temp_directory_size=_MOST_SPILLED,
        threads=THREADS,
        # Order costs memory, and whoever needs one asks for it.
        preserve_insertion_order=False,
        # What a query needs is built in: nothing is ever fetched for it.
        autoinstall_known_extensions=False,
        autoload_known_extensions=False,
        allow_community_extensions=False,
    )
    for setting in _SETTINGS:
        engine.raw_sql(f"SET {setting}")
    return engine


def is_no_room(error: duckdb.Error) -> bool:
    """Whether the disk is full: the engine has no class of its own for that."""
    return any(words in str(error) for words in _NO_ROOM)


@contextmanager
def translate_engine_errors(attempted: str, remedy: str = _REPORT) -> Iterator[None]:
    """Turn the engine's exceptions into xOps errors with a cause and a remedy.

    Args:
        remedy: where it is neither the disk nor the memory.

    Raises:
        DiskFullError: there is no room for what it writes, or for what does not fit into memory.
        PermanentError: it cannot do what is asked.
    """
    try:
        yield
    except duckdb.Error as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if is_no_room(error):
            room = "Free disk space, then run it again; what was there before is as it was."
            raise DiskFullError(attempted, "there is no room left on the disk", room) from None
        if isinstance(error, duckdb.OutOfMemoryException):
            smaller = "Have the provider export smaller files, or use a machine with more memory."
            raise PermanentError(attempted, said, smaller) from None
        raise PermanentError(attempted, said, remedy) from error


def view(engine: Backend, name: str, query: str) -> Table:
    """What a query selects, as a table under a name of its own; an earlier one gives way."""
    engine.raw_sql(f"CREATE OR REPLACE TEMP VIEW {named(name)} AS {query}")
    with warnings.catch_warnings():
        # ibis 12 asks for the columns by a name that DuckDB 2 has for old callers.
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        return engine.table(name)


def divide(numerator: Any, denominator: Any) -> Any:
    """A quotient of ibis expressions as money; null where the denominator is 0.

    The division itself is one of doubles, so that 15 digits hold: to the cent for any bill.
    """
    return (numerator / denominator.nullif(0)).cast(MONEY)


def quoted(text: str) -> str:
    """A text as SQL writes it, for where no parameter can stand."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def path_of(file: Path) -> str:
    """A file as SQL writes it: that file alone, where the engine would find a pattern in a name."""
    return quoted(str(file.absolute()).translate(_NO_PATTERN))


def parquet(files: Sequence[Path], options: str = "") -> str:
    """Parquet files as a relation; what their folders are called is no column of theirs."""
    listed = ", ".join(path_of(file) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false{options})"


def named(column: str) -> str:
    """A column's name as SQL writes it."""
    escaped = column.replace('"', '""')
    return f'"{escaped}"'
