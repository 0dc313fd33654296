"""Compare the hosts of a K3S cluster with its file; changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.form import titled
from flows.k3s_cluster import K3sRequest, open_cluster
from flows.progress import show_drift
from xops.core.lifecycle.drift import detect_drift
from xops.core.rendering import Plain


@flow(
    name="detect-k3s-drift",
    flow_run_name="detect-k3s-drift-{request.cluster}",
    description="Compare the hosts of one cluster of Stream 2 with its file. Changes nothing.",
)
def detect_k3s_drift(
    request: Annotated[K3sRequest, titled("What is compared")] = K3sRequest(),  # noqa: B008
) -> State[Any]:
    """Plan, and say what an apply would change now.

    Args:
        request: The cluster whose hosts are compared with its file.
    """
    steps = open_cluster(request)
    drift = detect_drift(steps, steps.watcher)
    show_drift(drift)
    return Completed(message=Plain.render(drift.message()), data=drift.to_json())
