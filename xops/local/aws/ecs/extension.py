"""Put the scheduling ECS in the place of moto's own."""

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
