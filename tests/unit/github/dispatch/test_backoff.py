"""How long is waited before something is tried again."""

import random

from hypothesis import given
from hypothesis import strategies as st

from xops.github.dispatch.backoff import Backoff


@given(
    failures=st.integers(-5, 10_000),
    asked=st.floats(0, 10_000),
    seed=st.integers(),
)
def test_a_wait_is_never_longer_than_the_ceiling_and_never_none(
    failures: int, asked: float, seed: int
) -> None:
    backoff = Backoff(first=1.0, ceiling=60.0, chance=random.Random(seed))  # noqa: S311
    wait = backoff.seconds(failures, asked)
    assert 0.5 <= wait <= 60.0
    assert wait >= min(asked, 60.0)


def test_waits_double_up_to_the_ceiling_and_differ_by_chance() -> None:
    backoff = Backoff(first=1.0, ceiling=8.0, chance=random.Random(1))  # noqa: S311
    waits = [[backoff.seconds(failures) for failures in range(1, 7)] for _ in range(20)]
    for longest, seen in zip([1, 2, 4, 8, 8, 8], zip(*waits, strict=True), strict=True):
        assert all(longest / 2 <= wait <= longest for wait in seen)
        assert len(set(seen)) > 10
