"""One pull request in one run: read, plan, show, apply what was released, report.

All of it is decided by what is so now, and each step may be repeated: a run that was killed at any
point is made good by the next one, whatever started that.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sql
from prefect import runtime

from blocks import EcsEnvironment
from blocks.documents import find
from flows import lifecycle_tasks
from flows.progress import RunWatcher
from xops.core.errors import ApprovalRequired, PermanentError, TemporaryError, XopsError
from xops.core.evidence.log import RecordKind
from xops.core.files import settings
from xops.core.lifecycle.approval_policy import VERIFIED_WAYS
from xops.core.lifecycle.gate import Approval, Decision, Gate, IdentityKind, Question
from xops.core.lifecycle.steps import ATTEMPTS, Planned, Steps
from xops.core.lifecycle.watching import Watcher
from xops.core.plan.model import Plan
from xops.core.rendering import Markdown
from xops.ecs import environment as environments
from xops.ecs.environment import Environment
from xops.ecs.isolation import Isolation
from xops.ecs.stream1 import Stream1
from xops.finops.pricing.pricer import TerraformPricer
from xops.github.client import Client
from xops.github.delivery import Delivery
from xops.github.inbox.connection import open_tables
from xops.github.inbox.tables import deliveries
from xops.github.policy import GitHubPolicy, PullRequests
from xops.github.policy_access import access
from xops.github.pull_request import report
from xops.github.pull_request.api import PullRequestApi
from xops.github.pull_request.checks import Checks, checks_for
from xops.github.pull_request.comment import StickyComment
from xops.github.pull_request.course import (
    Comment,
    Course,
    Rights,
    Wake,
    decide,
    decide_merge_group,
    is_trusted_base,
)
from xops.github.pull_request.deployments import Deployments
from xops.github.pull_request.facts import Holder, PullRequestFacts, ShownPlan
from xops.github.pull_request.locks import Locks, ShownPlans
from xops.github.pull_request.report import CheckState, EnvironmentReport, EnvironmentState
from xops.github.pull_request.reviews import (
    Judgement,
    Release,
    Withheld,
    judge,
    may_apply,
    why_not_shown,
)
from xops.github.pull_request.teams import TeamDirectory
from xops.github.pull_request.tree import Tree
from xops.prefect_server.evidence import WaitingArtifacts

logger = logging.getLogger("xops.lifecycle")

POLICY_FILE = "deployments/github.yaml"
ENVIRONMENTS = "deployments/environments"
TERRAFORM = "terraform"


class OvertakenError(PermanentError):
    """The pull request is not what this run has planned any more; `by_a_push` says why."""

    def __init__(self, facts: PullRequestFacts, found: str, *, by_a_push: bool) -> None:
        name = f"{facts.repository}#{facts.number}"
        super().__init__(f"handling {name} at {facts.head_sha[:7]}", found, "Plan it again.")
        self.by_a_push = by_a_push


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, and what is kept of its pull requests."""

    policy: GitHubPolicy
    client: Client
    pulls: PullRequestApi
    tree: Tree
    checks: Checks
    comment: StickyComment
    deployments: Deployments
    teams: TeamDirectory
    locks: Locks
    shown: ShownPlans


@contextmanager
def open_repository(policy: GitHubPolicy, name: str) -> Iterator[Repository]:
    """The way to a repository with the operator's credential.

    Raises:
        PermanentError: the credential cannot be read.
        AccessError, NotVisibleError: GitHub refuses it, or the App is not installed there.
    """
    tables = open_tables()
    with Client(access(policy), installed_on=name) as client:
        yield Repository(
            policy=policy,
            client=client,
            pulls=PullRequestApi(client, name),
            tree=Tree(client, name, settings.home() / "cache" / "github"),
            checks=checks_for(client, name),
            comment=StickyComment(client, name, report.MARKER),
            deployments=Deployments(client, name),
            teams=TeamDirectory(client, tables),
            locks=Locks(tables),
            shown=ShownPlans(tables),
        )


