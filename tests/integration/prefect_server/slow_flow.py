"""A run that takes a while, says where it is, and holds a slot all the time."""

import time

from prefect import flow, get_run_logger, task
from prefect.concurrency.sync import concurrency

SLOT = "ecs-local"


@task
def step(number: int) -> int:
    """One of its steps."""
    time.sleep(0.5)
    return number


@flow
def slow(steps: int) -> int:
    """The sum of its steps' numbers."""
    with concurrency(SLOT, strict=True):
        done = 0
        for number in range(steps):
            done += step(number)
            get_run_logger().info("step %d of %d", number, steps)
        return done
