"""What facts say of engineers: new files, old files, and files that contradict themselves."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from xops.triggers.facts import Bounds, Engineers, LeftOut, People
from xops.triggers.measure.team import without_people


def test_engineers_of_a_facts_file_of_before_are_read() -> None:
    old: dict[str, Any] = {
        "days28": 4, "days90": None, "roster": 3, "reason": "not read so far back",
        "people": [{"name": "Ann", "identities": ["ann"], "last_seen": "2026-11-20"}],
    }  # fmt: skip
    found = Engineers.model_validate_json(json.dumps(old))
    assert (found.measured("days28"), found.measured("days90")) == (4, None)
    assert found.people == (People(name="Ann", identities=("ann",), last_seen=date(2026, 11, 20)),)
    assert (found.bounds, found.left_out, found.left_out_more) == ({}, (), 0)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"days28": 3, "bounds": {"days28": {"at_least": 2, "at_most": 4}}}, "bounds.days28"),
        ({"bounds": {"roster": {"at_least": 2}}}, "roster"),
        ({"bounds": {"days28": {"at_least": 4, "at_most": 2}}}, "at_most"),
        ({"left_out": [{"name": "ci", "why": ""}]}, "left_out.0.why"),
        ({"left_out_more": -1}, "left_out_more"),
    ],
)
def test_bounds_that_contradict_are_refused(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Engineers.model_validate_json(json.dumps(given))
    places = [".".join(map(str, one["loc"])) for one in refused.value.errors()]
    assert any(wrong in place for place in places)


def test_earlier_weeks_keep_the_counts_and_leave_the_people_out() -> None:
    full = Engineers(
        bounds={"days28": Bounds(at_least=1, at_most=2)},
        people=(People(name="Ann", doubtful="is on no account, may be Bob"),),
        left_out=(LeftOut(name="ci", why="a machine: ci is a name that machines have"),),
        left_out_more=3,
    )
    short = without_people(full)
    assert (short.people, short.left_out, short.left_out_more) == (None, (), 0)
    assert short.bounds == full.bounds
