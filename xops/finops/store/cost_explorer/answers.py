"""Answers of Cost Explorer, kept by day: what was paid for once is not asked again.

A day is settled three days after its end, since usage comes in late, and final when its month has
been invoiced: credits and taxes are put on the month until then. Before, answers hold for some
hours. Days that are neither are asked again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from xops.core.errors import InputError
from xops.core.files import settings
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.files.validation import Model, Moment
from xops.core.money import Amount
from xops.finops.store.changes import INVOICED_AFTER, first_day_after
from xops.finops.store.sources import disk_error

SETTLED_AFTER = timedelta(days=3)
HOLDS = timedelta(hours=6)
"""An answer about a day that is not settled."""

_MOST_BYTES = 64 << 20


class Group(Model):
    """One group of a day.

    Attributes:
        unblended: what is billed.
        amortized: with what was paid in advance spread over its use.
    """

    keys: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    unblended: Amount
    amortized: Amount


class Day(Model):
    """What was answered about one day, and when."""

    asked_at: Moment
    groups: tuple[Group, ...]


class _Kept(Model):
    days: dict[date, Day] = {}


class Answers:
    """The answers to one question about one account.

    Args:
        folder: where they are kept.
        name: of the question with all that it depends on.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.json"
        self._days: dict[date, Day] | None = None

    def usable(self, days: Iterable[date], now: datetime) -> dict[date, Day]:
        """Those that need not be asked again.

        Raises:
            InputError: somebody changed the file.
        """
        kept = self._read()
        return {day: kept[day] for day in days if day in kept and holds(day, kept[day], now)}

    def keep(self, answered: dict[date, Day]) -> None:
        """Remember answers.

        Raises:
            DiskFullError, PermanentError: they cannot be written.
        """
        kept = {**self._read(), **answered}
        self._days = kept
        try:
            write_private(self._file, _Kept(days=dict(sorted(kept.items()))).model_dump_json())
        except OSError as error:
            raise disk_error(f"keeping the answers in {self._file}", error) from None

    def _read(self) -> dict[date, Day]:
        if self._days is None:
            self._days = self._load() if self._file.exists() else {}
        return self._days

    def _load(self) -> dict[date, Day]:
        try:
            text = read_text(self._file, _MOST_BYTES)
            return settings.load_json(_Kept, self._file, text).days
        except UnusableTextError as error:
            found = settings.unusable(self._file, error)
        except InputError as error:
            found = error
        remedy = "Remove the file: what it held is asked for again, at a cent a page."
        raise InputError(found.attempted, found.findings, remedy)


def holds(day: date, answer: Day, now: datetime) -> bool:
    """Whether an answer about a day need not be asked for again."""
    if answer.asked_at > now:
        return False  # by a clock that was wrong: nobody knows when it was asked
    invoiced = _midnight(first_day_after(day.strftime("%Y-%m"))) + INVOICED_AFTER
    settled = _midnight(day + timedelta(days=1)) + SETTLED_AFTER
    if answer.asked_at >= invoiced:
        return True
    if answer.asked_at >= settled and now < invoiced:
        return True
    return now - answer.asked_at < HOLDS


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
