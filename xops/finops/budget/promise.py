"""The service's promise in numbers, and which shapes keep it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from xops.finops.budget.shape import Schedule, ServiceShape, Shape, WeeklyHours
from xops.finops.pricing.schedules import Bounds, weekdays


@dataclass(frozen=True)
class Promise:
    """As the environment's file says it.

    Attributes:
        tasks: of each service at least, in business hours.
        on_demand: of each service at least, always, on demand.
        hours: business hours.
    """

    tasks: int
    on_demand: int
    hours: WeeklyHours

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From the key `promise` of an environment file."""
        return cls(values["tasks"], values["on_demand"], WeeklyHours.of(values))

    def __str__(self) -> str:
        hours = self.hours
        return (
            f"{self.tasks} of each service {hours.days} {hours.start}-{hours.end}"
            f" {hours.timezone}, {self.on_demand} on demand always"
        )

    def is_kept_by(self, shape: Shape) -> bool:
        """Whether every service has no fewer tasks than this."""
        return all(map(self._is_kept_by_service, shape.services.values()))

    def _is_kept_by_service(self, service: ServiceShape) -> bool:
        busy, always = service.bounds.fewest, service.bounds.fewest
        if schedule := service.schedule:
            always = min(schedule.inside.fewest, schedule.outside.fewest)
            covered = _covers(schedule.hours, self.hours)
            busy = schedule.inside.fewest if covered else always
        return busy >= self.tasks and service.on_demand_of(always) >= self.on_demand

    def fewest(self, service: ServiceShape, *, spot: bool) -> ServiceShape:
        """The service with no more tasks than this asks for; the most stay as they were."""
        busy = max(self.tasks, self.on_demand)
        inside = Bounds(busy, max(service.busiest.most, busy, 1))
        return replace(
            service,
            bounds=inside,
            schedule=Schedule(self.hours, inside, Bounds(self.on_demand, inside.most)),
            on_demand_base=self.on_demand if spot else busy,
            on_demand_weight=0 if spot else 1,
            spot_weight=1 if spot else 0,
        )


def _covers(longer: WeeklyHours, shorter: WeeklyHours) -> bool:
    days, promised = weekdays(longer.days), weekdays(shorter.days)
    return (
        longer.timezone == shorter.timezone
        and days is not None
        and promised is not None
        and set(promised) <= set(days)
        and longer.start <= shorter.start
        and longer.end >= shorter.end
    )
