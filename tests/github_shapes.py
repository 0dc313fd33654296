"""What the GitHub of the tests answers and sends: JSON of the shapes that GitHub describes.

Source: GitHub's OpenAPI description and its documentation of webhook payloads. The integration
tests parse each shape with the models that githubkit generates of that description.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.github_data import (
    Change,
    File,
    OpenPullRequest,
    Organisation,
    PullRequest,
    Repository,
    Review,
    Team,
    text,
)
from tests.github_git import Actor, ObjectStore

WEB = "https://github.com"
LONG_AGO = "2020-01-01T00:00:00Z"

_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}", "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}", "contributors_url": "/contributors",
    "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
    "forks_url": "/forks", "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}",
    "languages_url": "/languages", "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}", "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}", "subscribers_url": "/subscribers",
    "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}  # fmt: skip
_USER_URLS = {
    "followers_url": "/followers", "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}", "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions", "organizations_url": "/orgs", "repos_url": "/repos",
    "events_url": "/events{/privacy}", "received_events_url": "/received_events",
}  # fmt: skip


_REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def reactions(url: str) -> dict[str, Any]:
    """Of an issue or a comment that has none."""
    return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(_REACTIONS, 0)}


_COUNTS = {"public_repos": 0, "public_gists": 0, "followers": 0, "following": 0}


def number_of(name: str) -> int:
    """A number for a name, always the same."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:7], 16)


