"""How often what depends on chance is tried: once in CI, many times in `make soak`."""

import os

from hypothesis import settings

ROUNDS = int(os.environ.get("XOPS_SOAK", "1"))
"""Tests marked `soak` run so many times, and property tests on so many times their examples."""

SHARE = float(os.environ.get("XOPS_EXAMPLES", "1"))
"""The share of their examples that property tests try: a part of them in `make unit` and `make
check`, which are to answer at once; all in `make test` and in CI."""


def examples(count: int) -> settings:
    """Hypothesis' setting for a test that is to see fewer or more examples than most."""
    return settings(max_examples=max(1, round(count * ROUNDS * SHARE)))
