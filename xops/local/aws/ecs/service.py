"""The service scheduler: what a rolling deployment does next, as a pure state machine.

`tick` moves one service on. It keeps the number of tasks that are there or on their way at or below
maximumPercent of the desired count (rounded down), stops tasks of earlier deployments only while
minimumHealthyPercent of it (rounded up) stay healthy, and applies the circuit breaker.

Texts of events and reasons are those AWS writes; the rules are in
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from xops.local.aws.ecs.task import (
    Container,
    ContainerSpec,
    Health,
    Pace,
    Status,
    StopCode,
    Task,
    advance,
    stop,
)

MINIMUM_THRESHOLD = 3
MAXIMUM_THRESHOLD = 200
MAXIMUM_EVENTS = 100
MAXIMUM_STOPPED = 200
TROUBLESHOOTING = (
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)

NewId = Callable[[], str]
"""Answers a fresh identifier of hexadecimal digits: a task's id, for instance."""


class Rollout(StrEnum):
    """A deployment's rolloutState."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class CapacityShare:
    """One item of a capacity provider strategy."""

    provider: str
    weight: int = 0
    base: int = 0


@dataclass(frozen=True)
class Workload:
    """What the tasks of a deployment are made of."""

    task_definition: str
    containers: tuple[ContainerSpec, ...]
    capacity: tuple[CapacityShare, ...] = ()


@dataclass
class Deployment:
    """A deployment of a service; the first of the list is the PRIMARY one."""

    id: str
    workload: Workload
    created_at: float
    updated_at: float
    rollout: Rollout = Rollout.IN_PROGRESS
    reason: str = ""
    failed_tasks: int = 0
    succeeded: bool = False
    is_rollback: bool = False


@dataclass(frozen=True)
class Event:
    """A line of a service's event log."""

    id: str
    created_at: float
    message: str


@dataclass(frozen=True)
class Rules:
    """A service's deploymentConfiguration."""

    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    breaker: bool = False
    rollback: bool = False


@dataclass
class Service:
    """A service: what is wanted of it, and what there is."""

    name: str
    desired_count: int
    rules: Rules
    target_groups: tuple[str, ...] = ()
    deployments: list[Deployment] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    last_completed: Deployment | None = None
    status: str = "ACTIVE"
    unplaceable: str | None = None
    steady: bool = False
    failures_in_a_row: int = 0
    launch_not_before: float = 0.0

    @property
    def primary(self) -> Deployment:
        """The deployment the service is moving to."""
        return self.deployments[0]

    @property
    def minimum_healthy(self) -> int:
        """How many healthy tasks a deployment leaves in place."""
        return math.ceil(self.desired_count * self.rules.minimum_healthy_percent / 100)

    @property
    def maximum(self) -> int:
        """How many tasks may be there or on their way."""
        return self.desired_count * self.rules.maximum_percent // 100

    @property
    def threshold(self) -> int:
        """How many failed tasks make a deployment fail."""
        half = math.ceil(self.desired_count / 2)
        return min(max(half, MINIMUM_THRESHOLD), MAXIMUM_THRESHOLD)

    def live(self, deployment: Deployment | None = None) -> list[Task]:
        """Tasks that are there or on their way, of one deployment or of all."""
        return [t for t in self.tasks if t.live and _belongs(t, deployment)]

    def running(self, deployment: Deployment | None = None) -> int:
        """How many tasks have the status RUNNING."""
        return sum(t.status is Status.RUNNING and _belongs(t, deployment) for t in self.tasks)

    def pending(self, deployment: Deployment | None = None) -> int:
        """How many tasks are on their way to RUNNING."""
        return len(self.live(deployment)) - self.running(deployment)


def _belongs(task: Task, deployment: Deployment | None) -> bool:
    return deployment is None or task.deployment == deployment.id


def deployment_id(new_id: NewId) -> str:
    """Answer a name for a deployment as AWS forms it: `ecs-svc/` and up to 19 digits."""
    return f"ecs-svc/{int(new_id(), 16) % 10**19}"


