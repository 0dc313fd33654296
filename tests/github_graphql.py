"""GraphQL as the GitHub of the tests speaks it, executed by graphql-core.

The schema has GitHub's own types, of which only what xOps asks for: a wrong field, a missing
argument or a page above 100 is refused as GitHub refuses it. Costs and node limits are computed
from the query; cursors of pull requests mark a place in the order, so that what is updated between
two pages moves to the top and is missed, as there.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from graphql.language import DocumentNode, FragmentDefinitionNode

from tests.github_data import Commit, Fault, Person, PullRequest, Repository, text

NODE_LIMIT = 500_000
CONNECTION_ARGUMENT = "first"

BLOB_TEXT = 512_000
"""Characters of a blob's text; what is longer is cut and says `isTruncated`."""

# GitHub's own names and kinds, of which only what xOps asks for.
SCHEMA = build_schema("""
scalar DateTime
scalar GitTimestamp
scalar GitObjectID
scalar URI
enum PullRequestState { OPEN CLOSED MERGED }
enum IssueOrderField { CREATED_AT UPDATED_AT COMMENTS }
enum OrderDirection { ASC DESC }
enum PatchStatus { ADDED DELETED RENAMED COPIED MODIFIED CHANGED }
enum CommentAuthorAssociation {
  COLLABORATOR CONTRIBUTOR FIRST_TIMER FIRST_TIME_CONTRIBUTOR MANNEQUIN MEMBER NONE OWNER
}
enum PullRequestReviewState { PENDING COMMENTED APPROVED CHANGES_REQUESTED DISMISSED }
enum SearchType { ISSUE REPOSITORY USER DISCUSSION }
input IssueOrder { field: IssueOrderField! direction: OrderDirection! }
type Query {
  repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  viewer: User!
  rateLimit(dryRun: Boolean = false): RateLimit
  search(query: String!, type: SearchType!, first: Int, after: String): SearchResultItemConnection!
}
type RateLimit { limit: Int! cost: Int! remaining: Int! resetAt: DateTime! used: Int! }
type PageInfo {
  hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String
}
type SearchResultItemConnection { issueCount: Int! }
interface Node { id: ID! }
interface GitObject { oid: GitObjectID! }
interface Actor { login: String! }
type User implements Actor & Node { id: ID! login: String! name: String }
type Bot implements Actor & Node { id: ID! login: String! }
type Repository implements Node {
  id: ID!
  nameWithOwner: String!
  isArchived: Boolean!
  isFork: Boolean!
  defaultBranchRef: Ref
  ref(qualifiedName: String!): Ref
  object(expression: String, oid: GitObjectID): GitObject
  pullRequests(states: [PullRequestState!], first: Int, after: String, orderBy: IssueOrder):
    PullRequestConnection!
}
type Ref { name: String! target: GitObject }
type Blob implements GitObject {
  oid: GitObjectID! text: String isTruncated: Boolean! isBinary: Boolean byteSize: Int!
}
type Commit implements GitObject {
  oid: GitObjectID!
  committedDate: DateTime!
  message: String!
  author: GitActor
  committer: GitActor
  history(first: Int, after: String, since: GitTimestamp, until: GitTimestamp):
    CommitHistoryConnection!
}
type GitActor { name: String email: String user: User date: GitTimestamp }
type CommitHistoryConnection { totalCount: Int! pageInfo: PageInfo! nodes: [Commit] }
type PullRequestConnection { totalCount: Int! pageInfo: PageInfo! nodes: [PullRequest] }
type PullRequest implements Node {
  id: ID!
  number: Int!
  url: URI!
  title: String!
  baseRefName: String!
  headRefName: String!
  mergedAt: DateTime
  updatedAt: DateTime!
  additions: Int!
  deletions: Int!
  changedFiles: Int!
  author: Actor
  authorAssociation: CommentAuthorAssociation!
  mergeCommit: Commit
  files(first: Int, after: String): PullRequestChangedFileConnection
  reviews(first: Int, after: String): PullRequestReviewConnection
}
type PullRequestChangedFileConnection {
  totalCount: Int! pageInfo: PageInfo! nodes: [PullRequestChangedFile]
}
type PullRequestChangedFile {
  path: String! changeType: PatchStatus! additions: Int! deletions: Int!
}
type IssueComment implements Node {
  id: ID! databaseId: Int author: Actor editor: Actor lastEditedAt: DateTime body: String!
  userContentEdits(first: Int, after: String): UserContentEditConnection
}
type UserContentEditConnection { totalCount: Int! pageInfo: PageInfo! nodes: [UserContentEdit] }
type UserContentEdit implements Node { id: ID! editedAt: DateTime! editor: Actor }
type PullRequestReviewConnection {
  totalCount: Int! pageInfo: PageInfo! nodes: [PullRequestReview]
}
type PullRequestReview {
  submittedAt: DateTime author: Actor authorAssociation: CommentAuthorAssociation!
  state: PullRequestReviewState!
}
""")


