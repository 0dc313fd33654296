"""Every rule can fail: it finds the row that was spoiled for it, and none of the good ones."""

from pathlib import Path

import pytest

from tests.unit.finops.focus.datasets import CLEAN, NAMES, write_csv
from tests.unit.finops.focus.mutations import spoil
from xops.finops.focus.columns import Version
from xops.finops.focus.requirement import Presence, RowRule
from xops.finops.focus.rules import LATER, rules_of
from xops.finops.focus.source import ROW, open_exports
from xops.finops.focus.validation import Case, validate

RULES = rules_of(Version.V1_2)
ROW_RULES = [rule for rule in RULES if isinstance(rule, RowRule)]
ROWS = [*CLEAN, *map(spoil, ROW_RULES)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """The rows that break each rule, of the good ones and one spoiled for each rule."""
    file = write_csv(tmp_path_factory.mktemp("focus") / "spoiled.csv", ROWS)
    with open_exports([file]) as (engine, _):
        asked = ", ".join(f"list({ROW}) FILTER (WHERE {one.violation})" for one in ROW_RULES)
        lists = engine.execute(f"SELECT {asked} FROM charges_and_texts").fetchall()[0]  # noqa: S608
    return {rule.id: rows or [] for rule, rows in zip(ROW_RULES, lists, strict=True)}


def _is_of_text(rule: RowRule) -> bool:
    """Whether a CSV file can hold what breaks it: a string is a string there, whatever it is."""
    return not (rule.id.endswith(".type") and "text" not in rule.violation)


@pytest.mark.parametrize(
    "rule", [rule for rule in ROW_RULES if _is_of_text(rule)], ids=lambda rule: rule.id
)
def test_a_row_that_was_spoiled_for_a_rule_breaks_it(
    rule: RowRule, found: dict[str, list[int]]
) -> None:
    assert len(CLEAN) + ROW_RULES.index(rule) + 1 in found[rule.id]


def test_good_rows_break_no_rule(found: dict[str, list[int]]) -> None:
    good = range(1, len(CLEAN) + 1)
    assert {rule for rule, rows in found.items() if set(rows) & set(good)} == set()


def test_every_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("x_Operation\n")
    outcome = validate(Case([file], version=Version.V1_2))
    missing = [one for one in outcome.checked if isinstance(one.rule, Presence)]
    assert [one.rule.column for one in missing] == sorted(NAMES)
    assert {str(one.state) for one in missing if one.is_must} == {"violated"}
    assert {str(one.first) for one in missing} == {str(file)}


def test_what_was_asked_later_is_not_asked_of_an_earlier_version() -> None:
    ids = {version: {rule.id for rule in rules_of(version)} for version in Version}
    assert LATER.keys() <= ids[Version.V1_2]
    assert ids[Version.V1_0].isdisjoint(LATER)
    assert ids[Version.V1_0] < ids[Version.V1_1] < ids[Version.V1_2]


def test_no_two_rules_have_one_name() -> None:
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))
