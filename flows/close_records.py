"""Close what runs have left open that ended without a word: lapsed questions, killed applies."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import AfterValidator, Field

from flows.form import Form, titled
from flows.k3s_cluster import K3sRequest, open_cluster
from flows.progress import RunWatcher
from flows.stream1 import EcsRequest, read_facts
from xops.core.errors import XopsError
from xops.core.evidence.log import RecordKind
from xops.core.lifecycle.runs import close_ended
from xops.core.lifecycle.steps import Steps
from xops.core.rendering import Plain
from xops.ecs import environment
from xops.k3s.cluster_file import cluster
from xops.prefect_server.evidence import how_run_ended

logger = logging.getLogger("xops.lifecycle")


EVERYTHING = "everything"


def subjects() -> Iterator[str]:
    """Every environment and cluster that has a file."""
    yield from (environment.subject(name) for name in environment.names())
    yield from (f"k3s/{name}" for name in cluster.names())


def _is_offered(subject: str) -> str:
    if subject not in (offered := [EVERYTHING, *subjects()]):
        raise ValueError(f"no records about {subject!r}; there are: {', '.join(offered)}")
    return subject


class CloseRequest(Form):
    """Whose records are looked at."""

    subject: Annotated[str, AfterValidator(_is_offered)] = Field(
        default=EVERYTHING,
        title="Environment or cluster",
        description="One of those that have a file, or all of them.",
        json_schema_extra=lambda schema: schema.update(enum=[EVERYTHING, *subjects()]),
    )


@contextmanager
def _open(subject: str) -> Iterator[Steps[Any, Any]]:
    step, _, name = subject.partition("/")
    if step == "ecs":
        stream = read_facts(EcsRequest(environment=name), RunWatcher(subject))
        with stream.folder:
            yield stream
    else:
        yield open_cluster(K3sRequest(cluster=name))


@task(name="close", cache_policy=NO_CACHE, persist_result=False, task_run_name="close-{subject}")
def close(subject: str) -> int:
    """Close the records about one subject; how many. It is planned if an apply is among them."""
    with _open(subject) as steps:
        opened = steps.log.find_open(RecordKind.QUESTION, RecordKind.INTENT)
        if all(how_run_ended(record.body.get("run", {})) is None for record in opened):
            return 0
        found = ""
        if any(record.kind == RecordKind.INTENT for record in opened):
            found = f"found: {steps.plan().plan.summary()}"
        return len(close_ended(steps.log, how_run_ended, found))


@flow(
    name="close-records",
    flow_run_name="close-records",
    description="Close the records of runs that were killed, cancelled or never answered.",
)
def close_records(
    request: Annotated[CloseRequest, titled("What is closed")] = CloseRequest(),  # noqa: B008
) -> State[Any]:
    """Look at every environment and cluster; one that cannot be reached stops no other.

    Args:
        request: The environments and clusters whose open records are closed.
    """
    closed: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for subject in subjects() if request.subject == EVERYTHING else [request.subject]:
        try:
            closed[subject] = close(subject)
        except XopsError as error:
            unknown[subject] = str(error)
            logger.warning("%s was not looked at: %s", subject, error)
    done = f"{sum(closed.values())} closed, {len(unknown)} of {len(closed) + len(unknown)} unknown"
    return Completed(message=Plain.render(done), data={"closed": closed, "unknown": unknown})
