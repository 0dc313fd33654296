"""The service scheduler, driven by a clock of the test's own."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.local.aws.ecs.service import (
    CapacityShare,
    Rollout,
    Rules,
    Service,
    Workload,
    choose_provider,
    deploy,
    drain,
    scale,
    tick,
)
from xops.local.aws.ecs.task import ContainerSpec, Pace, Status, StopCode, Task, stop

PACE = Pace(step=1.0)
GROUP = "arn:aws:elasticloadbalancing:ap-southeast-2:1:targetgroup/web/1"


class World:
    """A service, a clock and identifiers."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.now = 0.0
        self._numbers: Iterator[int] = itertools.count(1)

    def new_id(self) -> str:
        return f"{next(self._numbers):x}"

    def deploy(self, tag: str = "1", *, checked: bool = True) -> None:
        spec = ContainerSpec("web", f"web:{tag}", has_health_check=checked)
        workload = Workload(f"family:{tag}", (spec,))
        deploy(self.service, workload, f"ecs-svc/{self.new_id()}", self.now)

    def tick(self) -> None:
        self.now += 1.0
        tick(self.service, self.now, PACE, self.new_id)

    def until(self, reached: Callable[[Service], bool], limit: int = 400) -> None:
        for _ in range(limit):
            self.tick()
            if reached(self.service):
                return
        pytest.fail(f"not reached: {[e.message for e in self.service.events]}")

    def settled(self) -> int:
        return sum(t.settled(self.now, PACE) for t in self.service.tasks)


def steady(service: Service) -> bool:
    return service.steady


def finished(service: Service) -> bool:
    return service.primary.rollout is not Rollout.IN_PROGRESS


def world(desired: int = 2, *, groups: tuple[str, ...] = (), **rules: int) -> World:
    w = World(Service("web", desired, Rules(**rules), groups))  # type: ignore[arg-type]
    w.deploy()
    w.until(steady)
    return w


def messages(service: Service) -> list[str]:
    return [event.message for event in reversed(service.events)]


def test_a_new_service_reaches_a_steady_state() -> None:
    w = world(3)
    assert (w.service.running(), w.service.pending()) == (3, 0)
    assert w.service.primary.rollout is Rollout.COMPLETED
    assert w.service.primary.reason == f"ECS deployment {w.service.primary.id} completed."
    started, completed, reached = messages(w.service)
    assert started.startswith("(service web) has started 3 tasks: (task ")
    assert completed.endswith("deployment completed.")
    assert reached == "(service web) has reached a steady state."


def test_targets_are_registered_and_deregistered() -> None:
    w = world(2, groups=(GROUP,))
    assert f"(service web) registered 2 targets in (target-group {GROUP})" in messages(w.service)
    scale(w.service, 1)
    w.until(steady)
    assert f"(service web) deregistered 1 targets in (target-group {GROUP})" in messages(w.service)
    assert sum(t.serving for t in w.service.tasks) == 1


def test_a_rolling_deployment_replaces_every_task() -> None:
    w = world(2)
    before = {t.id for t in w.service.live()}
    w.deploy("2")
    assert len(w.service.deployments) == 2
    w.until(steady)
    assert [d.workload.task_definition for d in w.service.deployments] == ["family:2"]
    assert not before & {t.id for t in w.service.live()}
    replaced = [t for t in w.service.tasks if t.id in before]
    assert {t.stop_code for t in replaced} == {StopCode.SCHEDULER}
    assert all(
        (t.stopped_reason or "").startswith("Scaling activity initiated by (deployment ecs-svc/")
        for t in replaced
    )


@pytest.mark.parametrize(
    ("desired", "threshold"), [(0, 3), (1, 3), (6, 3), (7, 4), (25, 13), (400, 200), (1000, 200)]
)
def test_the_threshold_of_the_circuit_breaker(desired: int, threshold: int) -> None:
    assert Service("web", desired, Rules()).threshold == threshold


@pytest.mark.parametrize("tag", ["xops-cannot-pull", "xops-exit-1", "xops-unhealthy"])
def test_the_circuit_breaker_rolls_back(tag: str) -> None:
    w = world(2, breaker=1, rollback=1)
    good = w.service.primary.id
    w.deploy(tag)
    bad = w.service.primary
    w.until(lambda s: s.primary.id != bad.id)
    assert bad.rollout is Rollout.FAILED
    assert bad.reason == "ECS deployment circuit breaker: tasks failed to start."
    assert bad.failed_tasks >= 3
    assert w.service.primary.reason == (
        f"ECS deployment circuit breaker: rolling back to deploymentId {good}."
    )
    w.until(steady)
    assert w.service.primary.workload.task_definition == "family:1"
    assert w.service.primary.rollout is Rollout.COMPLETED
    log = messages(w.service)
    failed = f"(service web) (deployment {bad.id}) deployment failed: tasks failed to start."
    assert log.index(failed) < log.index(f"(service web) rolling back to deployment {good}.")


def test_a_failing_target_fails_the_deployment() -> None:
    w = world(2, groups=(GROUP,), breaker=1, rollback=1)
    w.deploy("xops-target-unhealthy")
    w.until(lambda s: s.primary.is_rollback)
    failed = [t for t in w.service.tasks if t.failed]
    assert {t.stopped_reason for t in failed} == {
        f"Task failed ELB health checks in (target-group {GROUP})"
    }


