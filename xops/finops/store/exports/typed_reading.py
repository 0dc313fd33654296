"""Files of an export as typed rows: parquet and CSV, FOCUS 1.0 to 1.2, strictly.

A column that a file has no cell of is null; one that FOCUS does not know is left out. Values are
never guessed: the first that is none of its column's kind is named with its file, row and column,
and nothing of the file is kept. Rows count from 1; of CSV, lines do, the header among them.

AWS writes money as doubles in parquet, points in time in milliseconds, and tags as a map. Source:
AWS, "FOCUS 1.2 with AWS columns", data types.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from xops.core.errors import Finding, InputError, PermanentError, XopsError
from xops.finops.focus.columns import COLUMNS, Column, Kind, Level, Version
from xops.finops.focus.sample import SAMPLE_KEY, is_sample
from xops.finops.focus.source import MOST_HEADER, problem_of_header
from xops.finops.store.engine import (
    is_no_room,
    named,
    parquet,
    path_of,
    quoted,
    translate_engine_errors,
)

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

ROW_GROUP = 122_880
_LONGEST_LINE = 4 << 20
_REJECTED = "xops_rejected"
_SHOWN = 60
SQL_TYPES = {
    Kind.STRING: "VARCHAR",
    Kind.JSON: "VARCHAR",
    Kind.DECIMAL: "DECIMAL(38,12)",
    Kind.DATETIME: "TIMESTAMPTZ",
}
"""How the engine keeps each kind of column."""

_WORDS = {
    Kind.STRING: "a text",
    Kind.JSON: "an object of JSON",
    Kind.DECIMAL: "a number with at most 26 digits before the point",
    Kind.DATETIME: "a point in time like 2026-05-01T00:00:00Z",
}


@dataclass(frozen=True)
class DataFile:
    """A file on this machine, and where it comes from, for people."""

    path: Path
    address: str

    @property
    def is_parquet(self) -> bool:
        """Or else CSV."""
        return self.path.name.endswith(".parquet")


def write_typed(engine: Backend, file: DataFile, part: Path) -> None:
    """Write the rows of a file to a parquet file with the platform's columns and types.

    Raises:
        InputError: it is no such file, or a value in it is none of its column's kind.
        DiskFullError: there is no room for the part.
    """
    columns = _read_columns(file)
    sample = file.is_parquet and is_sample(file.path)
    if file.is_parquet:
        selected = _selected(columns, parquet([file.path]))
        try:
            copy_to(engine, selected, part, sample=sample)
        except duckdb.ConversionException as error:
            raise _first_bad_value(engine, file, columns, error) from None
        except duckdb.Error as error:
            raise _unreadable(file, error) from None
        return
    _write_typed_csv(engine, file, columns, part)


def copy_to(engine: Backend, selected: str, part: Path, *, sample: bool) -> None:
    """Write what a query selects to a new parquet file.

    Raises:
        DiskFullError: there is no room for it.
        duckdb.Error: the query fails.
    """
    statement = (
        f"COPY ({selected}) TO {quoted(str(part))} (FORMAT parquet, COMPRESSION zstd,"
        f" ROW_GROUP_SIZE {ROW_GROUP},"
        f" KV_METADATA {{{quoted(SAMPLE_KEY.decode())}: '{str(sample).lower()}'}})"
    )
    try:
        engine.raw_sql(statement)
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if is_no_room(error):
            with translate_engine_errors(f"writing {part}"):
                raise
        raise


_TAKEN_FROM = {"x_UsageType": "SkuMeter"}
"""Where a column's values are in a file without it: AWS's export of FOCUS 1.2 has no usage type of
its own, since FOCUS has a column for it by then. Source: AWS's table dictionary of FOCUS 1.2."""


@dataclass(frozen=True)
class _Read:
    """A column as it stands in a file: what it is read as there."""

    column: Column
    source_type: str


def _read_columns(file: DataFile) -> dict[str, _Read]:
    found = _parquet_types(file) if file.is_parquet else _csv_header(file)
    _refuse_missing(file, found)
    known = {column.name: column for column in COLUMNS}
    return {name: _Read(known[name], kind) for name, kind in found.items() if name in known}