def deploy(service: Service, workload: Workload, name: str, now: float) -> Deployment:
    """Start a deployment, which becomes the PRIMARY one."""
    _complete_superseded(service, now)
    deployment = Deployment(name, workload, now, now)
    deployment.reason = f"ECS deployment {name} in progress."
    service.deployments.insert(0, deployment)
    service.steady = False
    service.failures_in_a_row, service.launch_not_before = 0, 0.0
    return deployment


def _complete_superseded(service: Service, now: float) -> None:
    """Complete a deployment that is whole when the next one begins.

    The waiter `services_stable` returns a moment before a deployment counts as settled. In AWS
    nobody deploys within that moment; here a test does, and still means to roll back to it.
    """
    if not service.deployments or service.primary.rollout is not Rollout.IN_PROGRESS:
        return
    running = [t for t in service.live(service.primary) if t.passes_health_checks]
    if len(running) == service.desired_count and len(service.deployments) == 1:
        service.primary.rollout, service.primary.updated_at = Rollout.COMPLETED, now
        service.primary.reason = f"ECS deployment {service.primary.id} completed."
        service.last_completed = service.primary


def scale(service: Service, desired_count: int) -> None:
    """Change the number of tasks that the service keeps."""
    if desired_count != service.desired_count:
        service.desired_count = desired_count
        service.steady = False


def drain(service: Service) -> None:
    """Delete the service: stop all tasks; it becomes INACTIVE once they are gone."""
    scale(service, 0)
    service.status = "DRAINING"


def tick(service: Service, now: float, pace: Pace, new_id: NewId) -> None:
    """Move a service on: its tasks first, then what the scheduler makes of them."""
    if service.status == "INACTIVE":
        _forget_stopped(service, now, pace)
        return
    log = _Log(service, now, new_id)
    for task in service.tasks:
        advance(task, now, pace)
    _register_targets(service, log)
    _check_health(service, now, pace, log)
    _count_outcomes(service, now, pace, log)
    _break_circuit(service, now, log, new_id)
    _retire(service, now, pace, log)
    _launch(service, now, log, new_id)
    _conclude(service, now, pace, log)
    _forget_stopped(service, now, pace)


class _Log:
    """Writes events of a service, newest first, as AWS lists them."""

    def __init__(self, service: Service, now: float, new_id: NewId) -> None:
        self._service, self._now, self._new_id = service, now, new_id

    def write(self, text: str) -> None:
        message = f"(service {self._service.name}) {text}"
        self._service.events.insert(0, Event(self._new_id(), self._now, message))
        del self._service.events[MAXIMUM_EVENTS:]

    def write_once(self, text: str) -> None:
        events = self._service.events
        if not events or not events[0].message.endswith(text):
            self.write(text)


def _names(tasks: Iterable[Task]) -> str:
    return " ".join(f"(task {task.id})" for task in tasks)


def _register_targets(service: Service, log: _Log) -> None:
    """Keep the registration of tasks in step with their state."""
    if not service.target_groups:
        return
    new = [t for t in service.live() if not t.serving and t.passes_health_checks]
    gone = [t for t in service.tasks if t.serving and t.status is not Status.RUNNING]
    for task in new:
        task.registered_at = task.since if task.started_at is None else task.started_at
    for task in gone:
        task.registered_at = None
    for group in service.target_groups:
        if new:
            log.write(f"registered {len(new)} targets in (target-group {group})")
        if gone:
            log.write(f"deregistered {len(gone)} targets in (target-group {group})")


def _check_health(service: Service, now: float, pace: Pace, log: _Log) -> None:
    """Stop tasks that fail the health checks of a container or of a target group."""
    for task in service.live():
        if task.status is not Status.RUNNING:
            continue
        if task.health is Health.UNHEALTHY:
            log.write(f"(task {task.id}) failed container health checks.")
            _stop_unhealthy(task, now, "Task failed container health checks")
        elif task.serving and task.target_unhealthy and _target_judged(task, now, pace):
            group = service.target_groups[0]
            log.write(
                f"(task {task.id}) is unhealthy in (target-group {group}) "
                "due to (reason Health checks failed)."
            )
            _stop_unhealthy(task, now, f"Task failed ELB health checks in (target-group {group})")


