"""Events that tell what came of a delivery."""

import json
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.github.dispatch.deliveries import NOW, delivery
from xops.github.dispatch import events

KEY = "gh:1:plan/plan"
MOST_BYTES = 256 * 1024


def read(posted: events.Posted) -> dict[str, Any]:
    identity, body = posted
    event: dict[str, Any] = json.loads(body)
    assert UUID(event["id"]) == identity
    return event


def test_a_run_is_told_of_about_its_repository_with_the_pull_request_and_the_sender() -> None:
    one = delivery(action="opened").model_copy(update={"number": 12})
    event = read(events.run_created(one, "plan/plan", "run-1", KEY, NOW))
    assert event["event"] == "github.pull_request.opened"
    assert event["occurred"] == NOW.isoformat()
    assert event["resource"] == {
        "prefect.resource.id": "github.repository.acme/platform",
        "prefect.resource.name": "acme/platform",
    }
    roles = {row["prefect.resource.role"]: row["prefect.resource.id"] for row in event["related"]}
    assert roles == {
        "pull-request": "github.pull-request.acme/platform#12",
        "sender": "github.user.ada",
        "flow-run": "prefect.flow-run.run-1",
    }
    assert event["payload"]["deployment"] == "plan/plan"
    assert event["payload"]["delivery"] == one.id


def test_an_event_has_the_same_id_whenever_it_is_told_and_another_for_each_key() -> None:
    one = delivery()
    first, again, other = (
        events.run_created(one, "d/d", "r", key, NOW)[0] for key in (KEY, KEY, f"{KEY}:replay-1")
    )
    assert first == again != other
    assert events.dead(one, KEY, NOW, "why")[0] not in (first, other)


def test_a_dead_delivery_says_why_and_what_to_do() -> None:
    event = read(events.dead(delivery(action="opened"), KEY, NOW, "no such deployment"))
    assert event["event"] == events.DEAD
    assert event["resource"]["prefect.resource.id"].startswith("xops.github.delivery.00000000-")
    assert event["payload"]["summary"] == (
        "pull_request.opened of acme/platform: no such deployment"
    )
    assert "xops github replay 00000000-" in event["payload"]["remedy"]


def test_a_merge_can_be_told_from_a_closed_pull_request_by_a_label() -> None:
    for merged, label in ((True, {"github.merged": "true"}), (False, {})):
        one = delivery(action="closed", merged=merged)
        resource = read(events.run_created(one, "d/d", "r", KEY, NOW))["resource"]
        assert {k: v for k, v in resource.items() if k.startswith("github.")} == label


def test_an_event_of_an_organisation_is_about_it() -> None:
    one = delivery("membership", action="added", repository="", team="platform", member="eve")
    event = read(events.members_changed(one, KEY, NOW))
    assert event["event"] == "github.membership.added"
    assert event["resource"]["prefect.resource.id"] == "github.organisation.acme"
    assert event["payload"]["team"] == "platform"


words = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)
lines = words.map(lambda word: (word * 1024)[:1024])


PATHS = tuple(["x" * 4096] * 3000)


@examples(10)
@given(ref=lines, base_ref=lines, sender=lines, action=lines)
def test_whatever_a_stranger_writes_an_event_is_small_and_harmless(
    ref: str, base_ref: str, sender: str, action: str
) -> None:
    one = delivery(ref=ref, base_ref=base_ref, sender=sender, action=action)
    one = one.model_copy(update={"paths": PATHS})
    for posted in (
        events.run_created(one, "d/d", "r", KEY, NOW),
        events.dead(one, KEY, NOW, "x" * 100_000),
    ):
        assert len(posted[1]) < MOST_BYTES
        event = read(posted)
        assert event["event"].isprintable()
        assert len(event["event"]) <= 1024
        assert len(event["related"]) <= 100