def find_delivery(identity: str, repository: str, number: int) -> str:
    """A delivery of GitHub, if the inbox has it and it is about this pull request; else empty.

    What the inbox has was signed by GitHub or read from it; a parameter may be anybody's word.

    Raises:
        TemporaryError: the inbox does not answer.
    """
    wanted = sql.select(deliveries.c.delivery).where(deliveries.c.id == identity.lower())
    found = open_tables().transact(lambda connection: connection.execute(wanted).scalar())
    if found is None:
        return ""
    delivery = Delivery.model_validate_json(found)
    is_of_it = (delivery.repository.lower(), delivery.number) == (repository.lower(), number)
    return delivery.id if is_of_it else ""


def pass_merge_group(hub: Repository, commit: str, base: str) -> Ending:
    """Let a group of a merge queue pass: its pull requests were planned and decided on before."""
    facts = hub.pulls.read_merge_group(commit, base)
    with tempfile.TemporaryDirectory(prefix="merge-group-") as folder:
        hub.tree.export(facts.base_sha, (POLICY_FILE, ENVIRONMENTS), Path(folder))
        rules, names = read_base(Path(folder))
    course = decide_merge_group(facts, rules, names)
    both = report.checks((), course, url=str(runtime.flow_run.ui_url or ""))
    for check in (both.plan, both.apply):
        hub.checks.report(commit, check.name, check.state, check.title, url=check.url)
    return Ending("Completed", course.green)


def read_base(folder: Path) -> tuple[PullRequests, tuple[str, ...]]:
    """The rules of a base branch, and the names of its environments."""
    file = folder / POLICY_FILE
    rules = GitHubPolicy.load(file).pull_requests if file.is_file() else PullRequests()
    return rules, tuple(environments.names(folder / ENVIRONMENTS))


class OpenSteps(Protocol):
    """Opens the steps of one environment, for the block."""

    def __call__(
        self, environment: Environment, watcher: Watcher, source: Path, isolation: Isolation | None
    ) -> AbstractContextManager[Steps[Any, Any]]:
        """Open them.

        Args:
            environment: as the pull request would have it, under the policy of its base.
            watcher: is shown what happens.
            source: the branch's terraform/.
            isolation: how it is planned; None to apply what was approved.
        """


@contextmanager
def open_stream1(
    environment: Environment, watcher: Watcher, source: Path, isolation: Isolation | None
) -> Iterator[Stream1]:
    """Stream 1 from the files of a branch, where this installation has the environment run."""
    if not (source / "stacks" / "stream1").is_dir():
        raise PermanentError(
            f"planning {environment.subject}",
            "the branch has no terraform/stacks/stream1",
            "Put it back, or destroy the environment first.",
        )
    block = find(EcsEnvironment, environment.name)
    stream = Stream1.open(
        environment,
        watcher,
        block.environ() if block else dict(os.environ),
        waiting=(WaitingArtifacts(environment.subject),),
        pricer=TerraformPricer.load(),
        source=source,
        isolation=isolation,
    )
    with stream.folder:
        yield stream


@dataclass(frozen=True)
class Rules:
    """What the base branch says: its policy, its environments, and who that means now."""

    pull_requests: PullRequests = field(default_factory=PullRequests)
    environments: tuple[str, ...] = ()
    rights: Rights = field(default_factory=Rights)


@dataclass
class Work:
    """One environment on its way through the run."""

    name: str
    report: EnvironmentReport
    shown: ShownPlan | None = None
    approval: Approval | None = None
    environment: Environment | None = None
    released: bool = False

    @property
    def plan(self) -> Plan | None:
        """The plan that there is something to do in; None where there is none."""
        plan = self.report.plan
        return None if plan is None or plan.is_empty else plan


