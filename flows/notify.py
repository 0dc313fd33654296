"""Deliver a notice. Automations start this flow: Prefect's server does not know our blocks."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.urls import url_for
from pydantic import BaseModel, ConfigDict, Field

from blocks import Notification


class Notice(BaseModel):
    """What is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1, description="One line.")
    body: str = Field(default="", description="What happened, and where to look.")
    flow_run_id: str = Field(default="", description="The run that it is about, if it is one.")
    event_id: str = Field(default="", description="The event that asked for it, if one did.")

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


@flow(
    name="notify",
    flow_run_name="notify-{channel}",
    description="Deliver one notice through a notification block.",
    persist_result=False,
)
def notify(notice: Notice, channel: str = "default") -> None:
    """Deliver one notice through a notification block.

    Args:
        notice: subject, body and the event it is about.
        channel: the name of an xops-notification block.
    """
    _deliver(notice, channel)
