"""Applying what was released, and what is kept of a pull request after that."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from xops.core.errors import ApprovalRequired, XopsError
from xops.core.lifecycle.approval_policy import VERIFIED_WAYS
from xops.core.lifecycle.steps import Outcome
from xops.github.pull_request.handling.look import Look, OvertakenError, told
from xops.github.pull_request.handling.releasing import decisions
from xops.github.pull_request.handling.work import Work
from xops.github.pull_request.report import EnvironmentState

logger = logging.getLogger("xops.lifecycle")


def apply(look: Look, work: Work) -> None:
    """Apply an environment, with a deployment of GitHub that says how it goes.

    Raises:
        OvertakenError: what was planned is not what would be applied, or is not released any more.
    """
    deployments, url = look.hub.deployments, look.run.url
    deployment = deployments.begin(work.name, look.facts.head_sha, url)
    try:
        outcome = _carry_out(look, work)
    except (ApprovalRequired, OvertakenError) as error:
        deployments.fail(deployment, url, "not applied: overtaken")
        if isinstance(error, OvertakenError):
            raise
        raise OvertakenError(look.facts, error.found, by_a_push=False) from error
    except XopsError as error:
        logger.error("%s", error)
        deployments.fail(deployment, url, "not applied: see the run")
        failed = EnvironmentState.APPLY_FAILED
        work.report = replace(work.report, state=failed, reason=told(error))
        return
    deployments.succeed(deployment, url, outcome.plan.summary())
    applied, evidence = EnvironmentState.APPLIED, outcome.evidence or ""
    work.report = replace(work.report, state=applied, evidence=evidence)


def _carry_out(look: Look, work: Work) -> Outcome[Any]:
    if work.environment is None:
        raise AssertionError("unreachable: what is released was planned")
    watcher = look.run.watch(look.subject(work.name), "")
    with work.environment.open(watcher, None) as steps:
        return look.run.carry_out(
            steps,
            look.environments.slot(work.name),
            watcher,
            apply=True,
            approve=lambda question: decisions(look, work, question),
            author=look.facts.author,
            way=VERIFIED_WAYS[0],
            delivery=look.delivery,
        )


def settle(look: Look, works: Sequence[Work]) -> None:
    """What was shown and applied is used up; locks go that are not needed any more."""
    facts, hub = look.facts, look.hub
    kept = set(look.course.locks)
    for work in works:
        match work.report.state:
            case EnvironmentState.APPLIED:
                _settle_shown(look, work, datetime.now(UTC))
            case EnvironmentState.UNCHANGED:
                _settle_shown(look, work)
                if work.shown is None:  # nothing of it was ever to be changed
                    kept.discard(work.name)
    hub.locks.keep(facts.repository, facts.number, [look.subject(name) for name in kept])
    waits = any(work.report.state in _OPEN for work in works)
    if not facts.is_open and not waits:
        hub.shown.forget(facts.repository, facts.number)


def _settle_shown(look: Look, work: Work, applied_at: datetime | None = None) -> None:
    facts, subject = look.facts, look.subject(work.name)
    look.hub.shown.settle(facts.repository, facts.number, subject, applied_at=applied_at)


_OPEN = (EnvironmentState.WAITING, EnvironmentState.APPLY_FAILED, EnvironmentState.PLAN_FAILED)
"""States of a pull request that is merged in which something is left to be applied."""
