"""Pull requests as values, for tests of what follows from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange
from xops.core.plan.model import Action, Change, Plan
from xops.github.pull_request.facts import (
    ChangedFile,
    PullRequestFacts,
    Review,
    ReviewState,
    ShownPlan,
)

HEAD, EARLIER, BASE, MERGE = "a" * 40, "b" * 40, "c" * 40, "d" * 40
SHOWN = datetime(2026, 11, 29, 10, tzinfo=UTC)
ENVIRONMENTS = ("local", "prod", "test")

FACTS = PullRequestFacts(
    repository="acme/platform",
    number=12,
    title="More memory",
    author="ann",
    is_open=True,
    merged=False,
    draft=False,
    from_fork=False,
    head_sha=HEAD,
    base_ref="main",
    base_sha=BASE,
    merge_sha=MERGE,
    mergeable=True,
    files=(ChangedFile("deployments/environments/test.yaml"),),
    files_complete=True,
    reviews=(),
    default_branch="main",
)


def facts(*paths: str, **values: Any) -> PullRequestFacts:
    """Those of a pull request that modifies these files."""
    files = tuple(ChangedFile(path) for path in paths) or FACTS.files
    return replace(FACTS, files=files, **values)


def review(
    login: str = "bob",
    state: ReviewState = ReviewState.APPROVED,
    *,
    identity: int = 1,
    minutes: float = 1,
    commit: str = HEAD,
    is_bot: bool = False,
) -> Review:
    """One that counts, unless something else is said; `minutes` after the plan was shown."""
    return Review(identity, login, is_bot, state, commit, SHOWN + timedelta(minutes=minutes))


def cost(before: str, after: str, budget: str | None = "45") -> CostEffect:
    """The monthly cost, without bounds."""
    amounts = [Money(amount=Decimal(amount)) for amount in (before, after)]
    ranges = [CostRange(low=each, expected=each, high=each) for each in amounts]
    limit = Money(amount=Decimal(budget)) if budget else None
    return CostEffect(before=ranges[0], after=ranges[1], budget=limit)


def plan(name: str = "test", *targets: str, **values: Any) -> Plan:
    """One that creates something."""
    changes = tuple(
        Change(action=Action.CREATE, target=target, after={"cpu": 256})
        for target in targets or ("aws_ecs_service.crew",)
    )
    return Plan(subject=f"ecs/{name}", target="embedded", **{"changes": changes, **values})


def shown(of: Plan, **values: Any) -> ShownPlan:
    """That a plan was shown."""
    noted = ShownPlan(
        "acme/platform", 12, of.subject, HEAD, BASE, of.digest, SHOWN, 7, cost=of.cost
    )
    return replace(noted, **values)
