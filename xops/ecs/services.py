"""Whether the ECS services really run, seen from outside: ECS, the load balancer, the address."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import tenacity

from xops.aws.access import Aws
from xops.aws.errors import translate_aws_errors
from xops.core.errors import PermanentError, TemporaryError

logger = logging.getLogger(__name__)

STEADY_DEADLINE = 900.0
"""Seconds. Fargate tasks with an image of some GB need minutes; a service that fails says so."""


@dataclass(frozen=True)
class ExpectedService:
    """One service as the stack's outputs name it."""

    name: str
    cluster: str
    task_definition: str
    target_group: str | None


@dataclass(frozen=True)
class ServiceState:
    """What was seen of one service at one moment."""

    name: str
    task_definition: str
    desired: int
    running: int
    pending: int
    rollout: str
    healthy_targets: int | None
    targets: int | None

    def steady(self, expected: ExpectedService) -> bool:
        """All desired tasks run the expected revision, and every target is healthy."""
        return (
            self.task_definition == expected.task_definition
            and self.rollout == "COMPLETED"
            and self.running == self.desired
            and self.pending == 0
            and (self.targets is None or self.healthy_targets == self.targets >= self.running)
        )

    def __str__(self) -> str:
        targets = "" if self.targets is None else f", targets {self.healthy_targets}/{self.targets}"
        return f"{self.name}: {self.running}/{self.desired} running, {self.rollout}{targets}"


class RolledBackError(PermanentError):
    """A deployment failed and ECS returned to the last revision that worked."""


class UnsteadyServicesError(TemporaryError):
    """The services did not become steady within the deadline."""


@dataclass(frozen=True)
class DeployedServices:
    """The services of one cluster."""

    aws: Aws
    expected: Sequence[ExpectedService]
    poll_seconds: float = 1.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @classmethod
    def of(cls, aws: Aws, outputs: Mapping[str, Any]) -> DeployedServices:
        """The services that the stack's outputs name."""
        expected = [
            ExpectedService(
                row["service_name"],
                outputs["cluster_name"],
                row["task_definition_arn"],
                row.get("target_group_arn"),
            )
            for _, row in sorted(outputs["services"].items())
        ]
        return cls(aws, expected)

    def wait_until_steady(
        self,
        deadline: float = STEADY_DEADLINE,
        on_progress: Callable[[Sequence[ServiceState], int], None] = lambda states, steady: None,
    ) -> list[ServiceState]:
        """Wait until every service is steady on the planned revision.

        Raises:
            RolledBackError: a deployment failed; names the container and the stop reason.
            UnsteadyServicesError: the deadline passed; says what was seen last.
        """
        give_up = self.clock() + deadline
        while True:
            states = [self._look(expected) for expected in self.expected]
            steady = sum(s.steady(e) for s, e in zip(states, self.expected, strict=True))
            on_progress(states, steady)
            if steady == len(states):
                return states
            if self.clock() > give_up:
                raise self._not_steady(states, deadline)
            time.sleep(self.poll_seconds)

    def _look(self, expected: ExpectedService) -> ServiceState:
        with translate_aws_errors(f"describing service {expected.name}"):
            answer = self.aws.client("ecs").describe_services(
                cluster=expected.cluster, services=[expected.name]
            )
        if not answer["services"] or answer["services"][0]["status"] != "ACTIVE":
            raise PermanentError(
                f"describing service {expected.name}",
                f"cluster {expected.cluster} has no active service of that name",
                "Plan again: somebody has deleted it since it was applied.",
            )
        service = answer["services"][0]
        self._refuse_rollback(service, expected)
        healthy, targets = self._targets(expected)
        primary = _primary(service)
        return ServiceState(
            name=expected.name,
            task_definition=primary["taskDefinition"],
            desired=service["desiredCount"],
            running=service["runningCount"],
            pending=service["pendingCount"],
            rollout=primary.get("rolloutState", "UNKNOWN"),
            healthy_targets=healthy,
            targets=targets,
        )

    def _targets(self, expected: ExpectedService) -> tuple[int | None, int | None]:
        if expected.target_group is None:
            return None, None
        with translate_aws_errors(f"reading the targets of {expected.name}"):
            answer = self.aws.client("elbv2").describe_target_health(
                TargetGroupArn=expected.target_group
            )
        states = [row["TargetHealth"]["State"] for row in answer["TargetHealthDescriptions"]]
        live = [state for state in states if state != "draining"]
        return live.count("healthy"), len(live)

    def _refuse_rollback(self, service: Mapping[str, Any], expected: ExpectedService) -> None:
        primary = _primary(service)
        moved = primary["taskDefinition"] != expected.task_definition
        failed = [
            deployment
            for deployment in service["deployments"]
            if deployment.get("rolloutState") == "FAILED"
            and deployment["taskDefinition"] == expected.task_definition
        ]
        if not failed and not moved:
            return
        serving = f"{service['runningCount']} task(s) of {_revision(primary['taskDefinition'])}"
        if primary in failed:
            serving = f"{service['runningCount']} task(s); there was no earlier revision"
        causes = self._stop_reasons(expected) or [primary.get("rolloutStateReason", "no reason")]
        raise RolledBackError(
            f"deploying {_revision(expected.task_definition)} to service {expected.name}",
            "ECS stopped the deployment: " + "; ".join(causes) + f". Now serving: {serving}",
            "Correct the image or the task definition named above and provision again; the"
            " environment's logs are in CloudWatch under the service's log group.",
        )

    def _stop_reasons(self, expected: ExpectedService) -> list[str]:
        """Container and reason of the tasks of the new revision that stopped, without repeats."""
        ecs = self.aws.client("ecs")
        with translate_aws_errors(f"reading the stopped tasks of {expected.name}"):
            arns = ecs.list_tasks(
                cluster=expected.cluster, serviceName=expected.name, desiredStatus="STOPPED"
            )["taskArns"]
            if not arns:
                return []
            tasks = ecs.describe_tasks(cluster=expected.cluster, tasks=arns)["tasks"]
        ours = [task for task in tasks if task["taskDefinitionArn"] == expected.task_definition]
        return list(dict.fromkeys(stop_reason(task) for task in ours))

    def _not_steady(self, states: Sequence[ServiceState], deadline: float) -> UnsteadyServicesError:
        reasons = [
            reason
            for state, expected in zip(states, self.expected, strict=True)
            if not state.steady(expected)
            for reason in self._stop_reasons(expected)
        ]
        seen = "; ".join(str(state) for state in states)
        return UnsteadyServicesError(
            "waiting for the services to become steady",
            f"after {deadline:.0f} s: {seen}" + "".join(f"; {reason}" for reason in reasons),
            "Run it again to go on waiting; if tasks keep stopping, the reasons above say why.",
            retry_after=60.0,
        )


