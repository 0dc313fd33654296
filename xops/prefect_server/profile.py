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
        environ: Prefect's settings for the commands that talk to it; those of the shell are not
            looked at.
    """

    api: str
    pool: str
    environ: Mapping[str, str]


def without_prefect(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without Prefect's own, which a person may have set for another server."""
    return {name: value for name, value in environ.items() if not name.startswith("PREFECT_")}
