"""What GitHub has to be told so that deliveries come: a hook, or an App and its hook.

A token sets up a hook of a repository or of an organisation; an App has a hook of its own, and is
made by a person in the browser from a manifest. To set it up once more changes nothing but what
differs: a hook that leads to the same address is updated. The secret goes to GitHub, and nowhere
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.web_address import Origin
from xops.github.client import Client
from xops.github.credential import AppCredential
from xops.github.policy import GitHubPolicy

PATH = "/github"
"""Where the receiver takes deliveries."""

LEAST_SECRET_BYTES = 32

PEOPLE_EVENTS = ("membership", "organization", "team")
"""What tells that a team's members have changed. A repository's hook is told none of them."""

APP_PERMISSIONS: Mapping[str, str] = {
    "checks": "write",
    "contents": "read",
    "deployments": "write",
    "issues": "write",
    "members": "read",
    "merge_queues": "read",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}
"""Of an App, as GitHub's manifest names them. `issues` and `members` bring their events as well;
`merge_queues` that of a merge queue."""

TOKEN_PERMISSIONS: Mapping[str, str] = {
    "contents": "read",
    "deployments": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}
"""Of a fine-grained token for a repository. GitHub gives no token the right to make check runs."""

HOOK_PERMISSIONS = {"repository": "repository_hooks", "organisation": "organization_hooks"}
"""What a token needs besides, to set up the hook (write) and to read its deliveries (read)."""


@dataclass(frozen=True)
class Plan:
    """What is to be set up.

    Attributes:
        place: owner/name, or an organisation, whose hook it is; of an App what it is made for.
        url: where deliveries go.
        events: of which it is told.
        is_app: whether it is the App's own hook.
        permissions: that the credential needs, its hook's included.
        manifest: of the App, as GitHub takes it; it holds no secret.
        manifest_url: where a person posts the manifest, as the field `manifest` of a form.
    """

    place: str
    url: str
    events: tuple[str, ...]
    is_app: bool
    permissions: Mapping[str, str]
    manifest: Mapping[str, Any]
    manifest_url: str

    @property
    def path(self) -> str:
        """Where the place's hooks are in the REST interface."""
        return f"/repos/{self.place}/hooks" if "/" in self.place else f"/orgs/{self.place}/hooks"

    @property
    def settings(self) -> dict[str, Any]:
        """The hook as GitHub is told it, without its secret."""
        config = {"url": self.url, "content_type": "json", "insecure_ssl": "0"}
        return {"active": True, "events": list(self.events), "config": config}


@dataclass(frozen=True)
class Outcome:
    """What was done.

    Attributes:
        done: whether there was such a hook before.
        hook_id, hook_of: as they belong into `github.yaml`; None for an App's own hook.
    """

    done: Literal["created", "updated"]
    hook_id: int | None = None
    hook_of: str | None = None
    url: str = field(default="", kw_only=True)


def plan(policy: GitHubPolicy, address: str, *, place: str = "") -> Plan:
    """What this installation needs of GitHub.

    Args:
        policy: which repositories and events it is about, and by which credential.
        address: where GitHub reaches the receiver, as `https://HOST/github`.
        place: owner/name or an organisation; found from the policy if it is empty.

    Raises:
        InputError: the address leads to no receiver, or the policy does not tell the place.
    """
    url = _receiver(address, policy.api_url)
    where = place or policy.hook_of or _common_place(policy.repositories)
    is_app = isinstance(policy.credential, AppCredential)
    of_people = is_app or "/" not in where
    return Plan(
        place=where,
        url=url,
        events=_events(policy, of_people=of_people),
        is_app=is_app,
        permissions=dict(APP_PERMISSIONS) if is_app else _of_token(where),
        manifest=_manifest(policy, url),
        manifest_url=_manifest_url(policy.api_url, where.partition("/")[0]),
    )


def apply(plan: Plan, secret: str, client: Client) -> Outcome:
    """Set the hook up.

    After an `UnavailableError` nobody knows whether it was created. To run it again is safe: it
    looks first.

    Args:
        plan: what is wanted.
        secret: that deliveries are signed with.
        client: of the credential in the policy; of an App, as the App itself.

    Raises:
        InputError: the secret is short.
        PermanentError: several hooks lead to the address.
        AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
    """
    if len(secret.encode()) < LEAST_SECRET_BYTES:
        said = f"has fewer than {LEAST_SECRET_BYTES} bytes; make one with `openssl rand -hex 32`"
        raise InputError("setting up the hook", [Finding("webhook secret", "", said)])
    if plan.is_app:
        return _apply_to_app(plan, secret, client)
    attempted = f"setting up the hook of {plan.place}"
    with client.translate_errors(attempted):
        known = _leading_there(client.pages(plan.path, attempted), plan, attempted)
    settings = plan.settings
    settings["config"]["secret"] = secret  # GitHub forgets the one it has if it is not given again
    if known is None:
        body = {"name": "web", **settings}
        made = client.write("POST", plan.path, body, attempted)
        return Outcome("created", _number(client, made, attempted), plan.place, url=plan.url)
    client.write("PATCH", f"{plan.path}/{known}", settings, attempted)
    return Outcome("updated", known, plan.place, url=plan.url)


