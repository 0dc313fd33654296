"""Exports of cost as one table to ask questions of, whatever the files are and lack.

A file is parquet, CSV or gzip CSV by what it begins with, not by its name. Every known column is
there in its type; where a file stores a number or a time as text, the text stands beside it, and a
column that a file lacks is null. Nothing here judges: what a column holds is for the rules.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from xops.core.errors import DiskFullError, Finding, InputError, PermanentError
from xops.core.files.reading import UnusableTextError, open_regular
from xops.finops.focus.columns import COLUMNS, Column, Kind
from xops.finops.focus.requirement import CHARGES, CHARGES_AND_TEXTS

FILE, ROW = "x_File", "x_Row"
"""The columns that say which row of which file it is, from 1."""

MOST_MEMORY = "1GB"
_NO_ROOM = ("No space left", "max_temp_directory_size", "Could not write all bytes")
_ROW_NUMBER = "file_row_number"
"""The engine's column of where a row is in its file."""
_LONGEST_LINE = 4 << 20
_OTHER_DELIMITERS = (";", "\t", "|")
MOST_HEADER = 1 << 20
_LONGEST_NAME = 60
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_WIDTHS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_KINDS: dict[Kind, str] = {
    Kind.STRING: "VARCHAR",
    Kind.DECIMAL: "DECIMAL(38, 12)",
    Kind.DATETIME: "TIMESTAMP",
    Kind.JSON: "VARCHAR",
}


class Format(StrEnum):
    """What a file is, by its first bytes."""

    PARQUET = "parquet"
    CSV = "csv"
    GZIP_CSV = "gzip csv"


@dataclass(frozen=True)
class Export:
    """One file.

    Attributes:
        names: of its columns, in its order.
        as_text: those that it stores as text or in a type that is not theirs.
    """

    file: Path
    format: Format
    names: tuple[str, ...]
    as_text: frozenset[str] = frozenset()


def text_of(name: str) -> str:
    """The SQL name of a column's text: null where the file stores it in a type of its own."""
    return f'"{name} text"'


def mistyped(name: str) -> str:
    """The SQL name of whether there is a value, stored in a type that is not the column's."""
    return f'"{name} mistyped"'


@contextmanager
def open_exports(files: list[Path]) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Export]]]:
    """An engine in which `CHARGES` is the rows of all files, and what the files are.

    It has bounded memory and spills to a folder that is gone afterwards.

    Raises:
        InputError: a file cannot be read to its end, with file, line or column.
    """
    with tempfile.TemporaryDirectory(prefix="xops-focus-") as spill:
        _refuse_same(files)
        exports = [_look_at(file) for file in files]
        with duckdb.connect(config=_config(spill)) as engine:
            engine.execute(_SETTINGS)
            added = [_add(engine, export, number) for number, export in enumerate(exports)]
            for view, selections in zip(
                (CHARGES, CHARGES_AND_TEXTS),
                zip(*(rows for _, rows in added), strict=True),
                strict=True,
            ):
                engine.execute(f"CREATE VIEW {view} AS {' UNION ALL '.join(selections)}")
            with translate_errors(exports):
                yield engine, [export for export, _ in added]


# Of all cursors: what is asked beside something else has the same hours.
_SETTINGS = """
SET GLOBAL TimeZone = 'UTC';
SET parquet_metadata_cache = true;
SET enable_progress_bar = false;
"""


def _config(spill: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "threads": min(2, os.cpu_count() or 1),
        "memory_limit": MOST_MEMORY,
        "temp_directory": spill,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


@contextmanager
def translate_errors(exports: list[Export]) -> Iterator[None]:
    """What the engine cannot read, as the input error of the file that it is in.

    Raises:
        InputError: the file is not whole or not what it says.
        DiskFullError: there is no room for what does not fit into memory.
    """
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        if any(words in str(error) for words in _NO_ROOM):
            raise DiskFullError(
                "reading exports of cost",
                f"there is no room left in {tempfile.gettempdir()} for what memory does not hold",
                "Free disk space, or set TMPDIR to a folder that has some, then run it again.",
            ) from None
        if isinstance(error, duckdb.IOException):
            raise _unreadable(exports, error) from None
        raise PermanentError(
            "reading exports of cost",
            f"it takes more than {MOST_MEMORY} of memory",
            "Validate the files one by one, or smaller exports.",
        ) from None
    except _OWN_FAULTS:
        raise
    except duckdb.Error as error:
        raise _unreadable(exports, error) from None


def _unreadable(exports: list[Export], error: duckdb.Error) -> InputError:
    findings = [one for export in exports for one in _find_damage(export, str(error))]
    unknown = "cannot be read to its end" if len(exports) == 1 else "this or another cannot be read"
    findings = findings or [Finding(str(one.file), "", unknown) for one in exports]
    return InputError("reading exports of cost", findings, _REMEDY)


_OWN_FAULTS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InternalException,
    duckdb.ParserException,
)
"""What is wrong with a question and not with a file."""

