"""One world for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flows.pull_requests import World, opened_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path) as found:
        yield found
