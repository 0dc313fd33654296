"""Report what the platform has cost: against budgets and plans, what moved, what is odd."""

from __future__ import annotations

import logging
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.tasks import exponential_backoff
from pydantic import AfterValidator, Field

from blocks import EcsEnvironment
from flows.form import Form, titled
from flows.lifecycle_tasks import is_temporary
from flows.progress import emit_named, show_markdown, show_png
from xops.aws.access import Aws
from xops.core.errors import XopsError
from xops.core.files import settings
from xops.core.rendering import Markdown, Plain
from xops.ecs import environment
from xops.ecs.stream1 import open_log
from xops.finops.analysis.anomalies import CHANGES, PlannedChange, planned_changes
from xops.finops.budget.feasibility import Rates
from xops.finops.configuration import CostConfiguration
from xops.finops.prices.book import PriceBook
from xops.finops.pricing import assumptions
from xops.finops.report import files, memory
from xops.finops.report.build import Sources, build
from xops.finops.report.estimates import EnvironmentFacts
from xops.finops.report.events import CostEvent, events
from xops.finops.report.files import Written
from xops.finops.report.model.report import Report
from xops.finops.report.readings import HISTORY_DAYS
from xops.finops.report.spent import Changes, Scope
from xops.finops.store.cost_store import CostStore

logger = logging.getLogger("xops.costs")

ALL = "all environments"


def _is_offered(name: str) -> str:
    if name not in (offered := [ALL, *environment.names()]):
        raise ValueError(f"no environment {name!r}; there are: {', '.join(offered)}")
    return name


class CostReportRequest(Form):
    """What the report is about."""

    environment: Annotated[str, AfterValidator(_is_offered)] = Field(
        default=ALL,
        title="Environment",
        description="One of those that have a file, or all of them.",
        json_schema_extra=lambda schema: schema.update(enum=[ALL, *environment.names()]),
    )
    last_month: bool = Field(
        default=False,
        title="Last month",
        description="On, budgets are those of the month before, which is over. Off, those of the"
        " month that goes on, with where it will end.",
    )

    @property
    def scope(self) -> Scope:
        """The same for the library."""
        return Scope(None if self.environment == ALL else self.environment, self.last_month)


def _facts(name: str) -> EnvironmentFacts:
    found = EcsEnvironment.named(name).load_environment()
    return EnvironmentFacts.of(
        name, found.budget.money, found.terraform_variables(), found.promise.model_dump()
    )


@task(
    name="read-changes", cache_policy=NO_CACHE, persist_result=False, task_run_name="changes-{name}"
)
def read_changes(name: str) -> list[PlannedChange]:
    """What was applied to an environment lately, by its evidence."""
    block = EcsEnvironment.named(name)
    found = block.load_environment()
    aws = Aws(found.target, found.region, block.environ())
    since = datetime.now(UTC) - timedelta(days=HISTORY_DAYS)
    return planned_changes(name, open_log(found, aws).newest_first(*CHANGES), since)


def _changes() -> Changes:
    """Of every environment; one whose evidence cannot be read leaves its own unknown."""
    known: list[PlannedChange] = []
    unknown: list[str] = []
    for name in environment.names():
        try:
            known += read_changes(name)
        except XopsError as error:
            unknown.append(name)
            logger.warning("the evidence of %s was not read: %s", name, error)
    said = f"the evidence of {', '.join(unknown)} could not be read" if unknown else ""
    return Changes(tuple(dict.fromkeys(known)), said)


@task(
    name="report",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(30),
    retry_condition_fn=is_temporary,
)
def make_report(
    store: CostStore, scope: Scope, today: date, changes: Changes
) -> tuple[Report, Written]:
    """The report, in a folder of its own below xOps' home."""
    rates = Rates(PriceBook.load(), assumptions.Assumptions.load(assumptions.FILE))
    facts = [_facts(name) for name in environment.names()]
    with tempfile.TemporaryDirectory(prefix="xops-report-") as spill:
        sources = Sources(store, CostConfiguration.load(), facts, rates, changes, Path(spill))
        made = build(sources, scope, today, lambda message: logger.info("%s", message))
    folder = settings.home() / "reports" / f"costs-{today}"
    written = files.write(made, folder, lambda message, percent: logger.info("%s", message))
    memory.remember(made, store.folder)
    return made, written


@task(name="send-event", cache_policy=NO_CACHE, persist_result=False)
def send(event: CostEvent) -> None:
    """Emit one event. Told again by a later report it has the same id: notices are sent once."""
    identity = uuid5(NAMESPACE_URL, event.identity)
    emit_named(event.name, event.resource, event.subject, event.payload, identity)


@flow(
    name="report-costs",
    flow_run_name="report-costs",
    description="Report what was spent against budgets and plans, what moved, and what is odd.",
)
def report_costs(
    request: Annotated[CostReportRequest, titled("What it is about")] = CostReportRequest(),  # noqa: B008
) -> State[Any]:
    """Report what was spent, and tell of what is over its budget or odd.

    Args:
        request: The environments and the month that the report is about.
    """
    today = datetime.now(UTC).date()
    store = CostStore.open()
    if not store.months():
        return Completed(name="Unknown", message="No costs were taken in yet: see ingest-costs.")
    made, written = make_report(store, request.scope, today, _changes())
    _show(made, written)
    sent = list(events(made))
    for event in sent:
        send(event)
    said = "; ".join(made.headlines) or "nothing was spent"
    data = {"page": str(written.page), "exit_code": int(made.exit_code), "events": len(sent)}
    return Completed(message=Plain.render(said), data=data)


def _show(made: Report, written: Written) -> None:
    said = Markdown.render(made.headlines[0] if made.headlines else "nothing was spent")
    show_markdown("costs", written.summary, said)
    for name, picture in written.pictures.items():
        show_png(f"costs-{_key(name)}", picture, Markdown.render(name))


def _key(name: str) -> str:
    """Of an artifact: small letters, digits and dashes."""
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower())
