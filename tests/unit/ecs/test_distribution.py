"""Waiting for CloudFront, with a clock and answers of the test's own."""

from collections.abc import Iterator
from typing import Any

import pytest

from xops.core.errors import ExitCode
from xops.ecs.distribution import Distribution, UndeployedDistributionError


class CloudFront:
    """Answers these statuses, the last of them for ever; says how long was slept."""

    def __init__(self, *statuses: str) -> None:
        self._answers = self._each(statuses)
        self.seconds = 0.0

    def _each(self, statuses: tuple[str, ...]) -> Iterator[str]:
        yield from statuses
        while True:
            yield statuses[-1]

    def client(self, service: str) -> Any:
        assert service == "cloudfront"
        return self

    def get_distribution(self, Id: str) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        return {"Distribution": {"Id": Id, "Status": next(self._answers)}}

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def wait(cloudfront: Any, said: list[str], deadline: float = 60.0) -> str:
    distribution = Distribution(
        cloudfront, "E1", clock=lambda: float(cloudfront.seconds), sleep=cloudfront.sleep
    )
    return distribution.wait_until_deployed(said.append, deadline)


def test_one_that_is_deployed_is_not_waited_for() -> None:
    said: list[str] = []
    cloudfront = CloudFront("Deployed")
    assert wait(cloudfront, said) == "Deployed"
    assert (cloudfront.seconds, said) == (0.0, [])


def test_one_that_is_being_deployed_is_waited_for_and_that_is_said_once() -> None:
    said: list[str] = []
    cloudfront = CloudFront("InProgress", "InProgress", "Deployed")
    assert wait(cloudfront, said) == "Deployed"
    assert cloudfront.seconds == 10.0
    assert len(said) == 1
    assert "E1" in said[0]


def test_one_that_never_is_has_a_deadline_after_which_trying_again_is_right() -> None:
    with pytest.raises(
        UndeployedDistributionError, match="after 60 s its status is InPro"
    ) as found:
        wait(CloudFront("InProgress"), [])
    assert found.value.exit_code == ExitCode.TEMPORARY