def _stop_unhealthy(task: Task, now: float, reason: str) -> None:
    stop(task, now, StopCode.SCHEDULER, reason, failed=True)


def _target_judged(task: Task, now: float, pace: Pace) -> bool:
    return now - (task.registered_at or now) >= pace.target_check * pace.step


def _count_outcomes(service: Service, now: float, pace: Pace, log: _Log) -> None:
    """Count failed tasks of the PRIMARY deployment until one of its tasks succeeds."""
    primary = service.primary
    if any(t.settled(now, pace) for t in service.live(primary)):
        service.failures_in_a_row = 0
        if primary.rollout is Rollout.IN_PROGRESS:
            primary.succeeded, primary.failed_tasks = True, 0
    failed = [t for t in service.tasks if t.failed and not t.counted]
    for task in failed:
        task.counted = True
        service.failures_in_a_row += 1
        service.steady = False
        if _belongs(task, primary) and not primary.succeeded:
            primary.failed_tasks += 1
            primary.updated_at = now
    if failed:
        _throttle(service, now, pace, log)


def _throttle(service: Service, now: float, pace: Pace, log: _Log) -> None:
    """Wait longer and longer before the next launch when tasks keep failing."""
    excess = service.failures_in_a_row - service.threshold
    breaker_will_act = service.rules.breaker and service.primary.rollout is Rollout.IN_PROGRESS
    if excess < 0 or _gave_up(service) or breaker_will_act:
        return
    service.launch_not_before = now + pace.step * 2 ** min(excess, 10)
    log.write_once(f"is unable to consistently start tasks successfully. {TROUBLESHOOTING}")


def _break_circuit(service: Service, now: float, log: _Log, new_id: NewId) -> None:
    """Fail a deployment whose tasks keep failing, and go back to the last that completed."""
    failed = service.primary
    if not service.rules.breaker or failed.rollout is not Rollout.IN_PROGRESS:
        return
    if failed.failed_tasks < service.threshold:
        return
    failed.rollout, failed.updated_at = Rollout.FAILED, now
    failed.reason = "ECS deployment circuit breaker: tasks failed to start."
    log.write(f"(deployment {failed.id}) deployment failed: tasks failed to start.")
    target = service.last_completed
    if service.rules.rollback and target and not failed.is_rollback:
        log.write(f"rolling back to deployment {target.id}.")
        rollback = deploy(service, target.workload, deployment_id(new_id), now)
        rollback.is_rollback = True
        rollback.reason = (
            f"ECS deployment circuit breaker: rolling back to deploymentId {target.id}."
        )


def _retire(service: Service, now: float, pace: Pace, log: _Log) -> None:
    """Stop tasks that are too many, keeping minimum and maximum."""
    leaving = _earlier_tasks_to_stop(service, now, pace)
    remaining = [t for t in service.live() if t not in leaving]
    leaving += _primary_tasks_to_stop(service, remaining, now, pace)
    if not leaving:
        return
    serving = [task for task in leaving if task.serving]
    if serving:
        log.write(f"has begun draining connections on {len(serving)} tasks.")
    log.write(f"has stopped {len(leaving)} running tasks: {_names(leaving)}.")
    for task in leaving:
        reason = f"Scaling activity initiated by (deployment {task.deployment})"
        stop(task, now, StopCode.SCHEDULER, reason)
    service.steady = False


def _earlier_tasks_to_stop(service: Service, now: float, pace: Pace) -> list[Task]:
    """Answer the tasks of earlier deployments that are replaced, or in the way of new ones."""
    mine = service.live(service.primary)
    earlier = [t for t in service.live() if not _belongs(t, service.primary)]
    healthy = [t for t in service.live() if t.settled(now, pace)]
    replacements = sum(t.settled(now, pace) for t in mine)
    replaced = len(earlier) - max(service.desired_count - replacements, 0)
    overflow = len(mine) + len(earlier) - service.maximum
    missing = 0 if _gave_up(service) else max(service.desired_count - len(mine), 0)
    wanted = max(replaced, overflow + missing, 0)
    unhealthy_first = sorted(earlier, key=lambda t: t.settled(now, pace))
    spare = max(len(healthy) - service.minimum_healthy, 0)
    useless = sum(not t.settled(now, pace) for t in earlier)
    return unhealthy_first[: min(wanted, useless + spare)]


