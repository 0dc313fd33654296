"""What deliveries of GitHub lead to: `deployments/github.yaml`.

The operator's file says which GitHub, which repositories, which deployments. Who may approve, and
how a pull request is planned and applied (`pull_requests`), is read from the base branch of the
pull request itself: what a pull request changes of it holds once that is merged. No secret is in
it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from xops.core.files import settings
from xops.core.files.secret import SecretReference
from xops.core.files.validation import Model, ValidationIssue, raise_if_any, repeated
from xops.github import credential, route_rules
from xops.github.access import Access
from xops.github.credential import Credential, TokenCredential

FILE = settings.ROOT / "deployments" / "github.yaml"
FILE_VARIABLE = "XOPS_GITHUB_FILE"
"""Names another file, for a GitHub to try it out on."""

Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Team = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/[a-z0-9][a-z0-9._-]*$")]
RepositoryPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?-]+/[A-Za-z0-9._*?-]+$")]

EVENTS = (
    "issue_comment", "membership", "merge_group", "organization", "ping", "pull_request",
    "pull_request_review", "push", "team",
)  # fmt: skip
"""Events that can lead to anything. All others are taken, recorded as ignored, and forgotten."""

ACTIONS: dict[str, frozenset[str]] = {
    "issue_comment": frozenset({"created", "deleted", "edited", "pinned", "unpinned"}),
    "membership": frozenset({"added", "removed"}),
    "merge_group": frozenset({"checks_requested", "destroyed"}),
    "organization": frozenset(
        {"deleted", "member_added", "member_invited", "member_removed", "renamed"}
    ),
    "pull_request": frozenset(
        {
            "assigned", "auto_merge_disabled", "auto_merge_enabled", "closed", "converted_to_draft",
            "demilestoned", "dequeued", "edited", "enqueued", "labeled", "locked", "milestoned",
            "opened", "ready_for_review", "reopened", "review_request_removed", "review_requested",
            "stacked", "synchronize", "unassigned", "unlabeled", "unlocked",
        }
    ),
    "pull_request_review": frozenset({"dismissed", "edited", "submitted"}),
    "push": frozenset(),
    "team": frozenset(
        {"added_to_repository", "created", "deleted", "edited", "removed_from_repository"}
    ),
}  # fmt: skip
"""Of each event of a route. Source: GitHub's "Webhook events and payloads", 2026-03-10."""

Branch = Annotated[str, Field(pattern=r"^[^\s~^:?*\[\\\x00-\x1f\x7f]+$", max_length=255)]
"""The name of a branch, without `refs/heads/`. Source: git-check-ref-format."""

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])*$")]


class Webhook(Model):
    """How deliveries come in."""

    secret: Annotated[
        SecretReference | None,
        Field(description="Of 32 bytes or more. None: the one of this installation."),
    ] = None
    previous_secret: Annotated[
        SecretReference | None, Field(description="Accepted as well, while it is exchanged.")
    ] = None
    max_body_bytes: Annotated[
        int, Field(ge=1024, le=25_000_000, description="GitHub sends 25 MB at most.")
    ] = 5_000_000
    keep_days: Annotated[
        int, Field(ge=8, le=3650, description="How long deliveries are kept once settled.")
    ] = 30


