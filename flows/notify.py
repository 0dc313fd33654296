"""Deliver a notice. Automations start this flow: Prefect's server does not know our blocks."""

from __future__ import annotations

from typing import Annotated

from prefect import flow, get_client, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed
from prefect.utilities.urls import url_for
from pydantic import Field

from blocks import Notification
from flows.form import Form, titled


class Notice(Form):
    """What is told."""

    subject: str = Field(
        min_length=1, title="Subject", description="One line that says what happened."
    )
    body: str = Field(default="", title="Text", description="The details, and where to look.")
    flow_run_id: str = Field(
        default="",
        title="Run",
        description="The id of the run that it is about, if there is one: its address is added.",
    )
    event_id: str = Field(
        default="",
        title="Event",
        description="The id of the event that asked for it, if one did: told once for each event.",
    )

    @property
    def text(self) -> str:
        """The body, the run's address in the UI and the event's id, as far as there are any.

        The address is made here: the server's filter for it is unknown to the templates of a
        run-deployment action.
        """
        address = url_for("flow-run", self.flow_run_id) if self.flow_run_id else None
        event = f"event {self.event_id}" if self.event_id else None
        return "\n\n".join(filter(None, (self.body, address, event)))


@task(name="deliver", cache_policy=NO_CACHE, persist_result=False)
def _deliver(notice: Notice, channel: str) -> None:
    Notification.named(channel).notify(notice.subject, notice.text)


def _delivered_before(notice: Notice) -> bool:
    """Whether an earlier run has delivered this notice of this event.

    A server whose database was locked works through an event again, and its automations start
    another run. The deployment lets one run at a time, so that the earlier one is seen here.
    """
    same = FlowRunFilter(
        name=FlowRunFilterName(any_=[runtime.flow_run.name]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED])),
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=same)
    return any(Notice.model_validate(run.parameters["notice"]) == notice for run in runs)


@flow(
    name="notify",
    flow_run_name="notify-{channel}-{notice.event_id}",
    description="Deliver one notice through a notification block, once for each event.",
    persist_result=False,
)
def notify(
    notice: Annotated[Notice, titled("What is told")],
    channel: Annotated[str, titled("Channel")] = "default",
) -> State[None] | None:
    """Deliver one notice through a notification block; one that names an event only once.

    Args:
        notice: The notice, the run it is about and the event that asked for it.
        channel: The name of the block of the type xOps notification that delivers it.
    """
    if notice.event_id and _delivered_before(notice):
        return Completed(name="AlreadyDelivered", message="An earlier run has delivered it.")
    _deliver(notice, channel)
    return None
