"""In which order agents that run are restarted: one alone, then a few at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import batched

SHARE = 10
"""One in so many of the agents that restart may be down at the same time: what their pods need is
left on the other nine. k0sctl's default is the same: `workerDisruptionPercent: 10`."""


def batches[AgentT](agents: Sequence[AgentT]) -> Iterator[tuple[AgentT, ...]]:
    """The agents in their order: a canary alone, then at most a tenth of all of them at a time.

    A setting that breaks K3S costs the canary, and no more than the canary.
    """
    yield from batched(agents[:1], 1)
    yield from batched(agents[1:], max(1, len(agents) // SHARE))
