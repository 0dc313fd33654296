"""A pull request: plan what it would make of the environments, show it, apply what was released."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows.form import Form, titled
from flows.pull_request import (
    Ending,
    OpenSteps,
    PullRequestRun,
    find_delivery,
    open_repository,
    open_stream1,
    pass_merge_group,
)
from flows.slot import held
from xops.core.errors import Finding, InputError
from xops.core.rendering import Plain
from xops.github.policy import GitHubPolicy
from xops.github.pull_request.course import Wake


class PullRequestRequest(Form):
    """Which pull request, or which group of a merge queue. The rest is what a delivery has told."""

    repository: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$",
        title="Repository",
        description="As owner/name: one of those that deployments/github.yaml allows.",
    )
    number: int | None = Field(
        default=None, ge=1, title="Pull request", description="The number of the pull request."
    )
    merge_group: str = Field(
        default="",
        title="Merge group",
        description="Of a merge queue: its commit. Leave it empty for a pull request.",
    )
    base: str = Field(
        default="", title="Base", description="Of a merge queue: the branch that it goes into."
    )
    delivery: str = Field(
        default="",
        title="Delivery",
        description="Of GitHub, that has started this run. It is named in the evidence only if it"
        " is in the inbox.",
    )
    event: str = Field(default="", title="Event", description="Of the delivery.")
    action: str = Field(default="", title="Action", description="Of the delivery.")
    command: str = Field(
        default="",
        title="Command",
        description="What a comment asks for, such as `xops plan`. It approves nothing.",
    )
    sender: str = Field(
        default="", title="Sender", description="Whose command it is. It approves nothing either."
    )

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.repository}#{self.number or self.merge_group[:7]}"

    @property
    def slot(self) -> str:
        """Runs of one pull request go one after the other."""
        return f"pull-request-{self.repository.replace('/', '-').lower()}-{self.number}"


@flow(
    name="handle-pull-request",
    flow_run_name="handle-pull-request-{request.name}",
    description="Plan what a pull request would change, show it there, apply what was approved.",
)
def handle_pull_request(
    request: Annotated[PullRequestRequest, titled("Which pull request")],
) -> State[Any]:
    """Plan what a pull request would change, show it there, and apply what reviews have released.

    Args:
        request: The pull request. Everything about it is read live: whoever starts a run by hand
            gets what a delivery would lead to, and approves nothing by that.
    """
    return handle(request, open_stream1)


def handle(request: PullRequestRequest, open_steps: OpenSteps) -> State[Any]:
    """What the flow does, with the steps of environments as they are given."""
    policy = GitHubPolicy.load()
    if not policy.allows(request.repository):
        found = f"{request.repository} is not among the repositories of deployments/github.yaml"
        raise InputError(f"handling {request.name}", [Finding("repository", "", found)])
    with open_repository(policy, request.repository) as hub:
        if request.number is None:
            return _state(pass_merge_group(hub, request.merge_group, request.base))
        wake = Wake(request.command, request.sender)
        delivery = find_delivery(request.delivery, request.repository, request.number)
        with held(request.slot):
            run = PullRequestRun(hub, request.number, wake, delivery, open_steps)
            return _state(run.carry_out())


def _state(ending: Ending) -> State[Any]:
    """A failure that was told on the pull request is one of the run as well."""
    message = Plain.render(ending.message)
    if ending.failed:
        return Failed(name=ending.name, message=message)
    return Completed(name=ending.name, message=message, data=ending.to_json())
