import pytest

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

PACE = Pace(step=1.0, one_off=5)


def task_of(*specs: ContainerSpec, deployment: str | None = "ecs-svc/1") -> Task:
    containers = [Container(spec) for spec in specs]
    return Task("t1", "family:1", containers, created_at=0.0, deployment=deployment)


def statuses(task: Task, until: int) -> list[Status]:
    seen = [task.status]
    for now in range(1, until + 1):
        advance(task, float(now), PACE)
        if task.status is not seen[-1]:
            seen.append(task.status)
    return seen


def test_a_task_passes_through_the_states_of_aws() -> None:
    task = task_of(ContainerSpec("web", "web:1"))
    assert statuses(task, 10) == [Status.PROVISIONING, Status.PENDING, Status.RUNNING]
    assert task.health is Health.UNKNOWN


def test_a_task_behind_a_load_balancer_is_activated_first() -> None:
    task = task_of(ContainerSpec("web", "web:1"))
    task.behind_load_balancer = True
    assert statuses(task, 10)[2:] == [Status.ACTIVATING, Status.RUNNING]


def test_nothing_happens_before_a_step_has_passed() -> None:
    task = task_of(ContainerSpec("web", "web:1"))
    advance(task, 0.9, PACE)
    assert task.status is Status.PROVISIONING


def test_an_image_that_cannot_be_pulled() -> None:
    task = task_of(ContainerSpec("web", "repo/web:xops-cannot-pull"))
    assert statuses(task, 10)[-2:] == [Status.DEPROVISIONING, Status.STOPPED]
    assert task.stop_code is StopCode.FAILED_TO_START
    assert (task.stopped_reason or "").startswith("CannotPullContainerError: ")
    assert "repo/web:xops-cannot-pull" in (task.stopped_reason or "")
    assert task.containers[0].reason == task.stopped_reason
    assert task.containers[0].exit_code is None
    assert task.started_at is None


def test_an_essential_container_that_exits_stops_the_task() -> None:
    task = task_of(ContainerSpec("web", "web:xops-exit-3"), ContainerSpec("log", "log:1"))
    assert statuses(task, 20)[-1] is Status.STOPPED
    assert (task.stop_code, task.stopped_reason) == (
        StopCode.CONTAINER_EXITED,
        "Essential container in task exited",
    )
    assert [c.exit_code for c in task.containers] == [3, 0]
    assert task.failed


def test_another_container_that_exits_does_not() -> None:
    init = ContainerSpec("init", "init:xops-exit-0", essential=False)
    task = task_of(init, ContainerSpec("web", "web:1"))
    assert statuses(task, 20)[-1] is Status.RUNNING
    assert task.containers[0].exit_code == 0
    assert task.settled(20.0, PACE)


def test_only_a_container_with_a_health_check_is_checked() -> None:
    unchecked = task_of(ContainerSpec("web", "web:xops-unhealthy"))
    checked = task_of(ContainerSpec("web", "web:xops-unhealthy", has_health_check=True))
    healthy = task_of(ContainerSpec("web", "web:1", has_health_check=True))
    for task in (unchecked, checked, healthy):
        statuses(task, 10)
    assert [t.health for t in (unchecked, checked, healthy)] == [
        Health.UNKNOWN,
        Health.UNHEALTHY,
        Health.HEALTHY,
    ]


@pytest.mark.parametrize("tag", ["1", "xops-exit-0"])
def test_a_one_off_task_ends_with_exit_code_0(tag: str) -> None:
    task = task_of(ContainerSpec("job", f"job:{tag}"), deployment=None)
    assert statuses(task, 30)[-1] is Status.STOPPED
    assert task.containers[0].exit_code == 0
    assert task.stop_code is StopCode.CONTAINER_EXITED


def test_the_first_reason_to_stop_is_kept() -> None:
    task = task_of(ContainerSpec("web", "web:1"))
    stop(task, 1.0, StopCode.USER, "mine")
    stop(task, 2.0, StopCode.SCHEDULER, "other")
    assert (task.stop_code, task.stopped_reason, task.stopping_at) == (StopCode.USER, "mine", 1.0)
