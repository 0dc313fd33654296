"""A pull request as it was read once, with what was decided by that."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xops.core.errors import PermanentError, XopsError
from xops.core.files import settings
from xops.core.rendering import Markdown
from xops.github.pull_request.course import Course
from xops.github.pull_request.facts import PullRequestFacts
from xops.github.pull_request.handling.base import Rules
from xops.github.pull_request.handling.environments import Branch, Environments, RunContext
from xops.github.pull_request.handling.hub import Hub


class OvertakenError(PermanentError):
    """The pull request is not what this run has planned any more; `by_a_push` says why."""

    def __init__(self, facts: PullRequestFacts, found: str, *, by_a_push: bool) -> None:
        name = f"{facts.repository}#{facts.number}"
        super().__init__(f"handling {name} at {facts.head_sha[:7]}", found, "Plan it again.")
        self.by_a_push = by_a_push


@dataclass
class Look:
    """One look at a pull request.

    Attributes:
        hub, environments, run: what it is looked at with.
        delivery: of GitHub, that has started the run; empty where none has.
        facts: the pull request.
        rules: of its base; its approvers are read anew before an apply.
        course: what is done with it; notes come to it on the way.
        branch: where its files are.
    """

    hub: Hub
    environments: Environments
    run: RunContext
    delivery: str
    facts: PullRequestFacts
    rules: Rules
    course: Course
    branch: Branch

    def subject(self, name: str) -> str:
        """The name of an environment in plans, evidence and locks."""
        return self.environments.subject(name)

    def note(self, note: Markdown) -> None:
        """Tell something more with the comment."""
        self.course = replace(self.course, notes=(*self.course.notes, note))

    def read_again(self) -> PullRequestFacts:
        """The pull request now.

        Raises:
            OvertakenError: it is another one than the one that was planned.
        """
        before, now = self.facts, self.hub.pulls.read(self.facts.number)
        if now.head_sha != before.head_sha:
            found = f"{now.head_sha[:7]} was pushed meanwhile; the run of that push goes on"
            raise OvertakenError(before, found, by_a_push=True)
        if (now.is_open, now.draft) != (before.is_open, before.draft):
            raise OvertakenError(before, "it was opened, closed or made a draft", by_a_push=False)
        if (now.base_ref, now.base_sha) != (before.base_ref, before.base_sha):
            found = f"{before.base_ref} has moved to {now.base_sha[:7]} meanwhile"
            raise OvertakenError(before, found, by_a_push=False)
        return now


def told(error: XopsError) -> str:
    """An error as everybody may read it who reads the pull request: without a program's own words
    and this machine's paths."""
    return f"{error.attempted}: {error.published}".replace(f"{settings.home()}/", "")
