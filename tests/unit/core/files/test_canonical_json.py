"""The canonical form never changes: histories written by earlier releases are verified with it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xops.core.files.canonical_json import canonical_json, digest_of

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=10)
VALUES = (
    LEAVES
    | st.lists(LEAVES, max_size=3)
    | st.dictionaries(st.text(max_size=5), LEAVES | st.lists(LEAVES, max_size=3), max_size=3)
)


def test_the_form_is_the_one_that_histories_were_written_with() -> None:
    assert canonical_json({"ü": [1, None, True], "a": {}}) == '{"a":{},"ü":[1,null,true]}'
    assert digest_of({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_the_order_of_keys_does_not_matter(values: dict[str, Any]) -> None:
    assert digest_of(values) == digest_of(dict(reversed(values.items())))