def _apply_to_app(plan: Plan, secret: str, client: Client) -> Outcome:
    """Of an App's hook the address and the secret; its events are chosen in its settings."""
    config = {**plan.settings["config"], "secret": secret}
    client.write("PATCH", "/app/hook/config", config, "setting up the App's hook")
    return Outcome("updated", url=plan.url)


def _leading_there(hooks: Iterable[Any], plan: Plan, attempted: str) -> int | None:
    """The hook that leads to the address.

    Raises:
        PermanentError: there are several, by each of which everything would come once more.
    """
    found = [int(hook["id"]) for hook in hooks if (hook.get("config") or {}).get("url") == plan.url]
    if len(found) > 1:
        raise PermanentError(
            attempted,
            f"its hooks {', '.join(map(str, found))} all lead to {plan.url}: everything would"
            " come once by each, and only one of them can be compared with what came",
            "Delete all but one of them in the settings, Webhooks; then run it again.",
        )
    return found[0] if found else None


def _number(client: Client, made: Any, attempted: str) -> int:
    with client.translate_errors(attempted):
        return int(made["id"])


def _events(policy: GitHubPolicy, *, of_people: bool) -> tuple[str, ...]:
    routed = {route.event for route in policy.routes} - set(PEOPLE_EVENTS)
    return tuple(sorted(routed | (set(PEOPLE_EVENTS) if of_people else set())))


def _of_token(place: str) -> dict[str, str]:
    kind = "repository" if "/" in place else "organisation"
    # Teams are an organisation's: a token that reads them is one for the organisation.
    return {**TOKEN_PERMISSIONS, "members": "read", HOOK_PERMISSIONS[kind]: "write"}


def _manifest(policy: GitHubPolicy, url: str) -> dict[str, Any]:
    split = urlsplit(url)
    return {
        "name": "xOps",
        "description": "Plans pull requests, reports them, and applies what is approved.",
        "url": f"{split.scheme}://{split.netloc}",
        "public": False,
        "hook_attributes": {"url": url, "active": True},
        "default_events": list(_events(policy, of_people=True)),
        "default_permissions": dict(APP_PERMISSIONS),
    }


def _manifest_url(api_url: str, owner: str) -> str:
    """Where GitHub takes a manifest. Source: its documentation, "App from a manifest"."""
    split = urlsplit(api_url)
    # api.github.com and api.SUBDOMAIN.ghe.com; a server of one's own has its API below /api/v3.
    web = f"{split.scheme}://{split.netloc.removeprefix('api.')}"
    return f"{web}/organizations/{quote(owner)}/settings/apps/new"


def _receiver(address: str, api_url: str) -> str:
    """The address, if deliveries can come there."""
    problem = ""
    try:
        origin = Origin.of(address)
    except ValueError as error:
        raise _wrong_address(str(error)) from None
    split = urlsplit(address)
    local = origin.is_loopback and Origin.of(api_url).is_loopback
    if origin.scheme != "https" and not local:
        problem = f"{origin} is not https: what happens in the repository would be readable"
    elif origin.is_loopback and not local:
        problem = f"{origin} is this machine, which GitHub does not reach"
    elif split.path.rstrip("/") != PATH or split.query or split.fragment:
        problem = f"leads elsewhere than to {PATH}, where the receiver takes deliveries"
    if problem:
        raise _wrong_address(problem)
    return f"{split.scheme}://{split.netloc}{PATH}"


def _wrong_address(problem: str) -> InputError:
    return InputError("planning the hook", [Finding("--address", "", problem)])


def _common_place(patterns: Iterable[str]) -> str:
    """The one repository of the allow-list, or the organisation of all of them."""
    known = list(patterns)
    if len(known) == 1 and not set("*?") & set(known[0]):
        return known[0]
    owners = {pattern.partition("/")[0] for pattern in known}
    owner = next(iter(owners), "")
    if len(owners) == 1 and not set("*?") & set(owner):
        return owner
    said = "names no repository and no organisation of them all; say with --on whose hook it is"
    raise InputError("planning the hook", [Finding("repositories", "", said)])
