"""Evidence in a bucket that S3 does not open: no apply without an intent."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.integration.ecs.small_stack import Open, apply, open_stream
from xops.core.errors import ExitCode, NotRecordedError
from xops.core.evidence.settings import BucketEvidence
from xops.core.lifecycle.gate import Decision, IdentityKind, Question
from xops.core.lifecycle.steps import Outcome, run_lifecycle
from xops.ecs.stream1 import Stream1

__all__ = ["open_stream"]

Fault = Callable[..., None]
DENIED = {"service": "s3", "operation": "PutObject", "error": "AccessDenied", "status": 403}


class Unverified(Stream1):
    """Nothing of the small stack is a service that could be looked at."""

    def verify(self, outputs: Any) -> None:
        return None


def in_its_bucket(stream: Stream1) -> Stream1:
    """The stream with its evidence in the bucket of its state."""
    evidence = BucketEvidence(store="bucket")
    environment = stream.environment.model_copy(update={"evidence": evidence})
    return replace(stream, environment=environment)


def run(stream: Stream1, meanwhile: Callable[[], None]) -> Outcome[Any]:
    """An apply that is approved; something happens while the person thinks."""

    def approve(question: Question) -> Sequence[Decision]:
        meanwhile()
        return (Decision("the test", "by hand", IdentityKind.ACCOUNT),)

    steps = Unverified(**{each.name: getattr(stream, each.name) for each in fields(Stream1)})
    with stream.folder:
        return run_lifecycle(steps, approve, stream.watcher, apply=True, run={"by": "a test"})


@pytest.fixture
def first(open_stream: Open) -> Stream1:
    stream = open_stream("small")
    with stream.folder:
        apply(stream, stream.plan())
    return stream


@pytest.mark.usefixtures("first")
def test_a_bucket_that_takes_no_intent_lets_nothing_be_changed(
    open_stream: Open, fault: Fault, no_faults: Callable[[], None]
) -> None:
    stream = in_its_bucket(open_stream("large"))
    with pytest.raises(NotRecordedError, match="nothing was changed") as caught:
        run(stream, lambda: fault(**DENIED))
    assert caught.value.exit_code == ExitCode.NOT_RECORDED
    no_faults()
    assert not open_stream("large").plan().plan.is_empty
