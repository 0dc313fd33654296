"""Which shapes keep the promise: by the fewest tasks that can be, not by those there may be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.finops.budget.shapes import PROMISE, shape_of
from xops.finops.budget.promise import Promise
from xops.finops.budget.shape import Schedule, ServiceShape, Shape, WeeklyHours
from xops.finops.pricing.schedules import Bounds

SERVICE = ServiceShape(1024, 2048, Bounds(2, 6), 1, 0, 1)


def of(service: ServiceShape) -> Shape:
    return replace(shape_of("prod"), services={"crew": service})


def in_hours(inside: int, outside: int, base: int = 1, **hours: str) -> ServiceShape:
    schedule = Schedule(WeeklyHours(**hours), Bounds(inside, 6), Bounds(outside, 6))
    return replace(SERVICE, schedule=schedule, on_demand_base=base)


@pytest.mark.parametrize(
    ("service", "kept"),
    [
        (SERVICE, True),
        (replace(SERVICE, bounds=Bounds(1, 6)), False),
        (replace(SERVICE, on_demand_base=0), False),
        (replace(SERVICE, on_demand_base=0, on_demand_weight=1, spot_weight=0), True),
        (in_hours(2, 1), True),
        (in_hours(2, 0), False),
        (in_hours(1, 1), False),
        (in_hours(2, 1, base=0), False),
        (in_hours(2, 1, start="06:00", end="20:00", days="MON-SUN"), True),
        (in_hours(2, 1, start="08:00"), False),
        (in_hours(2, 1, end="18:00"), False),
        (in_hours(2, 1, days="MON-THU"), False),
        (in_hours(2, 1, timezone="Europe/Berlin"), False),
        (in_hours(2, 2, timezone="Europe/Berlin"), True),
    ],
    ids=str,
)
def test_two_in_business_hours_and_one_on_demand_always(service: ServiceShape, kept: bool) -> None:
    assert PROMISE.is_kept_by(of(service)) is kept


def test_every_service_keeps_it_or_none_does() -> None:
    services = {"crew": SERVICE, "open_webui": replace(SERVICE, bounds=Bounds(1, 6))}
    assert not PROMISE.is_kept_by(replace(shape_of("prod"), services=services))


@pytest.mark.parametrize("name", ["local", "peak", "prod", "sit", "test"])
def test_the_environments_keep_what_they_promise(name: str) -> None:
    from xops.ecs.environment import Environment

    promise = Promise.of(Environment.load(name, environ={}).promise.model_dump())
    assert promise.is_kept_by(shape_of(name))


@given(st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_the_fewest_that_keep_it_keep_it(tasks: int, on_demand: int, spot: bool) -> None:
    promise = Promise(tasks, on_demand, WeeklyHours())
    assert promise.is_kept_by(of(promise.fewest(SERVICE, spot=spot)))


def test_it_is_said_in_one_line() -> None:
    assert str(PROMISE) == (
        "2 of each service MON-FRI 07:00-19:00 Australia/Sydney, 1 on demand always"
    )
