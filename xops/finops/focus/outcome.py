"""What came of holding a dataset against the rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xops.finops.focus.applicability import Waiver
from xops.finops.focus.columns import Version
from xops.finops.focus.requirement import Keyword, Requirement


class State(StrEnum):
    """What became of a rule."""

    HELD = "held"
    VIOLATED = "violated"
    WAIVED = "waived"
    """Broken only where the provider says itself that its exports do."""
    NOT_RUN = "not run"
    """It applies, and nobody can tell."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Example:
    """Where a rule is broken.

    Attributes:
        row: of the file, from 1, the header not counted.
        value: what stands there; for groups, their keys and what they have.
    """

    file: str | None = None
    row: int | None = None
    value: str | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.row) if part is not None)
        shown = "null" if self.value is None else self.value
        if self.row is None:
            return " ".join(part for part in (where, self.value) if part)
        return f"{where} {shown}"


@dataclass(frozen=True)
class Checked:
    """One rule and what became of it.

    Attributes:
        violations: how many break it, those that are waived not counted.
        unit: what is counted.
        first: the first one that breaks it, waived or not.
        why: it was not run or does not apply.
    """

    rule: Requirement
    state: State
    violations: int = 0
    unit: str = "rows"
    first: Example | None = None
    why: str = ""
    waived: int = 0
    waivers: tuple[Waiver, ...] = ()

    @property
    def is_must(self) -> bool:
        """Whether a dataset has to keep to it."""
        return self.rule.keyword is Keyword.MUST

    def to_json(self) -> dict[str, Any]:
        """The rule and its outcome; what says nothing is left out."""
        shown: dict[str, Any] = {
            "rule": self.rule.id,
            "column": self.rule.column,
            "keyword": str(self.rule.keyword),
            "text": self.rule.text,
            "state": str(self.state),
        }
        if self.state in {State.VIOLATED, State.WAIVED}:
            shown |= {"violations": self.violations, "waived": self.waived, "unit": self.unit}
            shown |= {"first": None if self.first is None else vars(self.first)}
        if self.waivers:
            shown["waivers"] = [one.model_dump(mode="json") for one in self.waivers]
        if self.why:
            shown["why"] = self.why
        return shown


@dataclass(frozen=True)
class Validation:
    """A dataset's outcome.

    Attributes:
        guessed: whether the version is the one whose columns were found.
    """

    files: tuple[str, ...]
    rows: int
    version: Version
    guessed: bool
    checked: tuple[Checked, ...]

    def of(self, *states: State, must: bool = True) -> list[Checked]:
        """The rules in those states; those that are advice with `must=False`."""
        return [one for one in self.checked if one.state in states and one.is_must is must]

    @property
    def violated(self) -> list[Checked]:
        """What the dataset has to keep to and does not."""
        return self.of(State.VIOLATED)

    @property
    def waived(self) -> list[Checked]:
        """What is broken where the provider says so itself, with or without other places."""
        return [one for one in self.checked if one.waived]

    @property
    def advice(self) -> list[Checked]:
        """What it should keep to and does not."""
        return self.of(State.VIOLATED, State.WAIVED, must=False)

    @property
    def not_run(self) -> list[Checked]:
        """What applies and nobody can tell."""
        return self.of(State.NOT_RUN)

    @property
    def score(self) -> float | None:
        """The share of what it has to keep to and was run that it keeps to; None: nothing was."""
        return _score(self.checked) if self.rows else None

    def scores(self) -> dict[str, float | None]:
        """The score of each column, in the order of their names."""
        columns = dict.fromkeys(one.rule.column for one in self.checked)
        return {
            name: _score([one for one in self.checked if one.rule.column == name])
            if self.rows
            else None
            for name in columns
        }

    def to_json(self) -> dict[str, Any]:
        """Everything but the rules that hold, of which there is the number."""
        told = [one for one in self.checked if one.state not in {State.HELD, State.NOT_APPLICABLE}]
        return {
            "files": list(self.files),
            "rows": self.rows,
            "version": str(self.version),
            "version_guessed": self.guessed,
            "conforms": None if self.not_run and not self.violated else not self.violated,
            "score": self.score,
            "counts": {
                str(state): sum(one.state is state for one in self.checked) for state in State
            },
            "columns": self.scores(),
            "rules": [one.to_json() for one in told],
        }


def _score(checked: list[Checked] | tuple[Checked, ...]) -> float | None:
    run = {State.HELD, State.VIOLATED, State.WAIVED}
    counted = [one for one in checked if one.is_must and one.state in run]
    if not counted:
        return None
    held = sum(one.state is State.HELD for one in counted)
    return round(held / len(counted), 4)
