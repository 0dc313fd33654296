"""JSON from outside, within bounds: depth, count of values, finite numbers, each key once."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from xops.core.files.reading import UnusableTextError

MOST_LEVELS = 64
MOST_VALUES = 1_000_000
_MOST_DIGITS = 400
_HALF = re.compile(r"\\u[dD][89abAB]", re.ASCII)
"""Half of a character: alone it is no text, and nothing could write it."""


def parse_json(text: str | bytes) -> Any:
    """The values of a JSON text.

    Raises:
        UnusableTextError: it is no JSON, or exceeds a bound; says nothing of its content.
    """
    content = _as_text(text)
    # Commas within texts are counted as well: the bound is far from what any of our files has.
    if sum(map(content.count, ",[{")) > MOST_VALUES:
        raise UnusableTextError(f"holds more than {MOST_VALUES} values")
    try:
        values = _DECODER.decode(content)
    except UnusableTextError:
        raise
    except json.JSONDecodeError as error:
        raise UnusableTextError(f"not JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # a number of thousands of digits
        raise UnusableTextError("not JSON: a number has too many digits") from None
    _check_levels(values)
    _check_characters(content, values)
    return values


def _as_text(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise UnusableTextError("cannot be read: it is no text in UTF-8") from None


def _check_levels(values: Any) -> None:
    level = [values]
    for _ in range(MOST_LEVELS + 1):
        lists = [one for one in level if isinstance(one, list)]
        mappings = [one for one in level if isinstance(one, dict)]
        if not lists and not mappings:
            return
        level = [inner for one in lists for inner in one]
        level += [inner for one in mappings for inner in one.values()]
    raise _too_deep()


def _check_characters(content: str, values: Any) -> None:
    if "\\u0000" in content:
        raise UnusableTextError("holds the character NUL")
    if _HALF.search(content):
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise UnusableTextError("holds half of a character") from None


def _too_deep() -> UnusableTextError:
    return UnusableTextError(f"is nested deeper than {MOST_LEVELS} levels")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise UnusableTextError("a key is given twice")
    return values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnusableTextError("holds a number that is not finite")
    return number


def _short(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise UnusableTextError(f"holds a number of more than {_MOST_DIGITS} digits")
    return int(text)


def _no_constant(name: str) -> float:
    raise UnusableTextError(f"holds {name}, which is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_key_twice,
    parse_float=_finite,
    parse_int=_short,
    parse_constant=_no_constant,
)
