"""Starting the flow that activates Stream 2, for a trigger that became active."""

from __future__ import annotations

import logging
from typing import Any, cast

from prefect import get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError

from xops.core.errors import PermanentError
from xops.triggers.evaluation import Evaluation, TriggerVerdict

logger = logging.getLogger("xops.triggers")

ACTIVATION = "activate-stream2"
"""The flow that activates, once it is deployed. It waits at its gate for a person."""

_OF_THE_VERDICT = (
    "trigger", "activation", "number", "since", "subjects", "components", "classification", "needs",
    "cost", "threshold", "value", "bounds", "evidence",
)  # fmt: skip


@task(name="start-activation", cache_policy=NO_CACHE, persist_result=False)
def start_activation(verdict: TriggerVerdict, evaluation: Evaluation) -> str | None:
    """Start the activation, which waits at its gate; None where nothing that activates is deployed.

    A second start of the same activation for the same clouds or sites is the same run.
    """
    with get_client(sync_client=True) as client:
        wanted = FlowFilter(name=FlowFilterName(any_=[ACTIVATION]))
        found = client.read_deployments(flow_filter=wanted, limit=1)
    if not found:
        logger.info("%s is not deployed: %s is only proposed", ACTIVATION, verdict.trigger)
        return None
    request = activation_request(verdict, evaluation)
    try:
        run = run_deployment(
            found[0].id,
            parameters={"request": request, "apply": True},
            idempotency_key=_key(verdict),
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


def activation_request(verdict: TriggerVerdict, evaluation: Evaluation) -> dict[str, Any]:
    """What the flow that activates is asked for, as JSON: all that it needs to decide by itself."""
    values = verdict.model_dump(mode="json", include=set(_OF_THE_VERDICT))
    return {
        **{name: values[name] for name in _OF_THE_VERDICT},
        "as_of": str(evaluation.as_of),
        "facts": evaluation.facts,
        "policy": evaluation.policy,
        "version": evaluation.version,
    }


def _key(verdict: TriggerVerdict) -> str:
    return "-".join((ACTIVATION, str(verdict.activation), *sorted(verdict.subjects)))
