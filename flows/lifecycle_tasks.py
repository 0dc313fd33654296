"""A lifecycle as a Prefect run: each step a task, so that the UI shows it; gate and artifacts.

The tasks are called, not submitted: only the main thread hears a cancellation, and the tools must
hear it too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import Task

from flows import gate
from flows.progress import show_outcome
from flows.slot import held
from xops.core.errors import TemporaryError
from xops.core.lifecycle import steps as lifecycle
from xops.core.lifecycle.gate import Approver
from xops.core.lifecycle.steps import Outcome, Planned, Steps, Verification
from xops.core.lifecycle.watching import Watcher
from xops.core.rendering import Plain
from xops.prefect_server.evidence import how_run_ended

logger = logging.getLogger("xops.lifecycle")


def is_temporary(task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Only what says that trying again is right is tried again."""
    try:
        state.result()
    except TemporaryError:
        return True
    except Exception:  # noqa: BLE001 - any other failure, whatever it is, is not retried
        return False
    return False


def as_tasks[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT], slot: str
) -> Steps[PlanT, VerificationT]:
    """The same steps; those that people watch are tasks of the run, by the same names.

    Args:
        steps: of any lifecycle step.
        slot: the concurrency limit under which the apply runs alone.
    """
    return cast("Steps[PlanT, VerificationT]", _PrefectSteps(steps, slot))


class _PrefectSteps:
    """Each attribute is the step's own, but for those that are tasks."""

    def __init__(self, steps: Steps[Any, Any], slot: str) -> None:
        self._steps = steps
        self.plan = _as_task("plan", steps.plan)
        self.apply = _as_task("apply", _alone(steps.apply, slot))
        self.verify = _as_task("verify", steps.verify)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steps, name)


def _as_task[**P, R](name: str, step: Callable[P, R]) -> Callable[P, R]:
    # A function of its own: Prefect keeps attributes on what it wraps, which a method refuses.
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return step(*args, **kwargs)

    return task(name=name, cache_policy=NO_CACHE, persist_result=False)(call)


def _alone[**P, R](apply: Callable[P, R], slot: str) -> Callable[P, R]:
    """The apply under the slot of the state that it changes."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with held(slot):
            return apply(*args, **kwargs)

    return call


def run_lifecycle[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT],
    slot: str,
    watcher: Watcher,
    *,
    apply: bool,
    approve: Approver = gate.ask,
) -> State[Any]:
    """The lifecycle with the gate, artifacts and events of a Prefect run.

    Returns:
        A state that says what became of it, with the outcome as JSON for its result. A rejection
        is an outcome like the others.
    """
    outcome = carry_out(steps, slot, watcher, apply=apply, approve=approve)
    return Completed(
        name=outcome.status.value.capitalize(),
        message=Plain.render(outcome.message()),
        data=outcome.to_json(),
    )


def carry_out[PlanT: Planned, VerificationT: Verification](
    steps: Steps[PlanT, VerificationT],
    slot: str,
    watcher: Watcher,
    *,
    apply: bool,
    approve: Approver,
    author: str | None = None,
    way: str = "",
    delivery: str = "",
) -> Outcome[VerificationT]:
    """The lifecycle of one subject, as a part of a run that may have others.

    Args:
        steps: of the subject.
        slot: as of `as_tasks`.
        watcher: is shown what happens.
        apply, approve, author, way: as of `xops.core.lifecycle.steps.run_lifecycle`.
        delivery: of GitHub, that has started this run; the records name it.
    """
    run = {"by": "prefect", "id": str(runtime.flow_run.id)}
    outcome = lifecycle.run_lifecycle(
        as_tasks(steps, slot),
        approve,
        watcher,
        apply=apply,
        run={**run, "delivery": delivery} if delivery else run,
        how_ended=how_run_ended,
        author=author,
        way=way,
    )
    show_outcome(outcome)
    return outcome
