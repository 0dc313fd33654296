"""What could be changed on an environment so that it costs less: one thing at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from xops.finops.budget.promise import Promise
from xops.finops.budget.shape import Egress, Schedule, ServiceShape, Shape
from xops.finops.pricing.schedules import Bounds

_EGRESS: tuple[Egress, ...] = ("public_ip", "nat", "endpoints")

_FEWEST_ZONES = 2
"""A load balancer and a file system that survive one. Source: the environment file's rule."""

# The smallest tasks of Fargate: 256 units take these MiB, and from 512 on it is whole GiB.
_SMALLEST, _OF_SMALLEST, _GIB = 256, (512, 1024, 2048), 1024


class Lever(StrEnum):
    """What is changed."""

    EGRESS = "egress"
    PURCHASE = "purchase"
    HOURS = "hours"
    REPLICAS = "replicas"
    ZONES = "zones"
    SIZE = "size"


BEYOND = (Lever.ZONES, Lever.SIZE)
"""What the promise says nothing about and the file does: a plan that keeps it leaves them alone."""


@dataclass(frozen=True)
class Change:
    """One change, and the shape with it."""

    lever: Lever
    summary: str
    shape: Shape


def single_changes(shape: Shape, promise: Promise) -> Iterator[Change]:
    """Every single change that keeps the promise, whatever it costs."""
    for one in _all(shape, promise):
        if one.shape != shape and promise.is_kept_by(one.shape):
            yield one


def _all(shape: Shape, promise: Promise) -> Iterator[Change]:
    for egress in _EGRESS:
        changed = replace(shape, egress=egress)
        yield Change(Lever.EGRESS, f"egress {shape.egress} -> {egress}", changed)
    for zones in range(_FEWEST_ZONES, shape.zones):
        changed = replace(shape, zones=zones)
        yield Change(Lever.ZONES, f"zones {shape.zones} -> {zones}", changed)
    on_spot = _with_services(shape, lambda one: _on_spot(one, promise))
    said = f"of each service {promise.on_demand} on demand, the others on Spot"
    yield Change(Lever.PURCHASE, said, on_spot)
    at_night = _with_services(shape, lambda one: _fewer_at_night(one, promise))
    said = f"of each service {promise.on_demand} at least outside business hours"
    yield Change(Lever.HOURS, said, at_night)
    lower = _with_services(shape, lambda one: _fewer(one, promise))
    said = f"of each service {promise.tasks} at least in business hours"
    yield Change(Lever.REPLICAS, said, lower)
    yield from _smaller(shape)


def _with_services(shape: Shape, change: Callable[[ServiceShape], ServiceShape]) -> Shape:
    return replace(shape, services={name: change(one) for name, one in shape.services.items()})


def _on_spot(service: ServiceShape, promise: Promise) -> ServiceShape:
    return replace(service, on_demand_base=promise.on_demand, on_demand_weight=0, spot_weight=1)


def _fewer_at_night(service: ServiceShape, promise: Promise) -> ServiceShape:
    hours = service.schedule.hours if service.schedule else promise.hours
    inside = service.busiest
    before = service.schedule.outside if service.schedule else inside
    outside = Bounds(min(before.fewest, promise.on_demand), before.most)
    return replace(service, schedule=Schedule(hours, inside, outside))


def _fewer(service: ServiceShape, promise: Promise) -> ServiceShape:
    def lowered(bounds: Bounds) -> Bounds:
        return Bounds(min(bounds.fewest, promise.tasks), bounds.most)

    schedule = service.schedule and replace(
        service.schedule,
        inside=lowered(service.schedule.inside),
        outside=lowered(service.schedule.outside),
    )
    return replace(service, bounds=lowered(service.bounds), schedule=schedule)


def _smaller(shape: Shape) -> Iterator[Change]:
    for name, service in shape.services.items():
        cpu, memory = service.cpu // 2, service.memory // 2
        if not _is_a_size(cpu, memory):
            continue
        services = {**shape.services, name: replace(service, cpu=cpu, memory=memory)}
        yield Change(
            Lever.SIZE,
            f"{name} of half the size, {cpu} CPU units and {memory} MiB: nobody has measured it",
            replace(shape, services=services),
        )


def _is_a_size(cpu: int, memory: int) -> bool:
    return cpu >= _SMALLEST and (memory in _OF_SMALLEST if cpu == _SMALLEST else memory % _GIB == 0)
