"""GitHub's REST interface as the GitHub of the tests answers it: routes, and who may take which.

Each route bears its name in GitHub's OpenAPI description, against which bodies are checked, and
what an account needs for it. Texts of refusals are GitHub's own, as public reports quote them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests import github_openapi
from tests.github_data import Account, Organisation, Reply, Repository, Request

if TYPE_CHECKING:
    from tests.github_server import GitHubServer

DESCRIPTION_LIMIT = 140
"""Characters of a status and of a deployment's."""

REPOSITORY = "/repos/{owner}/{repo}"
DOCUMENTATION = "https://docs.github.com/rest"
ROLES = ("none", "read", "triage", "write", "maintain", "admin")
_NEEDED_ROLE = {
    ("contents", "read"): "read",
    ("contents", "write"): "write",
    ("issues", "read"): "read",
    ("issues", "write"): "read",  # who can read can comment
    ("pull_requests", "read"): "read",
    ("pull_requests", "write"): "read",
    ("statuses", "read"): "read",
    ("statuses", "write"): "write",
    ("checks", "read"): "read",
    ("checks", "write"): "write",
    ("deployments", "read"): "read",
    ("deployments", "write"): "write",
    ("metadata", "read"): "read",
    ("repository_hooks", "read"): "admin",
    ("repository_hooks", "write"): "admin",
}


@dataclass
class Call:
    """One request, understood.

    Attributes:
        named: what stands in the path where the route has `{names}`.
        repository: that the path names, if it names one.
        organisation: likewise.
    """

    github: GitHubServer
    request: Request
    account: Account
    query: Mapping[str, str]
    body: dict[str, Any]
    version: str
    named: dict[str, str] = field(default_factory=dict)
    repository_found: Repository | None = None
    organisation_found: Organisation | None = None

    @property
    def repository(self) -> Repository:
        """The repository that the path names."""
        assert self.repository_found is not None
        return self.repository_found

    @property
    def organisation(self) -> Organisation:
        """The organisation that the path names."""
        assert self.organisation_found is not None
        return self.organisation_found

    def number(self, name: str) -> int:
        """A number in the path; -1 if it is none."""
        return int(self.named[name]) if self.named[name].isdigit() else -1

    def page(self, rows: Sequence[Any], shape: Callable[[Any], Any] = lambda row: row) -> Reply:
        """A page of a list."""
        return self.github.page(rows, self.query, self.request.path, shape)


type Answer = Callable[[Call], Reply]


@dataclass(frozen=True)
class Route:
    """One route: what it is called in the description, what it needs, what answers it."""

    operation: str
    needs: tuple[str, str]
    answer: Answer
    pattern: re.Pattern[str]


_ROUTES: dict[str, list[Route]] = {}


def route(operation: str, *needs: str) -> Callable[[Answer], Answer]:
    """Let a function answer `METHOD /path/{name}`; `{name*}` takes slashes as well."""

    def keep(answer: Answer) -> Answer:
        method, path = operation.split(" ")
        where = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
        where = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", where)
        needed = (needs[0], needs[1]) if needs else ("metadata", "read")
        made = Route(operation.replace("*", ""), needed, answer, re.compile(where))
        _ROUTES.setdefault(method, []).append(made)
        return answer

    return keep


def answer(call: Call, path: str) -> Reply | None:
    """The answer of the route that fits a path; None if none does."""
    for one in _ROUTES.get(call.request.method, ()):
        if found := one.pattern.fullmatch(path):
            call.request.route = one.operation
            call.named = {name: unquote(value) for name, value in found.groupdict().items()}
            return _refusal(call, one) or one.answer(call)
    return None


def _refusal(call: Call, one: Route) -> Reply | None:
    if "owner" in call.named:
        call.repository_found = call.github.find(f"{call.named['owner']}/{call.named['repo']}")
        if call.repository_found is None:
            return not_found()
    if "org" in call.named:
        call.organisation_found = call.github.organisations.get(call.named["org"].lower())
        if call.organisation_found is None or call.organisation_found.conceals:
            return not_found()
    return _denied(call, one) or _unfit(call, one.operation)


def _denied(call: Call, one: Route) -> Reply | None:
    """404 for what an account cannot see, 403 for what it may not do."""
    account, (permission, level) = call.account, one.needs
    if (account.kind == "app") != (permission == "app"):
        if permission == "app":
            return Reply(401, {"message": "A JSON web token could not be decoded"})
        return Reply(403, {"message": "Resource not accessible by integration"})
    if account.kind == "app":
        return None
    if account.permissions is not None and not _granted(account.permissions, permission, level):
        whom = "integration" if account.kind == "installation" else "personal access token"
        return Reply(403, {"message": f"Resource not accessible by {whom}"})
    if permission == "checks" and level == "write" and account.kind != "installation":
        return Reply(403, {"message": "You must authenticate via a GitHub App."})
    if account.trusted or account.kind == "installation":
        return None
    if call.repository_found is not None:
        return _role_refusal(call, permission, level)
    if call.organisation_found is not None:
        return _organisation_refusal(call, permission)
    return None


def _granted(permissions: Mapping[str, str], permission: str, level: str) -> bool:
    if permission in ("metadata", "user"):
        return True
    if permission == "issues" and _granted(permissions, "pull_requests", level):
        return True  # either will do for the comments of a pull request
    has = permissions.get(permission)
    return has in (("write", "admin") if level == "write" else ("read", "write", "admin"))


def _role_refusal(call: Call, permission: str, level: str) -> Reply | None:
    role = call.github.role(call.repository, call.account.login)
    needed = _NEEDED_ROLE[permission, level]
    if ROLES.index(role) >= ROLES.index(needed):
        return None
    if role == "none" or needed == "admin":
        return not_found()
    return Reply(403, {"message": "Resource not accessible by personal access token"})


def _organisation_refusal(call: Call, permission: str) -> Reply | None:
    who, organisation = call.account.login.lower(), call.organisation
    allowed = organisation.members if permission == "members" else organisation.owners
    return None if who in map(str.lower, allowed) else not_found()


def _unfit(call: Call, operation: str) -> Reply | None:
    wrong = github_openapi.problem(operation, call.body)
    if wrong is None:
        return None
    return Reply(422, {"message": wrong, "documentation_url": DOCUMENTATION, "status": "422"})


def not_found() -> Reply:
    """What is not there, or hidden."""
    body = {"message": "Not Found", "documentation_url": DOCUMENTATION, "status": "404"}
    return Reply(404, body)


def invalid(*errors: Any, message: str = "Validation Failed") -> Reply:
    """What GitHub understands and refuses."""
    body = {"message": message, "errors": list(errors), "documentation_url": DOCUMENTATION}
    return Reply(422, {**body, "status": "422"})


def wrong(resource: str, name: str, code: str, message: str = "") -> dict[str, str]:
    """One error of a refusal."""
    row = {"resource": resource, "field": name, "code": code}
    return row | ({"message": message} if message else {})


@cache
def operations() -> frozenset[str]:
    """All routes, by their names in GitHub's description."""
    return frozenset(one.operation for rows in _ROUTES.values() for one in rows)
