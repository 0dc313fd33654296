"""How often what depends on chance is tried: once in CI, many times in `make soak`."""

import os

from hypothesis import settings

ROUNDS = int(os.environ.get("XOPS_SOAK", "1"))
"""Tests marked `soak` run so many times, and property tests on so many times their examples."""


def examples(count: int) -> settings:
    """Hypothesis' setting for a test that is to see fewer or more examples than most."""
    return settings(max_examples=count * ROUNDS)
