"""What a route may say."""

import pytest
from pydantic import JsonValue

from xops.github.route_rules import wrong_fields, wrong_paths


def test_an_unknown_field_is_found_at_its_place_with_those_that_there_are() -> None:
    request: JsonValue = {"rows": ["{id}", "{pullrequest}"]}
    parameters = {"request": request, "n": 1, "none": None}
    [(loc, text)] = wrong_fields(parameters)
    assert loc == ("request", "rows", 1)
    assert text.startswith("'pullrequest' is no field of a delivery; those are action, after,")


@pytest.mark.parametrize("text", ["#{number}", "{number} ", "{id}{number}", "x {number} y"])
def test_a_field_within_a_text_is_refused_instead_of_being_sent_as_it_stands(text: str) -> None:
    [(loc, problem)] = wrong_fields({"title": text})
    assert loc == ("title",)
    assert "a field is a whole value" in problem


@pytest.mark.parametrize("text", ["", "text", "{}", "{ number }", "{{x}", "a } b {", "{number}"])
def test_other_texts_stand_for_themselves(text: str) -> None:
    found = [problem for _, problem in wrong_fields({"x": text})]
    assert found == (["'x' is no field"] if text == "{{x}" else []) or "no field" in found[0]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("terraform/", ""),
        ("**/*.tf", ""),
        ("!docs/", ""),
        ("", "matches nothing"),
        ("# a comment", "matches nothing"),
        ("a\nb", "one line"),
        ("x" * 600, "one line"),
        ("!", "no pattern"),
    ],
)
def test_a_pattern_that_would_never_match_is_refused(pattern: str, problem: str) -> None:
    found = list(wrong_paths(["ok/", pattern]))
    assert [loc for loc, _ in found] == ([(1,)] if problem else [])
    assert all(problem in text for _, text in found)
