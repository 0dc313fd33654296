"""A store in a folder of the test's own, and S3 where a test wants it."""

from pathlib import Path

import pytest

from tests.embedded_aws import client, endpoint
from xops.finops.store.cost_store import CostStore

__all__ = ["client", "endpoint"]


@pytest.fixture
def store(tmp_path: Path) -> CostStore:
    return CostStore.open(tmp_path / "store")
