"""Two runs at once on an account that has nothing yet: nothing is made twice, no error of AWS."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.ecs.small_stack import Open, apply, open_stream
from xops.core.errors import PermanentError, StalePlanError, TemporaryError
from xops.core.plan.model import Action

__all__ = ["open_stream"]


def test_the_second_is_a_stale_plan_and_plans_again_what_is_left(open_stream: Open) -> None:
    one, two = open_stream(), open_stream()
    planned = [stream.plan() for stream in (one, two)]
    assert [change.action for change in planned[1].bucket] == [Action.CREATE]
    apply(one, planned[0])
    before = two.bucket.read(two.environment.state.key)

    with pytest.raises(StalePlanError, match="another run has made it"):
        apply(two, planned[1])

    assert two.bucket.read(two.environment.state.key) == before
    assert two.plan().plan.is_empty


def test_one_whose_bucket_is_half_made_is_a_stale_plan_too(open_stream: Open) -> None:
    """The other run has made it and has not hardened it yet."""
    one, two = open_stream(), open_stream()
    planned = two.plan()
    one.bucket._create()
    with pytest.raises(StalePlanError):
        apply(two, planned)
    again = two.plan()
    assert {change.action for change in again.bucket} == {Action.UPDATE}
    assert apply(two, again) == {"size": "large"}


def test_a_bucket_that_appears_while_it_is_looked_at_gives_no_plan_without_a_state(
    open_stream: Open,
) -> None:
    """One look decides on the bucket's changes and on Terraform's backend alike.

    With two looks a plan came out that made no bucket and was made on an empty local state: its
    apply made everything a second time.
    """
    one, two = open_stream(), open_stream()
    exists = two.bucket.exists()
    apply(one, one.plan())
    assert not exists
    assert [change.action for change in two.bucket.changes(exists=exists)] == [Action.CREATE]


def test_somebody_else_s_bucket_of_that_name_is_no_stale_plan(
    open_stream: Open, fault: Callable[..., None]
) -> None:
    stream = open_stream()
    planned = stream.plan()
    fault(service="s3", operation="CreateBucket", error="BucketAlreadyExists", status=409)
    with pytest.raises(PermanentError, match="belongs to another account"):
        apply(stream, planned)


def test_both_at_once_end_in_one_state(open_stream: Open) -> None:
    streams = [open_stream(), open_stream()]
    together = threading.Barrier(len(streams))

    def run(number: int) -> str:
        together.wait()
        planned = streams[number].plan()
        together.wait()
        try:
            apply(streams[number], planned)
        except TemporaryError as error:
            return type(error).__name__
        return "applied"

    with ThreadPoolExecutor(len(streams)) as pool:
        ended = sorted(pool.map(run, range(len(streams))))
    assert set(ended) <= {"applied", "StalePlanError", "StateLockedError"}
    again = open_stream()
    while (planned := again.plan()).plan.changes:
        apply(again, planned)
    assert again.terraform.state_list() == ["terraform_data.first", "terraform_data.slow"]


def test_what_was_never_made_is_destroyed_by_doing_nothing(open_stream: Open) -> None:
    stream = open_stream(destroy=True)
    assert stream.plan().plan.is_empty
    assert stream.outputs() == {}
    assert stream.verify({}) is None
