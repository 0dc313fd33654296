"""Compare the hosts of a K3S cluster with its file; changes nothing."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.k3s_cluster import K3sRequest, open_cluster
from flows.progress import show_drift
from xops.core.lifecycle.drift import detect_drift
from xops.core.rendering import Plain


@flow(
    name="detect-k3s-drift",
    flow_run_name="detect-k3s-drift-{request.cluster}",
    description="Plan only; an artifact and the event xops.k3s.drifted if anything differs.",
)
def detect_k3s_drift(request: K3sRequest = K3sRequest()) -> State[Any]:  # noqa: B008
    """Plan, and say what an apply would change now.

    Args:
        request: which cluster.
    """
    steps = open_cluster(request)
    drift = detect_drift(steps, steps.watcher)
    show_drift(drift)
    return Completed(message=Plain.render(drift.message()), data=drift.to_json())
