"""What the base branch says: its policy, its environments, and who that means now."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from xops.github.policy import GitHubPolicy, PullRequests
from xops.github.pull_request.course import Rights, is_trusted_base
from xops.github.pull_request.facts import PullRequestFacts
from xops.github.pull_request.handling.environments import (
    ENVIRONMENTS,
    POLICY_FILE,
    Environments,
)
from xops.github.pull_request.handling.hub import Hub


@dataclass(frozen=True)
class Rules:
    """What the base branch says.

    Attributes:
        pull_requests: its policy, which judges the pull request.
        today: of a merged pull request, the policy as the branch has it now: who may not approve
            any more does not approve of what was merged before that, either.
        environments: the names of those that it has a file of.
        rights: who may do what, read live.
    """

    pull_requests: PullRequests = field(default_factory=PullRequests)
    today: PullRequests | None = None
    environments: tuple[str, ...] = ()
    rights: Rights = field(default_factory=Rights)

    def with_approvers_read_anew(self, hub: Hub) -> Rules:
        """Somebody may have left a team since it was read; that delivery may be lost."""
        rights = replace(self.rights, approvers=_read_approvers(hub, self, anew=True))
        return replace(self, rights=rights)


def read_rules(
    hub: Hub, facts: PullRequestFacts, environments: Environments, base: Path, today: Path
) -> Rules:
    """Policy is the base branch's, if that is one whose policy counts.

    Args:
        hub: the repository.
        facts: the pull request.
        environments: of the step.
        base, today: folders that are not there yet, for files of the base and of its tip.

    Raises:
        XopsError: GitHub does not give it, or what it gives is no policy.
    """
    if not is_trusted_base(facts, hub.policy.base_branches):
        return Rules()
    hub.tree.export(facts.base_sha, (POLICY_FILE, ENVIRONMENTS), base)
    names = tuple(environments.names(base / ENVIRONMENTS))
    rules = Rules(read_policy(base), _read_today(hub, facts, today), names)
    commanders = hub.teams.members(rules.pull_requests.commands)
    return replace(rules, rights=Rights(_read_approvers(hub, rules), commanders))


def read_policy(folder: Path) -> PullRequests:
    """How pull requests are handled, by the files of a branch; nobody approves where it is silent.

    Raises:
        InputError: everything that is wrong with it.
    """
    file = folder / POLICY_FILE
    return GitHubPolicy.load(file).pull_requests if file.is_file() else PullRequests()


def _read_today(hub: Hub, facts: PullRequestFacts, folder: Path) -> PullRequests | None:
    if not facts.merged:  # its base is the tip of the branch
        return None
    hub.tree.export(hub.pulls.tip(facts.base_ref), (POLICY_FILE,), folder)
    return read_policy(folder)


def _read_approvers(hub: Hub, rules: Rules, *, anew: bool = False) -> frozenset[str]:
    files = [rules.pull_requests, *([rules.today] if rules.today else [])]
    each = [hub.teams.members(file.approvers, anew=anew) for file in files]
    return frozenset.intersection(*each)
