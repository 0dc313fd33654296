"""Destroy Stream 1 of one environment: always through the gate."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.stream1 import EcsRequest, run_stream1


@flow(
    name="destroy-ecs",
    flow_run_name="destroy-ecs-{request.environment}",
    description="Remove one environment of Stream 1. Always waits for an approval.",
)
def destroy_ecs(request: EcsRequest = EcsRequest(), apply: bool = False) -> State[Any]:  # noqa: B008
    """Remove one environment of Stream 1; its state's bucket and evidence stay.

    Args:
        request: which environment, and where.
        apply: False shows what would be destroyed and stops there.
    """
    return run_stream1(request, apply=apply, destroy=True)
