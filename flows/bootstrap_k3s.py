"""Bring the hosts of a K3S cluster to what its file says: preflight, plan, gate, apply, verify."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows import lifecycle_tasks
from flows.form import Apply, titled
from flows.k3s_cluster import BootstrapRequest, open_cluster
from xops.k3s.cluster_file.cluster import slot


@flow(
    name="bootstrap-k3s",
    flow_run_name="bootstrap-k3s-{request.cluster}",
    description="Bring a K3S cluster to what its file says. Plans only unless told.",
)
def bootstrap_k3s(
    request: Annotated[BootstrapRequest, titled("What is bootstrapped")] = BootstrapRequest(),  # noqa: B008
    apply: Apply = False,
) -> State[Any]:
    """Bring the hosts of one cluster to what its file says.

    Args:
        request: The cluster whose hosts are brought to what its file says, and which of them.
        apply: Off, the run shows the plan and ends; nothing is changed. On, it applies the plan as
            well, and first waits for an approval where the cluster's file asks for one.
    """
    steps = open_cluster(request, request.hosts)
    name = slot(steps.cluster.name)
    return lifecycle_tasks.run_lifecycle(steps, name, steps.watcher, apply=apply)
