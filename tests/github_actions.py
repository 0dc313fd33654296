"""What people do on the GitHub of the tests: push, open, review, comment, merge.

Each changes what the server holds and delivers what GitHub delivers of it. The payloads have the
shape of GitHub's public examples.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.github_data import (
    GITHUB,
    Change,
    File,
    OpenPullRequest,
    Organisation,
    Person,
    Repository,
    Review,
    actor,
    text,
)
from tests.github_git import SUBMODULE, Content, Entry, ObjectStore
from tests.github_shapes import WEB, changed_paths, number_of, reactions

if TYPE_CHECKING:
    from tests.github_server import GitHubServer

NOTHING = "0" * 40
MOST_PUSHED_COMMITS = 2048
"""That a push tells. Source: GitHub's documentation, payload of `push`."""

_LEAST_ALIKE = 0.5
"""How alike two files are that count as one renamed: Git's own default."""


class Actions:
    """Acts on one server; all moments are `github.now()`."""

    def __init__(self, github: GitHubServer) -> None:
        self._github = github

    # Git.

    def push(
        self,
        name: str,
        branch: str,
        files: Mapping[str, Content | None],
        *,
        by: str = "alice",
        message: str = "Change",
    ) -> str:
        """Commit files to a branch and push it: pull requests from it move along. The commit."""
        repository = self._repository(name)
        before = repository.heads.get(branch)
        after = repository.write(branch, files, by, message, self._now())
        self._pushed(repository, branch, before, after, by)
        return after

    def force_push(self, name: str, branch: str, commit: str, *, by: str = "alice") -> None:
        """Let a branch stand at another commit."""
        repository = self._repository(name)
        before = repository.heads.get(branch)
        repository.move(branch, commit)
        self._pushed(repository, branch, before, commit, by, forced=True)

    def fork(self, name: str, owner: str) -> Repository:
        """Fork a repository; Git's objects are shared, as at GitHub."""
        original = self._repository(name)
        made = self._github.add(f"{owner}/{name.partition('/')[2]}", fork=True, public=True)
        made.objects, made.heads = original.objects, dict(original.heads)
        made.default_branch, made.branches = original.default_branch, list(original.branches)
        return made

    def delete_fork(self, name: str) -> None:
        """Delete a fork: its pull requests stay, without their head's repository."""
        gone = self._repository(name)
        for _, one in self._opened():
            if one.head_repository is gone:
                one.head_repository = None
        self._github.delete(name)

    def _pushed(
        self,
        repository: Repository,
        branch: str,
        before: str | None,
        after: str,
        by: str,
        *,
        forced: bool = False,
    ) -> None:
        repository.activity.append(self._activity(branch, before, after, by, forced))
        self._emit(repository, "push", self._push(repository, branch, before, after, by, forced))
        for base, one in self._opened():
            if not one.is_open:
                continue
            if one.head_repository is repository and one.head == branch:
                self._synchronize(base, one, before or NOTHING, after, by)
            elif base is repository and one.base == branch:
                one.mergeable, one.looks = None, self._github.looks

    def _activity(
        self, branch: str, before: str | None, after: str, by: str, forced: bool
    ) -> dict[str, Any]:
        number = self._github.next_id()
        kind = "force_push" if forced else "push"
        return {
            "id": number,
            "node_id": f"PSH_{number}",
            "before": before or NOTHING,
            "after": after,
            "ref": f"refs/heads/{branch}",
            "timestamp": text(self._now()),
            "activity_type": "branch_creation" if before is None else kind,
            "actor": self._github.shapes.user(by),
        }

    def _synchronize(
        self, base: Repository, one: OpenPullRequest, before: str, after: str, by: str
    ) -> None:
        one.head_sha = after
        one.base_sha = base.heads[one.base]
        self._touch(base, one)
        more = {"before": before, "after": after}
        self._pull_request(base, one, "synchronize", by, **more)

    def _touch(self, base: Repository, one: OpenPullRequest) -> None:
        """After a push to either side the changes are others, and the test merge is stale."""
        one.mergeable, one.looks = None, self._github.looks
        one.changes = changes(base.objects, base.heads[one.base], one.head_sha)
        one.files = [File(c.path, _KINDS[c.status], c.previous) for c in one.changes]
        one.additions = sum(change.additions for change in one.changes)
        one.deletions = sum(change.deletions for change in one.changes)
        one.updated_at = self._now()

    def look(self, base: Repository, one: OpenPullRequest) -> None:
        """What GitHub does in the background when somebody asks for a pull request."""
        if not one.is_open or one.mergeable is not None:
            return
        if one.looks:
            one.looks -= 1
            return
        ours = base.heads[one.base]
        merged = base.objects.merge(ours, one.head_sha)
        one.mergeable = merged.tree is not None
        if merged.tree is not None:
            message = f"Merge {one.head_sha} into {ours}"
            one.merge_commit = base.objects.commit(
                merged.tree,
                [ours, one.head_sha],
                actor(one.author or "ghost", self._now()),
                message,
                actor("web-flow", self._now()),
            )

    # Pull requests.

    def open(
        self,
        name: str,
        head: str,
        *,
        base: str = "",
        by: str = "alice",
        title: str = "Change",
        body: str = "",
        draft: bool = False,
        fork: Repository | None = None,
    ) -> OpenPullRequest:
        """Open a pull request of a branch, here or in a fork."""
        repository = self._repository(name)
        source = fork or repository
        base = base or repository.default_branch
        one = OpenPullRequest(
            repository.next_number,
            None,
            [],
            by,
            title,
            base,
            head,
            body=body,
            head_repository=source,
            head_sha=source.heads[head],
            base_sha=repository.heads[base],
            draft=draft,
            created_at=self._now(),
            from_fork=fork is not None,
            fork_owner=source.owner,
        )
        self._touch(repository, one)
        repository.pull_requests.append(one)
        self._pull_request(repository, one, "opened", by)
        return one

    def close(self, name: str, number: int, *, by: str = "alice") -> None:
        """Close it unmerged."""
        repository, one = self._find(name, number)
        one.closed_at = one.updated_at = self._now()
        self._pull_request(repository, one, "closed", by)

    def reopen(self, name: str, number: int, *, by: str = "alice") -> None:
        """Open it again."""
        repository, one = self._find(name, number)
        one.closed_at = None
        self._touch(repository, one)
        self._pull_request(repository, one, "reopened", by)

    def draft(self, name: str, number: int, *, draft: bool, by: str = "alice") -> None:
        """Make it a draft, or ready for review."""
        repository, one = self._find(name, number)
        one.draft, one.updated_at = draft, self._now()
        action = "converted_to_draft" if draft else "ready_for_review"
        self._pull_request(repository, one, action, by)

    def edit(
        self, name: str, number: int, *, title: str = "", base: str = "", by: str = "alice"
    ) -> None:
        """Change its title, or the branch it is to be merged into."""
        repository, one = self._find(name, number)
        was: dict[str, Any] = {}
        if title:
            was["title"] = {"from": one.title}
            one.title = title
        if base:
            was["base"] = {"ref": {"from": one.base}, "sha": {"from": one.base_sha}}
            one.base, one.base_sha = base, repository.heads[base]
            self._touch(repository, one)
        one.updated_at = self._now()
        self._pull_request(repository, one, "edited", by, changes=was)

    def merge(self, name: str, number: int, *, by: str = "alice", method: str = "merge") -> str:
        """Merge it, as the button does; the commit.

        Raises:
            ValueError: it conflicts, or is not open.
        """
        repository, one = self._find(name, number)
        ours = repository.heads[one.base]
        merged = repository.objects.merge(ours, one.head_sha)
        if merged.tree is None or not one.is_open:
            raise ValueError("Pull Request is not mergeable")
        parents = [ours, one.head_sha] if method == "merge" else [ours]
        title = f"{one.title} (#{number})"
        if method == "merge":
            title = f"Merge pull request #{number} from {one.fork_owner}/{one.head}"
        at = self._now()
        made = repository.objects.commit(
            merged.tree, parents, actor(by, at), title, actor("web-flow", at)
        )
        one.merged_at = one.closed_at = one.updated_at = at
        one.merge_commit, one.merged_by = made, by
        self._record(repository, made, by, title, at)
        repository.move(one.base, made)
        self._pull_request(repository, one, "closed", by)
        self._pushed(repository, one.base, ours, made, by)
        return made

    def _record(self, repository: Repository, oid: str, by: str, title: str, at: datetime) -> None:
        """What GraphQL tells of the base branch, for who collects merged pull requests."""
        person = Person(by, f"{by}@users.noreply.github.com", by)
        repository.commit(person, at, title, committer=GITHUB).oid = oid
        files = repository.objects.files(repository.objects.revisions[oid].tree)
        shown: dict[str, str | bytes] = {}
        for path, entry in files.items():
            content = repository.objects.read(entry.oid, "blob")
            if content is not None:
                shown[path] = _text(content)
        repository.contents[oid] = shown

    def queue(self, name: str, number: int, *, by: str = "alice") -> str:
        """Put it into the merge queue, which asks for checks of a merge; the merge's commit."""
        repository, one = self._find(name, number)
        ours = repository.heads[one.base]
        merged = repository.objects.merge(ours, one.head_sha)
        if merged.tree is None:
            raise ValueError("Pull Request is not mergeable")
        at = self._now()
        made = repository.objects.commit(
            merged.tree, [ours, one.head_sha], actor(by, at), f"{one.title} (#{number})"
        )
        ref = f"gh-readonly-queue/{one.base}/pr-{number}-{ours}"
        repository.move(ref, made)
        self._pushed(repository, ref, None, made, by)
        tip = self._github.shapes.pushed_commit(repository, made)
        group = {
            "head_sha": made,
            "head_ref": f"refs/heads/{ref}",
            "base_sha": ours,
            "base_ref": f"refs/heads/{one.base}",
            "head_commit": {key: tip[key] for key in ("id", "tree_id", "message", "timestamp")}
            | {role: {k: tip[role][k] for k in ("name", "email")} for role in _ROLES},
        }
        payload = {"action": "checks_requested", "merge_group": group}
        self._emit(repository, "merge_group", payload | self._around(repository, by))
        return made

    # Reviews and comments.

    def review(
        self,
        name: str,
        number: int,
        state: str,
        *,
        by: str,
        commit: str | None = None,
        body: str = "",
    ) -> Review:
        """Review it: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`; `PENDING` tells nobody."""
        repository, one = self._find(name, number)
        pending = state == "PENDING"
        at = None if pending else self._now()
        made = Review(self._github.next_id(), by, state, commit or one.head_sha, at, body)
        one.submitted.append(made)
        if not pending:
            self._reviewed(repository, one, made, "submitted", by)
        return made

    def submit(self, name: str, number: int, review: Review, state: str) -> None:
        """Submit a review that was pending."""
        repository, one = self._find(name, number)
        review.state, review.submitted_at = state, self._now()
        self._reviewed(repository, one, review, "submitted", review.login or "ghost")

    def dismiss(self, name: str, number: int, review: int, *, by: str) -> Review:
        """Dismiss a review."""
        repository, one = self._find(name, number)
        found = next(row for row in one.submitted if row.id == review)
        found.state = "DISMISSED"
        self._reviewed(repository, one, found, "dismissed", by)
        return found

    def _reviewed(
        self, base: Repository, one: OpenPullRequest, review: Review, action: str, by: str
    ) -> None:
        one.updated_at = self._now()
        shapes = self._github.shapes
        row = shapes.review(base, one.number, review)
        payload = {
            "action": action,
            # Deliveries have these in small letters, answers in capitals.
            "review": {**row, "state": review.state.lower()},
            "pull_request": shapes.pull_request(base, one),
        }
        self._emit(base, "pull_request_review", payload | self._around(base, by))

    def comment(self, name: str, number: int, body: str, *, by: str) -> dict[str, Any]:
        """Comment on a pull request or an issue."""
        repository = self._repository(name)
        at = text(self._now())
        made_id = self._github.next_id()
        web = f"{WEB}/{repository.name}/pull/{number}#issuecomment-{made_id}"
        mine = f"{self._github.url}/repos/{repository.name}/issues"
        row = {
            "id": made_id,
            "node_id": f"IC_{made_id}",
            "url": f"{mine}/comments/{made_id}",
            "html_url": web,
            "issue_url": f"{mine}/{number}",
            "user": self._github.shapes.user(by),
            "author_association": repository.associations.get(by, "NONE"),
            "created_at": at,
            "updated_at": at,
            "body": body,
            "performed_via_github_app": None,
            "reactions": reactions(f"{mine}/comments/{made_id}"),
        }
        repository.comments.setdefault(number, []).append(row)
        self._commented(repository, number, row, "created", by)
        return row

    def edit_comment(self, name: str, comment: int, body: str, *, by: str) -> dict[str, Any] | None:
        """Change a comment's text; None if there is none of that number."""
        repository = self._repository(name)
        for number, row in _comments(repository):
            if row["id"] == comment:
                was, at = row["body"], text(self._now()) or ""
                row.update(body=body, updated_at=at)
                repository.edits.setdefault(comment, []).append((by, at))
                changes_of = {"body": {"from": was}}
                self._commented(repository, number, row, "edited", by, changes=changes_of)
                return row
        return None

    def delete_comment(self, name: str, comment: int, *, by: str) -> bool:
        """Delete a comment; False if there is none of that number."""
        repository = self._repository(name)
        for number, row in _comments(repository):
            if row["id"] == comment:
                repository.comments[number].remove(row)
                self._commented(repository, number, row, "deleted", by)
                return True
        return False

    def _commented(
        self,
        repository: Repository,
        number: int,
        row: Mapping[str, Any],
        action: str,
        by: str,
        **more: Any,
    ) -> None:
        issue = self.issue(repository, number)
        if issue is None:
            return
        payload = {"action": action, "issue": issue, "comment": dict(row), **more}
        self._emit(repository, "issue_comment", payload | self._around(repository, by))

    def issue(self, repository: Repository, number: int) -> dict[str, Any] | None:
        """A pull request or an issue as an issue; None if there is neither."""
        found = next((row for row in repository.issues if row["number"] == number), None)
        if found is not None:
            return found
        pull = next((one for one in repository.pull_requests if one.number == number), None)
        if pull is None:
            return None
        shown = self._github.shapes.pull_request(repository, pull)
        mine = f"{self._github.url}/repos/{repository.name}/issues/{number}"
        kept = (
            "number", "title", "user", "labels", "state", "locked", "assignee", "assignees",
            "milestone", "created_at", "updated_at", "closed_at", "author_association",
            "active_lock_reason", "body", "html_url", "draft",
        )  # fmt: skip
        links = {key: shown[key] for key in ("url", "html_url", "diff_url", "patch_url")}
        return {
            **{key: shown[key] for key in kept},
            "id": number_of(f"issue {repository.id} {number}"),
            "node_id": shown["node_id"],
            "url": mine,
            "repository_url": f"{self._github.url}/repos/{repository.name}",
            "labels_url": f"{mine}/labels{{/name}}",
            "comments_url": f"{mine}/comments",
            "events_url": f"{mine}/events",
            "comments": len(repository.comments.get(number, ())),
            "reactions": reactions(mine),
            "pull_request": {**links, "merged_at": shown["merged_at"]},
        }

    # People.

    def join_team(self, organisation: str, slug: str, login: str, *, by: str = "owner") -> None:
        """Add somebody to a team."""
        found = self._organisation(organisation)
        found.teams[slug].members.append(login)
        if login not in found.members:
            found.members.append(login)
        self._membership(found, slug, login, "added", by)

    def leave_team(self, organisation: str, slug: str, login: str, *, by: str = "owner") -> None:
        """Remove somebody from a team."""
        found = self._organisation(organisation)
        found.teams[slug].members.remove(login)
        self._membership(found, slug, login, "removed", by)

    def leave_organisation(self, organisation: str, login: str, *, by: str = "owner") -> None:
        """Remove somebody from an organisation, and so from its teams."""
        found = self._organisation(organisation)
        found.members.remove(login)
        for team in found.teams.values():
            if login in team.members:
                team.members.remove(login)
        shapes = self._github.shapes
        membership = {
            "url": f"{self._github.url}/orgs/{found.login}/memberships/{login}",
            "state": "inactive",
            "role": "unaffiliated",
            "organization_url": f"{self._github.url}/orgs/{found.login}",
            "user": shapes.user(login),
        }
        payload = {"action": "member_removed", "membership": membership}
        self._emit_of(found, "organization", payload, by)

    def edit_team(self, organisation: str, slug: str, *, by: str = "owner") -> None:
        """Change a team's description."""
        found = self._organisation(organisation)
        payload = {"action": "edited", "team": self._github.shapes.team(found, slug)}
        payload["changes"] = {"description": {"from": ""}}
        self._emit_of(found, "team", payload, by)

    def _membership(
        self, organisation: Organisation, slug: str, login: str, action: str, by: str
    ) -> None:
        shapes = self._github.shapes
        payload = {
            "action": action,
            "scope": "team",
            "member": shapes.user(login),
            "team": shapes.team(organisation, slug),
        }
        self._emit_of(organisation, "membership", payload, by)

    # Deliveries.

    def _emit_of(
        self, organisation: Organisation, event: str, payload: Mapping[str, Any], by: str
    ) -> None:
        """To the hooks of an organisation; a repository's are told none of these."""
        shapes = self._github.shapes
        around = {
            "organization": shapes.organisation(organisation.login),
            "sender": shapes.user(by),
        }
        self._github.hooks.emit(event, {**payload, **around}, organisation=organisation.login)

    def _emit(self, repository: Repository, event: str, payload: Mapping[str, Any]) -> None:
        self._github.hooks.emit(
            event, payload, repository=repository.name, organisation=repository.owner
        )

    def _pull_request(
        self, base: Repository, one: OpenPullRequest, action: str, by: str, **more: Any
    ) -> None:
        payload = {
            "action": action,
            "number": one.number,
            "pull_request": self._github.shapes.whole_pull_request(base, one),
            **more,
            **self._around(base, by),
        }
        self._emit(base, "pull_request", payload)

    def _around(self, repository: Repository, by: str) -> dict[str, Any]:
        """What each delivery about a repository has."""
        shapes = self._github.shapes
        around = {"repository": shapes.repository(repository), "sender": shapes.user(by)}
        if repository.owner.lower() in self._github.organisations:
            around["organization"] = shapes.organisation(repository.owner)
        return around

    def _push(
        self,
        repository: Repository,
        branch: str,
        before: str | None,
        after: str,
        by: str,
        forced: bool,
    ) -> dict[str, Any]:
        shapes = self._github.shapes
        known = set() if before is None else set(repository.objects.history(before))
        fresh = [one for one in repository.objects.history(after) if one not in known]
        listed = list(reversed(fresh))[-MOST_PUSHED_COMMITS:]
        tip = shapes.pushed_commit(repository, after)
        span = f"{(before or after)[:12]}...{after[:12]}"
        around = self._around(repository, by)
        around["repository"] |= {
            "owner": {**around["repository"]["owner"], "name": repository.owner, "email": None},
            "url": f"{WEB}/{repository.name}",
            "created_at": 1_577_836_800,
            "pushed_at": int(self._now().timestamp()),
            "stargazers": 0,
            "master_branch": repository.default_branch,
        }
        return {
            "ref": f"refs/heads/{branch}",
            "before": before or NOTHING,
            "after": after,
            "created": before is None,
            "deleted": False,
            "forced": forced,
            "base_ref": None,
            "compare": f"{WEB}/{repository.name}/compare/{span}",
            "commits": [shapes.pushed_commit(repository, one) for one in listed],
            "head_commit": tip,
            "pusher": {"name": by, "email": f"{by}@users.noreply.github.com"},
            **around,
        }

    # What is found by name.

    def _now(self) -> datetime:
        return self._github.now()

    def _repository(self, name: str) -> Repository:
        return self._github.repositories[name.lower()]

    def _organisation(self, login: str) -> Organisation:
        return self._github.organisations[login.lower()]

    def _find(self, name: str, number: int) -> tuple[Repository, OpenPullRequest]:
        repository = self._repository(name)
        return repository, repository.opened(number)

    def _opened(self) -> list[tuple[Repository, OpenPullRequest]]:
        return [
            (repository, one)
            for repository in self._github.repositories.values()
            for one in repository.pull_requests
            if isinstance(one, OpenPullRequest)
        ]


