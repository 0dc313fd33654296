"""What the flows on K3S clusters share: the request's form, and how its cluster is opened."""

from __future__ import annotations

import os
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, ConfigDict, Field

from flows.lifecycle_tasks import is_temporary
from flows.progress import RunWatcher
from xops.core.files.flow_files import flow_file
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.operations.bootstrap import K3sSteps
from xops.k3s.release.lock import Lock
from xops.k3s.ssh.connector import SshConnector
from xops.prefect_server.evidence import WaitingArtifacts


class K3sRequest(BaseModel):
    """Which cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str = Field(
        default="onprem",
        pattern=r"^[\w./-]+$",
        description="One of deployments/clusters/*.yaml, without .yaml; or a file below a folder"
        " that the worker's operator has configured.",
    )


@task(
    name="read-inventory",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=exponential_backoff(5),
    retry_condition_fn=is_temporary,
)
def read_inventory(request: K3sRequest) -> Cluster:
    """The cluster's file, with the hosts that Terraform has made."""
    return Cluster.load(_named_file(request.cluster)).completed()


def _named_file(text: str) -> Path | str:
    """A name of a cluster as it is; a path only if it is that of a configured folder."""
    is_path = "/" in text or text.endswith((".yaml", ".yml"))
    return flow_file(text, "cluster") if is_path else text


def open_cluster(request: K3sRequest) -> K3sSteps:
    """The cluster's steps; nobody is connected to yet."""
    cluster = read_inventory(request)
    return K3sSteps(
        cluster,
        SshConnector(cluster.ssh, cluster=cluster.name),
        RunWatcher(cluster.subject),
        Lock.configured(os.environ),
        waiting=(WaitingArtifacts(cluster.subject),),
    )
