"""Take the charges of exports, or of Cost Explorer, into the store of costs. Changes no system."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from pydantic import Field

from flows.form import Form, titled
from flows.lifecycle_tasks import is_temporary
from flows.progress import emit_named, progress_log, show_markdown
from xops.core.errors import XopsError
from xops.core.files.flow_files import flow_file
from xops.core.rendering import Markdown
from xops.finops.configuration import CostConfiguration, Export
from xops.finops.store.cost_store import CostStore
from xops.finops.store.ingest_run import Ingest, IngestRun, exports_of
from xops.finops.store.ingest_text import summary, table

logger = logging.getLogger("xops.costs")

_TELL_SECONDS = 10.0


class IngestRequest(Form):
    """Where charges are read."""

    export: str = Field(
        default="",
        title="Export",
        description="Empty, the exports that deployments/costs.yaml names are read. Else a folder"
        " below deployments, or below another folder that the worker's operator has configured, or"
        " s3://BUCKET/PREFIX.",
    )
    cost_explorer: bool = Field(
        default=False,
        title="Ask Cost Explorer",
        description="On, Cost Explorer is asked as well, for months of which there is no export."
        " Each request costs 0.01 USD, up to the limit in deployments/costs.yaml.",
    )


@task(
    name="read-exports",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(120),
    retry_condition_fn=is_temporary,
)
def read_exports(work: Ingest, exports: Sequence[Export]) -> IngestRun:
    """Each export, from a folder or a bucket; a refresh that is under way is waited for."""
    return work.take_in(exports, now=datetime.now(UTC), told=_tell_now_and_then())


@task(
    name="ask-cost-explorer",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=exponential_backoff(120),
    retry_condition_fn=is_temporary,
)
def ask_cost_explorer(work: Ingest) -> IngestRun:
    """Within the limit; what was answered is not asked again, by a retry neither."""
    return work.ask_cost_explorer(now=datetime.now(UTC))


def _tell_now_and_then() -> Any:
    told = time.monotonic()

    def tell(message: str, percent: float | None) -> None:
        nonlocal told
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            progress_log.info("%s, %.0f %%", message, percent or 0.0)

    return tell


@flow(
    name="ingest-costs",
    flow_run_name="ingest-costs",
    description="Take in what was spent, a partition a month. Changes no system.",
)
def ingest_costs(
    request: Annotated[IngestRequest, titled("What is read")] = IngestRequest(),  # noqa: B008
) -> dict[str, Any]:
    """Take charges into the store, and say what is new, what was restated and what it cost.

    Args:
        request: The exports that are read, and whether Cost Explorer is asked.
    """
    work = Ingest(CostConfiguration.load(), CostStore.open(), _folder_of)
    done = IngestRun.joined(work.store.folder, list(_runs(work, request)))
    logger.info("%s", summary(done))
    rows = table(done)
    show_markdown(
        "costs-ingested", Markdown.table(rows[0], rows[1:]), Markdown.render(summary(done))
    )
    for change in done.restated:
        name = f"{change.export_id} {change.month}"
        emit_named("xops.costs.restated", "xops.costs", name, change.to_json())
    done.raise_if_incomplete()
    return done.to_json()


def _runs(work: Ingest, request: IngestRequest) -> Iterator[IngestRun]:
    """One a source: what cannot be read hinders no other, nor that what was read is told."""
    for export in _exports(work, request):
        try:
            yield read_exports(work, [export])
        except XopsError as error:
            yield IngestRun(work.store.folder, (), ((export.name, error),))
    if request.cost_explorer:
        try:
            yield ask_cost_explorer(work)
        except XopsError as error:
            yield work.unanswered(error)


def _folder_of(location: str) -> Path:
    return flow_file(location, "export")


def _exports(work: Ingest, request: IngestRequest) -> Sequence[Export]:
    """Those that are asked for; none where the file names none, which is no error every day."""
    if request.export:
        return exports_of(work.configuration, request.export, None)
    if not work.configuration.exports:
        logger.warning("deployments/costs.yaml names no export: there is nothing to read")
    return work.configuration.exports