class GitHub(Protocol):
    """What a query needs of the server."""

    repositories: dict[str, Repository]
    hidden: set[str]
    names: dict[str, str]
    viewer: str
    points_limit: int
    points_left: int
    limits_enabled: bool
    reset_seconds: int

    def find(self, name: str) -> Repository | None: ...


def answer(
    github: GitHub,
    query: str,
    variables: Mapping[str, Any],
    fault: Fault | None,
    login: str,
) -> tuple[dict[str, Any], int]:
    """The answer to a query, and the points that it cost."""
    document = parse(query)
    if wrong := validate(SCHEMA, document):
        return {"errors": [{"message": error.message} for error in wrong]}, 0
    cost, nodes, problem = _cost(document, variables)
    if nodes > NODE_LIMIT:
        problem = f"This query requests up to {nodes} possible nodes which exceeds the limit."
    if problem:
        row = {"type": "MAX_NODE_LIMIT_EXCEEDED", "message": problem}
        return {"errors": [row]}, 0
    if github.limits_enabled and github.points_left < cost:
        return {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}, 0
    github.points_left -= cost
    fields = _Root(github, cost, fault, login).fields()
    result = execute_sync(SCHEMA, document, fields, variable_values=dict(variables))
    if any(isinstance(error.original_error, GatewayTimeoutError) for error in result.errors or ()):
        raise GatewayTimeoutError
    return _formatted(result.data, result.errors or ()), cost


class GatewayTimeoutError(Exception):
    """The query took too long: all of it is answered with a proxy's 502."""


