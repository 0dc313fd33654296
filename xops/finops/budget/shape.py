"""What of Stream 1 decides on its cost: the values that Terraform is given, and no more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from xops.finops.pricing.schedules import Bounds

Egress = Literal["public_ip", "nat", "endpoints"]


@dataclass(frozen=True)
class WeeklyHours:
    """The same hours on some days of every week.

    Attributes:
        days: as Application Auto Scaling writes them: MON-FRI.
        start: HH:MM, as is `end`.
    """

    timezone: str = "Australia/Sydney"
    days: str = "MON-FRI"
    start: str = "07:00"
    end: str = "19:00"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From the keys of an environment file."""
        return cls(**{key: values[key] for key in ("timezone", "days", "start", "end")})


@dataclass(frozen=True)
class Schedule:
    """Bounds inside some hours of the week and outside."""

    hours: WeeklyHours
    inside: Bounds
    outside: Bounds


@dataclass(frozen=True)
class ServiceShape:
    """One service.

    Attributes:
        cpu: 1024 are a vCPU.
        memory: MiB.
        bounds: fewest and most tasks, where no schedule says otherwise.
        on_demand_base: so many tasks are bought on demand first.
        on_demand_weight: the others divide by the weights.
        schedule: bounds by the hours of a week.
    """

    cpu: int
    memory: int
    bounds: Bounds
    on_demand_base: int
    on_demand_weight: int
    spot_weight: int
    schedule: Schedule | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From a service of the variables of `terraform/stacks/stream1`."""
        hours = values.get("business_hours")
        return cls(
            cpu=values["cpu"],
            memory=values["memory"],
            bounds=Bounds(values["replicas"]["min"], values["replicas"]["max"]),
            **values["capacity"],
            schedule=Schedule(
                WeeklyHours.of(hours),
                Bounds(hours["min"], hours["max"]),
                Bounds(hours["off_hours_min"], hours["off_hours_max"]),
            )
            if hours
            else None,
        )

    @property
    def busiest(self) -> Bounds:
        """The bounds of business hours, or those that always hold."""
        return self.schedule.inside if self.schedule else self.bounds

    def on_demand_of(self, count: int) -> int:
        """How many of so many tasks are certain to be on demand."""
        return count if self.spot_weight == 0 else min(count, self.on_demand_base)


@dataclass(frozen=True)
class Shape:
    """All of it.

    Attributes:
        services: by the names of the environment file.
        makes_zone: whether the stack makes the hosted zone of its domain.
        secrets: the names of those that it makes.
        runs_flows: whether it makes the queues for the events of Prefect's ECS worker.
    """

    region: str
    zones: int
    egress: Egress
    services: Mapping[str, ServiceShape]
    makes_zone: bool = False
    secrets: tuple[str, ...] = ()
    runs_flows: bool = False

    @classmethod
    def of(cls, variables: Mapping[str, Any]) -> Self:
        """From the variables of `terraform/stacks/stream1`, for AWS.

        An emulator's DNS starts empty: there the stack makes every zone.
        """
        services = variables["services"]
        named = {
            name
            for service in services.values()
            for name in service["secrets"].values()
            if not name.startswith("arn:")
        }
        domain = variables["domain"]
        return cls(
            region=variables["region"],
            zones=variables["network"]["zones"],
            egress=variables["network"]["egress"],
            services={name: ServiceShape.of(one) for name, one in services.items()},
            makes_zone=bool(domain and domain["create_zone"]),
            secrets=tuple(sorted(named)),
            runs_flows=variables["flow_runs"] is not None,
        )
