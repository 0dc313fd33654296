"""One pull request in one run: read, plan, show, apply what was released, report.

All of it is decided by what is so now, and each step may be repeated: a run that was killed at any
point is made good by the next one, whatever started that.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xops.core.errors import TemporaryError
from xops.core.files import settings
from xops.core.lifecycle.steps import ATTEMPTS
from xops.github.delivery import Delivery
from xops.github.pull_request.course import Wake, decide
from xops.github.pull_request.handling.applying import apply, settle
from xops.github.pull_request.handling.base import read_rules
from xops.github.pull_request.handling.environments import (
    ENVIRONMENTS,
    TERRAFORM,
    Branch,
    Environments,
    RunContext,
)
from xops.github.pull_request.handling.hub import Hub
from xops.github.pull_request.handling.look import Look, OvertakenError
from xops.github.pull_request.handling.planning import plan
from xops.github.pull_request.handling.releasing import judge_plans
from xops.github.pull_request.handling.telling import report_broken, report_checks, show, tell
from xops.github.pull_request.handling.work import Ending, ending_of

logger = logging.getLogger("xops.lifecycle")


class PullRequestRun:
    """What one run does with one pull request.

    Args:
        hub: its repository.
        number: its number.
        wake: what has started the run.
        delivery: of GitHub, as the inbox has it; None for a run that a person has started.
        environments: of the step that it may concern.
        run: the run that this is.
        sleep: waits.
    """

    def __init__(
        self,
        hub: Hub,
        number: int,
        wake: Wake,
        delivery: Delivery | None,
        environments: Environments,
        run: RunContext,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hub, self._number, self._wake, self._delivery = hub, number, wake, delivery
        self._environments, self._run, self._sleep = environments, run, sleep
        self._look: Look | None = None

    def carry_out(self) -> Ending:
        """All of it, again from live facts where they have changed meanwhile.

        Raises:
            XopsError: what GitHub, its database or the base branch's files are in the way with.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._look_and_act()
            except OvertakenError as error:
                if error.by_a_push:  # its own delivery has a run of its own
                    return Ending("Superseded", error.found)
                if attempt == ATTEMPTS:  # or its checks would wait for ever
                    self._report_broken(error)
                logger.warning("%s", error)
            except TemporaryError as error:
                if attempt == ATTEMPTS:
                    self._report_broken(error)
                    raise
                logger.warning("%s\n  trying again in %.0f s", error, error.retry_after)
                self._sleep(error.retry_after)
            except BaseException as error:
                # However it ends: checks that wait for a run that is gone would block a merge.
                self._report_broken(error)
                raise
        raise TemporaryError(
            f"handling {self._hub.policy.api_url} pull request {self._number}",
            f"it changed {ATTEMPTS} times while it was planned",
            "Write `xops plan` when it has settled.",
        )

    def _report_broken(self, error: BaseException) -> None:
        if self._look:  # the last one that was decided: it has reported checks that wait
            report_broken(self._look, error)

    def _look_and_act(self) -> Ending:
        with _private_folder() as folder:
            self._look = look = self._decide(folder)
            if look.course.ignored:
                return Ending("Ignored", look.course.ignored)
            return _act(look)

    def _decide(self, folder: Path) -> Look:
        """The pull request as it is now, and what is done with it."""
        hub, environments = self._hub, self._environments
        facts = hub.pulls.read(self._number)
        branch = Branch(folder / "base", folder / "head", facts.base_sha)
        rules = read_rules(hub, facts, environments, branch.base, folder / "today")
        course = decide(
            facts,
            rules.pull_requests,
            rules.environments,
            self._wake,
            rights=rules.rights,
            branches=hub.policy.base_branches,
            shown=hub.shown.of(facts.repository, facts.number),
        )
        return Look(
            hub,
            environments,
            self._run,
            delivery_of(self._delivery, hub.repository, self._number),
            facts,
            rules,
            course,
            branch,
        )


def delivery_of(delivery: Delivery | None, repository: str, number: int) -> str:
    """The id of a delivery, if it is about this pull request; else empty.

    What the inbox has was signed by GitHub or read from it; which of it a run names may be
    anybody's word.
    """
    wanted = (repository.lower(), number)
    if delivery and (delivery.repository.lower(), delivery.number) == wanted:
        return delivery.id
    return ""


def _act(look: Look) -> Ending:
    for name in look.course.unlock:
        look.hub.locks.release(look.subject(name))
    report_checks(look)
    if look.course.plan:
        _read_head(look)
    works = [plan(look, name) for name in look.course.plan]
    judge_plans(look, works)
    show(look, works)
    for work in works:
        if work.released:
            apply(look, work)
    tell(look, works)
    settle(look, works)
    return ending_of(look.course, [work.report for work in works])


def _read_head(look: Look) -> None:
    """The configuration is what the merge would make of it."""
    commit = look.facts.merge_sha or look.facts.head_sha
    look.hub.tree.export(commit, (TERRAFORM, ENVIRONMENTS), look.branch.head)


@contextmanager
def _private_folder() -> Iterator[Path]:
    settings.home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home(), prefix="pull-request-") as folder:
        yield Path(folder)