class _Root:
    """Answers the fields of one query."""

    def __init__(self, github: GitHub, cost: int, fault: Fault | None, login: str) -> None:
        self._login = login
        self._github = github
        self._cost = cost
        self._fault = fault
        self._asked: Counter[str] = Counter()
        self._numbered: dict[str, dict[int, PullRequest]] = {}

    def fields(self) -> dict[str, Any]:
        return {
            "rateLimit": lambda info, **_: self._limit(),
            "repository": lambda info, owner, name, **_: self._repository(f"{owner}/{name}"),
            "node": lambda info, id: self._node(id),
            "nodes": lambda info, ids: self._nodes(ids),
            "viewer": lambda info: {"__typename": "User", "login": self._login},
            "search": lambda info, query, **_: self._search(query),
        }

    def _limit(self) -> dict[str, Any]:
        github = self._github
        reset = (datetime.now(UTC) + timedelta(seconds=github.reset_seconds)).isoformat()
        if not github.limits_enabled:  # as GitHub Enterprise Server answers
            return {"limit": 0, "cost": 1, "remaining": 0, "used": 0, "resetAt": reset}
        return {
            "limit": github.points_limit,
            "cost": self._cost,
            "remaining": github.points_left,
            "used": github.points_limit - github.points_left,
            "resetAt": reset,
        }

    def _repository(self, name: str) -> dict[str, Any]:
        found = self._github.find(name)
        if found is None:
            text = f"Could not resolve to a Repository with the name '{name}'."
            raise GraphQLError(text, extensions={"type": "NOT_FOUND"})
        return self._fields_of(found)

    def _fields_of(self, found: Repository) -> dict[str, Any]:
        return {
            "__typename": "Repository",
            "id": found.id,
            "nameWithOwner": found.name,
            "isArchived": found.archived,
            "isFork": found.fork,
            "defaultBranchRef": lambda info: self._branch(found),
            "ref": lambda info, **named: _ref(found, named["qualifiedName"]),
            "object": lambda info, expression=None, oid=None: self._object(
                found, expression or oid or ""
            ),
            "pullRequests": lambda info, first, **arguments: self._guarded(
                found,
                "pullRequests",
                lambda: self._pull_requests(found, first, **arguments),
                too_much=first > found.refusal.listing,
            ),
        }

    def _guarded(
        self,
        repository: Repository,
        name: str,
        made: Callable[[], dict[str, Any] | None],
        *,
        too_much: bool = False,
    ) -> dict[str, Any] | None:
        fault = self._fault
        hit = fault is not None and fault.field == name
        if hit and fault is not None and fault.repository in (None, repository.name):
            raise GraphQLError(fault.message, extensions={"type": fault.error})
        if too_much:
            raise _refusal(repository.refusal.answer)
        return _without_first(repository, name, made())

    def _branch(self, repository: Repository) -> dict[str, Any] | None:
        if not repository.commits and not repository.pull_requests:
            return None
        target: dict[str, Any] = {"__typename": "Commit", "oid": "0" * 40}
        target["committedDate"] = "2020-01-01T00:00:00Z"
        target["history"] = lambda info, **arguments: _listed([], 1)
        if repository.commits:
            target = self._commit(repository, repository.commits[-1])
        return {"name": repository.default_branch, "target": target}

    def _commit(self, repository: Repository, tip: Commit) -> dict[str, Any]:
        return {
            **_graph_commit(tip),
            "history": lambda info, first, **arguments: self._guarded(
                repository,
                "history",
                lambda: _history(tip, first, **arguments),
                too_much=first > repository.refusal.history,
            ),
        }

    def _object(self, repository: Repository, expression: str) -> dict[str, Any] | None:
        revision, colon, path = expression.partition(":")
        if revision == "HEAD" and path == ".mailmap":
            return _blob(repository.mailmap)
        if not colon:
            if found := repository.commit_of(revision):
                return self._commit(repository, found)
            content = repository.objects.read(revision, "blob")
            if content is not None:
                return _blob(_decoded(content), revision)
            known = repository.has(revision) or revision in repository.objects.revisions
            return {"__typename": "Commit", "oid": revision} if known else None
        held = repository.contents.get(revision, {}).get(path)
        if held is None and revision in repository.objects.revisions:
            return _blob(repository.objects.text(revision, path))
        return _blob(held)

    def _pull_requests(
        self, repository: Repository, first: int, after: str | None = None, **_: Any
    ) -> dict[str, Any]:
        merged = [one for one in repository.pull_requests if one.merged_at is not None]
        ordered = sorted(merged, key=_order, reverse=True)
        if after is not None:
            updated, number = _position(after)
            ordered = [one for one in ordered if _order(one) < (updated, number)]
        shown = ordered[:first]
        return {
            "totalCount": len(merged),
            "nodes": [self._pull_request(repository, one) for one in shown],
            "pageInfo": {
                "hasNextPage": len(ordered) > first,
                "hasPreviousPage": after is not None,
                "endCursor": _cursor(*_order(shown[-1])) if shown else None,
            },
        }

    def _pull_request(self, repository: Repository, one: PullRequest) -> dict[str, Any]:
        files = [
            {"path": f.path, "changeType": f.change, "additions": 1, "deletions": 1}
            for f in one.files
        ]
        reviews = [_graph_review(repository, review, self._github.names) for review in one.reviews]
        merge = {"__typename": "Commit", "oid": one.merge_commit} if one.merge_commit else None
        return {
            "__typename": "PullRequest",
            "id": f"{repository.id}_PR_{one.number}",
            "number": one.number,
            "url": f"https://github.com/{repository.name}/pull/{one.number}",
            "title": one.title,
            "baseRefName": one.base,
            "headRefName": one.head,
            "mergedAt": text(one.merged_at),
            "updatedAt": text(one.updated),
            "additions": one.additions,
            "deletions": one.deletions,
            "changedFiles": len(one.files),
            "author": None if one.author is None else _actor(one.author, self._github.names),
            "authorAssociation": _association(repository, one.author),
            "mergeCommit": merge,
            "files": lambda info, first, **_: self._details(
                repository, one, lambda: None if one.files_hidden else _listed(files, first)
            ),
            "reviews": lambda info, first, after=None: self._guarded(
                repository, "reviews", lambda: _listed(reviews, first, after)
            ),
        }

    def _details(
        self,
        repository: Repository,
        one: PullRequest,
        made: Callable[[], dict[str, Any] | None],
    ) -> dict[str, Any] | None:
        self._asked[repository.id] += 1
        too_much = one.unreadable or self._asked[repository.id] > repository.refusal.details
        return self._guarded(repository, "files", made, too_much=too_much)

    def _comment(self, wanted: str) -> dict[str, Any] | None:
        for repository in self._visible.values():
            for row in (row for rows in repository.comments.values() for row in rows):
                if row["node_id"] == wanted:
                    return _graph_comment(row, repository.edits.get(row["id"], ()))
        return None

    def _node(self, wanted: str) -> dict[str, Any]:
        if found_comment := self._comment(wanted):
            return found_comment
        id, _, number = wanted.partition("_PR_")
        repository = self._visible.get(id)
        if repository is not None and not number:
            return self._fields_of(repository)
        if repository is not None:
            if id not in self._numbered:
                self._numbered[id] = {one.number: one for one in repository.pull_requests}
            if found := self._numbered[id].get(int(number)):
                return self._pull_request(repository, found)
        text = f"Could not resolve to a node with the global id of '{wanted}'"
        raise GraphQLError(text, extensions={"type": "NOT_FOUND"})

    @cached_property
    def _visible(self) -> dict[str, Repository]:
        github = self._github
        shown = (one for one in github.repositories.values() if one.name not in github.hidden)
        return {one.id: one for one in shown}

    def _nodes(self, wanted: Sequence[str]) -> list[dict[str, Any] | GraphQLError]:
        if len(wanted) > 100:
            raise GraphQLError("You may not provide more than 100 node ids.")
        found: list[dict[str, Any] | GraphQLError] = []
        for one in wanted:
            try:
                found.append(self._node(one))
            except GraphQLError as error:  # an element of a list that is an error is null alone
                found.append(error)
        return found

    def _search(self, query: str) -> dict[str, Any]:
        found = re.fullmatch(r"repo:(\S+) is:pr is:merged merged:(\S+)\.\.(\S+)", query)
        assert found, query
        repository = self._github.find(found[1])
        if repository is None:
            return {"issueCount": 0}
        start, end = datetime.fromisoformat(found[2]), datetime.fromisoformat(found[3])
        merged = [one.merged_at for one in repository.pull_requests if one.merged_at]
        counted = sum(start <= at <= end for at in merged)
        return {"issueCount": counted if repository.indexed is None else repository.indexed}


