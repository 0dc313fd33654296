"""Where facts come from, and where proposals go, when GitHub is on the other side."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from xops.core.errors import PermanentError, TemporaryError
from xops.github.issues import Issue, Notice, publish
from xops.triggers.evaluation import Evaluation
from xops.triggers.facts import Facts
from xops.triggers.measure.collect import collect, connect, unknown
from xops.triggers.policy import Policy
from xops.triggers.report import text as outputs


def read(policy: Policy, as_of: date, file: Path | None = None) -> Facts:
    """The facts of a file, or of GitHub.

    Raises:
        InputError: the file, a mandate or the credential is wrong.
        PermanentError, TemporaryError: GitHub does not answer what was asked.
    """
    if file is not None:
        return Facts.load(file)
    with connect(policy) as client:
        return collect(policy, as_of, client)


def read_or_unknown(policy: Policy, as_of: date) -> Facts:
    """GitHub's facts; where they cannot be had, facts that say so, by which every state freezes.

    Raises:
        InputError: a mandate or the credential is wrong.
    """
    try:
        return read(policy, as_of)
    except (PermanentError, TemporaryError) as error:
        return unknown(policy, as_of, error, datetime.now(UTC))


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
    notices = [
        Notice(
            key=f"trigger/{verdict.trigger}/{verdict.activation}",
            title=outputs.proposal_title(verdict),
            body=outputs.proposal(verdict, evaluation),
            labels=target.labels,
        )
        for verdict in evaluation.active
    ]
    with connect(policy) as client:
        return [publish(client, target.repository, notice) for notice in notices]
