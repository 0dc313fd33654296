"""Install every extension, once, before moto answers its first request."""

from xops.local.aws.ecs import extension as ecs
from xops.local.aws.ecs.task import Pace
from xops.local.aws.services import (
    application_autoscaling,
    backup,
    budgets,
    cloudfront,
    ec2,
    efs,
    elbv2,
    s3,
    sqs,
    sso_admin,
)


def install(step: float = Pace.step) -> None:
    """Put all extensions in place; `step` is the pace of the ECS scheduler, in seconds.

    Doing it again changes nothing but the pace.
    """
    application_autoscaling.install()
    backup.install()
    budgets.install()
    cloudfront.install()
    ec2.install()
    efs.install()
    elbv2.install()
    s3.install()
    sqs.install()
    sso_admin.install()
    ecs.install(step)
