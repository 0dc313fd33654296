"""What tests of every kind share, and how they are limited and spread over workers."""

import os
import re
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.soak import ROUNDS, examples
from tests.waiting import PATIENCE, Eventually, look_until_found

TESTS = Path(__file__).parent

LIMITS = {"unit": 10, "contract": 60, "integration": 120, "e2e": 120}
"""Seconds that a test of a layer may take, without the start of what it shares with others.

A test that needs more says so with a mark of its own; the rig goes by the general limit.
"""

SERVERS = {"endpoint", "embedded", "postgres"}
"""Fixtures that start a server once a session, for all tests of a folder: these are a group."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
_LONGEST_VALUE = 60
_LONGEST_ID = 400
_LINES_AT_ONCE, _MOST_AT_ONCE = 4, 600  # of a failure's message, in the line written at once

# A busy machine is no fault of the rule under test.
settings.register_profile(
    "xops",
    examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("xops")


class FailuresAtOnce:
    """Names each failure when it happens: a long run that is cut off has said what it found."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line with the moment, the test, the phase and the end of what was wrong."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if not report.failed or terminal is None:
            return
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        crash = getattr(report.longrepr, "reprcrash", None)
        said = (crash.message if crash else report.longreprtext).strip().splitlines()
        terminal.write_line(
            f"\n{minutes}:{seconds:02} {report.nodeid} failed in {report.when}"
            f" after {report.duration:.0f} s: {' / '.join(said[:_LINES_AT_ONCE])[:_MOST_AT_ONCE]}"
        )


def pytest_configure(config: pytest.Config) -> None:
    """Name failures at once, and hear SIGINT where a shell has started the suite with it ignored.

    What is ignored (`nohup make test &`) is ignored by every child as well: tests that interrupt
    one would wait for ever.
    """
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(config))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


OPTIONAL = {
    "XOPS_TEST_SPARK": "the queries of cost reports on Spark",
    "XOPS_TEST_TRINO": "the queries of cost reports on Trino",
}
"""Variables without which tests of integration are not there: nobody has to have what they name."""


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say in a line each what was left out."""
    folders = {Path(argument).resolve() for argument in config.args}
    if not folders & {TESTS, TESTS / "integration", TESTS / "integration" / "finops"}:
        return
    for variable, what in OPTIONAL.items():
        if variable not in os.environ:
            terminalreporter.write_line(f"left out: {what} ({variable} is not set)")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a long value by its beginning and its length.

    Every worker sends every id several times: one of two megabytes costs more than its test. Bytes
    may hold the hour they were packed at, which is another one in the next worker.
    """
    if isinstance(val, bytes) and len(val) > _LONGEST_VALUE:
        return f"{len(val)} bytes"
    if isinstance(val, str) and len(val) > _LONGEST_VALUE:
        return f"{ascii(val[:_LONGEST_VALUE])[1:-1]}... {len(val)}"
    return None


# First, since pytest-xdist reads the groups in its own.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its layer's limit and its group; refuse ids that differ between processes."""
    if told := [item.nodeid for item in items if _ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"an object's address is in the id: give it one of its own: {told}")
    if long := [item.nodeid[:120] for item in items if len(item.nodeid) > _LONGEST_ID]:
        raise pytest.UsageError(
            f"the id is over {_LONGEST_ID} long: give it one of its own: {long}"
        )
    for item in items:
        layer, *inside = item.path.relative_to(TESTS).with_suffix("").parts
        _limit(item, layer)
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(_group(item, layer, inside)))


def _limit(item: pytest.Item, layer: str) -> None:
    """The limit that a test has of its own, or else its layer's: longer where all is waited for
    longer (XOPS_PATIENCE)."""
    if own := item.get_closest_marker("timeout"):
        limit = pytest.mark.timeout(own.args[0] * PATIENCE, *own.args[1:], **own.kwargs)
    elif layer in LIMITS:
        limit = pytest.mark.timeout(LIMITS[layer] * ROUNDS * PATIENCE, func_only=True)
    else:
        return
    item.add_marker(limit, append=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what is marked `soak`."""
    if ROUNDS > 1 and next(metafunc.definition.iter_markers("soak"), None):
        metafunc.fixturenames.append("soak_round")
        metafunc.parametrize("soak_round", range(ROUNDS))


def _group(item: pytest.Item, layer: str, inside: list[str]) -> str:
    """What runs one after the other on one worker: the tests of a server, of the rig, of a file."""
    shared = sorted(SERVERS.intersection(getattr(item, "fixturenames", ())))
    return ".".join([layer, *inside[:-1], *shared] if shared else [layer, *inside])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """With XOPS_REQUIRE_ALL what would be skipped has failed: something is missing here."""
    report = yield
    if report.skipped and os.environ.get("XOPS_REQUIRE_ALL") and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr
        report.outcome, report.longrepr = "failed", f"XOPS_REQUIRE_ALL is set. {reason}"
    return report


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """`eventually(look)` waits for `look()` to be true and returns what it returned."""
    return look_until_found
