"""The last week held against GitHub's search, whose index lags: a difference is told only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from xops.core.errors import PermanentError, TemporaryError
from xops.github.client import Client
from xops.github.pull_requests import merged_counts
from xops.github.repositories import RepositorySnapshot


def differences(
    snapshots: Sequence[RepositorySnapshot], client: Client, start: datetime, end: datetime
) -> Iterator[str]:
    """Where search has another number of pull requests merged in [start, end) than was read.

    It decides nothing, so that nothing depends on its answer: without one that is said. Of many
    repositories some are compared, other ones every week.
    """
    listed = {
        one.name: sum(start <= pr.merged_at < end for pr in one.records.pull_requests.values())
        for one in snapshots
        if one.problem is None
    }
    try:
        counts = merged_counts(client, list(listed), start, end)
    except (PermanentError, TemporaryError) as error:
        yield f"the last week was not compared with GitHub's search: {error.found}"
        return
    if len(counts) < len(listed):
        yield f"{len(counts)} of {len(listed)} repositories were compared with GitHub's search"
    if counts and all(indexed is None for indexed in counts.values()):
        yield "the last week was not compared with GitHub's search: it gave no answer"
    for name, indexed in counts.items():
        if indexed is not None and indexed != listed[name]:
            yield (
                f"{name}: {listed[name]} merged in the last week by the list, which counts;"
                f" {indexed} by GitHub's search, whose index lags"
            )
