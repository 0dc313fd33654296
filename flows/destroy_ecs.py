"""Destroy Stream 1 of one environment: always through the gate."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.form import Apply, titled
from flows.stream1 import EcsRequest, run_stream1


@flow(
    name="destroy-ecs",
    flow_run_name="destroy-ecs-{request.environment}",
    description="Remove one environment of Stream 1. Always waits for an approval.",
)
def destroy_ecs(
    request: Annotated[EcsRequest, titled("What is destroyed")] = EcsRequest(),  # noqa: B008
    apply: Apply = False,
) -> State[Any]:
    """Remove one environment of Stream 1; its state's bucket and evidence stay.

    Args:
        request: The environment that is removed, and where it runs.
        apply: Off, the run shows what would be destroyed and ends; nothing is changed. On, it waits
            for an approval, always, and then destroys what it has shown.
    """
    return run_stream1(request, apply=apply, destroy=True)
