"""Facts: weeks on the clocks of a zone, and everything that is wrong with a file at once."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.triggers.samples import MONDAY, WEEK, document, facts, mandate, week
from xops.core.errors import InputError
from xops.triggers.facts import SCHEMA, Facts, last_week, schema, week_bounds, week_of

SYDNEY = ZoneInfo("Australia/Sydney")


def write(tmp_path: Path, values: dict[str, Any]) -> Path:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return file


def problems(tmp_path: Path, **values: Any) -> dict[str, str]:
    with pytest.raises(InputError) as caught:
        Facts.load(write(tmp_path, document([1, 2], **values)))
    assert all(finding.line for finding in caught.value.findings)
    return {finding.path: finding.message for finding in caught.value.findings}


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = facts([1, None, 6], mandates=[mandate("2026-01-01", "2027-01-01")])
    file = tmp_path / "facts.json"
    file.write_text(made.to_json(), encoding="utf-8")
    assert Facts.load(file) == made
    assert Facts.load(file).digest == made.digest


def test_yaml_will_do(tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(
        "{apiVersion: xops/v1, generated_at: 2026-03-16T06:00:00Z, as_of: 2026-03-16,"
        " timezone: Australia/Sydney, source: me,"
        " weeks: [{start: 2026-03-09, iac_prs: 6}]}"
    )
    assert Facts.load(file).weeks[0].iac_prs == 6


def test_a_variable_of_the_environment_changes_no_fact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE", "elsewhere")
    file = tmp_path / "facts.yaml"
    file.write_text(json.dumps(document([1])) + "\n# YAML")
    assert Facts.load(file).source == "test"


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        weeks=[
            {"start": "2025-09-16", "iac_prs": 1},
            {"start": "2025-09-15", "iac_prs": None},
            {"start": "2025-09-15", "iac_prs": 3, "complete": False},
            {"start": "2025-09-15", "iac_prs": -1},
        ],
        timezone="Mars/Base",
        mandates=[mandate("2026-01-01", "2026-01-01"), mandate("2026-01-01", "2027-01-01",
                  valid=False), {"kind": "third_cloud"}],
        oops=1,
    )  # fmt: skip
    assert "starts on its Monday, 2025-09-15" in found["weeks.0.start"]
    assert "set complete to false" in found["weeks.1.iac_prs"]
    assert "must be null" in found["weeks.2.iac_prs"]
    assert "say why" in found["weeks.2.reason"]
    assert "weeks.3.iac_prs" in found
    assert "IANA" in found["timezone"]
    assert "must be after effective_from" in found["mandates.0.expires"]
    assert "say why" in found["mandates.1.reason"]
    assert "mandates.2.kind" in found
    assert found["oops"] == "is not a known key"


def test_weeks_given_twice_or_not_over_are_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, weeks=[week(0, 1), week(1, 2), week(0, 3), week(2, 4)])
    assert found == {
        "weeks.2.start": "the week of 2025-09-15 is given twice",
        "weeks.3.start": "the week of 2025-09-29 is not over on 2025-09-29 (as_of)",
    }


def test_evidence_of_another_week_is_refused(tmp_path: Path) -> None:
    # In Sydney it is Monday already.
    merged = {"repository": "a/b", "number": 1, "url": "u", "merged_at": "2025-09-21T14:00:00Z"}
    found = problems(tmp_path, weeks=[week(0, 1, pull_requests=[merged])])
    assert found == {
        "weeks.0.pull_requests.0.merged_at": "lies in the week of 2025-09-22 in Australia/Sydney,"
        " not of 2025-09-15"
    }


def test_a_key_given_twice_is_noticed_in_json_too(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(document([1]))[:-1] + ', "source": "b"}')
    with pytest.raises(InputError, match="source: given twice"):
        Facts.load(file)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "facts.json").write_text(text)
    with pytest.raises(InputError):
        Facts.load(tmp_path / "facts.json")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Facts.load(tmp_path / "facts.json")


@pytest.mark.parametrize(
    ("monday", "hours"),
    [
        (date(2026, 3, 30), 169),  # clocks are put back on 5 April 2026
        (date(2026, 4, 6), 168),
        (date(2026, 9, 28), 167),  # and forward on 4 October
    ],
)
def test_weeks_have_the_hours_of_the_clock_on_the_wall(monday: date, hours: int) -> None:
    start, end = (instant.astimezone(UTC) for instant in week_bounds(monday, SYDNEY))
    assert end - start == timedelta(hours=hours)


@examples(25)
@given(st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001 - made aware below
def test_every_instant_lies_in_one_week(instant: datetime) -> None:
    instant = instant.replace(tzinfo=UTC)
    start, end = week_bounds(week_of(instant, SYDNEY), SYDNEY)
    assert start <= instant < end
    assert week_bounds(week_of(instant, SYDNEY) + WEEK, SYDNEY)[0] == end


@pytest.mark.parametrize(
    ("as_of", "monday"),
    [
        ("2026-03-15", "2026-03-02"),  # on Sunday the week is not over
        ("2026-03-16", "2026-03-09"),
        ("2026-03-22", "2026-03-09"),
        ("2027-01-04", "2026-12-28"),  # ISO week 53 of 2026
        ("2021-01-04", "2020-12-28"),  # and of 2020
    ],
)
def test_the_last_week_that_is_over(as_of: str, monday: str) -> None:
    assert str(last_week(date.fromisoformat(as_of))) == monday


def test_week_53_follows_week_52_and_comes_before_week_1() -> None:
    weeks = [date(2026, 12, 21) + WEEK * n for n in range(3)]
    assert [day.isocalendar().week for day in weeks] == [52, 53, 1]
    found = facts(as_of="2027-01-11", weeks=[{"start": str(d), "iac_prs": 6} for d in weeks])
    assert [row.start for row in found.weeks] == weeks


def test_counts_of_engineers_that_differ_are_told() -> None:
    found = facts([1], engineers=4).engineers
    assert found
    assert found.disagreement() == ""
    other = found.model_copy(update={"roster": 5})
    assert other.disagreement() == "days28 4, roster 5"
    assert other.measured("days90") is None


def test_the_published_schema_is_the_models() -> None:
    assert SCHEMA.read_text() == schema(), "python -m xops.triggers.facts > the file"


def test_mondays_are_mondays() -> None:
    assert MONDAY.weekday() == 0