def _primary(service: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
    return found


def _revision(arn: str) -> str:
    """`family:revision` of a task definition's ARN."""
    return arn.rsplit("/", 1)[-1]


def stop_reason(task: Mapping[str, Any]) -> str:
    """Which container stopped a task and why, in one line."""
    containers = [
        f"container {row['name']}"
        + (f" exited with {row['exitCode']}" if "exitCode" in row else "")
        + (" failed its health check" if row.get("healthStatus") == "UNHEALTHY" else "")
        + (f" ({row['reason']})" if row.get("reason") else "")
        for row in task.get("containers", [])
        if row.get("reason") or row.get("exitCode") or row.get("healthStatus") == "UNHEALTHY"
    ]
    return "; ".join([task.get("stoppedReason", "stopped without a reason"), *containers])


@dataclass(frozen=True)
class HealthCheck:
    """The answer of the public address, or why it was not asked."""

    url: str
    status: str

    @property
    def answered(self) -> bool:
        """Whether the address answered as a healthy service does."""
        return self.status == "200"


def check_health(url: str, *, reachable: bool, patience: float = 120.0) -> HealthCheck:
    """Ask the public address for its health until it answers 200 or patience ends.

    Args:
        url: the address.
        reachable: False where no container runs behind it (an emulator); it is then not asked,
            and the check says so rather than succeed.
        patience: seconds to go on asking: DNS and CloudFront take a while to follow.

    Raises:
        UnsteadyServicesError: it never answered 200.
    """
    if not reachable:
        return HealthCheck(url, "not asked: an emulator runs no containers")
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(patience),
        wait=tenacity.wait_exponential(min=1, max=15),
        retry=tenacity.retry_if_exception_type(httpx.HTTPError),
        reraise=True,
    )
    try:
        retrying(_get, url)
    except httpx.HTTPError as error:
        raise UnsteadyServicesError(
            f"asking {url} for its health",
            str(error),
            "Look at the services' logs and at the load balancer's targets, then run it again.",
            retry_after=60.0,
        ) from error
    return HealthCheck(url, "200")


def look_at_health(url: str) -> str | None:
    """Ask once, without patience: None if it answered, else what was wrong."""
    try:
        _get(url)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None


def _get(url: str) -> None:
    httpx.get(url, timeout=10, follow_redirects=True).raise_for_status()
