"""Every public example of a delivery is taken.

XOPS_TEST_WEBHOOK_EXAMPLES names the unpacked npm package `@octokit/webhooks-examples` 7.6.1.
"""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.webhooks import KEY, ask, encoded, policy, secrets, signed
from xops.github.delivery import Delivery
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import EVENTS
from xops.github.webhooks.app import create_app

VARIABLE = "XOPS_TEST_WEBHOOK_EXAMPLES"
ROUTES = [{"event": event, "deployment": "a/b"} for event in EVENTS if event != "ping"]

Example = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with @octokit/webhooks-examples 7.6.1")
    assert json.loads((Path(folder) / "package.json").read_text())["version"] == "7.6.1"
    listed = json.loads((Path(folder) / "api.github.com" / "index.json").read_text())
    found = [(event["name"], example) for event in listed for example in event["examples"]]
    assert len(found) == 329
    return found


def _post_all(home: Path, examples: list[Example]) -> list[tuple[int, Delivery, DeliveryState]]:
    """Of each, the status of the answer, and what the inbox holds of it."""
    allowed = policy(repositories=["*/*"], routes=ROUTES)

    async def run() -> list[tuple[int, Delivery, DeliveryState]]:
        async with open_inbox({"XOPS_HOME": str(home)}) as inbox:
            app = create_app(allowed, secrets(), inbox)

            async def post(event: str, payload: dict[str, Any]) -> tuple[int, Any]:
                body, guid = encoded(payload), str(uuid4())
                headers = signed(body, event, KEY, x_github_delivery=guid.encode())
                return (await ask(app, headers, [body])).status, await inbox.find(guid)

            answered = await asyncio.gather(*(post(*example) for example in examples))
            return [(status, row.delivery, row.state) for status, row in answered]

    return asyncio.run(run())


def test_every_public_example_is_taken_and_kept(tmp_path: Path, examples: list[Example]) -> None:
    found = _post_all(tmp_path, examples)
    for (event, payload), (status, delivery, state) in zip(examples, found, strict=True):
        taken = state is DeliveryState.RECEIVED
        assert status == (202 if taken else 200), (event, payload.get("action"))
        assert delivery.event == event
        assert delivery.action == payload.get("action", "")
        assert delivery.repository == (payload.get("repository") or {}).get("full_name", "")
        assert delivery.sender == (payload.get("sender") or {}).get("login", "")
    kinds = Counter(event for (event, _), (status, *_) in zip(examples, found, strict=True)
                    if status == 202)  # fmt: skip
    assert kinds == {
        "membership": 5, "merge_group": 2, "organization": 5, "pull_request": 29,
        "pull_request_review": 4, "push": 7, "team": 6,
    }  # fmt: skip


def test_of_the_events_that_are_used_the_fields_are_those_of_the_payload(
    tmp_path: Path, examples: list[Example]
) -> None:
    for (event, payload), (_, found, _) in zip(
        examples, _post_all(tmp_path, examples), strict=True
    ):
        if event in ("pull_request", "pull_request_review"):
            request = payload["pull_request"]
            assert found.number == request["number"]
            assert found.head_sha == request["head"]["sha"]
            assert (found.base_ref, found.base_sha) == tuple(
                request["base"][k] for k in ("ref", "sha")
            )
            assert found.merged is bool(request.get("merged"))
        if event == "pull_request_review":
            review = payload["review"]
            assert (found.review_id, found.commit) == (review["id"], review["commit_id"])
            assert found.review_state == review["state"]
        if event == "push":
            assert (found.ref, found.after) == (payload["ref"], payload["after"])
            assert found.paths_complete
        if event in ("membership", "team"):
            assert found.team == payload["team"].get("slug", "")
            assert found.organisation == payload["organization"]["login"]
        if event == "ping":
            assert found.hook_id == payload["hook_id"]
        if event == "merge_group":
            assert found.head_sha == payload["merge_group"]["head_sha"]
            assert f"refs/heads/{found.base_ref}" == payload["merge_group"]["base_ref"]
