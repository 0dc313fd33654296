"""The embedded AWS as a process of its own, on a free port."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.embedded_aws import endpoint
from xops.aws.access import Aws
from xops.aws.target import Target

__all__ = ["aws", "endpoint", "fault", "no_faults"]


@pytest.fixture
def aws(endpoint: str) -> Aws:
    return Aws(Target.EMBEDDED, "ap-southeast-2", {"XOPS_AWS_ENDPOINT": endpoint})


@pytest.fixture
def fault(endpoint: str) -> Iterator[Callable[..., None]]:
    """`fault(service=..., operation=..., error=..., status=...)`: its next calls fail so."""

    def add(**values: Any) -> None:
        httpx.post(f"{endpoint}/xops/faults", json=[{"times": 100, **values}]).raise_for_status()

    yield add
    httpx.delete(f"{endpoint}/xops/faults").raise_for_status()


@pytest.fixture
def no_faults(endpoint: str) -> Callable[[], None]:
    """`no_faults()`: those that have not happened yet are forgotten."""

    def forget() -> None:
        httpx.delete(f"{endpoint}/xops/faults").raise_for_status()

    return forget
