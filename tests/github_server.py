"""A GitHub to test against: a local HTTP server that speaks the parts of its interfaces xOps uses.

Costs, rate limits, ETags, redirects of renamed repositories and installation tokens of Apps are as
GitHub has them (GraphQL: `tests/github_graphql.py`). A repository can refuse pages of a size and
send null where GitHub's schema allows it (`Repository.refusal`, `.null_nodes`). What else must go
wrong is asked for with `POST /xops/faults` (see `Fault`), or through `GitHubServer.fail`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests import github_control, github_graphql, github_rest
from tests.github_actions import Actions
from tests.github_data import (
    Account,
    Fault,
    Organisation,
    Reply,
    Repository,
    Request,
    Team,
    text,
)
from tests.github_hooks import Hook, Hooks
from tests.github_shapes import Shapes

TOKEN = "github_pat_of_the_tests"
CLASSIC_TOKEN = "ghp_of_the_tests"
APP_ID = 4711
INSTALLATION_ID = 42
APP_BOT = "xops[bot]"
APP_PERMISSIONS = {
    "checks": "write",
    "contents": "read",
    "deployments": "write",
    "issues": "write",
    "members": "read",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}
VERSIONS = ("2022-11-28", "2026-03-10")
"""Of the REST interface; the first answers who names none."""


class GitHubServer:
    """The server, its repositories and what was asked of it. Use it as a context manager."""

    def __init__(self, *, points: int = 5000, rest: int = 5000, port: int = 0) -> None:
        self.repositories: dict[str, Repository] = {}
        self.organisations: dict[str, Organisation] = {}
        self.requests: list[Request] = []
        self.tokens = {TOKEN, CLASSIC_TOKEN}
        self.hidden: set[str] = set()
        self.names: dict[str, str] = {}
        """By login what people say their name is."""
        self.partial_lists = False
        """Whether lists leave out what belongs to organisations with SAML, and say so."""
        self.viewer = "xops-bot"
        """The login behind the tokens."""
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """When an issue is written."""
        self.points_limit = self.points_left = points
        self.rest_limit = self.rest_left = rest
        self.limits_enabled = True
        self.app_public_key: str | None = None
        self.on_request: Callable[[Request], None] = lambda request: None
        self.on_answer: Callable[[Request, Any, Reply], None] = lambda request, body, reply: None
        """Is told of each request with its body and its answer."""
        self.reset_seconds = 3600
        self.next_page = ""
        """What lists say instead of where they go on."""
        self.raw_answer: tuple[bytes, dict[str, str]] | None = None
        """What is answered instead: a body with its headers."""
        self.change: Callable[[Any], Any] = lambda body: body
        """What becomes of the body of an answer that is right."""
        self.looks = 1
        """How often a pull request is asked for before GitHub knows whether it can be merged."""
        self.writes_a_minute: int | None = None
        """More writes than that meet the secondary limit; None: as many as there are."""
        self.accounts: dict[str, Account] = {}
        """By token; tokens without one are the viewer's, who may do everything."""
        self.app_id = APP_ID
        self.installation_id = INSTALLATION_ID
        self.app_permissions: dict[str, str] = dict(APP_PERMISSIONS)
        self.app_events: list[str] = []
        self._written: list[float] = []
        self._leads_to: tuple[str, int] | None = None
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.github = self
        self.hooks = Hooks(self.next_id)
        self.act = Actions(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.hooks.close()

    def next_id(self) -> int:
        """A number that nothing else has."""
        return next(self._ids)

    @property
    def shapes(self) -> Shapes:
        """What is answered, with addresses of this server."""
        return Shapes(self.url, self.organisations)

    def app_shape(self) -> dict[str, Any]:
        """The App."""
        shown: dict[str, Any] = self.shapes.app(self.app_id, self.app_permissions, self.app_events)
        return shown

    def app_hook(self, url: str, secret: str, *events: str) -> Hook:
        """The App's own hook, told of what happens wherever it is installed."""
        self.hooks.installation_id, self.app_events = self.installation_id, list(events)
        made = self.hooks.add("xops", "integration", self.app_id, url, secret=secret)
        made.events, made.content_type = list(events), "json"
        return made

    def grant(self, token: str, login: str, **permissions: str) -> None:
        """A token of somebody's; fine-grained if permissions are given, which it is held to."""
        kind = "classic" if token.startswith("ghp_") else "fine-grained"
        self.accounts[token] = Account(login, kind, permissions or None)
        self.tokens.add(token)

    def role(self, repository: Repository, login: str) -> str:
        """The highest role of somebody: none, read, triage, write, maintain or admin."""
        who, found = login.lower(), ["read" if repository.public else "none"]
        direct = {name.lower(): role for name, role in repository.collaborators.items()}
        found.append(direct.get(who, "none"))
        organisation = self.organisations.get(repository.owner.lower())
        if organisation is not None:
            found += _organisation_roles(organisation, repository, who)
        if who in (repository.owner.lower(), self.viewer.lower()):
            found.append("admin")
        return max(found, key=_ROLES.index)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, **more: Any) -> Repository:
        """A new repository."""
        made = Repository(name, f"R_{next(self._ids)}", **more)
        self.repositories[name.lower()] = made
        return made

    def organisation(self, login: str, *members: str, **teams: Team) -> Organisation:
        """A new organisation; the repositories of that owner are its own."""
        made = self.organisations[login.lower()] = Organisation(login, list(members), teams)
        return made

    def rename(self, old: str, new: str) -> None:
        """Rename or transfer a repository; the old name leads to it until another takes it."""
        made = self.repositories.pop(old.lower())
        made.formerly.append(old.lower())
        made.name = new
        self.repositories[new.lower()] = made

    def delete(self, name: str) -> None:
        """Delete a repository."""
        del self.repositories[name.lower()]

    def find(self, name: str) -> Repository | None:
        """The repository of that name, or of that former name; None if hidden or gone."""
        found = self.repositories.get(name.lower())
        if found is None:
            former = (r for r in self.repositories.values() if name.lower() in r.formerly)
            found = next(former, None)
        return None if found is None or found.name in self.hidden else found

    def lead_to(self, address: str, status: int) -> None:
        """Answer all requests with a redirect."""
        self._leads_to = (address, status)

    def fail(self, **fault: Any) -> None:
        """Ask for a fault, as `POST /xops/faults` does."""
        with self._lock:
            self._faults.append(Fault(**fault))

    def asked(self, operation: str) -> list[Request]:
        """The requests of that GraphQL operation."""
        return [request for request in self.requests if request.operation == operation]

    @property
    def points(self) -> int:
        """Points of GraphQL that were spent."""
        return sum(request.cost for request in self.requests)

    def answer(self, request: Request, headers: Mapping[str, str], body: Any) -> Reply:
        """Answer one request; only one at a time."""
        with self._lock:
            self.requests.append(request)
            reply = self._answered(request, headers, body)
            if reply.status == 200 and reply.raw is None:
                reply.body = self.change(reply.body)
            request.status = reply.status
            self.on_answer(request, body, reply)
            return reply

    def _answered(self, request: Request, headers: Mapping[str, str], body: Any) -> Reply:
        path = urlsplit(request.path).path
        request.authorization = headers.get("authorization", "")
        if path.startswith("/xops/"):
            return self._control(request, path, body)
        if answer := self._in_place_of_all():
            return answer
        if path.endswith(("/access_tokens", "/installation")):
            return self._app(request, path, body)
        account = self._account(request, path)
        if isinstance(account, Reply):
            return account
        if path in ("/graphql", "/api/graphql"):
            _describe(request, body)
        self.on_request(request)
        fault = self._take(request)
        if fault is None:
            return self._right(request, headers, body, account, None)
        if fault.delay_seconds:
            time.sleep(fault.delay_seconds)
        if fault.kind not in ("partial", "arrives", "delay"):
            return self._faulty(fault)
        reply = self._right(request, headers, body, account, fault)
        return Reply(0, drop=True) if fault.kind == "arrives" else reply

    def _right(
        self,
        request: Request,
        headers: Mapping[str, str],
        body: Any,
        account: Account,
        fault: Fault | None,
    ) -> Reply:
        if request.operation:
            return self._graphql(request, body, fault, account)
        return self._rest(request, headers, body, account)

    def _in_place_of_all(self) -> Reply | None:
        if self._leads_to is not None:
            address, status = self._leads_to
            return Reply(status, {}, {"location": address})
        if self.raw_answer is not None:
            body, more = self.raw_answer
            return Reply(200, raw=body, headers=more)
        return None

    def _control(self, request: Request, path: str, body: Any) -> Reply:
        """What tests and people ask of the server itself."""
        if path == "/xops/faults":
            return self._fault_request(request.method, body)
        return github_control.answer(self, request.method, path, body or {})

    # Faults.

    def _fault_request(self, method: str, body: Any) -> Reply:
        if method == "POST":
            self._faults += [Fault(**row) for row in (body if isinstance(body, list) else [body])]
        elif method == "DELETE":
            self._faults.clear()
        return Reply(200, [fault.model_dump() for fault in self._faults])

    def _take(self, request: Request) -> Fault | None:
        for fault in self._faults:
            if not _matches(fault, request, self._named(request.variables)):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self._faults.remove(fault)
            return fault
        return None

    def _named(self, variables: Mapping[str, Any]) -> set[str]:
        """The repositories that a question is about, by name or by the ids in it."""
        ids = {id.partition("_PR_")[0] for id in variables.get("ids", ())}
        by_id = {one.name.lower() for one in self.repositories.values() if one.id in ids}
        return _names(variables) | by_id

    def _faulty(self, fault: Fault) -> Reply:
        retry = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
        match fault.kind:
            case "secondary":
                text = "You have exceeded a secondary rate limit. Please wait a few minutes."
                return Reply(fault.status if fault.status != 502 else 403, {"message": text}, retry)
            case "in_answer":  # as GitHub answers GraphQL, with no header that says how long
                row = {"message": fault.message} | ({"type": fault.error} if fault.error else {})
                return Reply(200, {"errors": [row]}, retry)
            case "primary":
                reset = str(int(time.time()) + int(fault.retry_after or 0))
                headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
                return Reply(403, {"message": "API rate limit exceeded."}, headers)
            case "refused":
                row = {"message": fault.message} | ({"type": fault.error} if fault.error else {})
                return Reply(200, {"data": None, "errors": [row]})
            case "html":
                return Reply(200, raw=b"<html>proxy</html>", headers={"content-type": "text/html"})
            case "drop":
                return Reply(0, drop=True)
            case _:
                return Reply(fault.status, {"message": fault.message}, retry)

    # Apps.

    def _account(self, request: Request, path: str) -> Account | Reply:
        if path == "/app" or path.startswith("/app/"):
            return self._app_refusal(request) or Account("xops", "app")
        token = request.authorization.partition(" ")[2]
        if token not in self.tokens:
            return Reply(401, {"message": "Bad credentials"})
        kind = "classic" if token.startswith("ghp_") else "fine-grained"
        return self.accounts.get(token) or Account(self.viewer, kind, trusted=True)

    def _app_refusal(self, request: Request) -> Reply | None:
        import jwt

        encoded = request.authorization.removeprefix("Bearer ")
        try:
            claims = jwt.decode(encoded, self.app_public_key or "", algorithms=["RS256"])
        except jwt.PyJWTError as error:
            return Reply(401, {"message": f"A JSON web token could not be decoded: {error}"})
        if claims["iss"] != str(APP_ID):
            return Reply(401, {"message": "Integration not found"})
        return None

    def _app(self, request: Request, path: str, body: Any) -> Reply:
        if refused := self._app_refusal(request):
            return refused
        if path.endswith("/installation"):
            kind, *parts = path.strip("/").split("/")[:-1]
            owners = {one.owner.lower() for one in self.repositories.values()}
            known = {
                "repos": self.find("/".join(parts)) is not None,
                "orgs": parts[0].lower() in self.organisations,
                "users": parts[0].lower() in owners - self.organisations.keys(),
            }
            if not known[kind]:
                return Reply(404, {"message": "Not Found"})
            return Reply(200, github_rest.installation(self))
        if path != f"/app/installations/{INSTALLATION_ID}/access_tokens":
            return Reply(404, {"message": "Not Found"})
        wanted = (body or {}).get("permissions") or self.app_permissions
        if any(
            self.app_permissions.get(name) not in (level, "write") for name, level in wanted.items()
        ):
            said = "The permissions requested are not granted to this installation."
            return Reply(422, {"message": said})
        token = f"ghs_{next(self._ids)}"
        self.tokens.add(token)
        self.accounts[token] = Account(APP_BOT, "installation", {**wanted, "metadata": "read"})
        expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rest = {"permissions": dict(wanted), "repository_selection": "all"}
        return Reply(201, {"token": token, "expires_at": expires, **rest})

    def _graphql(self, request: Request, body: Any, fault: Fault | None, account: Account) -> Reply:
        variables = body.get("variables") or {}
        try:
            found, request.cost = github_graphql.answer(
                self, body["query"], variables, fault, account.login
            )
        except github_graphql.GatewayTimeoutError:
            return Reply(502, {"message": "Bad Gateway"})
        return Reply(200, found)

    # REST.

    def _rest(
        self, request: Request, headers: Mapping[str, str], body: Any, account: Account
    ) -> Reply:
        request.version = headers.get("x-github-api-version", "")
        version = request.version or VERSIONS[0]
        if version not in VERSIONS:
            return Reply(400, {"message": f"Unsupported API version {version}"})
        if request.method != "GET" and self._too_many_writes():
            said = "You have exceeded a secondary rate limit. Please wait a few minutes."
            return Reply(403, {"message": said}, {"retry-after": "60"})
        if self.rest_left <= 0:
            text = {"message": "API rate limit exceeded."}
            reset = str(int(time.time()) + self.reset_seconds)
            return Reply(403, text, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
        self.rest_left -= 1
        reply = self._routed(request, body, account, version)
        if request.method != "GET" or reply.status != 200:
            return reply
        # As at GitHub an ETag holds for the token that it was given to.
        bound = json.dumps([request.authorization, reply.body])
        etag = f'W/"{hashlib.sha256(bound.encode()).hexdigest()}"'
        reply.headers["etag"] = etag
        if headers.get("if-none-match") == etag:
            self.rest_left += 1  # GitHub counts no request whose answer is unchanged
            return Reply(304, headers={"etag": etag})
        return reply

    def _too_many_writes(self) -> bool:
        if self.writes_a_minute is None:
            return False
        now = time.monotonic()
        self._written = [at for at in self._written if at > now - 60] + [now]
        return len(self._written) > self.writes_a_minute

    def _routed(self, request: Request, body: Any, account: Account, version: str) -> Reply:
        if not isinstance(body, dict | None):
            return Reply(400, {"message": "Body should be a JSON object"})
        split = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        path = split.path.removeprefix("/api/v3")
        parts = path.strip("/").split("/")
        if parts[0] == "repositories":
            found = (r for r in self.repositories.values() if str(r.number) == parts[1])
            known = next(found, None)
            if known is None or known.name in self.hidden:
                return github_rest.not_found()
            path = "/".join(["/repos", known.name, *parts[2:]])
        elif parts[0] == "repos" and len(parts) >= 3:
            repository = self.find("/".join(parts[1:3]))
            if repository is not None and repository.name.lower() != "/".join(parts[1:3]).lower():
                target = "/".join([f"{self.url}/repositories/{repository.number}", *parts[3:]])
                target += f"?{split.query}" if split.query else ""
                status = 301 if request.method == "GET" else 307
                return Reply(status, {"message": "Moved Permanently"}, {"location": target})
        call = github_rest.Call(self, request, account, query, body or {}, version)
        if answer := github_rest.answer(call, path):
            return answer
        parts = path.strip("/").split("/")
        if parts[0] in ("orgs", "users") and len(parts) > 1:
            return self._of_owner(request, parts, query)
        if parts[0] == "repos" and len(parts) > 3 and parts[3] == "issues":
            repository = self.find("/".join(parts[1:3]))
            if repository is not None:
                return self._issues(request, repository, parts[3:], query, body, account)
        return github_rest.not_found()

    def _of_owner(self, request: Request, parts: Sequence[str], query: Mapping[str, str]) -> Reply:
        """Lists of repositories and people; `hidden` repositories are in none of them."""
        kind, login, *rest = parts
        organisation = self.organisations.get(login.lower())
        if kind == "orgs" and organisation is None:
            return Reply(404, {"message": "Not Found"})
        owned = [r for r in self._visible() if r.owner.lower() == login.lower()]
        rows: list[dict[str, Any]]
        match kind, rest, organisation:
            case "users", ["repos"], None if owned:
                rows = [self.shapes.repository(one) for one in owned]
            case "orgs", ["repos"], Organisation():
                rows = [self.shapes.repository(one) for one in owned]
            case "orgs", ["members"], Organisation():
                shown = organisation.public if organisation.conceals else organisation.members
                rows = [self.shapes.user(member) for member in shown]
            case "orgs", ["memberships", who], Organisation():
                return self._membership(organisation, who)
            case "orgs", ["teams", *_], Organisation(conceals=True):
                return Reply(404, {"message": "Not Found"})
            case "orgs", ["teams", slug, "repos"], Organisation() if slug in organisation.teams:
                named = {name.lower() for name in organisation.teams[slug].repositories}
                listed = [one for one in self._visible() if one.name.lower() in named]
                rows = [self.shapes.repository(one) for one in listed]
            case _:
                return Reply(404, {"message": "Not Found"})
        return self.page(rows, query, request.path)

    def _visible(self) -> list[Repository]:
        return [one for one in self.repositories.values() if one.name not in self.hidden]

    def _membership(self, organisation: Organisation, who: str) -> Reply:
        if organisation.conceals:
            text = f"You must be a member of {organisation.login} to see membership information"
            return Reply(403, {"message": f"{text} for {who}."})
        members = [member.lower() for member in organisation.members]
        pending = [member.lower() for member in organisation.pending]
        if who.lower() not in members + pending:
            return github_rest.not_found()
        mine = f"{self.url}/orgs/{organisation.login}"
        owner = who.lower() in map(str.lower, organisation.owners)
        return Reply(
            200,
            {
                "url": f"{mine}/memberships/{who}",
                "state": "active" if who.lower() in members else "pending",
                "role": "admin" if owner else "member",
                "organization_url": mine,
                "organization": self.shapes.organisation(organisation.login),
                "user": self.shapes.user(who),
            },
        )

    def _issues(
        self,
        request: Request,
        repository: Repository,
        rest: Sequence[str],
        query: Mapping[str, str],
        body: Any,
        account: Account,
    ) -> Reply:
        match request.method, list(rest):
            case "GET", ["issues"]:
                rows = [row for row in repository.issues if _asked_for(row, query)]
                return self.page(rows, query, request.path)
            case "POST", ["issues"]:
                return Reply(201, self._new_issue(repository, body, account))
            case "PATCH", ["issues", number]:
                issue = _issue(repository, number)
                if issue is None:
                    return github_rest.not_found()
                issue.update(body)
                issue["updated_at"] = text(self.now())
                return Reply(200, issue)
        return Reply(404, {"message": "Not Found"})

    def page(
        self,
        rows: Sequence[Any],
        query: Mapping[str, str],
        path: str,
        shape: Callable[[Any], Any] = lambda row: row,
    ) -> Reply:
        """A page of a list, each row in its shape."""
        size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        part = [shape(row) for row in rows[(page - 1) * size : page * size]]
        headers = {}
        if self.partial_lists:
            headers["x-github-sso"] = "partial-results; organizations=21955855"
        if page * size < len(rows):
            bare = urlsplit(path).path
            rest = "&".join(f"{k}={v}" for k, v in query.items() if k != "page")
            following = self.next_page or f"{self.url}{bare}?{rest}&page={page + 1}"
            headers["link"] = f'<{following}>; rel="next"'
        return Reply(200, part, headers)

    def _new_issue(
        self, repository: Repository, body: Mapping[str, Any], account: Account
    ) -> dict[str, Any]:
        number = len(repository.issues) + 1
        issue = {
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "state": "open",
            "labels": [
                {"name": label} for label in body.get("labels", ()) if not repository.drops_labels
            ],
            "user": self.shapes.user(account.login),
            "author_association": "NONE",
            "created_at": text(self.now()),
            "updated_at": text(self.now()),
            "html_url": f"https://github.com/{repository.name}/issues/{number}",
        }
        repository.issues.append(issue)
        return issue


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    github: GitHubServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that gave up is no error
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: a header sent alone waits for its acknowledgement
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        sent = self.rfile.read(length)
        request = Request(self.command, self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(sent) if sent else None
            reply = self.server.github.answer(request, headers, body)
        except json.JSONDecodeError:
            reply = Reply(400, {"message": "Problems parsing JSON"})
        if reply.drop:
            self.close_connection = True
            return
        content = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
        if reply.status in (204, 304):
            content = b""
        self.send_response(reply.status)
        self.send_header("content-type", reply.headers.pop("content-type", "application/json"))
        for name, value in {**self._limits(), **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def _limits(self) -> dict[str, str]:
        github = self.server.github
        graphql = self.path.endswith("/graphql")
        left = github.points_left if graphql else github.rest_left
        limit = github.points_limit if graphql else github.rest_limit
        reset = int(time.time()) + github.reset_seconds
        return {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(left),
            "x-ratelimit-reset": str(reset),
            "x-ratelimit-resource": "graphql" if graphql else "core",
        }

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815


_ROLES = ("none", "read", "triage", "write", "maintain", "admin")
_OF_TEAMS = {"pull": "read", "push": "write"}


def _organisation_roles(
    organisation: Organisation, repository: Repository, who: str
) -> Iterator[str]:
    """What somebody may do as an owner, as a member, and by teams."""
    if who in map(str.lower, organisation.owners):
        yield "admin"
    if who in map(str.lower, organisation.members):
        yield "read"
    for slug, team in organisation.teams.items():
        named = repository.name.lower() in map(str.lower, team.repositories)
        if named and who in map(str.lower, organisation.members_of(slug)):
            yield _OF_TEAMS.get(team.permission, team.permission)


def _describe(request: Request, body: Any) -> None:
    found = re.search(r"\bquery\s+(\w+)", body["query"])
    request.operation = found[1] if found else "anonymous"
    request.variables = body.get("variables") or {}
    request.query = body["query"]


def _matches(fault: Fault, request: Request, named: set[str]) -> bool:
    if not request.operation:
        return bool(re.fullmatch(fault.operation, f"{request.method} {request.path}"))
    if not re.fullmatch(fault.operation, request.operation):
        return False
    asked = fault.repository is None or fault.repository.lower() in named
    return asked and (not fault.above or _largest(request.variables) > fault.above)


def _largest(variables: Mapping[str, Any]) -> int:
    """The largest page that a question asks for."""
    sizes = [value for key, value in variables.items() if re.fullmatch(r"(first|pulls)\d*", key)]
    return max([*map(int, sizes), len(variables.get("ids", ()))])


def _names(variables: Mapping[str, Any]) -> set[str]:
    owners = {key: value for key, value in variables.items() if key.startswith("owner")}
    names = {key: variables.get(key.replace("owner", "name")) for key in owners}
    return {f"{owners[key]}/{names[key]}".lower() for key in owners}


def _issue(repository: Repository, number: str) -> dict[str, Any] | None:
    rows = (row for row in repository.issues if str(row["number"]) == number)
    return next(rows, None)


def _asked_for(row: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    wanted = query.get("labels", "")
    labelled = not wanted or wanted in [label["name"] for label in row["labels"]]
    recent = row.get("updated_at", "") >= query.get("since", "")
    return labelled and recent and query.get("state", "open") in ("all", row["state"])


if __name__ == "__main__":
    from tests.github_sample import main

    main()
