"""Activations as GitHub issues: one for each, proposed, brought up to date, closed when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from xops.core.errors import PermanentError
from xops.github import issues
from xops.github.issues import Issue, IssueDraft
from xops.triggers.connection import connect
from xops.triggers.evaluation import EndedActivation, Evaluation, TriggerVerdict
from xops.triggers.policy import Policy, Proposal
from xops.triggers.report import proposal

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

logger = logging.getLogger(__name__)

_ZONES = timedelta(days=1)
"""By how much a day may begin earlier in the policy's zone than in UTC."""


def propose(policy: Policy, evaluation: Evaluation) -> list[Issue]:
    """One issue for each activation of the history: made, brought up to date, closed at its end.

    An issue belongs to an activation and not to a name: one that ended, also because its trigger
    was renamed or removed, is closed with a comment that says why. A second call does nothing.
    Nothing is written where the policy names no repository for it.

    Raises:
        InputError: the credential is wrong.
        PermanentError, TemporaryError: GitHub refuses, or does not answer.
    """
    target = policy.proposal
    active = [verdict for verdict in evaluation.active if verdict.activation]
    if target is None or not (active or evaluation.ended):
        return []
    with connect(policy) as client:
        steps: list[Callable[[], Issue | None]] = [
            *(partial(_publish, client, target, verdict, evaluation) for verdict in active),
            *(partial(_close, client, target, ended, evaluation) for ended in evaluation.ended),
        ]
        return list(_each(steps))


def _each(steps: Iterable[Callable[[], Issue | None]]) -> Iterator[Issue]:
    """Write them all: an issue that GitHub refuses keeps no other from being written.

    Raises:
        PermanentError: the first that was refused, after all were tried.
        TemporaryError: at once. Who asks on while a limit is used up is shut out for longer.
    """
    errors: list[PermanentError] = []
    for step in steps:
        try:
            found = step()
        except PermanentError as error:
            logger.warning("%s", error)
            errors.append(error)
        else:
            if found is not None:
                yield found
    if errors:
        raise errors[0]


def _publish(
    client: Client, target: Proposal, verdict: TriggerVerdict, evaluation: Evaluation
) -> Issue:
    draft = IssueDraft(
        key=_key(verdict.trigger, verdict.activation),
        title=proposal.title(verdict),
        body=proposal.body(verdict, evaluation),
        labels=target.labels,
    )
    return issues.publish(client, target.repository, draft, since=_instant(verdict.since))


def _close(
    client: Client, target: Proposal, ended: EndedActivation, evaluation: Evaluation
) -> Issue | None:
    return issues.close(
        client,
        target.repository,
        _key(ended.trigger, ended.activation),
        target.labels,
        proposal.closing_comment(ended, evaluation),
        since=_instant(ended.since),
    )


def _key(trigger: str, activation: UUID | None) -> str:
    return f"trigger/{trigger}/{activation}"


def _instant(since: date | None) -> datetime | None:
    """Before an issue of the activation can have been written."""
    if since is None:
        return None
    return datetime(since.year, since.month, since.day, tzinfo=UTC) - _ZONES
