"""Elastic Load Balancing v2: targets that fail their health checks.

AWS: DescribeTargetHealth answers `unhealthy` with the reason `Target.FailedHealthChecks` for a
registered target whose health checks fail.

moto 5.2.5 calls every registered target that is not a stopped instance `healthy`. This backend is
told which targets fail; the ECS scheduler does so for tasks whose image asks for it.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
"""

from typing import Any

from moto.elbv2 import urls
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, elbv2_backends

from xops.local.aws.extension import substitute


class TargetHealthBackend(ELBv2Backend):
    """moto's load balancing with targets that can be unhealthy."""

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.unhealthy_targets: set[tuple[str, str]] = set()

    def set_target_health(self, target_group_arn: str, target_id: str, unhealthy: bool) -> None:
        """Say whether the health checks of a target fail from now on."""
        if unhealthy:
            self.unhealthy_targets.add((target_group_arn, target_id))
        else:
            self.unhealthy_targets.discard((target_group_arn, target_id))

    def describe_target_health(
        self, target_group_arn: str, targets: list[dict[str, Any]]
    ) -> list[FakeHealthStatus]:
        """Answer as moto does, but for the targets known to be unhealthy."""
        answers = super().describe_target_health(target_group_arn, targets)
        for answer in answers:
            if (target_group_arn, answer.instance_id) in self.unhealthy_targets:
                answer.status = "unhealthy"
                answer.reason = "Target.FailedHealthChecks"
                answer.description = "Health checks failed"
        return answers


def install() -> None:
    """Put this extension in the place of moto's own Elastic Load Balancing v2."""
    substitute(elbv2_backends, urls, TargetHealthBackend)