def _primary_tasks_to_stop(
    service: Service, remaining: list[Task], now: float, pace: Pace
) -> list[Task]:
    """Answer the tasks of the PRIMARY deployment above the desired count or the maximum."""
    mine = [t for t in remaining if _belongs(t, service.primary)]
    surplus = max(len(mine) - service.desired_count, len(remaining) - service.maximum, 0)
    unhealthy_and_newest_first = sorted(mine, key=lambda t: (t.settled(now, pace), -t.created_at))
    return unhealthy_and_newest_first[:surplus]


def _gave_up(service: Service) -> bool:
    return service.primary.rollout is Rollout.FAILED


def _launch(service: Service, now: float, log: _Log, new_id: NewId) -> None:
    """Start the tasks that are missing, as many as the maximum allows."""
    mine = service.live(service.primary)
    room = service.maximum - len(service.live())
    count = min(service.desired_count - len(mine), room)
    if count <= 0 or _gave_up(service) or now < service.launch_not_before:
        return
    if service.unplaceable:
        log.write_once(service.unplaceable)
        return
    started = [_new_task(service, now, new_id) for _ in range(count)]
    log.write(f"has started {count} tasks: {_names(started)}.")
    service.steady = False


def _new_task(service: Service, now: float, new_id: NewId) -> Task:
    workload = service.primary.workload
    task = Task(
        id=new_id(),
        task_definition=workload.task_definition,
        containers=[Container(spec) for spec in workload.containers],
        created_at=now,
        since=now,
        deployment=service.primary.id,
        capacity_provider=choose_provider(workload.capacity, service.live(service.primary)),
        behind_load_balancer=bool(service.target_groups),
    )
    service.tasks.append(task)
    return task


def choose_provider(capacity: tuple[CapacityShare, ...], tasks: list[Task]) -> str | None:
    """Answer the provider of the next task: bases first, then by weight.

    None without a strategy (a launch type is used then).
    """
    counts = {share.provider: 0 for share in capacity}
    for task in tasks:
        if task.capacity_provider in counts:
            counts[task.capacity_provider] += 1
    for share in capacity:
        if counts[share.provider] < share.base:
            return share.provider
    weighted = [share for share in capacity if share.weight]
    if not weighted:
        return capacity[0].provider if capacity else None
    return min(weighted, key=lambda s: (counts[s.provider] - s.base + 1) / s.weight).provider


def _conclude(service: Service, now: float, pace: Pace, log: _Log) -> None:
    """Complete a deployment that has replaced all others, and say that the service is steady."""
    waiting = {t.deployment for t in service.tasks if t.status is not Status.STOPPED}
    primary = service.primary
    service.deployments = [primary] + [d for d in service.deployments[1:] if d.id in waiting]
    if service.status == "DRAINING":
        if not waiting:
            service.status = "INACTIVE"
        return
    healthy = sum(t.settled(now, pace) for t in service.live(primary))
    leaving = any(not t.live and t.status is not Status.STOPPED for t in service.tasks)
    if service.steady or leaving or healthy != service.desired_count:
        return
    if primary.rollout is Rollout.IN_PROGRESS:
        _complete(service, now, log)
    service.steady = True
    log.write("has reached a steady state.")


def _complete(service: Service, now: float, log: _Log) -> None:
    primary = service.primary
    primary.rollout, primary.updated_at = Rollout.COMPLETED, now
    primary.reason = f"ECS deployment {primary.id} completed."
    service.last_completed = primary
    log.write(f"(deployment {primary.id}) deployment completed.")


def _forget_stopped(service: Service, now: float, pace: Pace) -> None:
    """Drop stopped tasks after an hour, as AWS does, and the oldest of very many."""
    stopped = [t for t in service.tasks if t.stopped_at is not None]
    old = {t.id for t in stopped if now - (t.stopped_at or now) > pace.stopped_retention}
    old |= {t.id for t in stopped[: max(len(stopped) - MAXIMUM_STOPPED, 0)]}
    if old:
        service.tasks = [t for t in service.tasks if t.id not in old]
