"""What invoices come to, as a person gives it: a CSV file of `id` and `total`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from xops.core.errors import Finding, InputError
from xops.core.files.reading import UnusableTextError, read_text

_COLUMNS = ["id", "total"]


def read_invoices(file: Path) -> dict[str, Decimal]:
    """The totals by the ids of the invoices, in the billing currency.

    Raises:
        InputError: everything that is wrong with it, with its lines.
    """
    findings: list[Finding] = []
    totals: dict[str, Decimal] = {}
    try:
        for line, invoice, total in _rows(read_text(file)):
            amount = _amount(total)
            if not invoice or amount is None:
                problem = "an invoice has an id and a total that is a number"
                findings.append(Finding(str(file), "", problem, line))
            elif invoice in totals:
                findings.append(Finding(str(file), "id", f"{invoice!r} is there twice", line))
            else:
                totals[invoice] = amount
    except UnusableTextError as error:
        findings.append(Finding(str(file), "", error.problem, error.line))
    except csv.Error as error:
        findings.append(Finding(str(file), "", str(error)))
    if not totals and not findings:
        findings.append(Finding(str(file), "", "names no invoice"))
    if findings:
        raise InputError(f"reading the invoices of {file}", findings)
    return totals


def _rows(text: str) -> Iterator[tuple[int, str, str]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    header = next(reader, [])
    if header != _COLUMNS:
        raise csv.Error(f"the first line is {','.join(_COLUMNS)}")
    for row in filter(None, reader):
        invoice, total, *more = (*row, "", "")
        yield reader.line_num, "" if any(more) else invoice, total


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount) < Decimal("1e20") else None
