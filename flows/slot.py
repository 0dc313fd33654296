"""The slot of a state: one run at a time changes it, and another waits for a while, with words.

Prefect's own wait is silent and without end. The state's own lock (Terraform's, a host's) is the
real guard; the slot spares people its error.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.sync import concurrency
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound

from xops.core.errors import TemporaryError
from xops.core.files.settings import seconds
from xops.core.rendering import Plain

logger = logging.getLogger("xops.lifecycle")

VARIABLE = "XOPS_SLOT_WAIT"
PATIENCE = 3600
"""Seconds: longer than an apply takes, shorter than a night."""

# A run that was killed holds its slot until the lease ends.
LEASE_SECONDS = 60.0

_ACQUIRED = "prefect.concurrency-limit.acquired"


@contextmanager
def held(slot: str) -> Iterator[None]:
    """Hold the slot for the length of the block.

    Raises:
        TemporaryError: others have held it for as long as this run may wait.
    """
    patience = seconds(os.environ, VARIABLE, PATIENCE)
    with ExitStack() as stack:
        holder = _prepare(slot, patience)
        try:
            stack.enter_context(
                concurrency(
                    slot,
                    strict=True,
                    timeout_seconds=patience,
                    lease_duration=LEASE_SECONDS,
                    raise_on_lease_renewal_failure=False,
                )
            )
        except TimeoutError:
            raise TemporaryError(
                f"waiting for the slot {slot}",
                f"it was held for {patience} s, at first by {holder or 'a run of just then'}",
                f"Look at that run; `xops down` and a cancel end it. {VARIABLE} sets how long is"
                " waited.",
            ) from None
        yield


def _prepare(slot: str, patience: int) -> str | None:
    """Make the limit of one for what has none yet (a cluster file that no deployment names).

    Who holds it, where somebody does; that is said.
    """
    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(slot)
        except ObjectNotFound:
            client.upsert_global_concurrency_limit_by_name(slot, 1)
            return None
        if limit.active_slots < limit.limit:
            return None
        holder = _holder(client, limit)
    logger.warning(
        "waiting up to %d s for the slot %s, which is held by %s; a run that was killed frees it"
        " within %.0f s", patience, slot, holder, LEASE_SECONDS,
    )  # fmt: skip
    return holder


def _holder(client: SyncPrefectClient, limit: GlobalConcurrencyLimitResponse) -> str:
    """The run that has acquired the slot last, as Prefect's events tell."""
    wanted = EventFilter(
        event=EventNameFilter(name=[_ACQUIRED]),
        resource=EventResourceFilter(id=[f"prefect.concurrency-limit.{limit.id}"]),
    )
    events = client.read_events(wanted, limit=1).events  # the latest first
    for event in events:
        for related in event.related:
            if related.role == "flow-run":
                since = f"{event.occurred:%Y-%m-%d %H:%M} UTC"
                return Plain.render(f"run {related.name or related.id} since {since}")
    return "a run that Prefect does not name"
