"""Compare Stream 1 of one environment with its configuration; changes nothing."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.progress import EcsWatcher, emit
from flows.stream1 import EcsRequest, read_facts
from xops.ecs.drift import DriftStatus, detect_drift


@flow(
    name="detect-ecs-drift",
    flow_run_name="detect-ecs-drift-{request.environment}",
    description="Plan only; an artifact and the event xops.ecs.drifted if anything differs.",
)
def detect_ecs_drift(request: EcsRequest = EcsRequest()) -> dict[str, Any]:  # noqa: B008
    """Plan, and say what an apply would change now.

    Args:
        request: which environment, and where.
    """
    drift = detect_drift(read_facts(request, EcsWatcher(request.subject)))
    if drift.status is DriftStatus.DRIFTED:
        emit(request.subject, "drifted", {"digest": drift.plan.digest})
    return drift.to_json()
