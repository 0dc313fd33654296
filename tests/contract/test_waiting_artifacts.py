"""A record that waits on the Prefect server comes back as it was, whatever stands in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import HOSTILE, as_html
from tests.soak import examples
from xops.prefect_server.evidence import as_block, read_block


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_others_wrote_comes_back_and_is_no_markup(text: str) -> None:
    block = as_block(text, text)

    assert read_block(block) == {"name": text, "content": text}
    assert as_html(block).tags == ["pre", "code"]


@examples(100)
@given(st.text(), st.text())
def test_any_record_comes_back(name: str, content: str) -> None:
    assert read_block(as_block(name, content)) == {"name": name, "content": content}
