"""What the dispatcher asks of whoever carries out runs. It knows no Prefect itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from xops.core.errors import PermanentError


class NotThereError(PermanentError):
    """The server has nothing of that name: nothing any more, or nothing yet."""


class Runs(Protocol):
    """Creates runs of deployments, each once for its key."""

    async def create(self, deployment: str, parameters: Mapping[str, Any], key: str) -> str:
        """Create a run, or find the one that this key has created before; its id.

        Args:
            deployment: FLOW/DEPLOYMENT.
            parameters: of the run.
            key: one key never leads to two runs of a deployment.

        Raises:
            TemporaryError: nobody knows whether it was created; the same call says so later.
            CredentialsError: the server does not let us in. It would not let any other run in.
            NotThereError: there is no such deployment.
            PermanentError: this deployment will not take these parameters.
        """


class Events(Protocol):
    """Takes events for the feed, and for what is triggered by them."""

    async def emit(self, bodies: Sequence[str]) -> None:
        """Hand over some events, each as the JSON of one. All were taken when it returns.

        Raises:
            TemporaryError: not all were taken; those that were are known by their ids.
            CredentialsError: the server does not let us in.
            PermanentError: it will not take one of them, whenever it is sent.
        """
