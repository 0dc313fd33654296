"""A pull request's whole world: GitHub, its database, and environments that take no time.

What is "deployed" of an environment is a text in a file; a branch says which text it is to be, in
`terraform/stacks/stream1/main.tf`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from flows.branch_environments import EcsEnvironments
from tests.github_data import OpenPullRequest, Team
from tests.github_server import TOKEN, GitHubServer
from tests.prefect_servers import home
from tests.secret_sources import write_sources
from xops.core.errors import TemporaryError
from xops.core.evidence.log import EvidenceLog, Record, RecordKind
from xops.core.evidence.stores import FolderStore
from xops.core.files import settings
from xops.core.lifecycle.gate import Approver, PolicyInForce
from xops.core.lifecycle.probes import Probe
from xops.core.lifecycle.steps import Outcome, Steps, run_lifecycle
from xops.core.lifecycle.watching import Progress, Watcher
from xops.core.plan.model import Action, Change, Plan
from xops.ecs.environment import Environment
from xops.ecs.isolation import Isolation
from xops.github.delivery import Delivery
from xops.github.inbox.connection import open_inbox, open_tables, read_delivery
from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import GitHubPolicy
from xops.github.pull_request.course import Wake
from xops.github.pull_request.handling.environments import RunContext
from xops.github.pull_request.handling.hub import open_hub
from xops.github.pull_request.handling.merge_group import pass_merge_group
from xops.github.pull_request.handling.run import PullRequestRun
from xops.github.pull_request.handling.work import Ending
from xops.github.pull_request.locks import Locks, ShownPlans
from xops.github.pull_request.report import MARKER

NAME = "acme/platform"
STACK = "terraform/stacks/stream1/main.tf"
MORE = {STACK: "one\ntwo\nthree"}
"""A change that adds a line to every environment."""
POLICY = """\
apiVersion: xops/v1
pull_requests:
  approvers: {teams: [acme/platform], logins: [carol]}
  bots: [ops-robot]
