"""Bring the hosts of a K3S cluster to what its file says: preflight, plan, gate, apply, verify."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows import lifecycle_tasks
from flows.k3s_cluster import K3sRequest, open_cluster
from xops.k3s.cluster_file.cluster import slot


@flow(
    name="bootstrap-k3s",
    flow_run_name="bootstrap-k3s-{request.cluster}",
    description="Bring a K3S cluster to what its file says. Plans only unless told.",
)
def bootstrap_k3s(
    request: K3sRequest = K3sRequest(),  # noqa: B008
    apply: bool = False,
) -> State[Any]:
    """Bring the hosts of one cluster to what its file says.

    Args:
        request: which cluster.
        apply: False shows the plan and stops there.
    """
    steps = open_cluster(request)
    name = slot(steps.cluster.name)
    return lifecycle_tasks.run_lifecycle(steps, name, steps.watcher, apply=apply)