@dataclass(frozen=True)
class Shapes:
    """The shapes, with addresses of one server.

    Attributes:
        url: of its REST interface.
        organisations: by lower login; who owns a repository is one, or a person.
    """

    url: str
    organisations: Mapping[str, Organisation]
    _known: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    """Repositories by id: a page of pull requests shows one of them over and over."""

    def user(self, login: str, kind: str = "") -> dict[str, Any]:
        """A person, a bot or an organisation."""
        kind = kind or ("Bot" if login.endswith("[bot]") else "User")
        mine = f"{self.url}/users/{login}"
        number = number_of(login.lower())
        return {
            "login": login,
            "id": number,
            "node_id": f"U_{number}",
            "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
            "gravatar_id": "",
            "url": mine,
            "html_url": f"{WEB}/{login}",
            **{name: mine + path for name, path in _USER_URLS.items()},
            "type": kind,
            "user_view_type": "public",
            "site_admin": False,
        }

    def owner(self, login: str) -> dict[str, Any]:
        """Who owns a repository."""
        known = login.lower() in self.organisations
        found = self.user(login, "Organization" if known else "User")
        return {**found, "node_id": f"O_{login.lower()}"}

    def organisation(self, login: str) -> dict[str, Any]:
        """An organisation as deliveries and lists show it."""
        mine = f"{self.url}/orgs/{login}"
        return {
            "login": login,
            "id": number_of(login.lower()),
            "node_id": f"O_{login.lower()}",
            "url": mine,
            "repos_url": f"{mine}/repos",
            "events_url": f"{mine}/events",
            "hooks_url": f"{mine}/hooks",
            "issues_url": f"{mine}/issues",
            "members_url": f"{mine}/members{{/member}}",
            "public_members_url": f"{mine}/public_members{{/member}}",
            "avatar_url": f"https://avatars.githubusercontent.com/u/{number_of(login.lower())}?v=4",
            "description": "",
        }

    def repository(self, one: Repository) -> dict[str, Any]:
        """A repository, in full."""
        if one.id not in self._known:
            self._known[one.id] = self._repository(one)
        return dict(self._known[one.id])

    def _repository(self, one: Repository) -> dict[str, Any]:
        mine = f"{self.url}/repos/{one.name}"
        pushed = text(_pushed(one))
        counts = ("forks", "stargazers", "watchers", "open_issues")
        return {
            "id": one.number,
            "node_id": one.id,
            "name": one.name.partition("/")[2],
            "full_name": one.name,
            "private": not one.public,
            "visibility": "public" if one.public else "private",
            "owner": self.owner(one.owner),
            "html_url": f"{WEB}/{one.name}",
            "description": None,
            "fork": one.fork,
            "url": mine,
            **{name: mine + path for name, path in _REPOSITORY_URLS.items()},
            "git_url": f"git://github.com/{one.name}.git",
            "ssh_url": f"git@github.com:{one.name}.git",
            "clone_url": f"{WEB}/{one.name}.git",
            "svn_url": f"{WEB}/{one.name}",
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            "size": 1,
            **{f"{name}_count": 0 for name in counts},
            "forks": 0,
            "open_issues": 0,
            "watchers": 0,
            "default_branch": one.default_branch,
            "topics": list(one.topics),
            **{f"has_{what}": True for what in ("issues", "projects", "wiki", "downloads")},
            "has_pages": False,
            "has_discussions": False,
            "archived": one.archived,
            "disabled": False,
            "pushed_at": pushed,
            "created_at": LONG_AGO,
            "updated_at": pushed or LONG_AGO,
        }

    def whole_repository(self, one: Repository) -> dict[str, Any]:
        """A repository asked for by its name."""
        return {**self.repository(one), "network_count": 0, "subscribers_count": 0}

    # Pull requests.

    def pull_request(self, base: Repository, one: PullRequest) -> dict[str, Any]:
        """A pull request as a list shows it."""
        mine, web = f"{self.url}/repos/{base.name}/pulls/{one.number}", f"{WEB}/{base.name}/pull"
        issue = f"{self.url}/repos/{base.name}/issues/{one.number}"
        opened = one if isinstance(one, OpenPullRequest) else None
        closed = text(opened.closed_at) if opened else text(one.merged_at)
        head = self._head(base, one)
        statuses = f"{self.url}/repos/{base.name}/statuses/{head['sha']}"
        return {
            "url": mine,
            "id": number_of(f"{base.id} {one.number}"),
            "node_id": f"{base.id}_PR_{one.number}",
            "html_url": f"{web}/{one.number}",
            "diff_url": f"{web}/{one.number}.diff",
            "patch_url": f"{web}/{one.number}.patch",
            "issue_url": issue,
            "commits_url": f"{mine}/commits",
            "review_comments_url": f"{mine}/comments",
            "review_comment_url": f"{self.url}/repos/{base.name}/pulls/comments{{/number}}",
            "comments_url": f"{issue}/comments",
            "statuses_url": statuses,
            "number": one.number,
            "state": "open" if opened and opened.is_open else "closed",
            "locked": False,
            "title": one.title,
            "user": None if one.author is None else self.user(one.author),
            "body": one.body or None,
            "labels": [],
            "milestone": None,
            "active_lock_reason": None,
            "created_at": text(opened.created_at) if opened else text(one.updated),
            "updated_at": text(one.updated),
            "closed_at": closed,
            "merged_at": text(one.merged_at),
            "merge_commit_sha": one.merge_commit,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "head": head,
            "base": self._side(base, one.base, opened.base_sha if opened else _made_up(base, one)),
            "_links": {
                "self": {"href": mine},
                "html": {"href": f"{web}/{one.number}"},
                "issue": {"href": issue},
                "comments": {"href": f"{issue}/comments"},
                "review_comments": {"href": f"{mine}/comments"},
                "review_comment": {"href": f"{mine}/comments{{/number}}"},
                "commits": {"href": f"{mine}/commits"},
                "statuses": {"href": statuses},
            },
            "author_association": base.associations.get(one.author or "", "MEMBER"),
            "auto_merge": None,
            "draft": bool(opened and opened.draft),
        }

    def whole_pull_request(self, base: Repository, one: PullRequest) -> dict[str, Any]:
        """A pull request asked for by its number, and as deliveries hold it."""
        opened = one if isinstance(one, OpenPullRequest) else None
        known = opened.mergeable if opened and opened.is_open else None
        return {
            **self.pull_request(base, one),
            "merged": one.merged_at is not None,
            "mergeable": known,
            "rebaseable": known,
            "mergeable_state": _mergeable_state(opened, known),
            "merged_by": self.user(opened.merged_by) if opened and opened.merged_by else None,
            "comments": len(base.comments.get(one.number, ())),
            "review_comments": 0,
            "maintainer_can_modify": False,
            "commits": 1,
            "additions": one.additions,
            "deletions": one.deletions,
            "changed_files": len(opened.changes) if opened else len(one.files),
        }

    def _head(self, base: Repository, one: PullRequest) -> dict[str, Any]:
        if not isinstance(one, OpenPullRequest):
            return self._side(base, one.head, _made_up(base, one))
        if one.head_repository is not None:
            return self._side(one.head_repository, one.head, one.head_sha)
        gone = one.fork_owner
        return {
            "label": f"{gone}:{one.head}",
            "ref": one.head,
            "sha": one.head_sha,
            "user": self.user(gone),
            "repo": None,
        }

    def _side(self, repository: Repository, ref: str, sha: str) -> dict[str, Any]:
        return {
            "label": f"{repository.owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": self.owner(repository.owner),
            "repo": self.repository(repository),
        }

    def file(self, base: Repository, head: str, one: File | Change) -> dict[str, Any]:
        """A changed file of a pull request."""
        if isinstance(one, File):
            status = {"DELETED": "removed"}.get(one.change, one.change.lower())
            sha = hashlib.sha1(one.path.encode()).hexdigest()  # noqa: S324
            one = Change(one.path, status, sha, one.previous)
        row = {
            "sha": one.sha,
            "filename": one.path,
            "status": one.status,
            "additions": one.additions,
            "deletions": one.deletions,
            "changes": one.additions + one.deletions,
            "blob_url": f"{WEB}/{base.name}/blob/{head}/{one.path}",
            "raw_url": f"{WEB}/{base.name}/raw/{head}/{one.path}",
            "contents_url": f"{self.url}/repos/{base.name}/contents/{one.path}?ref={head}",
        }
        row |= {} if one.patch is None else {"patch": one.patch}
        return row | ({"previous_filename": one.previous} if one.previous else {})

    def review(self, base: Repository, number: int, one: Review) -> dict[str, Any]:
        """A review; one that is pending has no moment."""
        web = f"{WEB}/{base.name}/pull/{number}"
        pull = f"{self.url}/repos/{base.name}/pulls/{number}"
        row = {
            "id": one.id,
            "node_id": f"PRR_{one.id}",
            "user": None if one.login is None else self.user(one.login),
            "body": one.body,
            "state": one.state,
            "html_url": f"{web}#pullrequestreview-{one.id}",
            "pull_request_url": pull,
            "author_association": base.associations.get(one.login or "", "MEMBER"),
            "_links": {
                "html": {"href": f"{web}#pullrequestreview-{one.id}"},
                "pull_request": {"href": pull},
            },
            "commit_id": one.commit,
        }
        return row | ({"submitted_at": text(one.submitted_at)} if one.submitted_at else {})

    # Git.

    def commit(self, repository: Repository, oid: str) -> dict[str, Any]:
        """A commit of the interface to Git's objects."""
        found = repository.objects.revisions[oid]
        mine = f"{self.url}/repos/{repository.name}/git"
        web = f"{WEB}/{repository.name}/commit"
        return {
            "sha": oid,
            "node_id": f"C_{oid}",
            "url": f"{mine}/commits/{oid}",
            "html_url": f"{web}/{oid}",
            "author": _git_user(found.author),
            "committer": _git_user(found.committer),
            "tree": {"sha": found.tree, "url": f"{mine}/trees/{found.tree}"},
            "message": found.message,
            "parents": [
                {"sha": one, "url": f"{mine}/commits/{one}", "html_url": f"{web}/{one}"}
                for one in found.parents
            ],
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        }

    def listed_commit(self, repository: Repository, oid: str) -> dict[str, Any]:
        """A commit as the interface to a repository's commits shows it."""
        git = self.commit(repository, oid)
        mine = f"{self.url}/repos/{repository.name}/commits/{oid}"
        inner = {key: git[key] for key in ("author", "committer", "message", "tree")}
        people = {}
        for role in ("author", "committer"):
            login = git[role]["email"].partition("@")[0]
            people[role] = self.user(login)
        return {
            "sha": oid,
            "node_id": git["node_id"],
            "url": mine,
            "html_url": git["html_url"],
            "comments_url": f"{mine}/comments",
            "commit": {
                **inner,
                "url": git["url"],
                "comment_count": 0,
                "verification": git["verification"],
            },
            **people,
            "parents": git["parents"],
        }

    def pushed_commit(self, repository: Repository, oid: str) -> dict[str, Any]:
        """A commit as a push tells it."""
        found = repository.objects.revisions[oid]
        before = found.parents[0] if found.parents else None
        added, removed, modified = changed_paths(repository.objects, before, oid)
        return {
            "id": oid,
            "tree_id": found.tree,
            "distinct": True,
            "message": found.message,
            "timestamp": found.committer.at.isoformat(),
            "url": f"{WEB}/{repository.name}/commit/{oid}",
            "author": _pushed_user(found.author),
            "committer": _pushed_user(found.committer),
            "added": added,
            "removed": removed,
            "modified": modified,
        }

    # People.

    def team(self, organisation: Organisation, slug: str) -> dict[str, Any]:
        """A team, with the one it is in."""
        team = organisation.teams[slug]
        parent = None if team.parent is None else self._team(organisation, team.parent)
        return {**self._team(organisation, slug), "parent": parent}

    def whole_team(self, organisation: Organisation, slug: str) -> dict[str, Any]:
        """A team asked for by its name."""
        return {
            **self.team(organisation, slug),
            "members_count": len(organisation.members_of(slug)),
            "repos_count": len(organisation.teams[slug].repositories),
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "organization": {
                **self.organisation(organisation.login),
                **{f"has_{which}_projects": True for which in ("organization", "repository")},
                **_COUNTS,
                "html_url": f"{WEB}/{organisation.login}",
                "created_at": LONG_AGO,
                "updated_at": LONG_AGO,
                "archived_at": None,
                "type": "Organization",
            },
        }

    def whole_user(self, login: str, name: str | None) -> dict[str, Any]:
        """Somebody asked for by their name."""
        told = dict.fromkeys(("company", "location", "email", "hireable", "bio"))
        moments = {"created_at": LONG_AGO, "updated_at": LONG_AGO}
        return {**self.user(login), "name": name, "blog": "", **told, **_COUNTS, **moments}

    def _team(self, organisation: Organisation, slug: str) -> dict[str, Any]:
        mine = f"{self.url}/organizations/{number_of(organisation.login.lower())}/team"
        number = team_number(organisation, slug)
        team: Team = organisation.teams[slug]
        return {
            "id": number,
            "node_id": f"T_{number}",
            "name": slug,
            "slug": slug,
            "description": "",
            "privacy": "closed",
            "notification_setting": "notifications_enabled",
            "permission": team.permission,
            "url": f"{mine}/{number}",
            "html_url": f"{WEB}/orgs/{organisation.login}/teams/{slug}",
            "members_url": f"{mine}/{number}/members{{/member}}",
            "repositories_url": f"{mine}/{number}/repos",
            "type": "organization",
            "organization_id": number_of(organisation.login.lower()),
        }

    def app(self, number: int, permissions: Mapping[str, str], events: Sequence[str]) -> Any:
        """A GitHub App."""
        return {
            "id": number,
            "slug": "xops",
            "node_id": f"A_{number}",
            "owner": self.owner("acme"),
            "name": "xOps",
            "description": "",
            "external_url": "https://example.com",
            "html_url": f"{WEB}/apps/xops",
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "permissions": dict(permissions),
            "events": list(events),
        }


