"""Measure the triggers of ADR-005, remember, and propose what became active. Activates nothing."""

from __future__ import annotations

import base64
import logging
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from prefect import flow, get_client, task
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventIDFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, ConfigDict, Field

from flows.tasked import is_temporary
from xops.core.errors import PermanentError, TemporaryError
from xops.triggers.evaluation import Evaluation, Verdict, evaluate
from xops.triggers.facts import Facts
from xops.triggers.history import record as recording
from xops.triggers.history.ledger import History, Notice
from xops.triggers.measure import source as measuring
from xops.triggers.measure.collect import unknown
from xops.triggers.policy import Policy
from xops.triggers.report import chart
from xops.triggers.report import text as outputs

logger = logging.getLogger("xops.triggers")

ACTIVATION = "activate-stream2"
"""The flow that activates, once it is deployed. It waits at its gate for a person."""

_ARRIVAL_SECONDS = 30.0


class TriggersRequest(BaseModel):
    """What is judged, and what is done with the verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date | None = Field(
        default=None, description="Weeks over by its start count; today or the file's day."
    )
    facts: str = Field(default="", description="Path of a facts file instead of GitHub.")
    record: bool = Field(
        default=True, description="Add to the history, send events, and propose what is active."
    )


@task(
    name="read-facts",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(30),
    retry_condition_fn=is_temporary,
)
def read_facts(policy: Policy, as_of: date, file: Path | None) -> Facts:
    """GitHub, or a file."""
    return measuring.read(policy, as_of, file)


@task(name="evaluate", cache_policy=NO_CACHE, persist_result=False)
def judge(policy: Policy, facts: Facts, as_of: date, history: History | None) -> Evaluation:
    """The verdicts; appended to the history, if there is one."""
    if history is None:
        return evaluate(policy, facts, as_of)
    return recording.record(history, policy, facts, as_of, datetime.now(UTC))


@task(name="send-event", cache_policy=NO_CACHE, persist_result=False)
def send(history: History, notice: Notice) -> bool:
    """Emit one notice, once: it leaves the outbox when the server has it."""
    if not _arrived(notice):
        emit_event(
            event=notice.name,
            resource={
                "prefect.resource.id": f"xops.trigger.{notice.trigger}",
                "prefect.resource.name": notice.trigger,
            },
            payload=notice.payload,
            id=notice.id,
        )
    if not _arrives(notice):
        logger.warning("%s of %s is not on the server yet: the next run sends it again",
                       notice.name, notice.trigger)  # fmt: skip
        return False
    recording.mark_sent(history, notice.id, datetime.now(UTC))
    return True


def _arrives(notice: Notice) -> bool:
    give_up = time.monotonic() + _ARRIVAL_SECONDS
    while not _arrived(notice):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.5)
    return True


def _arrived(notice: Notice) -> bool:
    with get_client(sync_client=True) as client:
        wanted = EventFilter(id=EventIDFilter(id=[notice.id]))
        return bool(client.read_events(filter=wanted, limit=1).events)


@task(name="propose", cache_policy=NO_CACHE, persist_result=False, retries=2,
      retry_delay_seconds=30, retry_condition_fn=is_temporary)  # fmt: skip
def propose(policy: Policy, evaluation: Evaluation) -> list[str]:
    """The issues that propose what is active: made once, brought up to date after."""
    issues = measuring.propose(policy, evaluation)
    for issue in issues:
        logger.info("%s: %s", issue.done, issue.url)
    return [issue.url for issue in issues]


@task(name="start-activation", cache_policy=NO_CACHE, persist_result=False)
def start_activation(verdict: Verdict) -> str | None:
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


@flow(
    name="evaluate-triggers",
    flow_run_name="evaluate-triggers",
    description="Measure each trigger, remember, show, and propose what became active.",
)
def evaluate_triggers(request: TriggersRequest = TriggersRequest()) -> dict[str, Any]:  # noqa: B008
    """Measure each trigger, say where it stands, and propose what is active.

    Args:
        request: the day, the facts, and whether it counts.
    """
    policy = Policy.load()
    today = request.as_of or datetime.now(ZoneInfo(policy.timezone)).date()
    file = Path(request.facts) if request.facts else None
    facts = _facts(policy, today, file)
    as_of = facts.as_of if file and request.as_of is None else today
    history = History.open() if request.record else None
    evaluation = judge(policy, facts, as_of, history)
    logger.info("%s", outputs.summary(evaluation))
    _show(evaluation, policy)
    done = evaluation.to_json()
    if history is not None:
        done |= _act(history, policy, evaluation)
    return done


def _facts(policy: Policy, as_of: date, file: Path | None) -> Facts:
    try:
        return read_facts(policy, as_of, file)
    except (PermanentError, TemporaryError) as error:
        # A week that cannot be measured is entered as unknown: states freeze, none resolves.
        logger.error("%s", error)
        return unknown(policy, as_of, error, datetime.now(UTC))


def _show(evaluation: Evaluation, policy: Policy) -> None:
    summary = outputs.summary(evaluation)
    create_table_artifact(outputs.table(evaluation), key="triggers", description=summary)
    create_markdown_artifact(
        outputs.markdown(evaluation), key="triggers-report", description=summary
    )
    picture = base64.b64encode(chart.png(evaluation, policy)).decode()
    create_image_artifact(
        f"data:image/png;base64,{picture}", key="triggers-chart", description=summary
    )


def _act(history: History, policy: Policy, evaluation: Evaluation) -> dict[str, Any]:
    """Send what waits in the outbox, that of a run that was killed among it, then propose."""
    sent = [str(notice.id) for notice in recording.unsent(history) if send(history, notice)]
    undecided = [verdict for verdict in evaluation.active if verdict.decided is None]
    started = [run for verdict in undecided if (run := start_activation(verdict))]
    return {"sent": sent, "started": started, "issues": propose(policy, evaluation)}