def _refusal(answer: str) -> Exception:
    if answer == "502":
        return GatewayTimeoutError()
    if answer == "timeout":
        return GraphQLError(
            "Something went wrong while executing your query. This may be the result of a timeout."
        )
    text = "Resource limits for this query exceeded."
    return GraphQLError(text, extensions={"type": answer})


def _without_first(
    repository: Repository, name: str, found: dict[str, Any] | None
) -> dict[str, Any] | None:
    if found and name in repository.null_nodes and found["nodes"]:
        found["nodes"][0] = None
    return found


# What a query costs.


def _cost(document: DocumentNode, variables: Mapping[str, Any]) -> tuple[int, int, str]:
    """Points, possible nodes, and what is wrong with a page's size."""
    operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    fragments = {
        d.name.value: d.selection_set
        for d in document.definitions
        if isinstance(d, FragmentDefinitionNode)
    }
    counted = _Counted(fragments, variables)
    counted.walk(operation.selection_set, 1)
    points = max(1, (counted.lists + 50) // 100)
    return points, counted.nodes, counted.problem


class _Counted:
    """Lists and nodes of a query. A list within a list counts once an element."""

    def __init__(
        self, fragments: Mapping[str, SelectionSetNode], variables: Mapping[str, Any]
    ) -> None:
        self._fragments = fragments
        self._variables = variables
        self.lists = 0
        self.nodes = 0
        self.problem = ""

    def walk(self, selections: SelectionSetNode | None, parents: int) -> None:
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                self._field(node, parents)
            elif isinstance(node, InlineFragmentNode):
                self.walk(node.selection_set, parents)
            elif isinstance(node, FragmentSpreadNode):
                self.walk(self._fragments[node.name.value], parents)

    def _field(self, node: FieldNode, parents: int) -> None:
        arguments = {a.name.value: a.value for a in node.arguments or ()}
        first = arguments.get(CONNECTION_ARGUMENT)
        if node.name.value == "nodes" and "ids" in arguments:
            wanted = arguments["ids"]
            assert isinstance(wanted, VariableNode)
            self.walk(node.selection_set, parents * len(self._variables[wanted.name.value]))
            return
        if first is None:
            if node.name.value in ("files", "reviews", "pullRequests", "history"):
                self.problem = f"You must provide `first` on the `{node.name.value}` connection."
            self.walk(node.selection_set, parents)
            return
        size = self._value(first)
        if not 1 <= size <= 100:
            self.problem = f"Requesting {size} records on the connection exceeds the limit of 100."
        self.lists += parents
        self.nodes += parents * size
        self.walk(node.selection_set, parents * size)

    def _value(self, node: Any) -> int:
        if isinstance(node, VariableNode):
            return int(self._variables[node.name.value])
        assert isinstance(node, IntValueNode)
        return int(node.value)


def _formatted(data: Any, errors: Iterable[GraphQLError]) -> dict[str, Any]:
    rows = []
    for error in errors:
        row: dict[str, Any] = {"message": error.message, "path": list(error.path or ())}
        if kind := (error.extensions or {}).get("type"):
            row["type"] = kind
        rows.append(row)
    return {"data": data} | ({"errors": rows} if rows else {})


def _listed(rows: Sequence[Any], first: int, after: str | None = None) -> dict[str, Any]:
    start = int(after) if after else 0
    return {
        "totalCount": len(rows),
        "nodes": list(rows[start : start + first]),
        "pageInfo": {
            "hasNextPage": start + first < len(rows),
            "hasPreviousPage": start > 0,
            "endCursor": str(start + first),
        },
    }


def _history(
    tip: Commit, first: int, since: str, after: str | None = None, **_: Any
) -> dict[str, Any]:
    earliest = datetime.fromisoformat(since)
    rows = [_graph_commit(commit) for commit in tip.history if commit.at >= earliest]
    return _listed(rows, first, after)


def _graph_commit(commit: Commit) -> dict[str, Any]:
    return {
        "__typename": "Commit",
        "oid": commit.oid,
        "committedDate": text(commit.at),
        "message": commit.message,
        "author": _git_actor(commit.author),
        "committer": _git_actor(commit.committer or commit.author),
    }


def _git_actor(person: Person) -> dict[str, Any]:
    user = {"__typename": "User", "login": person.login} if person.login else None
    return {"name": person.name, "email": person.email, "user": user}


def _actor(login: str, names: Mapping[str, str]) -> dict[str, Any]:
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"__typename": kind, "login": login.removesuffix("[bot]"), "name": names.get(login)}


