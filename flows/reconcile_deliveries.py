"""Compare what GitHub's hook has sent with the inbox. Has GitHub send again what is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from flows.lifecycle_tasks import is_temporary
from flows.progress import emit_named, show_markdown
from xops.core.rendering import Markdown
from xops.github.crashed_runs import Replayed, replay_crashed
from xops.github.policy import GitHubPolicy
from xops.github.reconcile import Turn, reconcile
from xops.prefect_server.runs import ServerRunStates

logger = logging.getLogger("xops.github")

_RESOURCE = "xops.github.hook"
_MOST_ROWS = 100


@task(
    name="compare-deliveries",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=exponential_backoff(20),
    retry_condition_fn=is_temporary,
)
def compare_deliveries(policy: GitHubPolicy) -> Turn:
    """One turn; a retry asks for nothing twice that has come meanwhile."""
    return reconcile(policy, os.environ)


@task(
    name="replay-crashed-runs",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=exponential_backoff(20),
    retry_condition_fn=is_temporary,
)
def replay_crashed_runs() -> Replayed:
    """Those of a delivery that was dispatched again are its new ones: a retry repeats nothing."""
    return replay_crashed(os.environ, ServerRunStates(), datetime.now(UTC))


@flow(
    name="reconcile-deliveries",
    flow_run_name="reconcile-deliveries",
    description="Have GitHub send again what the inbox misses; say what waits and what is dead.",
    persist_result=False,
)
def reconcile_deliveries() -> dict[str, Any]:
    """Compare once, and tell what is missing, lost, stuck and dead; run crashed ones again."""
    turn = compare_deliveries(GitHubPolicy.load())
    logger.info("%s", turn.summary())
    replayed = replay_crashed_runs()
    _show(turn, replayed)
    for name, summary, identity in _news(turn):
        payload = {"summary": summary, "turn": turn.summary(), "deliveries": _first_of(turn)}
        emit_named(name, _RESOURCE, turn.hook or "no hook", payload, uuid5(NAMESPACE_URL, identity))
    if replayed.again:
        summary = f"the runs of {len(replayed.again)} deliveries crashed; they are started again"
        payload = {"summary": summary, "deliveries": list(replayed.again[:_MOST_ROWS])}
        emit_named("xops.github.deliveries_crashed", _RESOURCE, turn.hook or "no hook", payload)
    return {**turn.to_json(), "crashed": {"again": replayed.again, "left": replayed.left}}


def _news(turn: Turn) -> Iterator[tuple[str, str, str]]:
    """Events: name, what it says, and what its id follows from: the same news is told once."""
    if turn.redelivered:
        summary = f"{len(turn.missing)} deliveries are missing; {turn.redelivered} are sent again"
        now = datetime.now(UTC).isoformat()
        yield "xops.github.deliveries_missing", summary, f"missing {turn.hook} {now}"
    if turn.lost:
        summary = f"{len(turn.lost)} deliveries are lost: {', '.join(list(turn.lost)[:5])}"
        yield "xops.github.deliveries_lost", summary, f"lost {turn.hook} {sorted(turn.lost)}"
    if turn.stuck and turn.oldest_waiting:
        since = f"{turn.oldest_waiting:%Y-%m-%d %H:%M} UTC"
        summary = f"deliveries wait for their runs, the oldest since {since}"
        yield "xops.github.deliveries_stuck", summary, f"stuck {turn.oldest_waiting.isoformat()}"


def _first_of(turn: Turn) -> list[str]:
    """Some of those that are told of: an event has a limit, and what is over it is dropped."""
    return list({**turn.lost, **turn.missing})[:_MOST_ROWS]


def _show(turn: Turn, replayed: Replayed) -> None:
    """The artifact: a table of what is not as it should be."""
    again, left = replayed.again, replayed.left
    rows = [
        *(("missing", guid, one.event, one.status) for guid, one in turn.missing.items()),
        *(("lost", guid, one.event, one.status) for guid, one in turn.lost.items()),
        *(("dead", row.delivery.id, row.delivery.event, row.reason) for row in turn.dead),
        *(("crashed", guid, "", "its run was killed; it is started again") for guid in again),
        *(("crashed", guid, "", f"see its runs: `xops github replay {guid}`") for guid in left),
    ]
    heading = ("what", "delivery", "event", "why")
    summary = Markdown.render(turn.summary())
    text = Markdown.table(heading, rows[:_MOST_ROWS]) if rows else summary
    show_markdown("deliveries", text, summary)
