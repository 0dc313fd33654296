"""Runs that are killed at any point are made good by the next one."""

import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.github_data import OpenPullRequest
from tests.integration.flows.pull_requests import STACK, World
from xops.core.evidence.log import RecordKind


class Killed(BaseException):
    """What a cancelled run is ended with."""


@contextmanager
def killed_at(world: World, request: int) -> Iterator[list[bool]]:
    """The run in the block is interrupted when it writes to GitHub for the n-th time."""
    numbers, main, killed = itertools.count(1), threading.get_ident(), [False]

    def count(asked: Any) -> None:
        is_write = asked.method != "GET" and not asked.path.endswith("/graphql")
        if is_write and next(numbers) == request:
            signal.pthread_kill(main, signal.SIGUSR1)

    def die(*_: Any) -> None:
        killed[0] = True
        raise Killed

    before = signal.signal(signal.SIGUSR1, die)
    world.github.on_request = count
    try:
        with suppress(Killed):
            yield killed
    finally:
        world.github.on_request = lambda _request: None
        signal.signal(signal.SIGUSR1, before)


def run_with_interruptions(world: World, one: OpenPullRequest) -> int:
    """Runs that are ended at each write in turn, until one comes to its end; how many were."""
    for request in itertools.count(1):
        with killed_at(world, request) as killed:
            world.run(one)
        if not killed[0]:
            return request - 1
    raise AssertionError


@pytest.mark.timeout(600)
def test_runs_that_are_interrupted_at_every_step_come_to_the_same_end(world: World) -> None:
    world.base({STACK: "one\ntwo\nSIZE"})
    world.deployed.write("test", ["one", "two", "14"])
    one = world.open(world.retention("test", 30))
    assert run_with_interruptions(world, one) > 3
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "pending"}
    world.approve(one)

    assert run_with_interruptions(world, one) > 3

    assert world.run(one).name == "Unchanged"
    assert world.deployed.read("test") == ["one", "two", "30"]
    assert world.deployed.applied == ["test"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert len(world.records("test", RecordKind.APPLY)) == 1
    assert len(world.records("test", RecordKind.APPROVAL)) == 1
    assert world.held() == {"ecs/test": one.number}
    assert {row["environment"] for row in world.repository.deployments} == {"test"}


@pytest.mark.parametrize("where", ["before_apply", "half_way"])
def test_a_run_that_is_interrupted_in_the_apply_is_finished_by_the_next_one(
    world: World, where: str
) -> None:
    one = world.open({STACK: "one\ntwo\nthree\nfour"})
    world.run(one)
    world.approve(one)

    def die() -> None:
        setattr(world.deployed, where, lambda: None)
        raise Killed

    setattr(world.deployed, where, die)
    with pytest.raises(Killed):
        world.run(one)
    assert world.checks(one)["xops/apply"] == "failure"

    assert world.run(one).name == "Applied"

    assert world.deployed.read("local") == ["one", "two", "three", "four"]
    assert world.checks(one) == {"xops/plan": "success", "xops/apply": "success"}
    assert len(world.records("local", RecordKind.APPROVAL)) == 1