_REMEDY = "Export or download each file above again; nothing was taken from it."


def _unusable(file: Path, problem: str, line: int | None = None, path: str = "") -> InputError:
    finding = Finding(str(file), path, problem, line)
    return InputError("reading exports of cost", [finding], _REMEDY)


def _refuse_same(files: Sequence[Path]) -> None:
    """Refuse a file that is given twice: what it costs would be added up twice."""
    seen: set[Path] = set()
    for file in files:
        if file.resolve() in seen:
            raise _unusable(file, "is given twice")
        seen.add(file.resolve())


def _look_at(file: Path) -> Export:
    try:
        with open_regular(file) as handle:
            begin = os.pread(handle, 4, 0)
    except UnusableTextError as error:
        raise _unusable(file, error.problem) from None
    if not begin:
        raise _unusable(file, "is empty")
    if begin == b"PAR1":
        return Export(file, Format.PARQUET, _names_of_parquet(file))
    kind = Format.GZIP_CSV if begin[:2] == b"\x1f\x8b" else Format.CSV
    return Export(file, kind, _names_of_csv(file, kind))


def _names_of_parquet(file: Path) -> tuple[str, ...]:
    try:
        names = pq.read_schema(file).names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = f"is no whole parquet file: {str(error).splitlines()[0].rstrip('.')}"
        raise _unusable(file, problem) from None
    _refuse_twins(file, names)
    return tuple(names)


def _names_of_csv(file: Path, kind: Format) -> tuple[str, ...]:
    try:
        with gzip.open(file) if kind is Format.GZIP_CSV else file.open("rb") as stream:
            line = stream.readline(MOST_HEADER).decode("utf-8-sig")
        names = next(csv.reader(io.StringIO(line), strict=True), [])
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error, OSError) as error:
        problem = f"has no header of a CSV file: {error}"
        raise _unusable(file, problem, 1) from None
    if not names:
        raise _unusable(file, "has no header of a CSV file", 1)
    if problem := problem_of_header(line, names):
        raise _unusable(file, problem, 1)
    _refuse_twins(file, names, 1)
    return tuple(names)


def problem_of_header(line: str, names: Sequence[str]) -> str:
    """Why the first line of a CSV file is no header of columns; empty where it is one."""
    if len(line.encode()) >= MOST_HEADER - 3:  # but for a mark of the byte order
        return f"has a first line of more than {MOST_HEADER >> 20} MiB"
    other = next((mark for mark in _OTHER_DELIMITERS if mark in names[0]), None)
    if len(names) == 1 and other:
        return f"has its columns divided by {other!r}: FOCUS has commas there"
    return ""


def _refuse_twins(file: Path, names: Sequence[str], line: int | None = None) -> None:
    """Refuse two columns of one name, in whatever letters: to the engine they are one."""
    counts = Counter(name.casefold() for name in names)
    if twins := sorted({name for name in names if counts[name.casefold()] > 1 or not name}):
        problem = f"columns named twice or not at all: {', '.join(map(_shortened, twins[:5]))}"
        raise _unusable(file, problem, line)


def _shortened(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}...")


def _add(
    engine: duckdb.DuckDBPyConnection, export: Export, number: int
) -> tuple[Export, tuple[str, str]]:
    """A file with how it stores its columns, and its rows as a SELECT for either table."""
    if export.format is Format.PARQUET:
        of_engine = "" if _ROW_NUMBER in export.names else f", {_ROW_NUMBER} = true"
        scan = f"read_parquet({_path(export.file)}, hive_partitioning = false{of_engine})"
        row = f"{_ROW_NUMBER} + 1" if of_engine else "NULL::BIGINT"
    else:
        scan, row = f"raw{number}", "rowid + 1"
        known = ", ".join(f'"{one.name}"' for one in COLUMNS if one.name in export.names)
        with translate_errors([export]):
            # Of a column that nobody asks for only the name is: it would take room for nothing.
            engine.execute(
                f"CREATE TABLE {scan} AS SELECT {known or 'true'} FROM {_read_csv(export)}"  # noqa: S608
            )
    with translate_errors([export]):
        described = engine.execute(f"DESCRIBE FROM {scan}").fetchall()
    stored = {str(name): str(kind) for name, kind, *_ in described}
    values, *beside = zip(*(_columns_of(column, stored) for column in COLUMNS), strict=True)
    as_text = {
        column.name
        for column in COLUMNS
        if (found := stored.get(column.name)) and not _is(found, column.kind)
    }
    named = f"{_literal(str(export.file))} AS {FILE}, {row} AS {ROW}"
    queries = [
        f"SELECT {named}, {', '.join(chosen)} FROM {scan}"  # noqa: S608
        for chosen in (values, [*values, *beside[0], *beside[1]])
    ]
    return replace(export, as_text=frozenset(as_text)), (queries[0], queries[1])