class Route(Model):
    """Which deliveries start which deployment."""

    event: Literal[
        "issue_comment", "membership", "merge_group", "organization", "pull_request",
        "pull_request_review", "push", "team",
    ]  # fmt: skip
    actions: Annotated[
        tuple[str, ...], Field(description="None: all of them. A push has no action.")
    ] = ()
    repositories: Annotated[
        tuple[RepositoryPattern, ...], Field(description="Patterns, besides the allow-list.")
    ] = ("*/*",)
    paths: Annotated[
        tuple[str, ...],
        Field(description="Of a push: patterns as in .gitignore of the files that it changes."),
    ] = ()
    deployment: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$", description="FLOW/DEPLOYMENT.")]
    parameters: Annotated[
        dict[str, JsonValue],
        Field(description="A text that is `{FIELD}` stands for that field of the delivery."),
    ] = {}

    @field_validator("actions")
    @classmethod
    def _known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        event = info.data.get("event")
        if event is not None:
            raise_if_any(_unknown_actions(event, value))
        return value

    @field_validator("paths")
    @classmethod
    def _of_a_push(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("event") not in ("push", None):
            raise ValueError("only a push tells which files it changes; leave paths out")
        raise_if_any(route_rules.wrong_paths(value))
        return value

    @field_validator("parameters")
    @classmethod
    def _of_known_fields(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        raise_if_any(route_rules.wrong_fields(value))
        return value


def _unknown_actions(event: str, actions: Sequence[str]) -> Iterator[ValidationIssue]:
    known = sorted(ACTIONS[event])
    for index, action in enumerate(actions):
        if action not in known:
            those = f"those are {', '.join(known)}" if known else "it has none"
            yield (index,), f"{action!r} is no action of {event}: {those}"


class People(Model):
    """People by team and by login."""

    teams: Annotated[tuple[Team, ...], Field(description="ORGANISATION/TEAM-SLUG.")] = ()
    logins: tuple[Login, ...] = ()


class Isolation(Model):
    """What a plan of a branch may reach: a plan runs code of that branch."""

    refuse: Annotated[bool, Field(description="No branch is planned before it is merged.")] = False
    sandbox: Annotated[
        Literal["required", "where_available", "off"],
        Field(
            description="Bubblewrap: no home, no other processes, no other secrets. On AWS"
            " `where_available` needs it as well."
        ),
    ] = "where_available"
    role_arn: Annotated[
        str | None,
        Field(
            pattern=r"^arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+$",
            description="Read-only role that is assumed for it. Required on target aws.",
        ),
    ] = None


class PullRequests(Model):
    """How pull requests are planned, approved and applied."""

    approvers: Annotated[
        People, Field(description="Whose reviews release an apply; none: nobody's.")
    ] = People()
    commands: Annotated[
        People, Field(description="Who may write `xops plan`; approvers may always.")
    ] = People()
    bots: Annotated[
        tuple[str, ...], Field(description="Logins of machines that GitHub calls people; `*`.")
    ] = ()
    apply: Annotated[
        Literal["before_merge", "after_merge"],
        Field(
            description="Before: a failure is seen while the branch can still be changed. After:"
            " what runs is never ahead of the base branch."
        ),
    ] = "before_merge"
    modules_concern: Annotated[
        tuple[EnvironmentName, ...],
        Field(description="Environments that a change below terraform/ is planned for; none: all."),
    ] = ()
    isolation: Isolation = Isolation()


class GitHubPolicy(Model):
    """All of the file."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    api_url: Annotated[
        str, Field(pattern="^https?://", description="GitHub Enterprise: https://HOST/api/v3.")
    ] = "https://api.github.com"
    credential: Credential = TokenCredential(variable="XOPS_GITHUB_TOKEN")
    repositories: Annotated[
        tuple[RepositoryPattern, ...],
        Field(description="The allow-list, as owner/name; `*` and `?` match as in a shell."),
    ] = ()
    hook_id: Annotated[
        int | None,
        Field(
            ge=1,
            description="Of the hook, whose deliveries are compared with those that came."
            " `hook_of` says where it is. None: the App's own, or not compared.",
        ),
    ] = None
    hook_of: Annotated[
        str | None,
        Field(pattern=r"^[\w-]+(/[\w.-]+)?$", description="owner/name, or an organisation."),
    ] = None
    webhook: Webhook = Webhook()
    routes: tuple[Route, ...] = ()
    base_branches: Annotated[
        tuple[Branch, ...],
        Field(
            description="Whose pull requests are planned, and whose `pull_requests` count. None:"
            " the default branch of each repository."
        ),
    ] = ()
    pull_requests: PullRequests = PullRequests()

    @field_validator("repositories")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        raise_if_any(
            ((index,), f"{value[index]!r} stands here twice; GitHub takes names in any case")
            for index in repeated([pattern.lower() for pattern in value])
        )
        return value

    @field_validator("routes")
    @classmethod
    def _no_route_twice(cls, value: tuple[Route, ...]) -> tuple[Route, ...]:
        raise_if_any(
            ((index,), f"is the same as route {value.index(value[index])}")
            for index in repeated(value)
        )
        return value

    @field_validator("hook_of")
    @classmethod
    def _with_hook(cls, value: str | None, info: ValidationInfo) -> str | None:
        if (value is None) != (info.data.get("hook_id") is None):
            raise ValueError("goes with hook_id: write both, or neither")
        return value

    @classmethod
    def load(cls, file: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Self:
        """Read the file: the one given, the one that XOPS_GITHUB_FILE names, or the project's.

        Nothing lies over it: it is what was reviewed.

        Raises:
            InputError: everything that is wrong with it, each with path and line.
        """
        environ = os.environ if environ is None else environ
        chosen = file or Path(environ.get(FILE_VARIABLE) or FILE)
        return settings.load(cls, chosen, prefix="", environ={}, arguments={})

    @property
    def access(self) -> Access:
        """Address and credential, as the client takes them."""
        return credential.access(self.api_url, self.credential)

    def allows(self, repository: str) -> bool:
        """Whether a repository is on the allow-list; GitHub takes names in any case."""
        name = repository.lower()
        return any(fnmatchcase(name, pattern.lower()) for pattern in self.repositories)


def doubts(policy: GitHubPolicy, environments: Sequence[str]) -> Iterator[str]:
    """What is allowed, and is probably not meant: for a check of the file.

    Args:
        policy: the file.
        environments: names of the environment files beside it.
    """
    rules = policy.pull_requests
    if not policy.repositories:
        yield "repositories: names none, so that every delivery is ignored"
    if wide := [one for one in policy.repositories if set("*?") & set(one)]:
        yield (
            f"repositories: {', '.join(wide)} trusts whoever may make a repository of such a name"
            " with all environments: its default branch says who approves"
        )
    if not (rules.approvers.teams or rules.approvers.logins):
        yield "pull_requests.approvers: names nobody, so that no pull request is ever applied"
    if unknown := [name for name in rules.modules_concern if name not in environments]:
        yield f"pull_requests.modules_concern: no environment file of {', '.join(unknown)}"
    if rules.isolation.sandbox == "off" and not rules.isolation.refuse:
        yield "pull_requests.isolation.sandbox: off; a plan of a branch runs its code unconfined"
    if policy.hook_id is None and policy.credential.kind != "app":
        yield "hook_id: none, so that deliveries that never came are not missed"
    woken = {route.event for route in policy.routes if route.deployment == _PULL_REQUESTS}
    for event in sorted({"pull_request", "pull_request_review"} - woken if woken else ()):
        yield f"routes: no {event} leads to {_PULL_REQUESTS}"


_PULL_REQUESTS = "handle-pull-request/handle-pull-request"


def schema() -> str:
    """The JSON schema of the file, as `github.schema.json` holds it for editors."""
    return json.dumps(GitHubPolicy.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