def team_number(organisation: Organisation, slug: str) -> int:
    """The id of a team."""
    return number_of(f"{organisation.login.lower()}/{slug}")


def changed_paths(
    objects: ObjectStore, before: str | None, after: str
) -> tuple[list[str], list[str], list[str]]:
    """What was added, removed and modified from one commit to another."""
    old = {} if before is None else objects.files(objects.revisions[before].tree)
    new = objects.files(objects.revisions[after].tree)
    added = sorted(new.keys() - old.keys())
    removed = sorted(old.keys() - new.keys())
    return added, removed, sorted(p for p in old.keys() & new.keys() if old[p] != new[p])


def _pushed(one: Repository) -> datetime | None:
    """When something was pushed last; None if nothing ever was."""
    tips = [one.objects.revisions[oid].committer.at for oid in one.heads.values()]
    return max([*tips, *(commit.at for commit in one.commits[-1:])], default=None)


def _git_user(actor: Actor) -> dict[str, str | None]:
    return {"name": actor.name, "email": actor.email, "date": text(actor.at)}


def _pushed_user(actor: Actor) -> dict[str, str]:
    return {"name": actor.name, "email": actor.email, "username": actor.name}


def _made_up(base: Repository, one: PullRequest) -> str:
    """A commit for a pull request of which only facts are held."""
    return hashlib.sha1(f"{base.id} {one.number}".encode()).hexdigest()  # noqa: S324


def _mergeable_state(opened: OpenPullRequest | None, known: bool | None) -> str:
    if opened is None or known is None:
        return "unknown"
    if not known:
        return "dirty"
    return "draft" if opened.draft else "clean"


def now_text() -> str:
    """This moment."""
    return text(datetime.now(UTC)) or ""
