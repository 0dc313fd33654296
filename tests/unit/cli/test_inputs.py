"""Days that a person gives."""

from datetime import date

import pytest

from xops.cli.inputs import parse_day
from xops.core.errors import InputError


def test_a_day() -> None:
    assert parse_day("--as-of", "2026-03-16") == date(2026, 3, 16)


@pytest.mark.parametrize("text", ["", "today", "2026-02-30", "1999-12-31", "2100-01-01"])
def test_no_day(text: str) -> None:
    with pytest.raises(InputError, match=r"argument --as-of: '.*' is no"):
        parse_day("--as-of", text)
