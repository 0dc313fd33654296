"""An apply as a deployment of GitHub: people see on the pull request what runs where.

With a `success`, GitHub itself makes the earlier ones of that environment inactive. It leaves out
transient ones, and those of production: an environment that is named `production`.

It is told, and nothing depends on it. A deployment that cannot be reported never keeps an apply
from its end: that is said in the log, a missing permission once.

Source: GitHub, "REST API endpoints for deployments", "... for deployment statuses".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from xops.github.errors import (
    AccessError,
    LimitError,
    NotVisibleError,
    RefusedError,
    UnavailableError,
)
from xops.github.pull_request.addresses import repository_path
from xops.github.pull_request.rows import Row
from xops.github.pull_request.writing import needing, write_once

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

logger = logging.getLogger(__name__)

DESCRIPTION_LIMIT = 140
"""Characters of a deployment status. Source: GitHub, "Create a deployment status"."""

_TASK = "deploy:xops"
"""Tells our deployments from those of others for the same commit and environment."""

_UNFINISHED = frozenset({"in_progress", "queued", "pending"})

_UNTOLD = (AccessError, LimitError, NotVisibleError, RefusedError, UnavailableError)
"""What the client raises."""


class _Deployment(Row):
    id: int
    sha: str
    environment: str
    task: str


class _Status(Row):
    state: str


class Deployments:
    """Deployments of a repository.

    Args:
        client: with a credential that may write deployments.
        repository: owner/name.
    """

    def __init__(self, client: Client, repository: str) -> None:
        self._client = client
        self._path = f"{repository_path(repository)}/deployments"
        self._repository = repository
        self._may = True

    def begin(self, environment: str, sha: str, url: str = "") -> int | None:
        """Say that an apply begins. One that was broken off before its end is taken up again.

        Args:
            environment: GitHub makes one by that name if there is none.
            sha: the commit that is applied.
            url: of the run.

        Returns:
            Its id; None if it could not be told.
        """
        attempted = f"reporting the deployment of {sha[:12]} to {environment}"

        def tell() -> int:
            begun = self._unfinished(environment, sha, attempted)
            found = begun or self._create(environment, sha, attempted)
            self._status(found, "in_progress", url, "", attempted)
            return found

        return self._told(tell)

    def succeed(self, deployment: int | None, url: str = "", description: str = "") -> None:
        """Say that it is applied; None does nothing."""
        self._end(deployment, "success", url, description)

    def fail(self, deployment: int | None, url: str = "", description: str = "") -> None:
        """Say that it failed; None does nothing."""
        self._end(deployment, "failure", url, description)

    def _end(
        self, deployment: int | None, state: Literal["success", "failure"], url: str, text: str
    ) -> None:
        if deployment is None:
            return
        attempted = f"reporting the {state} of deployment {deployment} of {self._repository}"
        self._told(lambda: self._status(deployment, state, url, text, attempted))

    def _told[Found](self, tell: Callable[[], Found]) -> Found | None:
        if not self._may:
            return None
        try:
            with needing("Deployments: write"):
                return tell()
        except _UNTOLD as error:
            self._may = not isinstance(error, (AccessError, NotVisibleError))
            logger.warning("the apply goes on, and GitHub shows no deployment of it: %s", error)
            return None

    def _unfinished(self, environment: str, sha: str, attempted: str) -> int | None:
        """The newest of ours, if it has not ended."""
        rows = self._client.get(
            self._path, attempted, sha=sha, environment=environment, task=_TASK, per_page=1
        )
        with self._client.translate_errors(attempted):
            found = [_Deployment.of(row) for row in rows]
        own = [row.id for row in found if (row.sha, row.task) == (sha, _TASK)]
        if not own or self._state(own[0], attempted) not in _UNFINISHED:
            return None
        return own[0]

    def _state(self, deployment: int, attempted: str) -> str:
        """How it stands; one without a status is queued."""
        rows = self._client.get(f"{self._path}/{deployment}/statuses", attempted, per_page=1)
        with self._client.translate_errors(attempted):
            return next((_Status.of(row).state for row in rows), "queued")

    def _create(self, environment: str, sha: str, attempted: str) -> int:
        body = {
            "ref": sha,
            "task": _TASK,
            "environment": environment,
            "description": "Applied by xOps",
            # Without these GitHub merges the default branch into the ref, or refuses for a check
            # that waits, which may be our own.
            "auto_merge": False,
            "required_contexts": [],
        }

        def send() -> int:
            answer = self._client.write("POST", self._path, body, attempted)
            with self._client.translate_errors(attempted):
                return _Deployment.of(answer).id

        return write_once(send, lambda: self._unfinished(environment, sha, attempted))

    def _status(self, deployment: int, state: str, url: str, text: str, attempted: str) -> None:
        said = {"log_url": url, "description": text[:DESCRIPTION_LIMIT]}
        body = {"state": state, **{key: value for key, value in said.items() if value}}
        path = f"{self._path}/{deployment}/statuses"
        # To send the same once more is harmless.
        write_once(lambda: self._client.write("POST", path, body, attempted), lambda: None)
