"""When services are steady, when ECS has rolled them back, and what is said when they are not."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from xops.core.errors import PermanentError, TemporaryError
from xops.ecs.services import (
    DeployedServices,
    ExpectedService,
    HealthCheck,
    RolledBackError,
    ServiceState,
    UnsteadyServicesError,
    check_health,
    stop_reason,
)

ARN = "arn:aws:ecs:ap-southeast-2:123456789012:task-definition/crew"
OLD, NEW = f"{ARN}:1", f"{ARN}:2"
EXPECTED = ExpectedService("crew", "xops-test", NEW, "target-group")
HEALTHY = ["healthy", "healthy"]


def deployment(revision: str, rollout: str, status: str = "PRIMARY", **more: Any) -> dict[str, Any]:
    return {"taskDefinition": revision, "rolloutState": rollout, "status": status, **more}


def service(*deployments: dict[str, Any], running: int = 2, pending: int = 0, **more: Any) -> Any:
    return {
        "serviceName": "crew",
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": running,
        "pendingCount": pending,
        "deployments": list(deployments),
        **more,
    }


STEADY = service(deployment(NEW, "COMPLETED"))
ROLLING = service(deployment(NEW, "IN_PROGRESS"), deployment(OLD, "COMPLETED", "ACTIVE"), pending=1)
ROLLED_BACK = service(
    deployment(OLD, "IN_PROGRESS"), deployment(NEW, "FAILED", "ACTIVE"), running=1
)


@dataclass
class Seen:
    """ECS and its load balancer in one region, as `xops.aws.access.Aws` gives access to them.

    Each `describe_services` answers with the next of `views`, the last of them for ever.
    """

    views: Sequence[Any]
    targets: Sequence[str] = tuple(HEALTHY)
    stopped: Sequence[Mapping[str, Any]] = ()
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def client(self, name: str) -> "Seen":
        assert name in ("ecs", "elbv2")
        return self

    def describe_services(self, **arguments: Any) -> Any:
        self.asked.append(("describe_services", arguments))
        number = sum(1 for name, _ in self.asked if name == "describe_services")
        view = self.views[min(number, len(self.views)) - 1]
        return {"services": [view] if view else []}

    def describe_target_health(self, **arguments: Any) -> Any:
        self.asked.append(("describe_target_health", arguments))
        return {"TargetHealthDescriptions": [{"TargetHealth": {"State": s}} for s in self.targets]}

    def list_tasks(self, *, cluster: str, serviceName: str, desiredStatus: str) -> Any:  # noqa: N803
        assert (cluster, serviceName, desiredStatus) == ("xops-test", "crew", "STOPPED")
        return {"taskArns": [f"task/{index}" for index, _ in enumerate(self.stopped)]}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> Any:
        assert tasks, "ECS refuses an empty list"
        return {"tasks": [self.stopped[int(arn.split("/")[1])] for arn in tasks]}


def services(seen: Seen, expected: ExpectedService = EXPECTED) -> DeployedServices:
    """Watched without a pause, by a clock that moves one second at each look."""
    ticks = itertools.count()
    return DeployedServices(seen, [expected], poll_seconds=0, clock=lambda: float(next(ticks)))  # type: ignore[arg-type]


# One moment


@pytest.mark.parametrize(
    ("values", "steady"),
    [
        ({}, True),
        ({"task_definition": OLD}, False),
        ({"rollout": "IN_PROGRESS"}, False),
        ({"rollout": "FAILED"}, False),
        ({"rollout": "UNKNOWN"}, False),
        ({"running": 1}, False),
        ({"running": 3}, False),
        ({"pending": 1}, False),
        ({"healthy_targets": 1}, False),
        ({"healthy_targets": 1, "targets": 1}, False),
        ({"healthy_targets": 0, "targets": 0}, False),
        ({"healthy_targets": 3, "targets": 3}, True),
        ({"healthy_targets": None, "targets": None}, True),
        ({"desired": 0, "running": 0, "healthy_targets": 0, "targets": 0}, True),
        ({"desired": 0, "running": 0}, True),
    ],
    ids=str,
)
def test_steady_is_all_of_it_at_once(values: dict[str, Any], steady: bool) -> None:
    seen: dict[str, Any] = {
        "name": "crew",
        "task_definition": NEW,
        "desired": 2,
        "running": 2,
        "pending": 0,
        "rollout": "COMPLETED",
        "healthy_targets": 2,
        "targets": 2,
    }

    assert ServiceState(**{**seen, **values}).steady(EXPECTED) is steady


def test_a_state_is_one_line() -> None:
    state = ServiceState("crew", NEW, 2, 1, 1, "IN_PROGRESS", 0, 1)
    alone = ServiceState("crew", NEW, 2, 2, 0, "COMPLETED", None, None)

    assert str(state) == "crew: 1/2 running, IN_PROGRESS, targets 0/1"
    assert str(alone) == "crew: 2/2 running, COMPLETED"


# Waiting


def test_it_waits_until_the_planned_revision_is_steady_and_shows_each_look() -> None:
    shown: list[list[str]] = []
    seen = Seen([ROLLING, ROLLING, STEADY])

    states = services(seen).wait_until_steady(
        on_progress=lambda states, steady: shown.append([str(state) for state in states])
    )

    assert [state.steady(EXPECTED) for state in states] == [True]
    assert shown == [
        ["crew: 2/2 running, IN_PROGRESS, targets 2/2"],
        ["crew: 2/2 running, IN_PROGRESS, targets 2/2"],
        ["crew: 2/2 running, COMPLETED, targets 2/2"],
    ]
    assert ("describe_services", {"cluster": "xops-test", "services": ["crew"]}) in seen.asked
    assert ("describe_target_health", {"TargetGroupArn": "target-group"}) in seen.asked


def test_a_target_that_drains_is_no_longer_counted() -> None:
    [state] = services(Seen([STEADY], targets=["draining", *HEALTHY])).wait_until_steady()

    assert (state.healthy_targets, state.targets) == (2, 2)


def test_a_service_without_a_target_group_has_no_targets_to_ask_for() -> None:
    seen = Seen([STEADY])

    [state] = services(seen, ExpectedService("crew", "xops-test", NEW, None)).wait_until_steady()

    assert state.targets is None
    assert "describe_target_health" not in dict(seen.asked)


def test_after_the_deadline_it_says_what_was_seen_last_and_why_tasks_stop() -> None:
    stopped = [
        {"taskDefinitionArn": NEW, "stoppedReason": "CannotPullContainerError: no such image"},
        {"taskDefinitionArn": NEW, "stoppedReason": "CannotPullContainerError: no such image"},
        {"taskDefinitionArn": OLD, "stoppedReason": "Scaling activity initiated by deployment"},
    ]
    seen = Seen([ROLLING], targets=["initial"], stopped=stopped)

    with pytest.raises(UnsteadyServicesError) as caught:
        services(seen).wait_until_steady(deadline=3)

    assert caught.value.found == (
        "after 3 s: crew: 2/2 running, IN_PROGRESS, targets 0/1;"
        " CannotPullContainerError: no such image"
    )
    assert isinstance(caught.value, TemporaryError)
    assert caught.value.retry_after == 60


def test_a_service_that_was_deleted_since_is_no_reason_to_wait() -> None:
    gone = service(deployment(NEW, "COMPLETED"), status="INACTIVE")

    for view in (None, gone):
        with pytest.raises(PermanentError, match="cluster xops-test has no active service"):
            services(Seen([view])).wait_until_steady()


# Rolled back


def test_a_rolled_back_deployment_names_container_reason_and_what_serves_now() -> None:
    stopped = [
        {
            "taskDefinitionArn": NEW,
            "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "crew", "exitCode": 137, "reason": "OutOfMemoryError"}],
        }
    ]

    with pytest.raises(RolledBackError) as caught:
        services(Seen([ROLLING, ROLLED_BACK], stopped=stopped)).wait_until_steady()

    assert caught.value.attempted == "deploying crew:2 to service crew"
    assert caught.value.found == (
        "ECS stopped the deployment: Essential container in task exited;"
        " container crew exited with 137 (OutOfMemoryError). Now serving: 1 task(s) of crew:1"
    )
    assert isinstance(caught.value, PermanentError)


def test_a_rollback_that_is_complete_is_one_too() -> None:
    """The failed deployment is no longer listed; the primary is the earlier revision."""
    done = service(deployment(OLD, "COMPLETED", rolloutStateReason="rolled back"))

    with pytest.raises(RolledBackError, match=r"stopped the deployment: rolled back\. Now serving"):
        services(Seen([done])).wait_until_steady()


def test_a_first_deployment_that_fails_has_nothing_to_return_to() -> None:
    failed = service(
        deployment(NEW, "FAILED", rolloutStateReason="tasks failed to start"), running=0
    )

    with pytest.raises(RolledBackError) as caught:
        services(Seen([failed])).wait_until_steady()

    assert caught.value.found == (
        "ECS stopped the deployment: tasks failed to start."
        " Now serving: 0 task(s); there was no earlier revision"
    )


# Why a task stopped


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({}, "stopped without a reason"),
        ({"stoppedReason": "why", "containers": [{"name": "a", "exitCode": 0}]}, "why"),
        (
            {"stoppedReason": "why", "containers": [{"name": "a", "exitCode": 1}, {"name": "b"}]},
            "why; container a exited with 1",
        ),
        (
            {"stoppedReason": "why", "containers": [{"name": "a", "reason": "CannotPull"}]},
            "why; container a (CannotPull)",
        ),
        (
            {"stoppedReason": "why", "containers": [{"name": "a", "healthStatus": "UNHEALTHY"}]},
            "why; container a failed its health check",
        ),
    ],
)
def test_a_stop_reason_names_the_containers_that_failed(task: dict[str, Any], reason: str) -> None:
    assert stop_reason(task) == reason


# From the stack's outputs


def test_the_services_are_those_that_the_outputs_name() -> None:
    outputs = {
        "cluster_name": "xops-test",
        "services": {
            "open_webui": {"service_name": "open-webui", "task_definition_arn": "o:1"},
            "crew": {
                "service_name": "crew",
                "task_definition_arn": NEW,
                "target_group_arn": "target-group",
            },
        },
    }

    found = DeployedServices.of(Seen([]), outputs)  # type: ignore[arg-type]

    assert found.expected == [EXPECTED, ExpectedService("open-webui", "xops-test", "o:1", None)]


def test_an_emulator_s_address_is_not_asked_and_does_not_count_as_healthy() -> None:
    check = check_health("http://127.0.0.1:1/health", reachable=False)

    assert check.status.startswith("not asked")
    assert not check.answered
    assert HealthCheck("http://127.0.0.1:1", "200").answered