"""


@dataclass(frozen=True)
class Seen:
    """What an apply was verified by."""

    text: str

    def rows(self) -> dict[str, str]:
        return {"text": self.text}


@dataclass(frozen=True)
class Made:
    plan: Plan

    def explains(self, references: tuple[str, ...], value: Any) -> bool:
        return False


@dataclass
class Deployed:
    """What there is of all environments, and what goes wrong."""

    folder: Path
    plan_fails: Exception | None = None
    before_apply: Callable[[], None] = lambda: None
    half_way: Callable[[], None] = lambda: None
    planned: list[tuple[str, bool]] = field(default_factory=list)
    """Each plan: of which environment, and whether it was isolated."""
    applied: list[str] = field(default_factory=list)

    def read(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def write(self, name: str, lines: Sequence[str]) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / name).write_text("\n".join(lines))

    @contextmanager
    def open(
        self, environment: Environment, watcher: Watcher, source: Path, isolation: Isolation | None
    ) -> Iterator[Lines]:
        """The steps of an environment, as the flow is given them."""
        yield Lines(self, environment, source, isolation is not None)


@dataclass(frozen=True)
class Lines:
    """An environment whose resources are the lines of a text."""

    attempts: ClassVar[int] = 1
    settles: ClassVar[bool] = False
    kind: ClassVar[RecordKind] = RecordKind.APPLY

    deployed: Deployed
    environment: Environment
    source: Path
    isolated: bool

    @property
    def policy(self) -> PolicyInForce:
        return self.environment.policy()

    @cached_property
    def log(self) -> EvidenceLog:
        return evidence(self.environment.name)

    def facts(self) -> dict[str, Any]:
        return {}

    def plan(self) -> Made:
        self.deployed.planned.append((self.environment.name, self.isolated))
        if self.deployed.plan_fails:
            raise self.deployed.plan_fails
        there, wanted = self.deployed.read(self.environment.name), self._wanted()
        changes = [
            *(Change(action=Action.DELETE, target=line) for line in there if line not in wanted),
            *(Change(action=Action.CREATE, target=line) for line in wanted if line not in there),
        ]
        source = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
        return Made(
            Plan(
                subject=self.environment.subject,
                target="a file",
                changes=tuple(changes),
                inputs={"source": source},
            )
        )

    def _wanted(self) -> list[str]:
        text = (self.source / "stacks" / "stream1" / "main.tf").read_text()
        size = self.environment.log_retention_days
        return [line.replace("SIZE", str(size)) for line in text.splitlines()]

    def makes_evidence_store(self, planned: Made) -> bool:
        return False

    def apply(self, planned: Made, stage: str) -> dict[str, Any]:
        self.deployed.before_apply()
        there = self.deployed.read(self.environment.name)
        for change in planned.plan.changes:
            if change.action is Action.DELETE:
                there.remove(change.target)
            else:
                there.append(change.target)
            self.deployed.write(self.environment.name, there)
            self.deployed.half_way()
        self.deployed.applied.append(self.environment.name)
        return {}

    def outputs(self) -> dict[str, Any]:
        return {}

    def probes(self) -> Sequence[Probe]:
        return ()

    def verify(self, outputs: Mapping[str, Any]) -> Seen:
        return Seen("\n".join(self.deployed.read(self.environment.name)))


def tracked(folder: str) -> dict[str, str]:
    """The files of the project below a folder, as Git knows them."""
    git = shutil.which("git") or "git"
    listed = subprocess.run(
        [git, "ls-files", folder], cwd=settings.ROOT, check=True, capture_output=True, text=True
    )
    return {name: (settings.ROOT / name).read_text() for name in listed.stdout.split()}


def evidence(name: str) -> EvidenceLog:
    """The records about an environment."""
    return EvidenceLog(FolderStore(settings.home() / "evidence"), f"ecs/{name}")


@dataclass(frozen=True)
class Unwatched:
    """Nobody looks."""

    subject: str
    part: str

    def plan_ready(self, plan: Plan) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass

    def note(self, message: str) -> None:
        pass


@dataclass(frozen=True)
class Run:
    """What carries lifecycles out as a flow does, without its server."""

    id: str = field(default_factory=lambda: str(uuid4()))

    def carry_out(
        self,
        steps: Steps[Any, Any],
        slot: str,
        watcher: Watcher,
        *,
        apply: bool,
        approve: Approver,
        author: str | None = None,
        way: str = "",
        delivery: str = "",
    ) -> Outcome[Any]:
        """As `flows.lifecycle_tasks.carry_out`."""
        run = {"by": "a test", "id": self.id}
        return run_lifecycle(
            steps,
            approve,
            watcher,
            apply=apply,
            run={**run, "delivery": delivery} if delivery else run,
            how_ended=self.how_ended,
            author=author,
            way=way,
        )

    def how_ended(self, run: Mapping[str, Any]) -> str | None:
        """One run at a time: every other one has ended."""
        return None if run["id"] == self.id else "its run has ended"


@dataclass
class World:
    """One repository with two environments, its people, and what runs do."""

    github: GitHubServer
    deployed: Deployed

    def __post_init__(self) -> None:
        seconds, start = itertools.count(1), datetime.now(UTC)
        self.github.now = lambda: start + timedelta(seconds=next(seconds))
        self.github.looks = 0
        self.repository = self.github.add(NAME)
        team = Team(repositories=[NAME], members=["bob"])
        self.github.organisation(
            "acme", "alice", "bob", "carol", "dave", "ops-robot", platform=team
        )
        environments = settings.ROOT / "deployments" / "environments"
        files = {
            f"deployments/environments/{name}.yaml": (environments / f"{name}.yaml").read_text()
            for name in ("local", "test")
        }
        start_text = {STACK: "one\ntwo", "deployments/github.yaml": POLICY, "README.md": "hello"}
        self.repository.write("main", {**files, **start_text})
        for name in ("local", "test"):
            self.deployed.write(name, ["one", "two"])

    def file(self, name: str, **replaced: str) -> dict[str, str]:
        """An environment's file with other texts in it."""
        path = f"deployments/environments/{name}.yaml"
        text = (settings.ROOT / path).read_text()
        for before, after in replaced.items():
            assert before in text
            text = text.replace(before, after)
        return {path: text}

    def retention(self, name: str, days: int) -> dict[str, str]:
        """An environment's file with another number of days in it."""
        path = f"deployments/environments/{name}.yaml"
        text = (settings.ROOT / path).read_text()
        line = next(row for row in text.splitlines() if row.startswith("log_retention_days"))
        return {path: text.replace(line, f"log_retention_days: {days}")}

    def open(
        self, files: Mapping[str, Any], branch: str = "topic", **values: Any
    ) -> OpenPullRequest:
        """A pull request by Alice with these files."""
        self.github.act.push(NAME, branch, files, by=values.get("by", "alice"))
        return self.github.act.open(NAME, branch, **{"by": "alice", **values})

    @property
    def environments(self) -> EcsEnvironments:
        """Those of ECS, deployed in no time, and where their files say."""
        return EcsEnvironments(self.deployed.open, target_of=lambda _name: None)

    def run(
        self, one: OpenPullRequest, command: str = "", sender: str = "", delivery: str = ""
    ) -> Ending:
        """What a run does that a delivery starts, without the server that it would be on."""
        tables = open_tables()
        with open_hub(GitHubPolicy.load(), NAME, tables) as hub:
            wake, found = Wake(command, sender), read_delivery(tables, delivery)
            context = RunContext(Run().carry_out, Unwatched)
            return PullRequestRun(
                hub, one.number, wake, found, self.environments, context
            ).carry_out()

    def run_group(self, commit: str, delivery: str = "") -> Ending:
        """The same for a group of a merge queue into `main`."""
        tables = open_tables()
        with open_hub(GitHubPolicy.load(), NAME, tables) as hub:
            found = read_delivery(tables, delivery)
            return pass_merge_group(hub, commit, "main", found, self.environments)

    def base(self, files: Mapping[str, Any]) -> None:
        """Somebody merges something else."""
        self.github.act.push(NAME, "main", files)

    def approve(self, one: OpenPullRequest, by: str = "bob", **values: Any) -> Any:
        return self.github.act.review(NAME, one.number, "APPROVED", by=by, **values)

    def statuses(self, sha: str) -> list[dict[str, Any]]:
        return [row for row in self.repository.statuses if row["sha"] == sha]

    def checks(self, one: OpenPullRequest) -> dict[str, str]:
        """The last state of each check of the head: as GitHub would show it."""
        rows = self.statuses(one.head_sha)
        return {row["context"]: row["state"] for row in rows}

    def titles(self, one: OpenPullRequest) -> dict[str, str]:
        rows = self.statuses(one.head_sha)
        return {row["context"]: row["description"] for row in rows}

    def comment(self, one: OpenPullRequest) -> str:
        """Our only comment; empty if there is none."""
        rows = self.repository.comments.get(one.number, [])
        own = [str(row["body"]) for row in rows if str(row["body"]).startswith(MARKER)]
        assert len(own) <= 1
        return next(iter(own), "")

    def deliver(self, one: OpenPullRequest, **values: Any) -> str:
        """A delivery about it in the inbox; its id."""
        delivery = Delivery.model_validate(
            {
                "id": str(uuid4()),
                "event": "pull_request_review",
                "action": "submitted",
                "hook_id": 1,
                "repository": NAME,
                "number": one.number,
                "body_sha256": "f" * 64,
                "received_at": datetime.now(UTC),
                **values,
            }
        )

        async def add() -> None:
            async with open_inbox() as inbox:
                await inbox.add([(delivery, DeliveryState.RECEIVED, "")])

        asyncio.run(add())
        return delivery.id

    def held(self) -> dict[str, int]:
        return {row.subject: row.number for row in Locks(open_tables()).held()}

    def shown(self, one: OpenPullRequest) -> dict[str, str]:
        """The digest that is shown of each environment."""
        rows = ShownPlans(open_tables()).of(NAME, one.number)
        return {row.subject: row.digest for row in rows}

    def records(self, name: str, *kinds: RecordKind) -> list[Record]:
        return list(evidence(name).newest_first(*kinds))


@contextmanager
def opened_world(folder: Path) -> Iterator[World]:
    """A world in the folder, and the variables by which an installation knows it."""
    policy = folder / "github.yaml"
    with (
        GitHubServer() as github,
        home(
            folder / "home",
            XOPS_GITHUB_FILE=str(policy),
            XOPS_GITHUB_TOKEN=TOKEN,
            XOPS_SECRETS=write_sources(folder, github.url),
        ),
    ):
        policy.write_text(f"apiVersion: xops/v1\napi_url: {github.url}\nrepositories: [{NAME}]\n")
        yield World(github, Deployed(folder / "deployed"))


def unavailable() -> TemporaryError:
    return TemporaryError("planning", "the cloud does not answer", "Wait.", retry_after=0)
