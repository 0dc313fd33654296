"""Prefect's API as these tests use it: runs are started, watched and cancelled over HTTP."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Embedded
from tests.waiting import PATIENCE

DEADLINE = 900.0 * PATIENCE


class PrefectApi:
    """One server."""

    def __init__(self, stack: Embedded) -> None:
        user, _, password = stack.secret.partition(":")
        self._http = httpx.Client(base_url=f"{stack.ui}/api", auth=(user, password), timeout=60)

    def start(self, deployment: str, parameters: Mapping[str, Any]) -> str:
        """Start a deployed flow; the run's id."""
        found = self._http.get(f"/deployments/name/{deployment}").raise_for_status().json()
        run = self._http.post(
            f"/deployments/{found['id']}/create_flow_run", json={"parameters": parameters}
        )
        return str(run.raise_for_status().json()["id"])

    def deployments(self) -> dict[str, dict[str, Any]]:
        """What is deployed, by name."""
        found = self._http.post("/deployments/filter", json={}).raise_for_status().json()
        return {row["name"]: row for row in found}

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as it is now."""
        found: dict[str, Any] = self._http.get(f"/flow_runs/{run_id}").raise_for_status().json()
        return found

    def asked_for(self, flow: str) -> set[str]:
        """The runs of a flow that somebody has asked for, scheduled ones left out."""
        wanted = {
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 200,
            "flows": {"name": {"any_": [flow]}},
        }
        runs = self._http.post("/flow_runs/filter", json=wanted).raise_for_status().json()
        return {run["id"] for run in runs if not run["auto_scheduled"]}

    def new_run(self, flow: str, before: set[str]) -> str:
        """The run of a flow that was asked for since `before`."""
        return str(self.until(lambda: self.asked_for(flow) - before, f"a run of {flow}").pop())

    def cancel(self, run_id: str) -> None:
        """What the UI's Cancel button does."""
        state = {"type": "CANCELLING", "name": "Cancelling"}
        self._http.post(f"/flow_runs/{run_id}/set_state", json={"state": state}).raise_for_status()

    def held(self, slot: str) -> int:
        """How many hold a slot now."""
        found = self._http.get(f"/v2/concurrency_limits/{slot}").raise_for_status().json()
        return int(found["active_slots"])

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """The run's artifacts by key."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        found = self._http.post("/artifacts/filter", json=wanted).raise_for_status().json()
        return {artifact["key"]: artifact for artifact in found if artifact["key"]}

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of one name."""
        wanted = {"filter": {"event": {"name": [name]}}}
        found = self._http.post("/events/filter", json=wanted).raise_for_status().json()
        return list(found["events"])

    def wait(self, run_id: str, *names: str) -> dict[str, Any]:
        """Wait for a state of one of these names or types; another final state is a failure."""
        return self.until(lambda: self._if_named(run_id, names), f"run {run_id} in {names}")

    def _if_named(self, run_id: str, names: tuple[str, ...]) -> dict[str, Any] | None:
        run = self.run(run_id)
        # A final state has a name of its own: Applied and Rejected are Completed, too.
        if {run["state_name"], str(run["state_type"]).capitalize()}.intersection(names):
            return run
        if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            pytest.fail(f"the run ended as {run['state_name']}: {run['state']['message']}")
        return None

    def until[Found](self, look: Callable[[], Found | None], what: str) -> Found:
        """Look every half second until there is something to be seen."""
        give_up = time.monotonic() + DEADLINE
        while not (found := look()):
            if time.monotonic() > give_up:
                pytest.fail(f"not seen within {DEADLINE:.0f} s: {what}")
            time.sleep(0.5)
        return found
