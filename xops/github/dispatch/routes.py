"""Which deliveries start what, by the table in `deployments/github.yaml`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from xops.github.delivery import Delivery
from xops.github.policy import EVENTS, GitHubPolicy, Route
from xops.github.route_rules import fill, path_spec

MEMBERSHIP_EVENTS = frozenset({"membership", "organization", "team"})
"""They tell who belongs to a team: what is remembered of that is read anew, whatever routes say."""

_LONGEST_REASON = 200


@dataclass(frozen=True)
class Start:
    """One run that a delivery asks for.

    Attributes:
        deployment: FLOW/DEPLOYMENT.
        parameters: of the run.
    """

    deployment: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def wanted(policy: GitHubPolicy, delivery: Delivery) -> str | None:
    """Why a delivery leads to nothing, for whoever looks at it later; None: it leads to something.

    No text of the delivery is in the reason but its event, its action and its repository.
    """
    reason = _reason(policy, delivery)
    return reason and reason[:_LONGEST_REASON]


def _reason(policy: GitHubPolicy, delivery: Delivery) -> str | None:
    if delivery.event in MEMBERSHIP_EVENTS:
        return None
    if delivery.event == "ping":
        return "a ping: the hook is set up"
    if delivery.event not in EVENTS:
        return f"nothing is done about the event {delivery.event}"
    if not policy.allows(delivery.repository):
        return f"the repository {delivery.repository or 'of no name'} is not on the allow-list"
    return None if match(policy, delivery) else _no_route(policy, delivery)


def match(policy: GitHubPolicy, delivery: Delivery) -> tuple[Start, ...]:
    """The runs that a delivery asks for, each deployment once: its first route counts."""
    if not _is_allowed(policy, delivery):
        return ()
    starts: dict[str, Start] = {}
    for route in policy.routes:
        if route.deployment not in starts and _matches(route, delivery):
            filled = fill(route.parameters, delivery)
            starts[route.deployment] = Start(route.deployment, filled)
    return tuple(starts.values())


def _is_allowed(policy: GitHubPolicy, delivery: Delivery) -> bool:
    if delivery.repository:
        return policy.allows(delivery.repository)
    owner = delivery.organisation.lower()
    owners = (pattern.partition("/")[0].lower() for pattern in policy.repositories)
    return any(fnmatchcase(owner, pattern) for pattern in owners)


def _matches(route: Route, delivery: Delivery) -> bool:
    return (
        route.event == delivery.event
        and (not route.actions or delivery.action in route.actions)
        and _has_repository(route, delivery)
        and not _says_nothing(delivery)
        and _changes_paths(route, delivery)
    )


def _has_repository(route: Route, delivery: Delivery) -> bool:
    if not delivery.repository:  # of an organisation
        return True
    name = delivery.repository.lower()
    return any(fnmatchcase(name, pattern.lower()) for pattern in route.repositories)


def _says_nothing(delivery: Delivery) -> bool:
    """Whether it is a comment that asks for nothing: our own, for example, and those of people."""
    is_comment = delivery.event == "issue_comment"
    return is_comment and (
        delivery.number is None or not delivery.command or delivery.sender_is_bot
    )


def _changes_paths(route: Route, delivery: Delivery) -> bool:
    """Whether a push changes what a route is about. One that does not tell all of it may."""
    if not route.paths or not delivery.paths_complete:
        return True
    spec = path_spec(route.paths)
    return any(spec.match_file(path) for path in delivery.paths)


def _no_route(policy: GitHubPolicy, delivery: Delivery) -> str:
    called = ".".join(filter(None, (delivery.event, delivery.action)))
    if _says_nothing(delivery):
        return f"{called}: the comment is no command of a person on a pull request"
    if delivery.event == "push" and any(_ignoring_paths(policy, delivery)):
        return "push: no file that a route is about was changed"
    return f"no route is about {called} of {delivery.repository}"


def _ignoring_paths(policy: GitHubPolicy, delivery: Delivery) -> Iterator[Route]:
    everything = delivery.model_copy(update={"paths_complete": False})
    return (route for route in policy.routes if _matches(route, everything))