def _refuse_twins(file: DataFile, names: Sequence[str]) -> None:
    """Refuse two columns of one name, in whatever letters: to the engine they are one."""
    counts = Counter(name.casefold() for name in names)
    if twice := sorted({name for name in names if counts[name.casefold()] > 1}):
        raise _refused(file, f"has columns twice: {', '.join(twice[:5])}")


def _refuse_missing(file: DataFile, found: Mapping[str, str]) -> None:
    needed = (
        column.name
        for column in COLUMNS
        if column.level is Level.MANDATORY and column.since is Version.V1_0
    )
    lacking = [name for name in needed if name not in found]
    if lacking:
        message = "is a column that FOCUS requires, and the file has none of that name"
        raise InputError(
            f"reading {file.address}",
            [Finding(file.address, name, message) for name in lacking],
            "Export all columns of the FOCUS table; nothing was taken in.",
        )


# Parquet


def _parquet_types(file: DataFile) -> dict[str, str]:
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowException, OSError) as error:
        raise _refused(file, f"is no parquet file: {_first_line(error)}") from None
    _refuse_twins(file, schema.names)
    kinds = {column.name: column.kind for column in COLUMNS}
    wrong = [
        Finding(
            file.address, field.name, f"is a column of {field.type}, not of {kinds[field.name]}"
        )
        for field in schema
        if field.name in kinds and not _fits(kinds[field.name], _value_type(field.type))
    ]
    if wrong:
        raise InputError(f"reading {file.address}", wrong, "Export it again; nothing was taken in.")
    return {field.name: _source_type(_value_type(field.type)) for field in schema}


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fits(kind: Kind, found: pa.DataType) -> bool:
    types = pa.types
    if types.is_null(found):
        return True
    if kind is Kind.STRING:
        return _is_text(found)
    if kind is Kind.JSON:
        return _is_text(found) or bool(types.is_map(found) or types.is_struct(found))
    if kind is Kind.DATETIME:
        return _is_text(found) or bool(types.is_timestamp(found))
    numbers = (types.is_decimal, types.is_floating, types.is_integer)
    return any(is_number(found) for is_number in numbers)


def _source_type(kind: pa.DataType) -> str:
    """As far as it matters for how it is read."""
    if pa.types.is_floating(kind):
        return "double"
    return "nested" if pa.types.is_nested(kind) else "plain"


def _expression(column: Column, read: _Read | None, cast: str = "CAST") -> str:
    """What makes the column's value of the file's."""
    kind = SQL_TYPES[column.kind]
    if read is None:
        return f"CAST(NULL AS {kind})"
    value = named(read.column.name)
    if read.source_type == "nested":
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE CAST(to_json({value}) AS VARCHAR) END"
    if read.source_type == "double":
        # By its shortest text, which is what was written: the digits after it are noise.
        return f"{cast}(CAST({value} AS VARCHAR) AS {kind})"
    return f"{cast}({value} AS {kind})"


def _selected(columns: Mapping[str, _Read], relation: str) -> str:
    read = {column.name: columns.get(column.name) for column in COLUMNS}
    for name, other in _TAKEN_FROM.items():
        read[name] = read[name] or read[other]
    expressions = (
        f"{_expression(column, read[column.name])} AS {named(column.name)}" for column in COLUMNS
    )
    return f"SELECT {', '.join(expressions)} FROM {relation}"  # noqa: S608 - names of ours


def _first_bad_value(
    engine: Backend, file: DataFile, columns: Mapping[str, _Read], error: Exception
) -> XopsError:
    """The first value of each column that is none of its kind, with its row."""
    relation = parquet([file.path], ", file_row_number = true")
    findings = []
    for name, read in columns.items():
        tried = _expression(read.column, read, "TRY_CAST")
        rows = _rows(
            engine,
            f"SELECT file_row_number, CAST({named(name)} AS VARCHAR) FROM {relation}"  # noqa: S608
            f" WHERE {named(name)} IS NOT NULL AND {tried} IS NULL"
            " ORDER BY file_row_number LIMIT 1",
        )
        findings += [_bad_value(file, read.column, row[0] + 1, row[1]) for row in rows]
    if not findings:
        return _unreadable(file, error)
    return InputError(f"reading {file.address}", findings, _NOTHING_TAKEN)


