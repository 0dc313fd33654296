"""Groups of a merge queue: what is in them was planned and decided on before."""

from __future__ import annotations

import tempfile
from pathlib import Path

from xops.core.errors import Finding, InputError
from xops.github.delivery import Delivery
from xops.github.pull_request import report
from xops.github.pull_request.course import decide_merge_group
from xops.github.pull_request.facts import MergeGroupFacts
from xops.github.pull_request.handling.base import read_policy
from xops.github.pull_request.handling.environments import (
    ENVIRONMENTS,
    POLICY_FILE,
    Environments,
)
from xops.github.pull_request.handling.hub import Hub
from xops.github.pull_request.handling.work import Ending


def pass_merge_group(
    hub: Hub,
    commit: str,
    base: str,
    delivery: Delivery | None,
    environments: Environments,
    url: str = "",
) -> Ending:
    """Let a group of a merge queue pass: its pull requests were planned and decided on before.

    Whoever may start a run can name any commit: that of a pull request that waits for a review, for
    one. Only GitHub says which commit is such a group, so its own delivery is needed.

    Args:
        hub: the repository.
        commit, base: of the group, and the branch that it goes into.
        delivery: as the inbox has it; None where it has none.
        environments: of the step.
        url: of the run.

    Raises:
        InputError: that is no delivery about this group.
    """
    facts = hub.pulls.read_merge_group(commit, base)
    refuse_unless_delivered(facts, delivery)
    with tempfile.TemporaryDirectory(prefix="merge-group-") as name:
        folder = Path(name)
        hub.tree.export(facts.base_sha, (POLICY_FILE, ENVIRONMENTS), folder)
        rules, names = read_policy(folder), tuple(environments.names(folder / ENVIRONMENTS))
    course = decide_merge_group(facts, rules, names)
    hub.put_checks(commit, report.checks((), course, url=url))
    return Ending("Completed", course.green)


def refuse_unless_delivered(group: MergeGroupFacts, delivery: Delivery | None) -> None:
    """Refuse a group of which GitHub has told nothing.

    Raises:
        InputError: the delivery is none of it.
    """
    wanted = ("merge_group", group.repository.lower(), group.head_sha, group.base_ref)
    if delivery is None:
        finding = Finding("delivery", "", "the inbox has no delivery of GitHub about it")
    elif wanted != _names(delivery):
        finding = Finding("delivery", delivery.id, "is no delivery of GitHub about it")
    else:
        return
    name = f"the merge group {group.head_sha[:12]} into {group.base_ref}"
    raise InputError(f"letting {name} of {group.repository} pass", [finding])


def _names(delivery: Delivery) -> tuple[str, str, str, str]:
    return delivery.event, delivery.repository.lower(), delivery.head_sha, delivery.base_ref
