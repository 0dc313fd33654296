"""Compare Stream 1 of one environment with its configuration; changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.form import titled
from flows.progress import RunWatcher, show_drift
from flows.stream1 import EcsRequest, read_facts
from xops.core.lifecycle.drift import detect_drift
from xops.core.rendering import Plain


@flow(
    name="detect-ecs-drift",
    flow_run_name="detect-ecs-drift-{request.environment}",
    description="Compare one environment of Stream 1 with its file. Changes nothing.",
)
def detect_ecs_drift(
    request: Annotated[EcsRequest, titled("What is compared")] = EcsRequest(),  # noqa: B008
) -> State[Any]:
    """Plan, and say what an apply would change now.

    Args:
        request: The environment that is compared with its file, and where it runs.
    """
    stream = read_facts(request, RunWatcher(request.subject))
    with stream.folder:
        drift = detect_drift(stream, stream.watcher)
    show_drift(drift)
    return Completed(message=Plain.render(drift.message()), data=drift.to_json())
