"""Markers stand for values that are hidden or unknown, and no data can pass for one."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.plans import JSON, TEXT
from tests.soak import examples
from xops.core.plan.values import (
    as_data,
    escape,
    fingerprint_of,
    hidden,
    is_hidden,
    is_same,
    is_unknown,
    references_of,
    unknown,
)


def test_markers_are_told_apart() -> None:
    assert fingerprint_of(hidden("f")) == "f"
    assert references_of(unknown(["b", "a", "b"])) == ("a", "b")
    assert (is_hidden(hidden("f")), is_unknown(hidden("f"))) == (True, False)
    assert (is_hidden(unknown()), is_unknown(unknown())) == (False, True)


@pytest.mark.parametrize("forged", [hidden("f"), unknown(), {"$$hidden": "f"}, {"$": 1}], ids=str)
def test_data_cannot_be_forged_into_a_marker(forged: dict[str, Any]) -> None:
    put = as_data(forged)

    assert not is_hidden(put)
    assert not is_unknown(put)


@examples(30)
@given(JSON)
def test_no_data_is_a_marker(value: Any) -> None:
    put = as_data(value)

    assert not any(look(put) for look in (is_hidden, is_unknown))


def test_data_stands_in_a_plan_as_it_is_but_for_keys_that_could_make_a_marker() -> None:
    data = {"a": [{"$b": (1, None)}, "$text"], 5: True}

    assert as_data(data) == {"a": [{"$$b": [1, None]}, "$text"], "5": True}


@examples(30)
@given(TEXT, TEXT)
def test_two_keys_of_data_stay_two(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) is (one == other)


@examples(30)
@given(JSON, JSON)
def test_two_values_are_the_same_if_their_json_is(one: Any, other: Any) -> None:
    texts = [json.dumps(each, sort_keys=True) for each in (one, other)]

    assert is_same(one, other) is (texts[0] == texts[1])
    assert is_same(one, json.loads(texts[0]))


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), ([], {})])
def test_what_python_takes_for_equal_is_not_the_same(one: Any, other: Any) -> None:
    for wrapped in ((one, other), ([one], [other]), ({"a": one}, {"a": other})):
        assert not is_same(*wrapped)
