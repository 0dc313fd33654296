"""People: who may do what, and who is in which team."""

from __future__ import annotations

from tests.github_data import Reply
from tests.github_rest.routes import REPOSITORY, ROLES, Call, not_found, route
from tests.github_shapes import team_number


@route(f"GET {REPOSITORY}/collaborators/{{username}}/permission")
def _permission(call: Call) -> Reply:
    who = call.named["username"]
    role = call.github.role(call.repository, who)
    legacy = {"maintain": "write", "triage": "read"}.get(role, role)
    levels = ("read", "triage", "write", "maintain", "admin")
    names = ("pull", "triage", "push", "maintain", "admin")
    has = {
        name: ROLES.index(role) >= ROLES.index(level)
        for name, level in zip(names, levels, strict=True)
    }
    user = {**call.github.shapes.user(who), "permissions": has, "role_name": role}
    return Reply(200, {"permission": legacy, "role_name": role, "user": user})


@route("GET /orgs/{org}/teams", "members", "read")
def _teams(call: Call) -> Reply:
    shapes, organisation = call.github.shapes, call.organisation
    return call.page(list(organisation.teams), lambda slug: shapes.team(organisation, slug))


@route("GET /orgs/{org}/teams/{team_slug}", "members", "read")
def _team(call: Call) -> Reply:
    slug = call.named["team_slug"]
    if slug not in call.organisation.teams:
        return not_found()
    return Reply(200, call.github.shapes.whole_team(call.organisation, slug))


@route("GET /orgs/{org}/teams/{team_slug}/members", "members", "read")
def _team_members(call: Call) -> Reply:
    slug, organisation = call.named["team_slug"], call.organisation
    if slug not in organisation.teams:
        return not_found()
    team, role = organisation.teams[slug], call.query.get("role", "all")
    rows = [
        {
            **call.github.shapes.user(login),
            "role": "maintainer" if login in team.maintainers else "member",
            "inherited": login not in team.members,
        }
        for login in organisation.members_of(slug)
    ]
    return call.page([row for row in rows if role in ("all", row["role"])])


@route("GET /orgs/{org}/teams/{team_slug}/memberships/{username}", "members", "read")
def _team_membership(call: Call) -> Reply:
    slug, who, organisation = call.named["team_slug"], call.named["username"], call.organisation
    if slug not in organisation.teams:
        return not_found()
    team = organisation.teams[slug]
    members = [one.lower() for one in organisation.members_of(slug)]
    pending = [one.lower() for one in team.pending]
    if who.lower() not in members + pending:
        return not_found()
    number = team_number(organisation, slug)
    top = who.lower() in map(str.lower, [*team.maintainers, *organisation.owners])
    return Reply(
        200,
        {
            "url": f"{call.github.url}/teams/{number}/memberships/{who}",
            "role": "maintainer" if top else "member",
            "state": "active" if who.lower() in members else "pending",
        },
    )


@route("GET /user", "user", "read")
def _viewer(call: Call) -> Reply:
    if call.account.kind == "installation":
        return Reply(403, {"message": "Resource not accessible by integration"})
    login = call.account.login
    return Reply(200, call.github.shapes.whole_user(login, call.github.names.get(login)))


@route("GET /meta", "metadata", "read")
def _meta(call: Call) -> Reply:
    return Reply(
        200, {"verifiable_password_authentication": False, "hooks": ["127.0.0.0/8", "::1/128"]}
    )