@dataclass(frozen=True)
class Ending:
    """How the run ends: in a word, in a line, and whether it failed."""

    name: str
    message: str
    failed: bool = False
    reports: tuple[EnvironmentReport, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """JSON values only: of each environment how far it came, and by what plan."""
        environments = {
            each.name: {
                "state": str(each.state),
                "digest": each.plan.digest if each.plan else None,
                "evidence": each.evidence,
                "approved_by": list(each.approved_by),
            }
            for each in self.reports
        }
        return {"status": self.name, "message": self.message, "environments": environments}


class PullRequestRun:
    """What one run does with one pull request.

    Args:
        hub: its repository.
        number: its number.
        wake: what has started the run.
        delivery: of GitHub, that is in the inbox; empty for a run that a person has started.
        open_steps: those of an environment.
        sleep: waits.
    """

    def __init__(
        self,
        hub: Repository,
        number: int,
        wake: Wake,
        delivery: str,
        open_steps: OpenSteps,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hub, self._number, self._wake, self._delivery = hub, number, wake, delivery
        self._open_steps, self._sleep = open_steps, sleep
        self._url = str(runtime.flow_run.ui_url or "")

    def carry_out(self) -> Ending:
        """All of it, again from live facts where they have changed meanwhile.

        Raises:
            XopsError: what GitHub, its database or the base branch's files are in the way with.
        """
        for attempt in range(1, ATTEMPTS + 1):
            look = _Look(
                self._hub,
                self._number,
                self._wake,
                self._delivery,
                self._url,
                self._open_steps,
            )
            try:
                with look:
                    return look.carry_out()
            except OvertakenError as error:
                if error.by_a_push:  # its own delivery has a run of its own
                    return Ending("Superseded", error.found)
                logger.warning("%s", error)
            except TemporaryError as error:
                if attempt == ATTEMPTS:
                    look.report_broken(error)
                    raise
                logger.warning("%s\n  trying again in %.0f s", error, error.retry_after)
                self._sleep(error.retry_after)
            except BaseException as error:
                # However it ends: checks that wait for a run that is gone would block a merge.
                look.report_broken(error)
                raise
        raise TemporaryError(
            f"handling {self._hub.policy.api_url} pull request {self._number}",
            f"it changed {ATTEMPTS} times while it was planned",
            "Write `xops plan` when it has settled.",
        )


class _Look:
    """The pull request as it was read once."""

    def __init__(
        self,
        hub: Repository,
        number: int,
        wake: Wake,
        delivery: str,
        url: str,
        open_steps: OpenSteps,
    ) -> None:
        self._hub, self._wake, self._delivery, self._url = hub, wake, delivery, url
        self._number, self._open_steps = number, open_steps
        self._stack = ExitStack()
        self._course = Course()
        self._rules = Rules()
        self.facts: PullRequestFacts | None = None

    def __enter__(self) -> None:
        settings.home().mkdir(parents=True, exist_ok=True)
        held = tempfile.TemporaryDirectory(dir=settings.home(), prefix="pull-request-")
        folder = Path(self._stack.enter_context(held))
        self._base, self._head = folder / "base", folder / "head"

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # The order

    def carry_out(self) -> Ending:
        hub = self._hub
        self.facts = facts = hub.pulls.read(self._number)
        self._rules = rules = self._read_rules(facts)
        self._course = course = decide(
            facts,
            rules.pull_requests,
            rules.environments,
            self._wake,
            rights=rules.rights,
            branches=hub.policy.base_branches,
            shown=hub.shown.of(facts.repository, facts.number),
        )
        if course.ignored:
            return Ending("Ignored", course.ignored)
        for name in course.unlock:
            hub.locks.release(environments.subject(name))
        self._report_checks(())
        if course.plan:
            self._read_head(facts)
        works = [self._plan(name) for name in course.plan]
        self._judge(works)
        self._show(works)
        for work in works:
            if work.released:
                self._apply(work)
        self._tell(works)
        self._settle(works)
        return self._ending([work.report for work in works])

    def _read_rules(self, facts: PullRequestFacts) -> Rules:
        """Policy is the base branch's, if that is one whose policy counts."""
        if not is_trusted_base(facts, self._hub.policy.base_branches):
            return Rules()
        self._hub.tree.export(facts.base_sha, (POLICY_FILE, ENVIRONMENTS), self._base)
        found, names = read_base(self._base)
        people = self._hub.teams.members
        return Rules(found, names, Rights(people(found.approvers), people(found.commands)))

    def _read_head(self, facts: PullRequestFacts) -> None:
        """The configuration is what the merge would make of it."""
        commit = facts.merge_sha or facts.head_sha
        self._hub.tree.export(commit, (TERRAFORM, ENVIRONMENTS), self._head)

    # Plan

    def _plan(self, name: str) -> Work:
        facts, subject = self._known, environments.subject(name)
        shown = self._hub.shown.find(facts.repository, facts.number, subject)
        if holder := self._take_lock(subject):
            return Work(name, EnvironmentReport(name, EnvironmentState.LOCKED, holder=holder))
        try:
            environment = self._environment(name)
            watcher = RunWatcher(subject, f"-pull-request-{facts.number}")
            with self._open(environment, watcher, isolated=True) as steps:
                work = self._planned(name, _Kept(steps), watcher, shown)
            return replace(work, environment=environment)
        except XopsError as error:
            logger.error("%s", error)
            failed = EnvironmentReport(name, EnvironmentState.PLAN_FAILED, reason=_told(error))
            return Work(name, failed, shown)

    def _planned(
        self, name: str, steps: _Kept, watcher: RunWatcher, shown: ShownPlan | None
    ) -> Work:
        outcome = lifecycle_tasks.carry_out(
            steps,
            environments.slot(name),
            watcher,
            apply=False,
            approve=_nobody,
            delivery=self._delivery,
        )
        plan = outcome.plan
        if plan.is_empty:
            return Work(name, steps.report_applied(name, plan, shown), shown)
        state = EnvironmentState.PLANNED if self._known.draft else EnvironmentState.WAITING
        found = EnvironmentReport(name, state, plan, evidence=outcome.evidence or "")
        return Work(name, found, shown, steps.find_approval(plan, shown))

    def _take_lock(self, subject: str) -> Holder | None:
        """Take the lock where the course says so; who else holds it, if that is still open."""
        if not self._course.take_locks:
            return None
        facts, locks = self._known, self._hub.locks
        mine = (subject, facts.repository, facts.number, facts.head_sha)
        holder = locks.take(*mine, now=datetime.now(UTC))
        if holder is None or self._is_open(holder):
            return holder
        locks.release_from(holder.subject, holder.repository, holder.number)
        return locks.take(*mine, now=datetime.now(UTC))

    def _is_open(self, holder: Holder) -> bool:
        """Whether it still holds it by right: a delivery of its end may have been lost."""
        try:
            found = PullRequestApi(self._hub.client, holder.repository).read(holder.number)
        except XopsError as error:
            logger.warning("whether the holder of %s is open: %s", holder.subject, error)
            return True
        return found.is_open

    def _environment(self, name: str) -> Environment:
        block = find(EcsEnvironment, name)
        base, head = self._base / ENVIRONMENTS, self._head / ENVIRONMENTS
        environment = Environment.of_pull_request(
            name,
            base=base,
            head=head,
            base_commit=self._known.base_sha,
            target=block.target if block else None,
        )
        if keys := environments.policy_changes(name, base=base, head=head):
            note = Markdown.of(
                "Policy in the file of {name} holds once this is merged: {keys}.",
                name=Markdown.code(name),
                keys=", ".join(keys),
            )
            self._course = replace(self._course, notes=(*self._course.notes, note))
        return environment

    def _open(
        self, environment: Environment, watcher: RunWatcher, *, isolated: bool
    ) -> AbstractContextManager[Steps[Any, Any]]:
        rules = self._rules.pull_requests.isolation
        isolation = Isolation(rules.sandbox, rules.role_arn) if isolated else None
        return self._open_steps(environment, watcher, self._head / TERRAFORM, isolation)

    # Judge and show

    def _judge(self, works: Sequence[Work]) -> None:
        """By the reviews as they are once the plans are there."""
        if not works:
            return
        fresh = self._read_again()
        for work in works:
            plan = work.plan
            if plan is None or self._known.draft:
                continue
            judgement, verdict = self._release(fresh, work, plan)
            work.report = replace(work.report, judgement=judgement)
            if isinstance(verdict, Withheld):
                work.report = replace(work.report, reason=verdict.reason)
                continue
            who = tuple(review.login for review in verdict.reviews)
            work.released = work.name in self._course.apply
            state = EnvironmentState.APPLYING if work.released else self._approved(work.name)
            work.report = replace(work.report, state=state, approved_by=who)

    def _approved(self, name: str) -> EnvironmentState:
        """Released, and not to be applied by this run: before the merge, or by another command."""
        after = self._rules.pull_requests.apply == "after_merge" and self._known.is_open
        return EnvironmentState.APPROVED if after else EnvironmentState.WAITING

    def _release(
        self, facts: PullRequestFacts, work: Work, plan: Plan
    ) -> tuple[Judgement, Release | Withheld]:
        """What reviews come to. What is left of the plan that was shown was shown with it."""
        shown = work.shown
        if shown and work.approval and work.approval.digest == shown.digest:
            shown = replace(shown, digest=plan.digest)
        is_shown = shown is not None and not why_not_shown(shown, plan, facts.head_sha)
        judgement = judge(
            facts.reviews,
            head_sha=facts.head_sha,
            shown_at=shown.shown_at if shown and is_shown else None,
            authors=facts.authors,
            approvers=self._rules.rights.approvers,
            bots=self._rules.pull_requests.bots,
        )
        rules = Environment.load(work.name, folder=self._base / ENVIRONMENTS, environ={}).approval
        verdict = may_apply(
            judgement,
            plan,
            head_sha=facts.head_sha,
            shown=shown,
            holder=None,
            rules=rules,
            now=datetime.now(UTC),
        )
        return judgement, verdict

    def _show(self, works: Sequence[Work]) -> None:
        """The comment first: what people can read by then is what counts as shown."""
        for work in works:
            if self._is_new(work):
                work.report = replace(work.report, superseded=_if_open(work.shown))
        comment = self._tell(works)
        if comment is None:
            return
        facts = self._known
        for work in works:
            if self._is_new(work) and work.plan:
                wanted = ShownPlan(
                    repository=facts.repository,
                    number=facts.number,
                    subject=environments.subject(work.name),
                    head_sha=facts.head_sha,
                    base_sha=facts.base_sha,
                    digest=work.plan.digest,
                    shown_at=comment.updated_at,
                    comment_id=comment.id,
                    cost=work.plan.cost,
                )
                work.shown = self._hub.shown.show(wanted)

    def _is_new(self, work: Work) -> bool:
        """Whether this plan waits to be shown: not while another one is being used up."""
        if work.plan is None or work.released:
            return False
        return bool(why_not_shown(work.shown, work.plan, self._known.head_sha))

    # Apply

    def _apply(self, work: Work) -> None:
        facts = self._known
        deployment = self._hub.deployments.begin(work.name, facts.head_sha, self._url)
        watcher = RunWatcher(environments.subject(work.name))
        try:
            environment = work.environment or self._environment(work.name)
            with self._open(environment, watcher, isolated=False) as steps:
                outcome = lifecycle_tasks.carry_out(
                    steps,
                    environments.slot(work.name),
                    watcher,
                    apply=True,
                    approve=lambda question: self._decisions(work, question),
                    author=facts.author,
                    way=VERIFIED_WAYS[0],
                    delivery=self._delivery,
                )
        except (ApprovalRequired, OvertakenError) as error:
            self._hub.deployments.fail(deployment, self._url, "not applied: overtaken")
            if isinstance(error, OvertakenError):
                raise
            raise OvertakenError(facts, error.found, by_a_push=False) from error
        except XopsError as error:
            logger.error("%s", error)
            self._hub.deployments.fail(deployment, self._url, "not applied: see the run")
            failed = EnvironmentState.APPLY_FAILED
            work.report = replace(work.report, state=failed, reason=_told(error))
            return
        self._hub.deployments.succeed(deployment, self._url, outcome.plan.summary())
        applied, evidence = EnvironmentState.APPLIED, outcome.evidence or ""
        work.report = replace(work.report, state=applied, evidence=evidence)

    def _decisions(self, work: Work, question: Question) -> Sequence[Decision]:
        """What reviews say of exactly this plan, just before it is applied."""
        fresh, plan = self._read_again(), question.plan
        if work.plan and plan.digest == work.plan.of_stage(work.plan.stages[0]).digest:
            plan = work.plan  # where each stage is approved by itself, the first is asked for
        _, verdict = self._release(fresh, work, plan)
        if isinstance(verdict, Withheld):
            raise ApprovalRequired(
                f"applying the plan of {plan.subject} ({plan.label})",
                verdict.reason,
                "Review it as it is shown on the pull request.",
            )
        return [
            Decision(
                by=review.login,
                how=f"{VERIFIED_WAYS[0]}: review {review.id} of commit {review.commit} of"
                f" {fresh.repository}#{fresh.number}",
                identity=IdentityKind.VERIFIED,
                delivery=self._delivery,
            )
            for review in verdict.reviews
        ]

    def _read_again(self) -> PullRequestFacts:
        """The pull request now.

        Raises:
            OvertakenError: it is another one than the one that was planned.
        """
        before, now = self._known, self._hub.pulls.read(self._number)
        if now.head_sha != before.head_sha:
            found = f"{now.head_sha[:7]} was pushed meanwhile; the run of that push goes on"
            raise OvertakenError(before, found, by_a_push=True)
        if (now.is_open, now.draft) != (before.is_open, before.draft):
            raise OvertakenError(before, "it was opened, closed or made a draft", by_a_push=False)
        if (now.base_ref, now.base_sha) != (before.base_ref, before.base_sha):
            found = f"{before.base_ref} has moved to {now.base_sha[:7]} meanwhile"
            raise OvertakenError(before, found, by_a_push=False)
        return now

    # Report

    @property
    def _known(self) -> PullRequestFacts:
        if self.facts is None:
            raise AssertionError("unreachable: the facts are read first")
        return self.facts

    def _tell(self, works: Sequence[Work]) -> Any:
        """The comment and both checks; nothing where there is nothing new to say."""
        facts, course = self._known, self._course
        reports = [work.report for work in works]
        if not (reports or course.reports or course.notes):
            return None
        body = report.comment(
            facts, reports, course, rules=self._rules.pull_requests, run_url=self._url
        )
        only_update = course.comment is Comment.UPDATE_ONLY
        comment = self._hub.comment.put(facts.number, body, only_update=only_update)
        self._report_checks(reports)
        return comment

    def _report_checks(self, reports: Sequence[EnvironmentReport]) -> None:
        if not self._course.reports:
            return
        facts = self._known
        both = report.checks(reports, self._course, merged=facts.merged, url=self._url)
        for check in (both.plan, both.apply):
            self._report_check(check)

    def _report_check(self, check: CheckState) -> None:
        sha = self._known.head_sha
        self._hub.checks.report(sha, check.name, check.state, check.title, url=check.url)

    def report_broken(self, error: BaseException) -> None:
        """Say on GitHub that this run has ended before its work was done, if that can be said.

        Only where it has said that it is at work: what is not decided reddens nothing.
        """
        if not self._course.reports:
            return
        why = _told(error) if isinstance(error, XopsError) else type(error).__name__
        both = report.broken(why, self._url)
        with suppress(XopsError):
            for check in (both.plan, both.apply):
                self._report_check(check)

    # The end

    def _settle(self, works: Sequence[Work]) -> None:
        """What was shown and applied is used up; locks go that are not needed any more."""
        facts, hub = self._known, self._hub
        kept = set(self._course.locks)
        for work in works:
            subject = environments.subject(work.name)
            match work.report.state:
                case EnvironmentState.APPLIED:
                    now = datetime.now(UTC)
                    hub.shown.settle(facts.repository, facts.number, subject, applied_at=now)
                case EnvironmentState.UNCHANGED:
                    hub.shown.settle(facts.repository, facts.number, subject)
                    if work.shown is None:  # nothing of it was ever to be changed
                        kept.discard(work.name)
        locks = [environments.subject(name) for name in kept]
        hub.locks.keep(facts.repository, facts.number, locks)
        waits = any(work.report.state in _OPEN for work in works)
        if not facts.is_open and not waits:
            hub.shown.forget(facts.repository, facts.number)

    def _ending(self, reports: Sequence[EnvironmentReport]) -> Ending:
        course = self._course
        if not reports:
            said = course.refusal or course.waits or course.green
            return Ending("Completed", said or "there is nothing to do any more")
        worst = min((each.state for each in reports), key=_URGENT.index)
        message = "; ".join(f"{each.name}: {each.state}" for each in reports)
        failed = worst in (EnvironmentState.PLAN_FAILED, EnvironmentState.APPLY_FAILED)
        return Ending(_NAMES[worst], message, failed, tuple(reports))


_OPEN = (EnvironmentState.WAITING, EnvironmentState.APPLY_FAILED, EnvironmentState.PLAN_FAILED)
"""States of a pull request that is merged in which something is left to be applied."""

_NAMES = {
    EnvironmentState.APPLY_FAILED: "Apply failed",
    EnvironmentState.PLAN_FAILED: "Plan failed",
    EnvironmentState.LOCKED: "Locked",
    EnvironmentState.WAITING: "Waiting for a review",
    EnvironmentState.APPROVED: "Approved",
    EnvironmentState.PLANNED: "Planned",
    EnvironmentState.APPLIED: "Applied",
    EnvironmentState.APPLYING: "Applying",
    EnvironmentState.UNCHANGED: "Unchanged",
}
_URGENT = list(_NAMES)
"""What a run ends as: the first of these that one of its environments is in."""


class _Kept:
    """Steps that keep the plan that was made: an approval may cover it."""

    def __init__(self, steps: Steps[Any, Any]) -> None:
        self._steps = steps
        self._planned: Planned | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steps, name)

    def plan(self) -> Planned:
        self._planned = self._steps.plan()
        return self._planned

    def find_approval(self, plan: Plan, shown: ShownPlan | None) -> Approval | None:
        """The approval of the plan that was shown, if this one is what is left of it."""
        if shown is None or shown.digest == plan.digest or self._planned is None:
            return None
        gate = Gate(self._steps.log, self._steps.policy, _nobody, way=VERIFIED_WAYS[0])
        try:
            found, _ = gate.find_approval(plan, self._planned.explains)
        except XopsError as error:
            logger.warning("approvals on record: %s", error)
            return None
        return Approval.model_validate(found.body["approval"]) if found else None

    def report_applied(self, name: str, plan: Plan, shown: ShownPlan | None) -> EnvironmentReport:
        """Nothing is left to do: since a run has applied it that could not report it, maybe."""
        unchanged = EnvironmentReport(name, EnvironmentState.UNCHANGED, plan)
        if shown is None or not shown.digest:
            return unchanged
        log = self._steps.log
        with suppress(XopsError):
            for record in log.newest_first(RecordKind.APPLY):
                approval = record.body.get("approval") or {}
                if approval.get("digest") == shown.digest and record.body["status"] == "applied":
                    return replace(
                        unchanged,
                        state=EnvironmentState.APPLIED,
                        evidence=log.address(record),
                        approved_by=tuple(approval["by"].split(", ")),
                    )
        return unchanged


def _nobody(question: Question) -> Sequence[Decision]:
    plan = question.plan
    raise ApprovalRequired(
        f"applying the plan of {plan.subject} ({plan.label})",
        "nobody is asked while it is only planned",
        "Review it on the pull request.",
    )


def _if_open(shown: ShownPlan | None) -> ShownPlan | None:
    return shown if shown and shown.digest else None


def _told(error: XopsError) -> str:
    """An error as a pull request shows it: what was found, without this machine's paths."""
    return f"{error.attempted}: {error.found}".replace(f"{settings.home()}/", "")
