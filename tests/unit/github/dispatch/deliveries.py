"""Deliveries and policies for the tests of routes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from xops.github.delivery import Delivery
from xops.github.policy import GitHubPolicy

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
REPOSITORY = "acme/platform"
PLAN: dict[str, Any] = {"event": "pull_request", "deployment": "plan/plan"}


def delivery(event: str = "pull_request", number: int = 1, **more: Any) -> Delivery:
    """One of a pull request, unless told otherwise."""
    values: dict[str, Any] = {
        "id": str(UUID(int=number)),
        "event": event,
        "repository": REPOSITORY,
        "organisation": "acme",
        "sender": "ada",
        "body_sha256": "0" * 64,
        "received_at": NOW,
    }
    return Delivery.model_validate(values | more)


def policy(*routes: dict[str, Any], repositories: tuple[str, ...] = ("acme/*",)) -> GitHubPolicy:
    """A policy of some routes."""
    values = {"apiVersion": "xops/v1", "repositories": repositories, "routes": routes}
    return GitHubPolicy.model_validate(values)
