"""Plans of every shape, for property tests."""

from typing import Any

from hypothesis import strategies as st

from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import escape, hidden, unknown

KEY = FingerprintKey("the key of one installation of xOps, and of no other")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)

# Few texts, so that two values are often nearly the same; each could be taken for another's line.
_WORDS = st.sampled_from(
    ["", "a", "b", "1", "a: 1", "a\nb", "a\nb ", "a\r\nb", "a: 1\nb: 2\n", "b: 2\na: 1\n",
     "a: &x 1\nb: *x\n", '{"a":1}', '{"a": 1}', '{"a":1,"a":1}', "[1]", "[1,2]", "\\x1b", "\x1b",
     "\\u202e", "\u202e", "| a", "(hidden, f)", "(none)", "(known after apply)", '"a"', "null",
     '{"$hidden":"f"}', "\u2028", "a\n\\x20", "a\n ", "é", "e\u0301"]
)  # fmt: skip
_KEYS = st.sampled_from(["a", "b", "a.b", "", "a[0]", "$hidden", "$unknown", "$$a", "\u202e", "é"])
_MARKERS = st.sampled_from([hidden("f" * 64), hidden("e" * 64), unknown(), unknown(["a.id"])])
_NUMBERS = st.sampled_from([0, 1, 2, True, False, 1.0, -0.0, 10**20])
VALUES = st.recursive(
    st.none() | _NUMBERS | _WORDS | TEXT | _MARKERS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries((_KEYS | TEXT).map(escape), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Values as a planner makes them: with markers, and keys of data that are none."""

MAPPINGS = st.dictionaries((_KEYS | TEXT).map(escape), VALUES, min_size=1, max_size=3)


def _change(action: Action, before: Any, after: Any, **values: Any) -> Change:
    return Change(
        action=action,
        before=None if action is Action.CREATE else before,
        after=None if action is Action.DELETE else after,
        **values,
    )


CHANGES = st.builds(
    _change,
    action=st.sampled_from(Action),
    target=st.sampled_from(["a", "b", "aws_ecs_service.crew"]) | TEXT,
    before=VALUES | MAPPINGS,
    after=VALUES | MAPPINGS,
    reason=TEXT,
    disposable=st.booleans(),
    stage=st.sampled_from(["", "servers", "agents"]),
)
INPUTS = st.dictionaries(TEXT, TEXT, max_size=3)


def distinct(changes: list[Change]) -> tuple[Change, ...]:
    """One change a target, as planners make them."""
    return tuple({change.target: change for change in changes}.values())


def _cost(before: list[Any], after: list[Any], unpriced: list[str], budget: Any) -> CostEffect:
    ranges = [
        CostRange(low=low, expected=expected, high=high)
        for low, expected, high in (sorted(before), sorted(after))
    ]
    return CostEffect(before=ranges[0], after=ranges[1], unpriced=tuple(unpriced), budget=budget)


AMOUNTS = st.decimals(0, 10_000, places=2, allow_nan=False).map(lambda each: Money(amount=each))
COSTS = st.builds(
    _cost,
    before=st.lists(AMOUNTS, min_size=3, max_size=3),
    after=st.lists(AMOUNTS, min_size=3, max_size=3),
    unpriced=st.lists(TEXT, max_size=2),
    budget=st.none() | AMOUNTS,
)
PLANS = st.builds(
    Plan,
    subject=st.just("ecs/prod"),
    target=st.sampled_from(["embedded", "aws"]),
    changes=st.lists(CHANGES, max_size=4).map(distinct),
    follows=st.lists(CHANGES, max_size=2).map(distinct),
    inputs=INPUTS,
    key=st.just(KEY.id),
    warnings=st.lists(TEXT, max_size=2).map(tuple),
    cost=st.none() | COSTS,
)
