"""The report as files: a page, plots, data, and a summary for a chat."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xops.core.errors import DiskFullError, Finding, InputError
from xops.core.rendering import Markdown, visible
from xops.finops.report import page, text
from xops.finops.report.model.report import Report
from xops.finops.report.names import file_name
from xops.finops.report.plots import canvas, gallery
from xops.finops.report.tables import Cell, Kind, Table, tables

Progress = Callable[[str, float], None]
"""Told what is being done, and how far it has come in percent."""

_DECIMALS = 12
_ARROW = {
    Kind.TEXT: pa.string(),
    Kind.MONEY: pa.decimal128(38, _DECIMALS),
    Kind.DAY: pa.date32(),
}
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula in a text; in full width, too."""


@dataclass(frozen=True)
class Written:
    """Where the parts of a report are.

    Attributes:
        page: the one to open.
        pictures: by the name of the plot, as PNG for light pages.
    """

    page: Path
    summary: Markdown
    pictures: dict[str, bytes]


def write(report: Report, folder: Path, progress: Progress) -> Written:
    """Write all of it below a folder, which is made; files of an earlier report are replaced.

    Raises:
        InputError: the folder cannot be written.
        DiskFullError: there is no room.
    """
    pictures = []
    plots = gallery.plots(report)
    for number, plot in enumerate(plots):
        progress(f"drawing {plot.title}", 100.0 * number / len(plots))
        pictures.append(gallery.draw(plot))
    summary = text.summary(report)
    try:
        _write_plots(pictures, folder / "plots")
        _write_data(report, folder / "data")
        (folder / "summary.md").write_text(summary + "\n", encoding="utf-8")
        index = folder / "index.html"
        index.write_text(page.render(report, pictures), encoding="utf-8")
    except OSError as error:
        raise _unwritten(folder, error) from None
    progress("written", 100.0)
    return Written(index, summary, {one.plot.name: one.png for one in pictures})


def _write_plots(pictures: list[gallery.Picture], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        name = file_name(picture.plot.name)
        svg = canvas.standalone(picture.svg)
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(picture.png)


def _write_data(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = tables(report)
    for table in found:
        (folder / f"{table.name}.csv").write_text(csv_text(table), encoding="utf-8", newline="")
        pq.write_table(arrow(table, report), folder / f"{table.name}.parquet", compression="zstd")
    (folder / "report.json").write_text(
        json.dumps(to_json(report), indent=1, ensure_ascii=True) + "\n", encoding="utf-8"
    )


def to_json(report: Report) -> dict[str, Any]:
    """The report for machines: exact decimals as texts, each row with currency and label."""
    exchange = report.exchange
    return {
        "as_of": report.as_of.isoformat(),
        "scope": report.scope,
        "label": str(report.label),
        "currency": report.currency,
        "timezone": report.timezone,
        "exchange": None if exchange is None else {
            "currency": exchange.currency, "rate": f"{exchange.rate:f}",
            "seen_on": exchange.seen_on.isoformat(), "source": exchange.source,
        },
        "gst_percent": None if report.gst_percent is None else f"{report.gst_percent:f}",
        "exit_code": int(report.exit_code),
        "headlines": list(report.headlines),
        "cost_of_this_report": {"calls": report.cost.calls, "usd": f"{report.cost.usd:f}"},
        "tables": {table.name: table.records() for table in tables(report)},
        "questions": [vars(question) for question in report.questions],
    }  # fmt: skip


def csv_text(table: Table) -> str:
    """The table as CSV, in which no cell of others is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([name for name, _ in table.columns])
    writer.writerows([_csv_cell(cell) for cell in row] for row in table.rows)
    return buffer.getvalue()


def _csv_cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, date):
        return cell.isoformat()
    shown = visible(cell)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def arrow(table: Table, report: Report) -> pa.Table:
    """The table for Arrow and parquet, texts as they were billed; its metadata say the label."""
    fields = [pa.field(name, _ARROW[kind]) for name, kind in table.columns]
    metadata = {"xops.label": str(report.label), "xops.as_of": report.as_of.isoformat()}
    columns = list(zip(*table.rows, strict=True)) or [()] * len(fields)
    arrays = [
        pa.array([_stored(cell) for cell in values], field.type)
        for values, field in zip(columns, fields, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))


def _stored(cell: Cell) -> Cell:
    """What is computed from prices may have more than the 12 decimals of the column."""
    return round(cell, _DECIMALS) if isinstance(cell, Decimal) else cell


def _unwritten(folder: Path, error: OSError) -> DiskFullError | InputError:
    attempted = f"writing the report to {folder}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            attempted, str(error.strerror), "Make room on that disk, or name another folder."
        )
    problem = f"{error.filename or folder} cannot be written: {error.strerror}"
    return InputError(attempted, [Finding("argument --out", "", problem)])
