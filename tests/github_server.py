"""A GitHub to test against: a local HTTP server that speaks the parts of its interfaces xOps uses.

Costs, rate limits, ETags, redirects of renamed repositories and installation tokens of Apps are as
GitHub has them (GraphQL: `tests/github_graphql.py`). A repository can refuse pages of a size and
send null where GitHub's schema allows it (`Repository.refusal`, `.null_nodes`). What else must go
wrong is asked for with `POST /xops/faults` (see `Fault`), or through `GitHubServer.fail`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests import github_graphql
from tests.github_data import (
    Fault,
    File,
    Organisation,
    PullRequest,
    Repository,
    Request,
    Team,
    text,
)

TOKEN = "github_pat_of_the_tests"
CLASSIC_TOKEN = "ghp_of_the_tests"
APP_ID = 4711
INSTALLATION_ID = 42
FILE_LIMIT = 3000


@dataclass
class _Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False


class GitHubServer:
    """The server, its repositories and what was asked of it. Use it as a context manager."""

    def __init__(self, *, points: int = 5000, rest: int = 5000) -> None:
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
        self.reset_seconds = 3600
        self.next_page = ""
        """What lists say instead of where they go on."""
        self.raw_answer: tuple[bytes, dict[str, str]] | None = None
        """What is answered instead: a body with its headers."""
        self.change: Callable[[Any], Any] = lambda body: body
        """What becomes of the body of an answer that is right."""
        self._leads_to: tuple[str, int] | None = None
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.github = self
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

    def answer(self, request: Request, headers: Mapping[str, str], body: Any) -> _Reply:
        """Answer one request; only one at a time."""
        with self._lock:
            self.requests.append(request)
            reply = self._answered(request, headers, body)
            if reply.status == 200 and reply.raw is None:
                reply.body = self.change(reply.body)
            request.status = reply.status
            return reply

    def _answered(self, request: Request, headers: Mapping[str, str], body: Any) -> _Reply:
        path = urlsplit(request.path).path
        if path == "/xops/faults":
            return self._fault_request(request.method, body)
        request.authorization = headers.get("authorization", "")
        if self._leads_to is not None:
            address, status = self._leads_to
            return _Reply(status, {}, {"location": address})
        if self.raw_answer is not None:
            body, more = self.raw_answer
            return _Reply(200, raw=body, headers=more)
        if path.endswith(("/access_tokens", "/installation")):
            return self._app(request, path)
        token = request.authorization.partition(" ")[2]
        if token not in self.tokens:
            return _Reply(401, {"message": "Bad credentials"})
        graphql = path in ("/graphql", "/api/graphql")
        if graphql:
            _describe(request, body)
        self.on_request(request)
        fault = self._take(request)
        if fault is not None and fault.delay_seconds:
            time.sleep(fault.delay_seconds)
        if fault is not None and fault.kind not in ("partial", "arrives", "delay"):
            return self._faulty(fault)
        reply = (
            self._graphql(request, body, fault) if graphql else self._rest(request, headers, body)
        )
        if fault is not None and fault.kind == "arrives":
            return _Reply(0, drop=True)
        return reply

    # Faults.

    def _fault_request(self, method: str, body: Any) -> _Reply:
        if method == "POST":
            self._faults += [Fault(**row) for row in (body if isinstance(body, list) else [body])]
        elif method == "DELETE":
            self._faults.clear()
        return _Reply(200, [fault.model_dump() for fault in self._faults])

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

    def _faulty(self, fault: Fault) -> _Reply:
        retry = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
        match fault.kind:
            case "secondary":
                text = "You have exceeded a secondary rate limit. Please wait a few minutes."
                return _Reply(
                    fault.status if fault.status != 502 else 403, {"message": text}, retry
                )
            case "in_answer":  # as GitHub answers GraphQL, with no header that says how long
                row = {"message": fault.message} | ({"type": fault.error} if fault.error else {})
                return _Reply(200, {"errors": [row]}, retry)
            case "primary":
                reset = str(int(time.time()) + int(fault.retry_after or 0))
                headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
                return _Reply(403, {"message": "API rate limit exceeded."}, headers)
            case "refused":
                row = {"message": fault.message} | ({"type": fault.error} if fault.error else {})
                return _Reply(200, {"data": None, "errors": [row]})
            case "html":
                return _Reply(200, raw=b"<html>proxy</html>", headers={"content-type": "text/html"})
            case "drop":
                return _Reply(0, drop=True)
            case _:
                return _Reply(fault.status, {"message": fault.message}, retry)

    # Apps.

    def _app(self, request: Request, path: str) -> _Reply:
        import jwt

        encoded = request.authorization.removeprefix("Bearer ")
        try:
            claims = jwt.decode(encoded, self.app_public_key or "", algorithms=["RS256"])
        except jwt.PyJWTError as error:
            return _Reply(401, {"message": f"A JSON web token could not be decoded: {error}"})
        if claims["iss"] != str(APP_ID):
            return _Reply(401, {"message": "Integration not found"})
        if path.endswith("/installation"):
            kind, *parts = path.strip("/").split("/")[:-1]
            owners = {one.owner.lower() for one in self.repositories.values()}
            known = {
                "repos": self.find("/".join(parts)) is not None,
                "orgs": parts[0].lower() in self.organisations,
                "users": parts[0].lower() in owners - self.organisations.keys(),
            }
            if not known[kind]:
                return _Reply(404, {"message": "Not Found"})
            return _Reply(200, {"id": INSTALLATION_ID})
        if path != f"/app/installations/{INSTALLATION_ID}/access_tokens":
            return _Reply(404, {"message": "Not Found"})
        token = f"ghs_{next(self._ids)}"
        self.tokens.add(token)
        expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rest = {"permissions": {}, "repository_selection": "selected"}
        return _Reply(201, {"token": token, "expires_at": expires, **rest})

    def _graphql(self, request: Request, body: Any, fault: Fault | None) -> _Reply:
        variables = body.get("variables") or {}
        try:
            found, request.cost = github_graphql.answer(self, body["query"], variables, fault)
        except github_graphql.GatewayTimeoutError:
            return _Reply(502, {"message": "Bad Gateway"})
        return _Reply(200, found)

    # REST.

    def _rest(self, request: Request, headers: Mapping[str, str], body: Any) -> _Reply:
        if self.rest_left <= 0:
            text = {"message": "API rate limit exceeded."}
            reset = str(int(time.time()) + self.reset_seconds)
            return _Reply(403, text, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
        self.rest_left -= 1
        reply = self._routed(request, body)
        if request.method != "GET" or reply.status != 200:
            return reply
        # As at GitHub an ETag holds for the token that it was given to.
        bound = json.dumps([request.authorization, reply.body])
        etag = f'W/"{hashlib.sha256(bound.encode()).hexdigest()}"'
        reply.headers["etag"] = etag
        if headers.get("if-none-match") == etag:
            self.rest_left += 1  # GitHub counts no request whose answer is unchanged
            return _Reply(304, headers={"etag": etag})
        return reply

    def _routed(self, request: Request, body: Any) -> _Reply:
        split = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        parts = split.path.removeprefix("/api/v3").strip("/").split("/")
        if parts[0] == "repositories":
            found = (r for r in self.repositories.values() if str(r.number) == parts[1])
            repository, rest = next(found, None), parts[2:]
        elif parts[0] == "repos" and len(parts) >= 3:
            name, rest = "/".join(parts[1:3]), parts[3:]
            repository = self.find(name)
            if repository is not None and repository.name.lower() != name.lower():
                target = "/".join([f"{self.url}/repositories/{repository.number}", *rest])
                target += f"?{split.query}" if split.query else ""
                return _Reply(301, {"message": "Moved Permanently"}, {"location": target})
        elif parts[0] in ("orgs", "users"):
            return self._of_owner(request, parts, query)
        else:
            return _Reply(404, {"message": "Not Found"})
        if repository is None:
            return _Reply(404, {"message": "Not Found"})
        return self._of_repository(request, repository, rest, query, body)

    def _of_owner(self, request: Request, parts: Sequence[str], query: Mapping[str, str]) -> _Reply:
        """Lists of repositories and people; `hidden` repositories are in none of them."""
        kind, login, *rest = parts
        organisation = self.organisations.get(login.lower())
        if kind == "orgs" and organisation is None:
            return _Reply(404, {"message": "Not Found"})
        owned = [r for r in self._visible() if r.owner.lower() == login.lower()]
        rows: list[dict[str, Any]]
        match kind, rest, organisation:
            case "users", ["repos"], None if owned:
                rows = [self._rest_repository(one) for one in owned]
            case "orgs", ["repos"], Organisation():
                rows = [self._rest_repository(one) for one in owned]
            case "orgs", ["members"], Organisation():
                shown = organisation.public if organisation.conceals else organisation.members
                rows = [_rest_user(member) for member in shown]
            case "orgs", ["memberships", who], Organisation():
                return _membership(organisation, who)
            case "orgs", ["teams", *_], Organisation(conceals=True):
                return _Reply(404, {"message": "Not Found"})
            case "orgs", ["teams", slug, "repos"], Organisation() if slug in organisation.teams:
                named = {name.lower() for name in organisation.teams[slug].repositories}
                listed = [one for one in self._visible() if one.name.lower() in named]
                rows = [self._rest_repository(one) for one in listed]
            case "orgs", ["teams", slug, "members"], Organisation() if slug in organisation.teams:
                rows = [_rest_user(member) for member in organisation.teams[slug].members]
            case _:
                return _Reply(404, {"message": "Not Found"})
        return self._page(rows, query, request.path)

    def _rest_repository(self, one: Repository) -> dict[str, Any]:
        known = one.owner.lower() in self.organisations
        return _rest_repository(one, "Organization" if known else "User")

    def _visible(self) -> list[Repository]:
        return [one for one in self.repositories.values() if one.name not in self.hidden]

    def _of_repository(
        self,
        request: Request,
        repository: Repository,
        rest: Sequence[str],
        query: Mapping[str, str],
        body: Any,
    ) -> _Reply:
        def listed(rows: Sequence[Any]) -> _Reply:
            return self._page(rows, query, request.path)

        match request.method, list(rest):
            case "GET", ["pulls"]:
                newest = sorted(repository.pull_requests, key=lambda one: one.updated, reverse=True)
                return listed([_rest_pull_request(one) for one in newest])
            case "GET", ["pulls", number]:
                return self._one(repository, number, _rest_pull_request)
            case "GET", ["pulls", number, "files"]:
                return self._one(
                    repository,
                    number,
                    lambda one: [_rest_file(file) for file in one.files][:FILE_LIMIT],
                    listed,
                )
            case "GET", ["pulls", number, "reviews"]:
                return self._one(repository, number, lambda one: [_review(r) for r in one.reviews])
            case _, ["issues", *_]:
                return self._issues(request, repository, rest, query, body)
            case "GET", ["git", "blobs", _]:
                content = (repository.mailmap or "").encode()
                return _Reply(
                    200, {"encoding": "base64", "content": base64.encodebytes(content).decode()}
                )
            case "GET", []:
                return _Reply(200, self._rest_repository(repository))
        return _Reply(404, {"message": "Not Found"})

    def _issues(
        self,
        request: Request,
        repository: Repository,
        rest: Sequence[str],
        query: Mapping[str, str],
        body: Any,
    ) -> _Reply:
        match request.method, list(rest):
            case "GET", ["issues"]:
                rows = [row for row in repository.issues if _asked_for(row, query)]
                return self._page(rows, query, request.path)
            case "POST", ["issues"]:
                return _Reply(201, self._new_issue(repository, body))
            case "PATCH", ["issues", number]:
                issue = _issue(repository, number)
                issue.update(body)
                issue["updated_at"] = text(self.now())
                return _Reply(200, issue)
            case "GET", ["issues", number, "comments"]:
                rows = repository.comments.get(int(number), [])
                return self._page(rows, query, request.path)
            case "POST", ["issues", number, "comments"]:
                _issue(repository, number)["updated_at"] = text(self.now())
                comments = repository.comments.setdefault(int(number), [])
                written = {"user": {"login": self.viewer}, "author_association": "NONE"}
                comments.append({"id": len(comments) + 1, **written, **body})
                return _Reply(201, comments[-1])
        return _Reply(404, {"message": "Not Found"})

    def _one(
        self,
        repository: Repository,
        number: str,
        shape: Callable[[PullRequest], Any],
        then: Callable[[Any], _Reply] = lambda body: _Reply(200, body),
    ) -> _Reply:
        for one in repository.pull_requests:
            if one.number == int(number):
                return then(shape(one))
        return _Reply(404, {"message": "Not Found"})

    def _page(self, rows: Sequence[Any], query: Mapping[str, str], path: str) -> _Reply:
        size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        part = list(rows[(page - 1) * size : page * size])
        headers = {}
        if self.partial_lists:
            headers["x-github-sso"] = "partial-results; organizations=21955855"
        if page * size < len(rows):
            bare = urlsplit(path).path
            rest = "&".join(f"{k}={v}" for k, v in query.items() if k != "page")
            following = self.next_page or f"{self.url}{bare}?{rest}&page={page + 1}"
            headers["link"] = f'<{following}>; rel="next"'
        return _Reply(200, part, headers)

    def _new_issue(self, repository: Repository, body: Mapping[str, Any]) -> dict[str, Any]:
        number = len(repository.issues) + 1
        issue = {
            "number": number,
            "title": body["title"],
            "body": body["body"],
            "state": "open",
            "labels": [
                {"name": label} for label in body.get("labels", ()) if not repository.drops_labels
            ],
            "user": {"login": self.viewer},
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
        body = json.loads(sent) if sent else None
        request = Request(self.command, self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.github.answer(request, headers, body)
        if reply.drop:
            self.close_connection = True
            return
        content = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
        if reply.status == 304:
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

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815


def _describe(request: Request, body: Any) -> None:
    found = re.search(r"\bquery\s+(\w+)", body["query"])
    request.operation = found[1] if found else ""
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


def _review(review: tuple[str, datetime]) -> dict[str, Any]:
    return {"user": {"login": review[0]}, "submitted_at": text(review[1])}


def _rest_pull_request(one: PullRequest) -> dict[str, Any]:
    return {
        "number": one.number,
        "title": one.title,
        "merged_at": text(one.merged_at),
        "updated_at": text(one.updated),
        "user": None if one.author is None else {"login": one.author},
        "base": {"ref": one.base},
    }


def _rest_repository(one: Repository, owner: str) -> dict[str, Any]:
    return {
        "id": one.number,
        "node_id": one.id,
        "name": one.name.partition("/")[2],
        "full_name": one.name,
        "owner": {"login": one.owner, "node_id": f"O_{one.owner.lower()}", "type": owner},
        "default_branch": one.default_branch,
        "archived": one.archived,
        "disabled": False,
        "fork": one.fork,
        "topics": list(one.topics),
        "private": True,
        "visibility": "private",
        "pushed_at": text(one.commits[-1].at) if one.commits else None,
    }


def _membership(organisation: Organisation, who: str) -> _Reply:
    if organisation.conceals:
        text = f"You must be a member of {organisation.login} to see membership information"
        return _Reply(403, {"message": f"{text} for {who}."})
    if who.lower() not in [member.lower() for member in organisation.members]:
        return _Reply(404, {"message": "Not Found"})
    return _Reply(200, {"state": "active", "role": "member", "user": _rest_user(who)})


def _rest_user(login: str) -> dict[str, Any]:
    kind = "Bot" if login.endswith("[bot]") else "User"
    number = int(hashlib.sha256(login.encode()).hexdigest()[:8], 16)
    return {"login": login, "id": number, "type": kind}


def _issue(repository: Repository, number: str) -> dict[str, Any]:
    return next(row for row in repository.issues if row["number"] == int(number))


def _asked_for(row: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    wanted = query.get("labels", "")
    labelled = not wanted or wanted in [label["name"] for label in row["labels"]]
    recent = row.get("updated_at", "") >= query.get("since", "")
    return labelled and recent and query.get("state", "open") in ("all", row["state"])


def _rest_file(file: File) -> dict[str, Any]:
    row = {"filename": file.path, "status": file.change.lower()}
    return row | ({"previous_filename": file.previous} if file.previous else {})
