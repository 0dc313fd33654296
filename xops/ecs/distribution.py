"""Whether CloudFront has deployed the distribution to its edges, seen from outside Terraform.

Terraform does not wait for it (`wait_for_deployment = false`): it takes minutes, in which the
state's lock would be held and nothing else could be done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from xops.aws.access import Aws
from xops.aws.errors import translate_aws_errors
from xops.core.errors import TemporaryError

DEADLINE = 1800.0
"""Seconds. CloudFront needs three to fifteen minutes for a change, and has no deadline itself."""

_DEPLOYED = "Deployed"
_POLL_SECONDS = 5.0


class UndeployedDistributionError(TemporaryError):
    """CloudFront did not deploy the distribution within the deadline."""


@dataclass(frozen=True)
class Distribution:
    """One CloudFront distribution."""

    aws: Aws
    id: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_until_deployed(self, say: Callable[[str], None], deadline: float = DEADLINE) -> str:
        """Wait until every edge has the configuration that was applied; the status then.

        Args:
            say: takes a line for people, once, where there is something to wait for.
            deadline: seconds.

        Raises:
            UndeployedDistributionError: the deadline passed.
        """
        give_up = self.clock() + deadline
        said = False
        while (status := self._status()) != _DEPLOYED:
            if self.clock() > give_up:
                raise self._undeployed(status, deadline)
            if not said:
                said = True
                say(f"CloudFront deploys distribution {self.id} to its edges; that takes minutes")
            self.sleep(_POLL_SECONDS)
        return status

    def _status(self) -> str:
        with translate_aws_errors(f"looking at distribution {self.id}"):
            answer = self.aws.client("cloudfront").get_distribution(Id=self.id)
        return str(answer["Distribution"]["Status"])

    def _undeployed(self, status: str, deadline: float) -> UndeployedDistributionError:
        return UndeployedDistributionError(
            f"waiting for CloudFront to deploy distribution {self.id}",
            f"after {deadline:.0f} s its status is {status}",
            "Run it again to go on waiting; health.aws.amazon.com says whether CloudFront is slow.",
            retry_after=60.0,
        )
