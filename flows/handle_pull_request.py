"""A pull request: plan what it would make of the environments, show it, apply what was released."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows import lifecycle_tasks
from flows.branch_environments import EcsEnvironments
from flows.form import Form, titled
from flows.progress import RunWatcher
from flows.slot import held
from xops.core.rendering import Plain
from xops.github.inbox.connection import open_tables, read_delivery
from xops.github.policy import GitHubPolicy
from xops.github.pull_request.course import Wake
from xops.github.pull_request.handling.environments import Environments, RunContext
from xops.github.pull_request.handling.hub import open_hub
from xops.github.pull_request.handling.merge_group import pass_merge_group
from xops.github.pull_request.handling.run import PullRequestRun
from xops.github.pull_request.handling.work import Ending


class PullRequestRequest(Form):
    """Which pull request, or which group of a merge queue. The rest is what a delivery has told."""

    repository: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$",
        title="Repository",
        description="As owner/name: one of those that deployments/github.yaml allows.",
    )
    number: Annotated[int, Field(title="A number", ge=1)] | Annotated[None, Field(title="None")] = (
        Field(
            default=None,
            title="Pull request",
            description="The number of the pull request. A merge group has none.",
        )
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
    event: str = Field(
        default="", title="Event", description="What the delivery tells of, such as `pull_request`."
    )
    action: str = Field(
        default="", title="Action", description="What was done there, such as `opened`."
    )
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
    return handle(request, EcsEnvironments())


def handle(request: PullRequestRequest, environments: Environments) -> State[Any]:
    """What the flow does, with the environments as they are given."""
    policy = GitHubPolicy.load()
    tables = open_tables()
    url = str(runtime.flow_run.ui_url or "")
    with open_hub(policy, request.repository, tables) as hub:
        delivery = read_delivery(tables, request.delivery)
        if request.number is None:
            group = (request.merge_group, request.base, delivery)
            return _state(pass_merge_group(hub, *group, environments, url))
        wake = Wake(request.command, request.sender)
        context = RunContext(lifecycle_tasks.carry_out, RunWatcher, url)
        run = PullRequestRun(hub, request.number, wake, delivery, environments, context)
        with held(request.slot):
            return _state(run.carry_out())


def _state(ending: Ending) -> State[Any]:
    """A failure that was told on the pull request is one of the run as well."""
    message = Plain.render(ending.message)
    if ending.failed:
        return Failed(name=ending.name, message=message)
    return Completed(name=ending.name, message=message, data=ending.to_json())
