"""Install every extension, once, before moto answers its first request."""

from xops.local.aws import application_autoscaling, budgets, ecs, efs, elbv2
from xops.local.aws.ecs.task import Pace


def install(step: float = Pace.step) -> None:
    """Put all extensions in place; `step` is the pace of the ECS scheduler, in seconds.

    Doing it again changes nothing but the pace.
    """
    efs.install()
    application_autoscaling.install()
    budgets.install()
    elbv2.install()
    ecs.install(step)