_NOTHING_TAKEN = "Export it again, or have the provider correct it; nothing was taken in."


def _bad_value(file: DataFile, column: Column, row: int, value: str) -> Finding:
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
    message = f"row {row}: {shown!r} is not {_WORDS[column.kind]}"
    return Finding(file.address, column.name, message)


# CSV


def _csv_header(file: DataFile) -> dict[str, str]:
    try:
        with _opened(file) as opened:
            first = opened.readline(MOST_HEADER)
    except (OSError, EOFError, zlib.error) as error:
        raise _refused(file, f"cannot be read: {_first_line(error)}") from None
    try:
        text = first.decode("utf-8-sig")
        rows = list(csv.reader([text], strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise _refused(file, "has no header of names in UTF-8 in its first line") from None
    names = rows[0] if rows else []
    if not names:
        raise _refused(file, "is empty: not even a header is there")
    if problem := problem_of_header(text, names):
        raise _refused(file, problem)
    if not all(names):
        raise _refused(
            file, f"has a column without a name, the {names.index('') + 1}. of its first line"
        )
    _refuse_twins(file, names)
    return dict.fromkeys(names, "plain")


def _opened(file: DataFile) -> Any:
    return gzip.open(file.path) if file.path.name.endswith(".gz") else file.path.open("rb")


def _write_typed_csv(
    engine: Backend, file: DataFile, columns: Mapping[str, _Read], part: Path
) -> None:
    header = _csv_header(file)
    types = {
        name: SQL_TYPES[columns[name].column.kind] if name in columns else "VARCHAR"
        for name in header
    }
    listed = ", ".join(f"{quoted(name)}: '{kind}'" for name, kind in types.items())
    relation = (
        f"read_csv({path_of(file.path)}, columns = {{{listed}}}, header = true,"
        " auto_detect = false, hive_partitioning = false, delim = ',', quote = '\"',"
        " escape = '\"', nullstr = ['', 'NULL'],"
        f" strict_mode = true, max_line_size = {_LONGEST_LINE}, store_rejects = true,"
        f" rejects_table = '{_REJECTED}', rejects_scan = '{_REJECTED}_scans', rejects_limit = 10)"
    )
    for table in (_REJECTED, f"{_REJECTED}_scans"):
        engine.raw_sql(f"DROP TABLE IF EXISTS {table}")
    try:
        copy_to(engine, _selected(columns, relation), part, sample=False)
    except duckdb.Error as error:
        raise _unreadable(file, error) from None
    _refuse_rejected(engine, file)


def _refuse_rejected(engine: Backend, file: DataFile) -> None:
    """A row that could not be read was left out by the engine: then all of it is."""
    kinds = {column.name: column for column in COLUMNS}
    rows = _rows(
        engine,
        f"SELECT line, column_name, error_type, error_message FROM {_REJECTED}"  # noqa: S608
        " ORDER BY line, column_idx LIMIT 10",
    )
    findings = [
        Finding(file.address, name or "", _rejected_because(kinds.get(name), why, said), line)
        for line, name, why, said in rows
    ]
    if findings:
        raise InputError(f"reading {file.address}", findings, _NOTHING_TAKEN)


def _rejected_because(column: Column | None, why: str, said: str) -> str:
    if why == "CAST" and column is not None:
        _, quote, rest = said.partition('Could not convert string "')
        value = rest.rpartition('" to ')[0][:_SHOWN] if quote else ""
        return f"{value!r} is not {_WORDS[column.kind]}"
    return f"{why.lower()}: {_first_line(said)}"


# Both


def _rows(engine: Backend, query: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = engine.raw_sql(query).fetchall()
    return found


def _unreadable(file: DataFile, error: Exception) -> XopsError:
    if isinstance(error, duckdb.OutOfMemoryException):
        remedy = "Give it more memory, or have the provider export smaller files."
        return PermanentError(f"reading {file.address}", _first_line(error), remedy)
    return _refused(file, f"cannot be read to its end: {_first_line(error)}")


def _refused(file: DataFile, problem: str) -> InputError:
    return InputError(
        f"reading {file.address}", [Finding(file.address, "", problem)], _NOTHING_TAKEN
    )


def _first_line(error: object) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
