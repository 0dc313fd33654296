"""What tests of every kind share, and how they are bounded and spread over workers."""

import re
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.waiting import Eventually, look_until_found

TESTS = Path(__file__).parent

LIMITS = {"unit": 10, "contract": 60, "integration": 120, "e2e": 120}
"""Seconds that a test of a layer may take, without the start of what it shares with others.

A test that needs more says so with a mark of its own; the rig goes by the general limit.
"""

_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")

# A busy machine is no fault of the rule under test.
settings.register_profile(
    "xops", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("xops")


def pytest_configure() -> None:
    """Hear SIGINT where a shell has started the suite with it ignored (`nohup make test &`).

    What is ignored is ignored by every child as well: tests that interrupt one would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit each test by its layer, and refuse ids that differ from process to process."""
    if told := [item.nodeid for item in items if _ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"an object's address is in the id: give it one of its own: {told}")
    for item in items:
        limit = LIMITS.get(layer_of(item))
        if limit and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(limit, func_only=True))


def layer_of(item: pytest.Item) -> str:
    """The folder directly below `tests` that it is in."""
    return item.path.relative_to(TESTS).parts[0]


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """`eventually(look)` waits for `look()` to be true and returns what it returned."""
    return look_until_found
