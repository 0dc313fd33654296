"""What an App asks as itself, by a JSON web token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests import github_hooks
from tests.github_data import Reply
from tests.github_rest.hooks import (
    attempt,
    change_config,
    config_of,
    deliveries_of,
    hooks_of,
    known_delivery,
)
from tests.github_rest.routes import Call, not_found, route
from tests.github_shapes import LONG_AGO, number_of

if TYPE_CHECKING:
    from tests.github_server import GitHubServer


@route("GET /app", "app", "read")
def _app(call: Call) -> Reply:
    return Reply(200, call.github.app_shape())


@route("GET /app/hook/config", "app", "read")
def _app_config(call: Call) -> Reply:
    hooks = hooks_of(call)
    return Reply(200, config_of(hooks[0])) if hooks else not_found()


@route("PATCH /app/hook/config", "app", "write")
def _edit_app_config(call: Call) -> Reply:
    hooks = hooks_of(call)
    return change_config(call, hooks[0]) if hooks else not_found()


@route("GET /app/hook/deliveries", "app", "read")
def _app_deliveries(call: Call) -> Reply:
    return deliveries_of(call, hooks_of(call))


@route("GET /app/hook/deliveries/{delivery_id}", "app", "read")
def _one_app_delivery(call: Call) -> Reply:
    found = known_delivery(call, hooks_of(call))
    return not_found() if found is None else Reply(200, github_hooks.whole(found))


@route("POST /app/hook/deliveries/{delivery_id}/attempts", "app", "write")
def _redeliver_app(call: Call) -> Reply:
    return attempt(call, hooks_of(call))


@route("GET /app/installations/{installation_id}", "app", "read")
def _installation(call: Call) -> Reply:
    return Reply(200, installation(call.github))


def installation(github: GitHubServer) -> dict[str, Any]:
    """The App's installation."""
    number, app = github.installation_id, github.app_id
    owner = next((one.owner for one in github.repositories.values()), "acme")
    mine = f"{github.url}/app/installations/{number}"
    return {
        "id": number,
        "account": github.shapes.owner(owner),
        "repository_selection": "all",
        "access_tokens_url": f"{mine}/access_tokens",
        "repositories_url": f"{github.url}/installation/repositories",
        "html_url": f"https://github.com/organizations/{owner}/settings/installations/{number}",
        "app_id": app,
        "target_id": number_of(owner.lower()),
        "target_type": "Organization",
        "permissions": dict(github.app_permissions),
        "events": list(github.app_events),
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "single_file_name": None,
        "app_slug": "xops",
        "suspended_by": None,
        "suspended_at": None,
    }
