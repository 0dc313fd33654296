"""Provision Stream 1: plan, gate, apply, verify, record."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.stream1 import EcsRequest, run_stream1


@flow(
    name="provision-ecs",
    flow_run_name="provision-ecs-{request.environment}",
    description="Bring one environment of Stream 1 to what its file says. Plans only unless told.",
)
def provision_ecs(request: EcsRequest = EcsRequest(), apply: bool = False) -> State[Any]:  # noqa: B008
    """Bring one environment of Stream 1 to what its file says.

    Args:
        request: which environment, and where.
        apply: False shows the plan and stops there.
    """
    return run_stream1(request, apply=apply, destroy=False)
