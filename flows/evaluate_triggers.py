"""Measure the triggers of ADR-005, remember, and propose what became active. Activates nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from prefect import flow, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.events.filters import EventFilter, EventIDFilter
from prefect.tasks import exponential_backoff
from pydantic import Field

from flows.activation import start_activation
from flows.form import Form, titled
from flows.lifecycle_tasks import is_temporary
from flows.progress import emit_named, show_markdown, show_png
from xops.core.errors import TemporaryError, XopsError
from xops.core.files.flow_files import flow_file
from xops.core.rendering import Markdown
from xops.triggers import proposals
from xops.triggers.evaluation import Evaluation, evaluate
from xops.triggers.facts import Facts
from xops.triggers.history.ledger import History, TriggerEvent
from xops.triggers.history.record import evaluate_and_record
from xops.triggers.measure import collect
from xops.triggers.policy import Policy
from xops.triggers.report import chart, failure, text

logger = logging.getLogger("xops.triggers")

_ARRIVAL_SECONDS = 30.0


class TriggersRequest(Form):
    """What is judged, and what is done with the verdict."""

    as_of: Annotated[date, Field(title="A day")] | Annotated[None, Field(title="Today")] = Field(
        default=None,
        title="Day",
        description="The day for which the triggers are judged: weeks that are over by its start"
        " count. Without one it is today, or the day that a facts file is of.",
    )
    facts: str = Field(
        default="",
        title="Facts file",
        description="Empty, GitHub is asked. Else a file below deployments, or below another folder"
        " that the worker's operator has configured, takes its place.",
    )
    record: bool = Field(
        default=True,
        title="Count it",
        description="On, the verdicts go into the history, events are sent, and what became active"
        " is proposed. Off, they are only shown.",
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
    return collect.read(policy, as_of, file)


@task(name="evaluate", cache_policy=NO_CACHE, persist_result=False)
def evaluate_facts(
    policy: Policy, facts: Facts, as_of: date, history: History | None
) -> Evaluation:
    """The verdicts; appended to the history, if there is one."""
    if history is None:
        return evaluate(policy, facts, as_of)
    return evaluate_and_record(history, policy, facts, as_of, datetime.now(UTC))


@task(name="send-event", cache_policy=NO_CACHE, persist_result=False)
def send(history: History, event: TriggerEvent) -> bool:
    """Emit one event, once: it leaves the outbox when the server has it."""
    if not _is_on_server(event):
        resource = f"xops.trigger.{event.trigger}"
        emit_named(event.name, resource, event.trigger, event.payload, event.id)
    if not _reaches_server(event):
        logger.warning("%s of %s is not on the server yet", event.name, event.trigger)
        return False
    history.mark_sent(event.id, datetime.now(UTC))
    return True


def _reaches_server(event: TriggerEvent) -> bool:
    give_up = time.monotonic() + _ARRIVAL_SECONDS
    while not _is_on_server(event):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.5)
    return True


def _is_on_server(event: TriggerEvent) -> bool:
    with get_client(sync_client=True) as client:
        wanted = EventFilter(id=EventIDFilter(id=[event.id]))
        return bool(client.read_events(filter=wanted, limit=1).events)


@task(name="propose", cache_policy=NO_CACHE, persist_result=False, retries=2,
      retry_delay_seconds=30, retry_condition_fn=is_temporary)  # fmt: skip
def propose(policy: Policy, evaluation: Evaluation) -> list[str]:
    """The issues of activations: made once, brought up to date, closed when one has ended."""
    issues = proposals.propose(policy, evaluation)
    for issue in issues:
        logger.info("%s: %s", issue.done, issue.url)
    return [issue.url for issue in issues]


@flow(
    name="evaluate-triggers",
    flow_run_name="evaluate-triggers",
    description="Measure each trigger, remember, show, and propose what became active.",
)
def evaluate_triggers(
    request: Annotated[TriggersRequest, titled("What is judged")] = TriggersRequest(),  # noqa: B008
) -> dict[str, Any]:
    """Measure each trigger, say where it stands, and propose what is active.

    A run that could read nothing from GitHub shows what it knows, records what is known all the
    same, and then fails with the reason: a success would say that something was measured.

    Args:
        request: The day and the facts by which the triggers are judged, and whether it counts.

    Raises:
        PermanentError: GitHub gave nothing, or an activation could not be started or proposed.
        TemporaryError: an event did not reach the server, or GitHub did not take an issue.
    """
    policy = Policy.load()
    today = request.as_of or datetime.now(ZoneInfo(policy.timezone)).date()
    file = flow_file(request.facts, "facts") if request.facts else None
    facts = collect.read_or_unknown(policy, today, file, read=read_facts)
    as_of = facts.as_of if file and request.as_of is None else today
    history = History.open() if request.record else None
    evaluation = evaluate_facts(policy, facts, as_of, history)
    logger.info("%s", text.summary(evaluation))
    _show(evaluation, policy)
    done = evaluation.to_json()
    if history is not None:
        done |= _act(history, policy, evaluation)
    if evaluation.failure:
        raise failure.as_error(evaluation.failure)
    return done


def _show(evaluation: Evaluation, policy: Policy) -> None:
    summary = Markdown.render(text.summary(evaluation))
    rows = text.table(evaluation)
    show_markdown("triggers", Markdown.table(rows[0], [row.values() for row in rows]), summary)
    show_markdown("triggers-report", text.markdown(evaluation), summary)
    show_png("triggers-chart", chart.png(evaluation, policy), summary)


def _act(history: History, policy: Policy, evaluation: Evaluation) -> dict[str, Any]:
    """Tell, start and propose: one that fails does not keep the others from being done.

    Raises:
        XopsError: the first that failed, after all were tried.
    """
    steps: dict[str, Callable[[], list[str]]] = {
        "sent": lambda: _send_all(history),
        "started": lambda: _start_all(evaluation),
        "issues": lambda: _propose_all(policy, evaluation),
    }
    done: dict[str, list[str]] = {}
    errors: list[XopsError] = []
    for name, step in steps.items():
        try:
            done[name] = step()
        except XopsError as error:
            logger.error("%s", error)
            errors.append(error)
    # Of GitHub that gave nothing the run says so itself, as the reason that it ends with.
    if errors and not evaluation.failure:
        raise errors[0]
    return done


def _send_all(history: History) -> list[str]:
    """Send what waits in the outbox, that of a run that was killed among it.

    Raises:
        TemporaryError: the server does not show one of them.
    """
    waiting = history.pending_events()
    done = [str(event.id) for event in waiting if send(history, event)]
    if len(done) < len(waiting):
        raise TemporaryError(
            "sending the events of triggers",
            f"{len(waiting) - len(done)} of {len(waiting)} are not on the server after"
            f" {_ARRIVAL_SECONDS:.0f} s",
            "Run evaluate-triggers again: it sends what waits.",
        )
    return done


def _start_all(evaluation: Evaluation) -> list[str]:
    undecided = [row for row in evaluation.active if row.activation and row.decided is None]
    runs = (start_activation(verdict, evaluation) for verdict in undecided)
    return [run for run in runs if run]


def _propose_all(policy: Policy, evaluation: Evaluation) -> list[str]:
    if evaluation.failure:
        logger.warning("issues are left as they are: GitHub answers nothing")
        return []
    return propose(policy, evaluation)
