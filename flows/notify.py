"""Deliver a notice. Automations start this flow: Prefect's server does not know our blocks."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from blocks import Notification


class Notice(BaseModel):
    """What is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1, description="One line.")
    body: str = Field(default="", description="What happened, and where to look.")
    event_id: str = Field(default="", description="The event that asked for it, if one did.")

    @property
    def text(self) -> str:
        """The body, with the event's id where there is one."""
        return f"{self.body}\n\nevent {self.event_id}" if self.event_id else self.body


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
