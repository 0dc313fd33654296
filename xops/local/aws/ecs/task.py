"""One ECS task: a state machine without threads, network or clock of its own.

Status, stop codes and reasons are those of
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html. Times are
seconds since the epoch.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from xops.local.aws.ecs.images import Behaviour, behaviour


class Status(StrEnum):
    """A task's lastStatus."""

    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    ACTIVATING = "ACTIVATING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"


class Health(StrEnum):
    """A container's or a task's healthStatus."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class StopCode(StrEnum):
    """Why a task stopped, in one word."""

    FAILED_TO_START = "TaskFailedToStart"
    CONTAINER_EXITED = "EssentialContainerExited"
    USER = "UserInitiated"
    SCHEDULER = "ServiceSchedulerInitiated"


@dataclass(frozen=True)
class Pace:
    """How fast the emulated world turns.

    A transition of a task takes one `step` (seconds); the other members count steps. A container
    that is to exit does so before a task counts as settled, or a crash loop would look like a
    success between two crashes.
    """

    step: float = 0.2
    health_check: int = 1
    container_exit: int = 2
    settled: int = 3
    target_check: int = 5
    one_off: int = 40
    stopped_retention: float = 3600.0


@dataclass(frozen=True)
class ContainerSpec:
    """A container of a task definition, as far as scheduling depends on it."""

    name: str
    image: str
    essential: bool = True
    has_health_check: bool = False

    @property
    def behaviour(self) -> Behaviour:
        """What the image's tag asks for."""
        return behaviour(self.image)


@dataclass
class Container:
    """A container of one task."""

    spec: ContainerSpec
    status: Status = Status.PENDING
    health: Health = Health.UNKNOWN
    exit_code: int | None = None
    reason: str | None = None


@dataclass
class Task:
    """A task of a service, or a one-off task (`deployment` is None)."""

    id: str
    task_definition: str
    containers: list[Container]
    created_at: float
    deployment: str | None = None
    capacity_provider: str | None = None
    behind_load_balancer: bool = False
    status: Status = Status.PROVISIONING
    desired: Status = Status.RUNNING
    since: float = 0.0
    started_at: float | None = None
    stopping_at: float | None = None
    stopped_at: float | None = None
    stop_code: StopCode | None = None
    stopped_reason: str | None = None
    registered_at: float | None = None
    failed: bool = False
    counted: bool = field(default=False, repr=False)

    @property
    def live(self) -> bool:
        """Whether the task is there or on its way: what maximumPercent counts."""
        return self.desired is Status.RUNNING

    @property
    def serving(self) -> bool:
        """Whether the task is registered in the target groups of its service."""
        return self.registered_at is not None

    @property
    def health(self) -> Health:
        """UNKNOWN without a health check, else the worst of the essential containers."""
        checked = {c.health for c in self.containers if c.spec.has_health_check}
        for verdict in (Health.UNHEALTHY, Health.UNKNOWN, Health.HEALTHY):
            if verdict in checked:
                return verdict
        return Health.UNKNOWN

    @property
    def target_unhealthy(self) -> bool:
        """Whether the load balancer's health checks of this task fail."""
        return any(c.spec.behaviour.target_unhealthy for c in self.containers)

    @property
    def passes_health_checks(self) -> bool:
        """Whether the task runs and every container that has a health check passes it."""
        checked = [c for c in self.containers if c.spec.has_health_check]
        return self.status is Status.RUNNING and all(c.health is Health.HEALTHY for c in checked)

    def settled(self, now: float, pace: Pace) -> bool:
        """Whether the task runs, passes its checks, and has run for long enough to believe it."""
        if not (self.live and self.passes_health_checks) or self.started_at is None:
            return False
        if self.behind_load_balancer and (not self.serving or self.target_unhealthy):
            return False
        return now - self.started_at >= pace.settled * pace.step


def advance(task: Task, now: float, pace: Pace) -> None:
    """Move a task on by at most one transition, if one is due."""
    if task.status is Status.STOPPED or now - task.since < pace.step:
        return
    if not task.live:
        _step_down(task, now)
    elif task.status is Status.RUNNING:
        _run(task, now, pace)
    else:
        _start(task, now)


def stop(task: Task, now: float, code: StopCode, reason: str, failed: bool = False) -> None:
    """Begin to stop a task; a task that is stopping already keeps its first reason."""
    if not task.live:
        return
    task.desired = Status.STOPPED
    task.stop_code, task.stopped_reason, task.failed = code, reason, failed
    task.stopping_at = task.since = now
    if task.status is Status.RUNNING:
        task.status = Status.DEACTIVATING if task.serving else Status.STOPPING
    else:
        task.status = Status.DEPROVISIONING


def _start(task: Task, now: float) -> None:
    task.since = now
    if task.status is Status.PROVISIONING:
        task.status = Status.PENDING
    elif task.status is Status.PENDING and _pull_fails(task, now):
        return
    elif task.status is Status.PENDING and task.behind_load_balancer:
        task.status = Status.ACTIVATING
    else:
        task.status, task.started_at = Status.RUNNING, now
        for container in task.containers:
            container.status = Status.RUNNING


def _pull_fails(task: Task, now: float) -> bool:
    for container in task.containers:
        if container.spec.behaviour.cannot_pull:
            container.reason = _cannot_pull(container.spec.image)
            stop(task, now, StopCode.FAILED_TO_START, container.reason, failed=True)
            return True
    return False


def _cannot_pull(image: str) -> str:
    return (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {image}: {image}: not found"
    )


def _run(task: Task, now: float, pace: Pace) -> None:
    elapsed = (now - (task.started_at or now)) / pace.step
    for container in task.containers:
        if container.status is Status.RUNNING:
            _run_container(task, container, elapsed, now, pace)


def _run_container(
    task: Task, container: Container, elapsed: float, now: float, pace: Pace
) -> None:
    wanted = container.spec.behaviour
    one_off_over = task.deployment is None and elapsed >= pace.one_off
    if wanted.exit_code is not None and elapsed >= pace.container_exit:
        _exit(task, container, wanted.exit_code, now)
    elif one_off_over:
        _exit(task, container, 0, now)
    elif container.spec.has_health_check and elapsed >= pace.health_check:
        container.health = Health.UNHEALTHY if wanted.unhealthy else Health.HEALTHY


def _exit(task: Task, container: Container, code: int, now: float) -> None:
    container.status, container.exit_code = Status.STOPPED, code
    if container.spec.essential:
        reason = "Essential container in task exited"
        stop(task, now, StopCode.CONTAINER_EXITED, reason, failed=True)


def _step_down(task: Task, now: float) -> None:
    task.since = now
    if task.status is Status.DEACTIVATING:
        task.status = Status.STOPPING
    elif task.status is Status.STOPPING:
        task.status = Status.DEPROVISIONING
        _stop_containers(task)
    else:
        task.status, task.stopped_at = Status.STOPPED, now
        _stop_containers(task)


def _stop_containers(task: Task) -> None:
    for container in task.containers:
        if container.status is Status.RUNNING:
            container.exit_code = 0
        container.status = Status.STOPPED
