"""What the GitHub of the tests holds: repositories, pull requests, commits, and faults to come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tests.github_git import Actor, Content, Entry, ObjectStore


@dataclass
class Person:
    """Somebody in a commit: what Git writes, and the login GitHub knows for the address."""

    name: str
    email: str
    login: str | None = None


GITHUB = Person("GitHub", "noreply@github.com", "web-flow")
"""Who commits what somebody merges in the browser."""


@dataclass
class Commit:
    """One commit of a default branch; `previous` is its first parent."""

    author: Person
    at: datetime
    message: str = "Change"
    committer: Person | None = None
    oid: str = ""
    previous: Commit | None = field(default=None, repr=False)

    @property
    def history(self) -> Iterator[Commit]:
        """It and its ancestors, the newest first."""
        found: Commit | None = self
        while found is not None:
            yield found
            found = found.previous


@dataclass
class File:
    """One changed file."""

    path: str
    change: str = "MODIFIED"
    previous: str | None = None


@dataclass
class PullRequest:
    """One pull request; `author` None is a deleted account, `login[bot]` a bot.

    Attributes:
        merge_commit: its oid; None if GitHub knows none.
        unreadable: no question that asks for its files is answered, however small.
    """

    number: int
    merged_at: datetime | None
    files: Sequence[File]
    author: str | None = "alice"
    title: str = "Change"
    base: str = "main"
    head: str = "topic"
    updated_at: datetime | None = None
    reviews: Sequence[tuple[str, datetime]] = ()
    additions: int = 3
    deletions: int = 1
    files_hidden: bool = False
    body: str = ""
    merge_commit: str | None = None
    unreadable: bool = False

    @property
    def updated(self) -> datetime:
        """When it was updated last: at its merge unless said otherwise."""
        return self.updated_at or self.merged_at or datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Review:
    """A review of an open pull request.

    Attributes:
        login: whose; None is a deleted account.
        state: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED` or `PENDING`.
        commit: the head that was reviewed.
    """

    id: int
    login: str | None
    state: str
    commit: str | None
    submitted_at: datetime | None
    body: str = ""


@dataclass
class Change:
    """A changed file of an open pull request, as its list of files shows it."""

    path: str
    status: str
    sha: str
    previous: str | None = None
    additions: int = 1
    deletions: int = 1
    patch: str | None = None


@dataclass
class OpenPullRequest(PullRequest):
    """A pull request with commits in Git: opened here, and perhaps closed or merged since.

    Attributes:
        base_sha: the base branch's commit when the head was pushed last: as at GitHub it does not
            move with the base branch.
        head_repository: None once a fork is deleted.
        mergeable: None until GitHub has looked, which each question asks it to.
        merge_commit: the test merge, which is stale while `mergeable` is None; the merge itself
            once it is merged.
        looks: how often it is asked for before it is known.
    """

    head_repository: Repository | None = field(default=None, repr=False, compare=False)
    head_sha: str = ""
    base_sha: str = ""
    draft: bool = False
    created_at: datetime | None = None
    closed_at: datetime | None = None
    merged_by: str | None = None
    mergeable: bool | None = None
    looks: int = 1
    submitted: list[Review] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    from_fork: bool = False
    fork_owner: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is neither closed nor merged."""
        return self.closed_at is None


@dataclass
class Team:
    """A team of an organisation: full names of its repositories, logins of its members.

    Attributes:
        parent: the slug of the team it is in; members of a child are the parent's too.
        pending: invited people, who are no members yet.
        maintainers: of the members.
        permission: on its repositories.
    """

    repositories: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    parent: str | None = None
    pending: list[str] = field(default_factory=list)
    maintainers: list[str] = field(default_factory=list)
    permission: str = "push"


@dataclass
class Organisation:
    """An organisation: its members and, by slug, its teams. Its repositories bear its name.

    Attributes:
        conceals: whether the credential sees only those who show their membership, and no team.
        public: who shows it.
        owners: of the members, who may do everything.
        pending: invited people, who are no members yet.
    """

    login: str
    members: list[str] = field(default_factory=list)
    teams: dict[str, Team] = field(default_factory=dict)
    conceals: bool = False
    public: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def members_of(self, slug: str) -> list[str]:
        """Members of a team and of its child teams."""
        found = list(self.teams[slug].members)
        for child, team in self.teams.items():
            if team.parent == slug:
                found += [one for one in self.members_of(child) if one not in found]
        return found


@dataclass
class Refusal:
    """Sizes above which GitHub gives up, and how it says so.

    Attributes:
        history: the largest page of commits that it answers.
        listing: the largest page of pull requests.
        details: the most pull requests of which it tells files and reviews in one question.
        answer: `RESOURCE_LIMITS_EXCEEDED` and `timeout` are errors within the answer, at the field;
            `502` is the whole answer.
    """

    history: int = 100
    listing: int = 100
    details: int = 100
    answer: str = "RESOURCE_LIMITS_EXCEEDED"


@dataclass
class Repository:
    """One repository. `formerly` are names it had, which lead to it.

    Attributes:
        branches: that exist besides the default one.
        contents: by a commit's oid the files of its tree; binary if bytes.
        associations: by login how somebody belongs to it; a `MEMBER` if not said.
        refusal: what is too much for GitHub here.
        null_nodes: lists (`pullRequests`, `history`, `files`, `reviews`) whose first node is null.
        drops_labels: whether the credential may not label its issues, which nobody tells it.
        objects: of Git, shared with its forks.
        heads: its branches in Git, each with its commit.
        collaborators: by login what somebody may do: read, triage, write, maintain or admin.
        statuses: of commits, the newest last; `checks` and `deployments` likewise.
        activity: what was pushed, the newest last.
        tree_limit: how many entries a tree is told with at most; the rest is `truncated`.
    """

    name: str
    id: str
    default_branch: str = "main"
    pull_requests: list[PullRequest] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    mailmap: str | None = None
    formerly: list[str] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    edits: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each comment: who has edited it, and when."""
    indexed: int | None = None
    archived: bool = False
    fork: bool = False
    topics: list[str] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)
    contents: dict[str, dict[str, str | bytes]] = field(default_factory=dict)
    associations: dict[str, str] = field(default_factory=dict)
    refusal: Refusal = field(default_factory=Refusal)
    null_nodes: set[str] = field(default_factory=set)
    drops_labels: bool = False
    public: bool = False
    objects: ObjectStore = field(default_factory=ObjectStore, repr=False)
    heads: dict[str, str] = field(default_factory=dict)
    collaborators: dict[str, str] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list, repr=False)
    checks: list[dict[str, Any]] = field(default_factory=list, repr=False)
    deployments: list[dict[str, Any]] = field(default_factory=list, repr=False)
    activity: list[dict[str, Any]] = field(default_factory=list, repr=False)
    tree_limit: int = 100_000
    _unreachable: list[Commit] = field(default_factory=list, repr=False)

    def merge(
        self, merged_at: datetime, *paths: str, number: int | None = None, **more: Any
    ) -> PullRequest:
        """Add a merged pull request that changed those paths; its merge commit is no one's."""
        number = number or len(self.pull_requests) + 1
        more.setdefault("merge_commit", _oid(f"{self.id} merge {number}"))
        made = PullRequest(number, merged_at, [File(path) for path in paths], **more)
        self.pull_requests.append(made)
        return made

    def put(self, request: PullRequest, **files: str | bytes) -> None:
        """Say what is in files as the pull request was merged; `put(pr, **{"a/b.yaml": "..."})`."""
        assert request.merge_commit is not None
        self.contents.setdefault(request.merge_commit, {}).update(files)

    def commit(self, author: Person, at: datetime, message: str = "Change", **more: Any) -> Commit:
        """Add a commit to the default branch."""
        made = Commit(author, at, message, **more)
        made.oid = _oid(f"{self.id}{len(self.commits)}{at}{message}")
        made.previous = self.commits[-1] if self.commits else None
        self.commits.append(made)
        return made

    def squash(self, request: PullRequest, author: Person) -> Commit:
        """Add the commit into which the button squashes a merged pull request."""
        return self._of(request, author, f"{request.title} (#{request.number})")

    def merge_with_commit(self, request: PullRequest, merger: Person) -> Commit:
        """Add the merge commit that the button makes; its author is who pressed it."""
        owner = self.name.partition("/")[0]
        return self._of(
            request, merger, f"Merge pull request #{request.number} from {owner}/{request.head}"
        )

    def _of(self, request: PullRequest, author: Person, message: str) -> Commit:
        assert request.merged_at is not None
        made = self.commit(author, request.merged_at, message, committer=GITHUB)
        if request.merge_commit in self.contents:
            self.contents[made.oid] = self.contents[request.merge_commit]
        request.merge_commit = made.oid
        return made

    def force_push(self, keep: int) -> None:
        """Throw away all but the first commits, and write another in their place."""
        last = self.commits[-1]
        self._unreachable += self.commits[keep:]
        del self.commits[keep:]
        self.commit(last.author, last.at, f"forced {len(self.commits)}")

    def write(
        self,
        branch: str,
        files: Mapping[str, Content | None],
        by: str = "alice",
        message: str = "Change",
        at: datetime | None = None,
    ) -> str:
        """Commit files to a branch in Git, and tell nobody; its first commit makes a branch.

        Args:
            branch: begins at the default branch if there is none of that name.
            files: by path; None removes one.
            by: the author's login.
            message: of the commit.
            at: when.
        """
        parent = self.heads.get(branch) or self.heads.get(self.default_branch)
        tree = {} if parent is None else self.objects.files(self.objects.revisions[parent].tree)
        changed: dict[str, Entry | None] = {
            path: None if content is None else self.objects.entry(content)
            for path, content in files.items()
        }
        kept = {path: entry for path, entry in {**tree, **changed}.items() if entry is not None}
        who = actor(by, at or datetime.now(UTC))
        made = self.objects.commit(
            self.objects.tree(kept), [] if parent is None else [parent], who, message
        )
        self.move(branch, made)
        return made

    def move(self, branch: str, commit: str) -> None:
        """Let a branch stand at a commit."""
        self.heads[branch] = commit
        if branch != self.default_branch and branch not in self.branches:
            self.branches.append(branch)

    def opened(self, number: int) -> OpenPullRequest:
        """The pull request of that number, which was opened here."""
        for one in self.pull_requests:
            if one.number == number and isinstance(one, OpenPullRequest):
                return one
        raise LookupError(f"no pull request {number} was opened in {self.name}")

    @property
    def next_number(self) -> int:
        """Of the next pull request: issues and pull requests share numbers."""
        taken = [int(issue["number"]) for issue in self.issues]
        return max([0, *taken, *(one.number for one in self.pull_requests)]) + 1

    def rename_default_branch(self, name: str) -> None:
        """Rename it as the settings page does: merged pull requests keep the base they had."""
        self.default_branch = name

    def commit_of(self, oid: str) -> Commit | None:
        """The commit, reachable or not: GitHub answers for both."""
        return next((c for c in [*self.commits, *self._unreachable] if c.oid == oid), None)

    def has(self, oid: str) -> bool:
        """Whether there is a commit of that oid."""
        merged = (request.merge_commit for request in self.pull_requests)
        return oid in self.contents or self.commit_of(oid) is not None or oid in set(merged)

    @property
    def owner(self) -> str:
        """The user or organisation."""
        return self.name.partition("/")[0]

    @property
    def number(self) -> int:
        """The id in REST's addresses."""
        return int(hashlib.sha256(self.id.encode()).hexdigest()[:8], 16)


class Fault(BaseModel):
    """What happens to the next `times` requests that match, after `skip` that are let through.

    Attributes:
        operation: of a query (`PullRequestDetails`), or `METHOD /path` as a regular expression.
        repository: GraphQL only: owner/name that must be among the variables.
        above: GraphQL only: matches queries with a larger `first` than this.
        kind: `status` answers `status`; `secondary` and `primary` are rate limits, `in_answer` is
            one of GraphQL in an answer of status 200; `partial` makes `field` null with an error of
            type `error`; `refused` is an error without data; `drop` ends the connection; `arrives`
            does what was asked, then ends the connection; `html` is a proxy's page.
    """

    model_config = ConfigDict(extra="forbid")

    operation: str = ".*"
    repository: str | None = None
    above: int = 0
    kind: str = "status"
    status: int = 502
    message: str = "Injected by a test."
    error: str | None = None
    field: str = "pullRequests"
    retry_after: int | str | None = None
    delay_seconds: float = 0.0
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


@dataclass
class Request:
    """One request as it came.

    Attributes:
        route: what GitHub's description of REST calls it.
        version: of the REST interface that it asks for; empty if it names none.
    """

    method: str
    path: str
    operation: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    cost: int = 0
    status: int = 0
    authorization: str = ""
    query: str = ""
    route: str = ""
    version: str = ""


@dataclass
class Reply:
    """An answer; `raw` is a body that is no JSON, `drop` ends the connection instead."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False


@dataclass
class Account:
    """Who asks: a person by a token, an App's installation, or the App itself (`app`).

    Attributes:
        kind: `fine-grained`, `classic`, `installation` or `app`.
        permissions: of a fine-grained token or an installation; None: all of them.
        trusted: a person who may do everything everywhere, as the server's own tokens.
    """

    login: str
    kind: str = "fine-grained"
    permissions: dict[str, str] | None = None
    trusted: bool = False


def actor(login: str, at: datetime) -> Actor:
    """Somebody in a commit, with the address GitHub gives a login."""
    return Actor(login, f"{login}@users.noreply.github.com", at)


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _oid(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
