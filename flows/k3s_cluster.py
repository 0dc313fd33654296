"""What the flows on K3S clusters share: the request's form, and how its cluster is opened."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from pydantic import AfterValidator, Field

from flows.form import Form
from flows.lifecycle_tasks import is_temporary
from flows.progress import RunWatcher
from xops.core.files.flow_files import flow_file
from xops.k3s.cluster_file.cluster import Cluster, names
from xops.k3s.operations.bootstrap import K3sSteps
from xops.k3s.release.lock import Lock
from xops.k3s.ssh.connector import SshConnector
from xops.k3s.state.scope import scope_of
from xops.prefect_server.evidence import WaitingArtifacts


def _has_a_file(name: str) -> str:
    if name not in (known := names()):
        raise ValueError(f"no cluster {name!r}; there are: {', '.join(known) or 'none'}")
    return name


def _offer_names(schema: dict[str, Any]) -> None:
    schema["enum"] = names()


ClusterName = Annotated[
    str,
    AfterValidator(_has_a_file),
    Field(title="Of this repository", json_schema_extra=_offer_names),
]
ClusterFile = Annotated[str, Field(title="Another file", pattern=r"^[\w.-]*/[\w./-]*$")]


class K3sRequest(Form):
    """Which cluster."""

    cluster: ClusterName | ClusterFile = Field(
        default="onprem",
        title="Cluster",
        description="Which cluster of Stream 2. Each has a file in deployments/clusters; another"
        " file must lie below a folder that the worker's operator has configured.",
    )


class BootstrapRequest(K3sRequest):
    """Which cluster, and which of its hosts."""

    hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")], ...] = Field(
        default=(),
        title="Only these hosts",
        description="Names of hosts on which something may be done; none for all. The others are"
        " looked at if they answer, and stop nothing if they do not.",
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
    return flow_file(text, "cluster") if "/" in text else text


def open_cluster(request: K3sRequest, hosts: Collection[str] = ()) -> K3sSteps:
    """The cluster's steps, on these hosts or on all; nobody is connected to yet."""
    cluster = read_inventory(request)
    return K3sSteps(
        cluster,
        SshConnector(cluster.ssh, cluster=cluster.name),
        RunWatcher(cluster.subject),
        Lock.configured(os.environ),
        waiting=(WaitingArtifacts(cluster.subject),),
        scope=scope_of(cluster, hosts),
    )
