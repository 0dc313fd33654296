"""Hooks and their deliveries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests import github_hooks
from tests.github_data import Reply, text
from tests.github_hooks import APP_EVENTS, EVENTS, ORGANISATION_EVENTS, Hook
from tests.github_rest.routes import (
    DOCUMENTATION,
    REPOSITORY,
    Call,
    invalid,
    not_found,
    route,
    wrong,
)
from tests.github_shapes import number_of

MOST_HOOKS = 20
"""Of one event."""

MASKED = "********"


@dataclass(frozen=True)
class _Place:
    """Where hooks are."""

    kind: str
    owner: str
    target: int
    events: frozenset[str]
    path: str


def _place(call: Call) -> _Place:
    if call.repository_found is not None:
        one = call.repository_found
        return _Place("repository", one.name, one.number, EVENTS, f"/repos/{one.name}/hooks")
    if call.organisation_found is not None:
        login = call.organisation_found.login
        number = number_of(login.lower())
        events = frozenset(ORGANISATION_EVENTS)
        return _Place("organization", login, number, events, f"/orgs/{login}/hooks")
    number = call.github.app_id
    return _Place("integration", "xops", number, frozenset(APP_EVENTS), "/app/hook")


def _hook_shape(call: Call, hook: Hook) -> dict[str, Any]:
    place = _place(call)
    mine = f"{call.github.url}{place.path}/{hook.id}"
    row = {
        "type": {"repository": "Repository"}.get(place.kind, "Organization"),
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": config_of(hook),
        "updated_at": text(hook.updated_at),
        "created_at": text(hook.created_at),
        "url": mine,
        "ping_url": f"{mine}/pings",
        "deliveries_url": f"{mine}/deliveries",
    }
    if place.kind == "repository":
        row |= {"test_url": f"{mine}/test", "last_response": hook.last_response}
    return row


def config_of(hook: Hook) -> dict[str, Any]:
    row = {
        "content_type": hook.content_type,
        "insecure_ssl": hook.insecure_ssl,
        "url": hook.url,
    }
    return row | ({"secret": MASKED} if hook.secret else {})


def hooks_of(call: Call) -> list[Hook]:
    place = _place(call)
    return call.github.hooks.of(place.kind, place.owner)


def _known_hook(call: Call) -> Hook | None:
    wanted = call.number("hook_id")
    return next((hook for hook in hooks_of(call) if hook.id == wanted), None)


def _list_hooks(call: Call) -> Reply:
    return call.page(hooks_of(call), lambda hook: _hook_shape(call, hook))


def _bad_hook(call: Call, events: Sequence[str], config: Mapping[str, Any]) -> Reply | None:
    url = config.get("url")
    if not url or not re.match(r"https?://[^/]+", url):
        said = "url is missing a scheme" if url else "url cannot be blank"
        return invalid(wrong("Hook", "url", "custom", said))
    place = _place(call)
    unknown = [event for event in events if event != "*" and event not in place.events]
    if unknown:
        said = "Events is invalid"
        return invalid(wrong("Hook", "events", "custom", f"{said}: {', '.join(unknown)}"))
    return None


def _new_hook(call: Call) -> Reply:
    place, body = _place(call), call.body
    config, events = body.get("config") or {}, list(dict.fromkeys(body.get("events") or ["push"]))
    if body.get("name", "web") != "web":
        return invalid(wrong("Hook", "name", "invalid"))
    if refused := _bad_hook(call, events, config):
        return refused
    others = hooks_of(call)
    url = config["url"]
    if any(one.url == url and set(one.events) & set(events) for one in others):
        said = f"Hook already exists on this {place.kind}"
        return invalid({"resource": "Hook", "code": "custom", "message": said})
    for event in events:
        if sum(event in one.events for one in others) >= MOST_HOOKS:
            said = f'The "{event}" event cannot have more than {MOST_HOOKS} hooks'
            return invalid({"resource": "Hook", "code": "custom", "message": said})
    made = call.github.hooks.add(
        place.owner,
        place.kind,
        place.target,
        url,
        secret=config.get("secret") or None,
        events=events,
        active=body.get("active", True),
        content_type=_content_type(config),
        insecure_ssl=str(config.get("insecure_ssl", "0")),
    )
    _ping(call, made)
    return Reply(201, _hook_shape(call, made))


def _content_type(config: Mapping[str, Any]) -> str:
    return "json" if config.get("content_type") == "json" else "form"


def _ping(call: Call, hook: Hook) -> None:
    shapes = call.github.shapes
    payload: dict[str, Any] = {
        "zen": "Keep it logically awesome.",
        "hook_id": hook.id,
        "hook": _hook_shape(call, hook),
        "sender": shapes.user(call.account.login),
    }
    if call.repository_found is not None:
        payload["repository"] = shapes.repository(call.repository_found)
    if call.organisation_found is not None:
        payload["organization"] = shapes.organisation(call.organisation_found.login)
    call.github.hooks.emit("ping", payload, only=hook)


def _one_hook(call: Call) -> Reply:
    found = _known_hook(call)
    return not_found() if found is None else Reply(200, _hook_shape(call, found))


def _edit_hook(call: Call) -> Reply:
    hook, body = _known_hook(call), call.body
    if hook is None:
        return not_found()
    events = list(body.get("events") or hook.events)
    events += [one for one in body.get("add_events") or () if one not in events]
    events = [one for one in events if one not in (body.get("remove_events") or ())]
    config = body.get("config") or {"url": hook.url}
    if refused := _bad_hook(call, events, config):
        return refused
    hook.events, hook.active = events, body.get("active", hook.active)
    if "config" in body:  # all of it is replaced: a secret that is not given again is gone
        hook.url, hook.content_type = config["url"], _content_type(config)
        hook.insecure_ssl = str(config.get("insecure_ssl", "0"))
        hook.secret = config.get("secret") or None
    hook.updated_at = call.github.now()
    return Reply(200, _hook_shape(call, hook))


def _delete_hook(call: Call) -> Reply:
    hook = _known_hook(call)
    if hook is None:
        return not_found()
    call.github.hooks.all.remove(hook)
    return Reply(204)


def _ping_hook(call: Call) -> Reply:
    hook = _known_hook(call)
    if hook is None:
        return not_found()
    _ping(call, hook)
    return Reply(204)


def _hook_config(call: Call) -> Reply:
    hook = _known_hook(call)
    return not_found() if hook is None else Reply(200, config_of(hook))


def _edit_hook_config(call: Call) -> Reply:
    hook = _known_hook(call)
    return not_found() if hook is None else change_config(call, hook)


def change_config(call: Call, hook: Hook) -> Reply:
    """One by one: what is not given stays."""
    body = call.body
    hook.url = body.get("url", hook.url)
    hook.secret = body.get("secret", hook.secret) or None
    hook.content_type = _content_type({"content_type": hook.content_type, **body})
    hook.insecure_ssl = str(body.get("insecure_ssl", hook.insecure_ssl))
    hook.updated_at = call.github.now()
    return Reply(200, config_of(hook))


def deliveries_of(call: Call, hooks: Sequence[Hook]) -> Reply:
    """A page of deliveries, which goes on at a cursor: the list grows at its other end."""
    size, asked = int(call.query.get("per_page", 30)), call.query.get("cursor", "")
    if not 1 <= size <= 100:
        size = 30 if size < 1 else 100
    rows = call.github.hooks.listed(hooks, call.query.get("status", ""))
    if asked:
        found = re.fullmatch(r"v1_(\d+)", asked)
        places = [index for index, one in enumerate(rows) if found and one.id == int(found[1])]
        if not places:
            return Reply(400, {"message": "Invalid cursor.", "documentation_url": DOCUMENTATION})
        rows = rows[places[0] :]
    headers = {}
    if len(rows) > size:
        path = urlsplit(call.request.path).path
        rest = {**call.query, "per_page": str(size), "cursor": f"v1_{rows[size].id}"}
        headers["link"] = f'<{call.github.url}{path}?{urlencode(rest)}>; rel="next"'
    return Reply(200, [github_hooks.item(one) for one in rows[:size]], headers)


def _list_deliveries(call: Call) -> Reply:
    hook = _known_hook(call)
    return not_found() if hook is None else deliveries_of(call, [hook])


def known_delivery(call: Call, hooks: Sequence[Hook]) -> github_hooks.Sent | None:
    found = call.github.hooks.find(call.number("delivery_id"))
    return found if found is not None and found.hook in hooks else None


def _one_delivery(call: Call) -> Reply:
    hook = _known_hook(call)
    found = None if hook is None else known_delivery(call, [hook])
    return not_found() if found is None else Reply(200, github_hooks.whole(found))


def _redeliver(call: Call) -> Reply:
    hook = _known_hook(call)
    return not_found() if hook is None else attempt(call, [hook])


def attempt(call: Call, hooks: Sequence[Hook]) -> Reply:
    found = known_delivery(call, hooks)
    if found is None:
        return not_found()
    call.github.hooks.redeliver(found.id)
    return Reply(202, {})


for _where, _kind in ((REPOSITORY, "repository_hooks"), ("/orgs/{org}", "organization_hooks")):
    _hook = f"{_where}/hooks/{{hook_id}}"
    for _operation, _level, _function in (
        (f"GET {_where}/hooks", "read", _list_hooks),
        (f"POST {_where}/hooks", "write", _new_hook),
        (f"GET {_hook}", "read", _one_hook),
        (f"PATCH {_hook}", "write", _edit_hook),
        (f"DELETE {_hook}", "write", _delete_hook),
        (f"POST {_hook}/pings", "read", _ping_hook),
        (f"GET {_hook}/config", "read", _hook_config),
        (f"PATCH {_hook}/config", "write", _edit_hook_config),
        (f"GET {_hook}/deliveries", "read", _list_deliveries),
        (f"GET {_hook}/deliveries/{{delivery_id}}", "read", _one_delivery),
        (f"POST {_hook}/deliveries/{{delivery_id}}/attempts", "write", _redeliver),
    ):
        route(_operation, _kind, _level)(_function)