_ROLES = ("author", "committer")
_KINDS = {"added": "ADDED", "removed": "DELETED", "modified": "MODIFIED", "renamed": "RENAMED"}


def changes(objects: ObjectStore, base: str, head: str) -> list[Change]:
    """What a branch changes since it left its base: files as GitHub lists them, by path."""
    before = objects.merge_base(base, head)
    old = {} if before is None else objects.files(objects.revisions[before].tree)
    new = objects.files(objects.revisions[head].tree)
    added, removed, modified = changed_paths(objects, before, head)
    renamed = dict[str, str]()
    for path in added:
        source = _renamed_from(objects, new[path], [(p, old[p]) for p in removed])
        if source is not None:
            renamed[path] = source
            removed.remove(source)
    rows = [_change(objects, p, "modified", old[p], new[p]) for p in modified]
    rows += [_change(objects, p, "removed", old[p], None) for p in removed]
    for path in added:
        former = renamed.get(path)
        row = _change(objects, path, "added", None if former is None else old[former], new[path])
        if former is not None:
            row.status, row.previous = "renamed", former
        rows.append(row)
    return sorted(rows, key=lambda row: row.path)


def _renamed_from(
    objects: ObjectStore, entry: Entry, removed: list[tuple[str, Entry]]
) -> str | None:
    """The removed file that an added one is most like."""
    for path, other in removed:
        if other.oid == entry.oid:
            return path
    mine = _lines(objects, entry)
    best, least = None, _LEAST_ALIKE
    for path, other in removed:
        alike = difflib.SequenceMatcher(None, _lines(objects, other), mine).ratio()
        if mine and alike >= least:
            best, least = path, alike
    return best


def _change(
    objects: ObjectStore, path: str, status: str, old: Entry | None, new: Entry | None
) -> Change:
    before = [] if old is None else _lines(objects, old)
    after = [] if new is None else _lines(objects, new)
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]
    shown = new or old
    assert shown is not None
    return Change(
        path,
        status,
        shown.oid,
        additions=sum(line.startswith("+") for line in lines),
        deletions=sum(line.startswith("-") for line in lines),
        patch="\n".join(lines) or None,
    )


def _lines(objects: ObjectStore, entry: Entry) -> list[str]:
    if entry.mode == SUBMODULE:
        return [f"Subproject commit {entry.oid}"]
    found = _text(objects.read(entry.oid, "blob") or b"")
    return found.splitlines() if isinstance(found, str) else []


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _comments(repository: Repository) -> list[tuple[int, dict[str, Any]]]:
    return [(number, row) for number, rows in repository.comments.items() for row in rows]


def moment() -> datetime:
    """Now."""
    return datetime.now(UTC)
