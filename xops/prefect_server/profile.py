"""Which Prefect server is meant. Apart from the rest: importing Prefect takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """One Prefect server, and where what is deployed on it runs.

    Attributes:
        api: the server's API, ending in /api.
        pool: the process work pool that takes the runs.
        environ: Prefect's settings for the commands that talk to it.
    """

    api: str
    pool: str
    environ: Mapping[str, str]