def test_without_rollback_a_failed_deployment_keeps_the_tasks_before_it() -> None:
    w = world(2, breaker=1)
    w.deploy("xops-exit-1")
    w.until(finished)
    started = len(w.service.tasks)
    for _ in range(50):
        w.tick()
    assert w.service.primary.rollout is Rollout.FAILED
    assert len(w.service.tasks) == started
    assert w.service.running() == 2


def test_without_a_completed_deployment_there_is_nothing_to_roll_back_to() -> None:
    w = World(Service("web", 2, Rules(breaker=True, rollback=True)))
    w.deploy("xops-cannot-pull")
    w.until(finished)
    assert w.service.primary.rollout is Rollout.FAILED
    assert len(w.service.deployments) == 1


def test_without_a_breaker_launches_slow_down() -> None:
    w = World(Service("web", 1, Rules()))
    w.deploy("xops-cannot-pull")
    starts: list[float] = []
    for _ in range(300):
        known = len(w.service.tasks)
        w.tick()
        if len(w.service.tasks) > known:
            starts.append(w.now)
    assert w.service.primary.rollout is Rollout.IN_PROGRESS
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert gaps[-1] >= 4 * gaps[0]
    assert any("unable to consistently start tasks" in m for m in messages(w.service))


def test_a_task_that_is_stopped_is_replaced() -> None:
    w = world(2)
    stop(w.service.live()[0], w.now, StopCode.USER, "test")
    w.until(lambda s: not s.steady)
    w.until(steady)
    assert w.service.running() == 2
    assert w.service.primary.failed_tasks == 0


def test_without_container_instances_nothing_is_placed_and_it_is_said_once() -> None:
    w = World(Service("web", 2, Rules(), unplaceable="was unable to place a task because."))
    w.deploy()
    for _ in range(20):
        w.tick()
    assert messages(w.service) == ["(service web) was unable to place a task because."]


def test_a_deleted_service_drains() -> None:
    w = world(2)
    drain(w.service)
    assert w.service.status == "DRAINING"
    w.until(lambda s: s.status == "INACTIVE")
    assert {t.status for t in w.service.tasks} == {Status.STOPPED}


def test_stopped_tasks_are_kept_for_an_hour() -> None:
    w = world(1)
    scale(w.service, 0)
    w.until(lambda s: s.tasks[0].status is Status.STOPPED)
    w.now += 3500
    w.tick()
    assert len(w.service.tasks) == 1
    w.now += 200
    w.tick()
    assert w.service.tasks == []


def test_base_and_weight_of_capacity_providers() -> None:
    shares = (CapacityShare("FARGATE", weight=1, base=2), CapacityShare("FARGATE_SPOT", weight=3))
    chosen: list[Task] = []
    for number in range(10):
        provider = choose_provider(shares, chosen)
        chosen.append(Task(str(number), "f:1", [], 0.0, capacity_provider=provider))
    names = [t.capacity_provider for t in chosen]
    assert names[:2] == ["FARGATE", "FARGATE"]
    assert (names.count("FARGATE"), names.count("FARGATE_SPOT")) == (4, 6)
    assert choose_provider((), chosen) is None


@examples(25)
@given(
    desired=st.integers(1, 9),
    minimum=st.integers(0, 100),
    maximum=st.integers(100, 250),
    tags=st.lists(
        st.sampled_from(["2", "xops-exit-1", "xops-cannot-pull", "xops-unhealthy"]), max_size=3
    ),
    pauses=st.lists(st.integers(0, 12), min_size=3, max_size=3),
)
def test_a_rolling_deployment_stays_within_its_percentages(
    desired: int, minimum: int, maximum: int, tags: list[str], pauses: list[int]
) -> None:
    w = world(
        desired, minimum_healthy_percent=minimum, maximum_percent=maximum, breaker=1, rollback=1
    )
    for tag, pause in zip(tags, pauses, strict=False):
        w.deploy(tag)
        for _ in range(pause + 10):
            w.tick()
            assert len(w.service.live()) <= w.service.maximum
            assert w.settled() >= w.service.minimum_healthy


@examples(25)
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=5), maximum=st.integers(100, 250))
def test_scaling_ends_at_the_desired_count(counts: list[int], maximum: int) -> None:
    w = world(2, maximum_percent=maximum)
    for count in counts:
        scale(w.service, count)
        for _ in range(3):
            w.tick()
            assert len(w.service.live()) <= max(w.service.maximum, 0)
    w.until(steady)
    assert w.service.running() == counts[-1]


@examples(15)
@given(desired=st.integers(1, 6), minimum=st.integers(0, 100), maximum=st.integers(200, 250))
def test_with_room_to_move_a_deployment_completes(desired: int, minimum: int, maximum: int) -> None:
    w = world(desired, minimum_healthy_percent=minimum, maximum_percent=maximum)
    w.deploy("2")
    w.until(steady)
    assert w.service.primary.workload.task_definition == "family:2"
    assert w.service.running() == desired
