"""What tests of every kind share."""

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault of the rule under test.
settings.register_profile(
    "xops", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("xops")


def _eventually[Found](look: Callable[[], Found], seconds: float = 20.0) -> Found:
    """Look until there is something to be seen; fail loudly, and never by waiting too short."""
    give_up = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > give_up:
            pytest.fail(f"not seen within {seconds:.0f} s; the last look gave {found!r}")
        time.sleep(0.01)
    return found


@pytest.fixture(scope="session")
def eventually() -> Callable[..., object]:
    """`eventually(look)` waits for `look()` to be true and returns what it returned."""
    return _eventually
