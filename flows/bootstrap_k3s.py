"""Bring the hosts of a K3S cluster to what its file says: preflight, plan, gate, apply, verify."""

from __future__ import annotations

import os
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, ConfigDict, Field

from flows import lifecycle_tasks
from flows.lifecycle_tasks import is_temporary
from flows.progress import K3sWatcher
from xops.k3s.cluster_file.cluster import Cluster, slot
from xops.k3s.operations.bootstrap import K3sSteps
from xops.k3s.release.lock import Lock
from xops.k3s.ssh.connector import SshConnector


class K3sRequest(BaseModel):
    """Which cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str = Field(
        default="onprem",
        pattern=r"^[\w./-]+$",
        description="One of deployments/clusters/*.yaml, without .yaml; or a file on the worker.",
    )


@task(
    name="read-inventory",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=exponential_backoff(5),
    retry_condition_fn=is_temporary,
)
def _read(request: K3sRequest) -> Cluster:
    return Cluster.load(request.cluster).completed()


@flow(
    name="bootstrap-k3s",
    flow_run_name="bootstrap-k3s-{request.cluster}",
    description="Bring a K3S cluster to what its file says. Plans only unless told.",
)
def bootstrap_k3s(
    request: K3sRequest = K3sRequest(),  # noqa: B008
    apply: bool = False,
) -> dict[str, Any] | State[Any]:
    """Bring the hosts of one cluster to what its file says.

    Args:
        request: which cluster.
        apply: False shows the plan and stops there.
    """
    cluster = _read(request)
    watcher = K3sWatcher(cluster.subject)
    connector = SshConnector(cluster.ssh, cluster=cluster.name)
    steps = K3sSteps(cluster, connector, watcher, Lock.configured(os.environ))
    return lifecycle_tasks.run_lifecycle(steps, slot(cluster.name), watcher, apply=apply)