def _read_csv(export: Export) -> str:
    columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in export.names)
    # What a dialect's detection takes for a row differs from file to file; FOCUS knows one dialect.
    return (
        f"read_csv({_path(export.file)}, auto_detect = false, header = true, delim = ',', "
        f"hive_partitioning = false, max_line_size = {_LONGEST_LINE}, "
        f"quote = '\"', escape = '\"', nullstr = ['', 'NULL'], columns = {{{columns}}}, "
        f"compression = '{'gzip' if export.format is Format.GZIP_CSV else 'none'}')"
    )


def _columns_of(column: Column, stored: Mapping[str, str]) -> tuple[str, str, str]:
    """A column in its type, its text, and whether the file's type is another."""
    name, kind = column.name, _KINDS[column.kind]
    found = stored.get(name)
    value, text, wrong = f"TRY_CAST({name} AS {kind})", "NULL::VARCHAR", "false"
    if found is None:
        value = f"NULL::{kind}"
    elif found.startswith("MAP(") and column.kind is Kind.JSON:
        value = f"to_json({name})::VARCHAR"
    elif _is(found, column.kind):
        value = name if found == kind else value
    elif found == "VARCHAR":
        text = name
    else:
        wrong = f"{name} IS NOT NULL"
    return (
        f"{value} AS {name}",
        f"{text} AS {text_of(name)}",
        f"{wrong} AS {mistyped(name)}",
    )


def _is(found: str, kind: Kind) -> bool:
    """Whether a type of the engine is one that a column of that kind may be stored in."""
    if kind is Kind.DECIMAL:
        return found in {"DOUBLE", "FLOAT"} or found.startswith("DECIMAL(")
    if kind is Kind.DATETIME:
        return found.startswith("TIMESTAMP")
    if kind is Kind.JSON:
        return found in {"VARCHAR", "JSON"} or found.startswith("MAP(")
    return found == "VARCHAR"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _path(file: Path) -> str:
    """The file itself: the engine takes brackets, stars and question marks for patterns."""
    return _literal(re.sub(r"([\[*?])", r"[\1]", str(file.absolute())))


def _find_damage(export: Export, message: str) -> Iterator[Finding]:
    """Where a file is damaged; of its content nothing is shown."""
    if export.format is Format.PARQUET:
        yield from _find_damaged_pages(export.file)
    elif _LINE.search(message) or "gzip" in message.lower():
        # Of several files, one after the other is read whole before a question is asked.
        yield _csv_finding(export.file, message)


def _csv_finding(file: Path, message: str) -> Finding:
    found = _LINE.search(message)
    line = int(found.group(1)) if found else None
    if widths := _WIDTHS.search(message):
        return Finding(str(file), "", f"has {widths[2]} cells, not {widths[1]}", line)
    if "unterminated quote" in message:
        return Finding(str(file), "", "a quote is opened and not closed", line)
    if "utf-8" in message:
        return Finding(str(file), "", "is not UTF-8", line)
    if "maximum line size" in message.lower():
        return Finding(str(file), "", f"is longer than {_LONGEST_LINE >> 20} MiB", line)
    if "gzip" in message.lower():
        return Finding(str(file), "", "is no whole gzip file", line)
    return Finding(str(file), "", "cannot be read as CSV", line)


def _find_damaged_pages(file: Path) -> Iterator[Finding]:
    """The damaged parts of a parquet file, by column and rows."""
    with pq.ParquetFile(file) as parquet:
        begin = 1
        for group in range(parquet.num_row_groups):
            end = begin + parquet.metadata.row_group(group).num_rows - 1
            for name in parquet.schema_arrow.names:
                if not _can_be_read(parquet, group, name):
                    yield Finding(str(file), name, f"is damaged between rows {begin} and {end}")
            begin = end + 1


def _can_be_read(parquet: pq.ParquetFile, group: int, name: str) -> bool:
    try:
        parquet.read_row_group(group, columns=[name]).validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return False
    return True