def _graph_comment(row: Mapping[str, Any], edits: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A comment with its edits, the newest first; the first text counts as one once edited."""
    made = [(row["user"]["login"], row["created_at"])] if edits else []
    rows = [
        {"id": f"UCE_{row['id']}_{index}", "editedAt": at, "editor": _actor(login, {})}
        for index, (login, at) in enumerate([*made, *edits])
    ]
    return {
        "__typename": "IssueComment",
        "id": row["node_id"],
        "databaseId": row["id"],
        "author": _actor(row["user"]["login"], {}),
        "body": row["body"],
        "userContentEdits": lambda info, first, after=None: _listed(rows[::-1], first, after),
    }


def _graph_review(
    repository: Repository, review: tuple[str, datetime], names: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "author": _actor(review[0], names),
        "authorAssociation": _association(repository, review[0]),
        "submittedAt": text(review[1]),
        "state": "APPROVED",
    }


def _association(repository: Repository, login: str | None) -> str:
    return "NONE" if login is None else repository.associations.get(login, "MEMBER")


def _ref(repository: Repository, name: str) -> dict[str, Any] | None:
    short = name.removeprefix("refs/heads/")
    exists = short in (repository.default_branch, *repository.branches)
    return {"name": short, "target": None} if exists else None


def _decoded(content: bytes) -> str | bytes:
    """Text if it is; what has a null character is binary to Git."""
    try:
        return content if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return content


def _blob(content: str | bytes | None, oid: str = "") -> dict[str, Any] | None:
    if content is None:
        return None
    binary = isinstance(content, bytes)
    shown = None if binary else content[:BLOB_TEXT]
    return {
        "__typename": "Blob",
        "oid": oid or hashlib.sha256(repr(content).encode()).hexdigest()[:40],
        "text": shown,
        "isBinary": binary,
        "isTruncated": len(content) > BLOB_TEXT,
        "byteSize": len(content),
    }


def _order(one: PullRequest) -> tuple[str, int]:
    return text(one.updated) or "", one.number


def _cursor(updated: str, number: int) -> str:
    return base64.b64encode(f"{updated} {number}".encode()).decode()


def _position(cursor: str) -> tuple[str, int]:
    try:
        updated, number = base64.b64decode(cursor).decode().split(" ")
        return updated, int(number)
    except ValueError:
        raise GraphQLError(
            f"`{cursor}` does not appear to be a valid cursor.",
            extensions={"type": "INVALID_CURSOR_ARGUMENTS"},
        ) from None
