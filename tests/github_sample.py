"""A GitHub to try pull requests on: the organisation acme, whose repository holds this project.

    python -m tests.github_server --port 4590 --sample \\
        --hook http://127.0.0.1:4580/github --secret-file ~/.xops/webhook-secret \\
        --settings ~/.xops/github-sample

Its base branch has this project's `terraform/` and `deployments/`; a pull request of alice's
changes an environment. bob, of the team that approves, reviews it:

    curl http://127.0.0.1:4590/xops/review \\
        -d '{"name": "acme/platform", "number": 1, "state": "APPROVED", "by": "bob"}'
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from tests.github_data import OpenPullRequest, Repository, Team
from tests.github_git import Content, Executable
from tests.github_hooks import Hook
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import write_sources

ROOT = Path(__file__).parents[1]
ORGANISATION, NAME = "acme", "acme/platform"
FOLDERS = ("terraform", "deployments")
CHANGED = "deployments/environments/test.yaml"
EVENTS = (
    "issue_comment", "membership", "merge_group", "organization", "pull_request",
    "pull_request_review", "push", "team",
)  # fmt: skip
_LEFT_OUT = frozenset({".terraform", "__pycache__"})
_POLICY = "deployments/github.yaml"


def files(root: Path = ROOT) -> dict[str, Content]:
    """This project's folders, as they are now."""
    found: dict[str, Content] = {}
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file() and not _LEFT_OUT & set(file.parts):
                content = file.read_bytes()
                executable = os.access(file, os.X_OK)
                name = file.relative_to(root).as_posix()
                found[name] = Executable(content) if executable else content
    return found


def fill(github: GitHubServer, *, root: Path = ROOT) -> Repository:
    """The organisation, its team of approvers, and the repository."""
    team = Team(repositories=[NAME], members=["bob", "carol"])
    github.organisation(ORGANISATION, "alice", "bob", "carol", platform=team)
    repository = github.add(NAME)
    repository.write("main", approved_by_team(files(root)), "alice", "The platform")
    return repository


def approved_by_team(found: dict[str, Content]) -> dict[str, Content]:
    """The same, with the team as approvers of pull requests."""
    policy = found[_POLICY]
    assert isinstance(policy, bytes)
    approvers = f"approvers: {{teams: [{ORGANISATION}/platform]}}"
    text = re.sub(r"# approvers: .*", approvers, policy.decode())
    assert approvers in text
    return {**found, _POLICY: text}


def open_change(github: GitHubServer, *, by: str = "alice") -> OpenPullRequest:
    """A pull request that keeps the logs of an environment a while longer."""
    repository = github.repositories[NAME]
    before = repository.objects.text(repository.heads["main"], CHANGED) or ""
    after = re.sub(r"log_retention_days: \d+", "log_retention_days: 30", before)
    github.act.push(NAME, "keep-logs-longer", {CHANGED: after}, by=by)
    title = "Keep the logs of test for 30 days"
    return github.act.open(NAME, "keep-logs-longer", by=by, title=title)


def hook(github: GitHubServer, url: str, secret: str) -> Hook:
    """A hook of the organisation, which is told of people as well as of pull requests."""
    number = github.shapes.organisation(ORGANISATION)["id"]
    return github.hooks.add(
        ORGANISATION, "organization", number, url,
        secret=secret, events=list(EVENTS), content_type="json",
    )  # fmt: skip


def operators_file(github: GitHubServer, known: Hook | None) -> str:
    """A `github.yaml` for whoever runs xOps against this server."""
    text = (ROOT / _POLICY).read_text()
    lines = [f"api_url: {github.url}", f"repositories: [{NAME}]"]
    if known is not None:
        lines += [f"hook_id: {known.id}", f"hook_of: {ORGANISATION}"]
    return text.replace("apiVersion: xops/v1\n", "\n".join(["apiVersion: xops/v1", *lines, ""]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser("python -m tests.github_server", description=__doc__)
    parser.add_argument("--port", type=int, default=4590)
    parser.add_argument("--sample", action="store_true", help="acme/platform and a pull request")
    parser.add_argument("--hook", metavar="URL", help="where deliveries go")
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help="the hook's secret")
    parser.add_argument(
        "--settings", type=Path, metavar="FOLDER", help="where xOps' settings for it are written"
    )
    chosen = parser.parse_args(arguments)
    if chosen.hook and not chosen.secret_file:
        parser.error("--hook goes with --secret-file")
    done = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with GitHubServer(port=chosen.port) as github:
        _prepare(github, chosen)
        done.wait()


def _prepare(github: GitHubServer, chosen: argparse.Namespace) -> None:
    known = None
    if chosen.sample:
        fill(github)
        if chosen.hook:
            known = hook(github, chosen.hook, chosen.secret_file.read_text().strip())
    said = [f"# GitHub for trying it out: {github.url}", f"export XOPS_GITHUB_TOKEN={TOKEN}"]
    if chosen.settings:
        chosen.settings.mkdir(parents=True, exist_ok=True)
        policy = chosen.settings / "github.yaml"
        policy.write_text(operators_file(github, known))
        said.append(f"export XOPS_GITHUB_FILE={policy.absolute()}")
        said.append(f"export XOPS_SECRETS={write_sources(chosen.settings.absolute(), github.url)}")
    if chosen.sample:
        one = open_change(github)
        said.append(f"# {NAME}#{one.number} is open; its head is {one.head_sha}")
    sys.stdout.write("\n".join([*said, ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
