"""What an image does, as its tag asks for.

Any image runs for ever in a service, passes every health check, and as a one-off task ends with
exit code 0. These parts of a tag ask for a fault; anything may stand around them
(`repo/webui:2.1-xops-exit-3`):

* `xops-cannot-pull`      the image does not exist: CannotPullContainerError
* `xops-exit-<code>`      the container exits with this code soon after it started
* `xops-unhealthy`        the container's health check fails; as in AWS, only a container whose
                          definition has a `healthCheck` is checked
* `xops-target-unhealthy` the load balancer's health checks fail
"""

import re
from dataclasses import dataclass

EXIT = re.compile(r"xops-exit-(\d{1,3})")


@dataclass(frozen=True)
class Behaviour:
    """How a container of an image behaves."""

    cannot_pull: bool = False
    exit_code: int | None = None
    unhealthy: bool = False
    target_unhealthy: bool = False


def behaviour(image: str) -> Behaviour:
    """Read the behaviour from the tag of an image reference; a digest is no tag."""
    name, _, _ = image.partition("@")
    _, _, tag = name.rpartition("/")[2].partition(":")
    exits = EXIT.search(tag)
    return Behaviour(
        cannot_pull="xops-cannot-pull" in tag,
        exit_code=int(exits.group(1)) if exits else None,
        unhealthy="xops-unhealthy" in tag,
        target_unhealthy="xops-target-unhealthy" in tag,
    )
