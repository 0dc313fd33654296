"""What Prefect knows of runs that ended without a word, and records that wait on its server.

A run on ECS or Kubernetes takes its disk with it: what the evidence store did not take then waits
as an artifact, until another run brings it in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound

from xops.core.lifecycle.runs import how_command_ended
from xops.core.rendering import Markdown, Plain


def how_run_ended(run: Mapping[str, Any]) -> str | None:
    """How a run of Prefect or of a command has ended; None if it goes on, or nobody can tell."""
    if run.get("by") != "prefect":
        return how_command_ended(run)
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run["id"])).state
        except ObjectNotFound:
            return "its run is no longer known to Prefect"
    if state is None:
        return None
    if state.is_final():
        said = f": {state.message}" if state.message else ""
        return Plain.render(f"its run has ended as {state.name}{said}")
    timeout = state.state_details.pause_timeout
    if state.is_paused() and timeout and timeout < datetime.now(UTC):
        return "its time to be answered is over"
    return None


class WaitingArtifacts:
    """Records about one subject that wait as artifacts, one for each."""

    def __init__(self, subject: str) -> None:
        self._key = f"evidence-waiting-{subject.replace('/', '-')}"

    def keep(self, name: str, content: str) -> str:
        """Make the artifact; where it is found."""
        body = as_block(name, content)
        create_markdown_artifact(
            body, key=self._key, description="A record that waits for its evidence store."
        )
        return f"artifact {self._key}"

    def read(self) -> Mapping[str, str]:
        """All of them, by name."""
        return {row["name"]: row["content"] for _, row in self._artifacts()}

    def remove(self, name: str) -> None:
        """Delete one; it may be gone already."""
        with get_client(sync_client=True) as client:
            for identity, row in self._artifacts():
                if row["name"] == name:
                    client.delete_artifact(identity)

    def _artifacts(self) -> list[tuple[UUID, dict[str, str]]]:
        with get_client(sync_client=True) as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[self._key]))
            found = client.read_artifacts(artifact_filter=wanted)
        return [(artifact.id, read_block(str(artifact.data))) for artifact in found]


def as_block(name: str, content: str) -> Markdown:
    """A record in a form that a person can look at: JSON in one line of ASCII that is printed."""
    line = json.dumps({"name": name, "content": content}).replace("\x7f", "\\u007f")
    return Markdown.block([line])


def read_block(data: str) -> dict[str, str]:
    """The record's name and content."""
    found: dict[str, str] = json.loads(data.split("\n")[1])
    return found
