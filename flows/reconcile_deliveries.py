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
from xops.github.policy import GitHubPolicy
from xops.github.reconcile import Turn, reconcile

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


@flow(
    name="reconcile-deliveries",
    flow_run_name="reconcile-deliveries",
    description="Have GitHub send again what the inbox misses; say what waits and what is dead.",
    persist_result=False,
)
def reconcile_deliveries() -> dict[str, Any]:
    """Compare once, and tell what is missing, lost, stuck and dead."""
    turn = compare_deliveries(GitHubPolicy.load())
    logger.info("%s", turn.summary())
    _show(turn)
    for name, summary, identity in _news(turn):
        payload = {"summary": summary, "turn": turn.summary(), "deliveries": _first_of(turn)}
        emit_named(name, _RESOURCE, turn.hook or "no hook", payload, uuid5(NAMESPACE_URL, identity))
    return turn.to_json()


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


def _show(turn: Turn) -> None:
    """The artifact: a table of what is not as it should be."""
    rows = [
        *(("missing", guid, one.event, one.status) for guid, one in turn.missing.items()),
        *(("lost", guid, one.event, one.status) for guid, one in turn.lost.items()),
        *(("dead", row.delivery.id, row.delivery.event, row.reason) for row in turn.dead),
    ]
    heading = ("what", "delivery", "event", "why")
    summary = Markdown.render(turn.summary())
    text = Markdown.table(heading, rows[:_MOST_ROWS]) if rows else summary
    show_markdown("deliveries", text, summary)
