"""Provision Stream 1: plan, gate, apply, verify, record."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.form import Apply, titled
from flows.stream1 import EcsRequest, run_stream1


@flow(
    name="provision-ecs",
    flow_run_name="provision-ecs-{request.environment}",
    description="Bring one environment of Stream 1 to what its file says. Plans only unless told.",
)
def provision_ecs(
    request: Annotated[EcsRequest, titled("What is provisioned")] = EcsRequest(),  # noqa: B008
    apply: Apply = False,
) -> State[Any]:
    """Bring one environment of Stream 1 to what its file says.

    Args:
        request: The environment that is brought to what its file says, and where it runs.
        apply: Off, the run shows the plan and ends; nothing is changed. On, it applies the plan as
            well, and first waits for an approval where the environment's file asks for one.
    """
    return run_stream1(request, apply=apply, destroy=False)
