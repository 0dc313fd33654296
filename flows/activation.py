"""Starting the flow that activates Stream 2, for a trigger that became active."""

from __future__ import annotations

import logging
from typing import cast

from prefect import get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError

from xops.core.errors import PermanentError
from xops.triggers.evaluation import TriggerVerdict

logger = logging.getLogger("xops.triggers")

ACTIVATION = "activate-stream2"
"""The flow that activates, once it is deployed. It waits at its gate for a person."""


@task(name="start-activation", cache_policy=NO_CACHE, persist_result=False)
def start_activation(verdict: TriggerVerdict) -> str | None:
    """Start the activation, which waits at its gate; None where nothing that activates is deployed.

    A second start of the same activation is the same run.
    """
    with get_client(sync_client=True) as client:
        wanted = FlowFilter(name=FlowFilterName(any_=[ACTIVATION]))
        found = client.read_deployments(flow_filter=wanted, limit=1)
    if not found:
        logger.info("%s is not deployed: %s is only proposed", ACTIVATION, verdict.trigger)
        return None
    request = {"trigger": verdict.trigger, "components": list(verdict.components)}
    try:
        run = run_deployment(
            found[0].id,
            parameters={"request": request, "apply": True},
            idempotency_key=f"{ACTIVATION}-{verdict.activation}",
            timeout=0,
            as_subflow=False,
        )
    except PrefectHTTPStatusError as error:
        raise PermanentError(
            f"starting {ACTIVATION} for {verdict.trigger}",
            f"its deployment does not take {request}: {error}",
            "Deploy a version of it that fits this one.",
        ) from error
    return str(cast("FlowRun", run).id)  # a coroutine only in an async flow
