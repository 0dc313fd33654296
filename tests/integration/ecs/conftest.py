"""The embedded AWS as a process of its own, on a free port."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.embedded_aws import control, endpoint, reaching
from xops.aws.access import Aws
from xops.aws.target import Target

__all__ = ["aws", "endpoint", "fault", "no_faults"]


@pytest.fixture
def aws(endpoint: str) -> Aws:
    return Aws(Target.EMBEDDED, "ap-southeast-2", reaching(endpoint))


@pytest.fixture
def fault(endpoint: str) -> Iterator[Callable[..., None]]:
    """`fault(service=..., operation=..., error=..., status=...)`: its next calls fail so."""
    routes = control(endpoint)

    def add(**values: Any) -> None:
        routes.post("/xops/faults", json=[{"times": 100, **values}]).raise_for_status()

    yield add
    routes.delete("/xops/faults").raise_for_status()


@pytest.fixture
def no_faults(endpoint: str) -> Callable[[], None]:
    """`no_faults()`: those that have not happened yet are forgotten."""
    routes = control(endpoint)

    def forget() -> None:
        routes.delete("/xops/faults").raise_for_status()

    return forget
