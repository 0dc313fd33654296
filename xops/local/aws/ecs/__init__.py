"""ECS: a scheduler that starts, replaces and stops the tasks of services.

AWS: creating a service starts a deployment. Its tasks go PROVISIONING, PENDING, (ACTIVATING),
RUNNING, are registered in target groups, and replace those of the deployment before within
minimumHealthyPercent and maximumPercent. A deployment whose tasks fail is given up by the circuit
breaker and, on request, rolled back.

moto 5.2.5 keeps a service at runningCount 0 and rolloutState IN_PROGRESS for ever, starts no task
for it, drops half of CreateService's members and answers 500 without security groups.

`images` says which faults an image tag can ask for, `task` and `service` are the pure state
machine, `backend` and `responses` join it to moto, and `driver` moves it on.
"""

from moto.ecs import urls
from moto.ecs.models import ecs_backends

from xops.local.aws.ecs.backend import SchedulingBackend
from xops.local.aws.ecs.responses import SchedulingResponse
from xops.local.aws.ecs.task import Pace
from xops.local.aws.extension import substitute


def install(step: float = Pace.step) -> None:
    """Put this extension in the place of moto's own ECS; `step` is its pace, in seconds."""
    SchedulingBackend.pace = Pace(step=step)
    substitute(ecs_backends, urls, SchedulingBackend, SchedulingResponse)
