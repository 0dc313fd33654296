"""What earlier reports have said of whole months, so that a later one tells what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.files.validation import Day, Model
from xops.core.money import Amount
from xops.finops.report.model.report import Report
from xops.finops.report.model.trust import Restatement
from xops.finops.report.model.values import Known, Label, Unknown

FILE = "reported.json"
"""Beside the months of the store that it is about."""

_MOST_MONTHS = 120
_TOLD_FOR = timedelta(days=90)

Name = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]


class Said(Model):
    """What a month came to when it was said."""

    month: Name
    billed: Amount
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    on: Day


class Changed(Model):
    """That it came to something else when it was looked at again."""

    month: Name
    before: Amount
    after: Amount
    on: Day


class Memory(Model):
    """The file.

    Attributes:
        said: the newest that was said of each whole month.
        changed: what was different, the oldest first.
    """

    version: Literal[1] = 1
    said: tuple[Said, ...] = ()
    changed: tuple[Changed, ...] = ()

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read it; empty where there is none.

        Raises:
            InputError: somebody changed it.
        """
        if not file.exists():
            return cls()
        try:
            return settings.load_json(cls, file, read_text(file))
        except UnusableTextError as error:
            raise settings.unusable(file, error) from None

    def save(self, file: Path) -> None:
        """Write it.

        Raises:
            PermanentError: it cannot be written.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(file, self.model_dump_json(indent=1))
        except OSError as error:
            raise PermanentError(
                f"remembering what was reported in {file}", str(error.strerror),
                "Make it writable: without it no later report tells what was billed anew.",
            ) from None  # fmt: skip

    @property
    def newest(self) -> date | None:
        """When something was said last."""
        return max((one.on for one in self.said), default=None)

    def lately(self, today: date) -> tuple[Restatement, ...]:
        """What has changed lately."""
        return tuple(
            Restatement(one.month, one.on, one.before, one.after)
            for one in self.changed
            if today - one.on <= _TOLD_FOR
        )

    def compared(self, found: Sequence[Said]) -> Memory:
        """With what is said now: whole months alone, of which the whole account was looked at."""
        before = {(one.month, one.currency): one for one in self.said}
        changed = tuple(
            Changed(month=now.month, before=then.billed, after=now.billed, on=now.on)
            for now in found
            if (then := before.get((now.month, now.currency))) and then.billed != now.billed
        )
        said = before | {(one.month, one.currency): one for one in found}
        newest = sorted(said.values(), key=lambda one: (one.month, one.currency))[-_MOST_MONTHS:]
        return Memory(said=tuple(newest), changed=(*self.changed, *changed)[-_MOST_MONTHS:])


def restatements(report: Report, folder: Path) -> tuple[Restatement, ...] | Unknown:
    """What the months come to now, against what earlier reports have said of them.

    Args:
        report: what is said now.
        folder: of the store.

    Raises:
        InputError: somebody changed what is remembered.
    """
    if report.label is Label.SAMPLE:
        return Unknown("made-up costs have no earlier report")
    known = Memory.load(folder / FILE)
    if known.newest is None:
        return Unknown("no earlier report is remembered to compare with")
    return known.compared(_said(report)).lately(report.as_of)


def remember(report: Report, folder: Path) -> None:
    """Keep what a report has said, for the ones that come after it.

    Raises:
        InputError: somebody changed what is remembered.
        PermanentError: it cannot be kept.
    """
    known = Memory.load(folder / FILE)
    is_older = known.newest is not None and report.as_of < known.newest
    if report.label is not Label.SAMPLE and not is_older:
        known.compared(_said(report)).save(folder / FILE)


def _said(report: Report) -> list[Said]:
    """Of whole months, and of all environments: a part of the costs says nothing of the others."""
    if isinstance(report.spend, Unknown) or not report.is_of_all:
        return []
    return [
        Said(month=month.name, billed=total.amount, currency=report.currency, on=report.as_of)
        for month, total in zip(report.spend.months, report.spend.totals, strict=True)
        if not month.is_partial and isinstance(total, Known)
    ]
