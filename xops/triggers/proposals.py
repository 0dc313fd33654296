"""Active triggers proposed as GitHub issues."""

from __future__ import annotations

from xops.github.issues import Issue, IssueDraft, publish
from xops.triggers.connection import connect
from xops.triggers.evaluation import Evaluation
from xops.triggers.policy import Policy
from xops.triggers.report import text


def propose(policy: Policy, evaluation: Evaluation) -> list[Issue]:
    """One issue for each active trigger: made at its activation, brought up to date after.

    Nothing is written where the policy names no repository for it.

    Raises:
        InputError: the credential is wrong.
        PermanentError, TemporaryError: GitHub refuses, or does not answer.
    """
    target = policy.proposal
    if target is None or not evaluation.active:
        return []
    drafts = [
        IssueDraft(
            key=f"trigger/{verdict.trigger}/{verdict.activation}",
            title=text.proposal_title(verdict),
            body=text.proposal(verdict, evaluation),
            labels=target.labels,
        )
        for verdict in evaluation.active
    ]
    with connect(policy) as client:
        return [publish(client, target.repository, draft) for draft in drafts]
