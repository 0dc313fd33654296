"""An activation is one thing from its beginning to its end, whatever is learnt in between."""

import signal
import subprocess
import sys
import tempfile
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.triggers.story import QUICK, TWO, Story
from tests.soak import examples
from tests.unit.triggers.samples import (
    FAILURE,
    IAC_PRS,
    MONDAY,
    SECOND_CLOUD,
    WEEK,
    Value,
    mandate,
    origin,
)
from xops.core.errors import InputError, PermanentError
from xops.core.files.settings import ROOT
from xops.triggers.history.activations import ACTIVATED, CHANGED, DEACTIVATED
from xops.triggers.history.ledger import TriggerEvent
from xops.triggers.history.verification import explain
from xops.triggers.machine import Decision, Phase


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "history.sqlite")


@pytest.fixture
def clouds(tmp_path: Path) -> Story:
    return Story(tmp_path / "history.sqlite", {"triggers": {"second_cloud": SECOND_CLOUD}})


AZURE = mandate("2025-09-20", "2026-09-20", file="azure.yaml")
GCP = mandate("2025-09-20", "2026-09-20", subject="gcp", file="gcp.yaml")
BROKEN = {**AZURE, "valid": False, "reason": "changed by a stranger"}


def test_it_begins_once_and_ends_once(story: Story) -> None:
    begun = story.weeks([0, 6])
    assert (begun.number, begun.since) == (1, MONDAY + WEEK)
    assert story.weeks([0, 6, 7]).activation == begun.activation
    ended = story.weeks([0, 6, 7, 0])
    assert (ended.activation, ended.number) == (None, None)
    activated, deactivated = story.told()
    assert (activated.name, deactivated.name) == (ACTIVATED, DEACTIVATED)
    assert activated.payload["activation"] == deactivated.payload["activation"]
    assert story.last
    (end,) = story.last.ended
    assert (end.activation, end.number, end.since) == (begun.activation, 1, MONDAY + WEEK)
    assert (end.ended, end.reason) == (MONDAY + 3 * WEEK, "the last week is at or below 3")
    again = story.weeks([0, 6, 7, 0, 6])
    assert again.activation not in (None, begun.activation)
    assert again.number == 2
    assert story.names() == ["activated"]
    assert story.is_whole()


def test_the_event_says_all_that_is_needed_to_act(story: Story) -> None:
    pull_request = {"repository": "acme/a", "number": 1, "url": "https://github.com/acme/a/pull/1",
                    "merged_at": f"{MONDAY}T03:00:00Z"}  # fmt: skip
    rows = [{**pull_request, "number": n, "url": f"https://x/{n}"} for n in range(1, 26)]
    week = {"start": str(MONDAY), "complete": False, "reason": "one could not be read",
            "iac_prs": None, "bounds": {"at_least": 25}, "pull_requests": rows}  # fmt: skip
    story.weeks([0], weeks=[week])
    (event,) = story.told()
    payload = event.payload
    entry = story.entries()[-1]
    assert {key: payload[key] for key in payload if key not in ("activation", "evidence")} == {
        "version": "0.1.0",
        "policy_name": "platform",
        "trigger": "iac_prs",
        "kind": "metric",
        "number": 1,
        "event": "activated",
        "since": "2025-09-15",
        "as_of": "2025-09-22",
        "period": "2025-09-15",
        "value": None,
        "bounds": {"at_least": 25, "at_most": None},
        "threshold": "> 5, until <= 3 in 1 of 1",
        "state": "active",
        "subjects": [],
        "action": "Atlantis on K3S",
        "components": ["k3s", "atlantis"],
        "classification": "Service Addition",
        "needs": ["one approval"],
        "cost": {"lowest": "120", "highest": "190", "currency": "USD", "incomplete": True},
        "evidence_more": 5,
        "reason": "the last week is above 5",
        "facts": entry.facts,
        "policy": entry.policy,
        "series": entry.series,
        "entry": entry.sequence,
    }
    assert payload["evidence"] == [f"https://x/{n}" for n in range(6, 26)]


def test_a_start_that_moves_keeps_the_id(tmp_path: Path) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": {"iac_prs": IAC_PRS}})
    begun = story.weeks([6, None, 6, 6])
    learnt = story.weeks([6, 6, 6, 6])  # it began a week earlier
    assert begun.activation == learnt.activation is not None
    assert story.entries()[-1].after.since == MONDAY + 2 * WEEK != begun.since == learnt.since
    ended = story.weeks([6, 6, 6, 6, 0, 0, 0, 0])
    assert not ended.active
    events = story.told()
    assert [event.name for event in events] == [ACTIVATED, DEACTIVATED]
    assert {event.payload["activation"] for event in events} == {str(begun.activation)}


def test_a_week_that_becomes_known_may_begin_or_end_one(story: Story) -> None:
    assert not story.weeks([0, None]).active
    assert story.weeks([0, 6]).active
    (event,) = story.told()
    assert event.payload["reason"] == (
        "the week of 2025-09-22 became known: the last week is above 5"
    )
    assert story.weeks([0, 6, None]).active
    assert not story.weeks([0, 6, 0]).active
    (event,) = story.told()
    assert event.payload["reason"].startswith("the week of 2025-09-29 became known: ")


def test_an_activation_between_learnt_weeks_is_not_ended_and_begun_behind_ones_back(
    story: Story,
) -> None:
    begun = story.weeks([6, None, 6])
    learnt = story.weeks([6, 0, 6])  # it had ended, and begun again
    assert learnt.activation == begun.activation
    assert story.names() == ["activated"]


def test_several_weeks_at_once_tell_each_beginning_and_each_end(story: Story) -> None:
    story.weeks([6])
    last = story.weeks([6, 0, 6, 0, 6])
    events = story.told()
    assert [(event.name, event.payload["number"]) for event in events] == [
        (ACTIVATED, 1), (DEACTIVATED, 1), (ACTIVATED, 2), (DEACTIVATED, 2), (ACTIVATED, 3),
    ]  # fmt: skip
    assert len({event.id for event in events}) == 5
    assert last.number == 3
    assert story.last
    assert [end.number for end in story.last.ended] == [1, 2]
    assert story.is_whole()


def test_nothing_is_told_twice(story: Story) -> None:
    for _ in range(3):
        story.weeks([6])
    assert story.names() == ["activated"]
    for _ in range(3):
        story.weeks([6, 0])
    assert story.names() == ["deactivated"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.integration.triggers.story import Story

Story(Path(sys.argv[1])).weeks([0, 6])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_event_of_a_run_that_was_killed_before_it_was_sent_waits(story: Story) -> None:
    command = [sys.executable, "-c", _KILLED, str(story.file)]
    killed = subprocess.run(command, check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    (waiting,) = story.history.pending_events()
    assert story.weeks([0, 6]).number == 1
    assert story.history.pending_events() == [waiting]


def test_an_event_that_cannot_be_kept_keeps_nothing_of_the_evaluation(story: Story) -> None:
    story.weeks([0])
    entries = story.entries()
    story.tamper("CREATE TRIGGER full BEFORE INSERT ON xops_trigger_outbox"
                 " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")  # fmt: skip
    with pytest.raises(PermanentError, match="the disk is full"):
        story.weeks([0, 6])
    assert story.entries() == entries
    story.tamper("DROP TRIGGER full")
    assert story.weeks([0, 6]).number == 1
    assert story.names() == ["activated"]
    assert story.is_whole()


WEEKS = st.lists(st.sampled_from([0, 3, 6, 9, None, (4, 9), (6, None), (0, 3)]), max_size=8)
STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["acme/a", "acme/b"]), WEEKS), max_size=5
)


def followed(opened: dict[str, Any] | None, event: TriggerEvent) -> dict[str, Any] | None:
    """The open activation after an event, by what was told of it last."""
    if event.name == ACTIVATED:
        assert opened is None
        return event.payload
    assert opened
    assert event.payload["activation"] == opened["activation"]
    assert event.payload["number"] == opened["number"]
    return event.payload if event.name == CHANGED else None


@examples(20)
@given(STEPS)
def test_whatever_happens_what_is_told_is_what_is_shown(
    steps: list[tuple[int, str, list[Value]]],
) -> None:
    """Weeks are added, missed, learnt and measured from here and there, in any order."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder) / "h.sqlite")
        values: list[Value] = []
        opened: dict[str, Any] | None = None
        for count, name, learnt in steps:
            values = [now if old is None else old for old, now in zip_longest(values, learnt)]
            values += [0] * count
            if not values:
                continue
            row = story.weeks(values, origin=origin(name))
            for event in story.told():
                opened = followed(opened, event)
            assert row.active == (opened is not None)
            assert str(row.activation) == str(opened and opened["activation"])
            assert row.number == (opened and opened["number"])
        assert story.is_whole()
        for entry in story.entries():
            assert explain(story.history, "iac_prs", entry.period).agrees


LATER = mandate("2025-10-06", "2025-11-03", subject="gcp", file="later.yaml")
DECLARED = st.none() | st.lists(st.sampled_from([AZURE, GCP, BROKEN, LATER]), max_size=3)
DAYS = st.lists(
    st.tuples(
        st.integers(0, 9), DECLARED, st.sampled_from(["d1", "d2"]), st.booleans(), st.booleans()
    ),
    max_size=6,
)


@examples(20)
@given(DAYS)
def test_whatever_is_declared_what_is_told_is_what_is_shown(
    steps: list[tuple[int, list[dict[str, Any]] | None, str, bool, bool]],
) -> None:
    """Days are looked at again, or missed; owners change; the trigger is removed and comes back."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder) / "h.sqlite")
        today, opened, decided = MONDAY + WEEK, None, False
        for days, rows, owners, removed, decides in steps:
            today += timedelta(days=days)
            story.rules = {"triggers": {"iac_prs": QUICK} if removed else TWO}
            measured = {"mandates": rows, "origin": origin("acme/a", mandates=owners)}
            story.weeks([0] * ((today - MONDAY) // WEEK), as_of=str(today), **measured)
            for event in story.told():
                before, opened = opened, followed(opened, event)
                added = set(event.payload["subjects"]) - set(before["subjects"] if before else ())
                decided = decided and opened is not None and not added
            if removed:
                assert opened is None
                continue
            row = story.verdict("second_cloud")
            assert str(row.activation) == str(opened and opened["activation"])
            assert list(row.subjects) == (opened["subjects"] if opened else [])
            assert (row.active, row.decided is not None) == (opened is not None, decided)
            if decides and opened:
                story.decide(trigger="second_cloud")
                decided = True
        assert story.is_whole()
        for entry in story.entries():
            assert not entry.reading or explain(story.history, entry.trigger, entry.period).agrees


def test_a_mandate_that_cannot_be_told_freezes_and_only_a_real_end_ends(clouds: Story) -> None:
    begun = clouds.weeks([0], mandates=[AZURE])
    unread = {"mandates": None, "mandates_reason": "the folder is not there"}
    for values, others in (([0] * 2, {"mandates": [BROKEN]}), ([0] * 3, unread)):
        frozen = clouds.weeks(values, **others)
        assert (frozen.active, frozen.insufficient) == (True, True)
        assert (frozen.activation, frozen.subjects) == (begun.activation, ("azure",))
    assert clouds.weeks([0] * 4, mandates=[AZURE]).activation == begun.activation
    assert clouds.names() == ["activated"]
    expired = mandate("2025-09-20", str(MONDAY + 5 * WEEK))
    assert not clouds.weeks([0] * 5, mandates=[expired]).active
    again = clouds.weeks([0] * 6, mandates=[expired, mandate(str(MONDAY + 6 * WEEK), "2027-01-01")])
    assert (again.active, again.number) == (True, 2)
    assert again.activation != begun.activation
    ended, activated = clouds.told()
    assert ended.payload["activation"] == str(begun.activation)
    assert (ended.payload["subjects"], ended.payload["reason"]) == (
        ["azure"], "no mandate is in force",
    )  # fmt: skip
    assert activated.payload["activation"] == str(again.activation)
    assert clouds.is_whole()


def test_days_before_an_activation_do_not_end_it_for_other_owners(clouds: Story) -> None:
    """Who declared the mandate is no owner any more: the record leaves it open, the days before it
    do not."""
    late = {"effective_from": str(MONDAY + 3 * WEEK)}
    begun = clouds.weeks([0] * 3, mandates=[{**AZURE, **late}])
    broken = {**BROKEN, **late}
    frozen = clouds.weeks([0] * 4, mandates=[broken], origin=origin("acme/a", mandates="d2"))
    assert (frozen.active, frozen.insufficient) == (True, True)
    assert (frozen.activation, frozen.subjects) == (begun.activation, ("azure",))
    assert clouds.names() == ["activated"]
    assert not clouds.weeks([0] * 5, mandates=[], origin=origin("acme/a", mandates="d2")).active
    assert clouds.names() == ["deactivated"]
    assert clouds.is_whole()


def test_a_trigger_that_comes_back_while_its_mandates_are_unknown_is_for_the_last_known_clouds(
    tmp_path: Path,
) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": TWO})
    story.weeks([0], mandates=[AZURE])
    story.rules = {"triggers": {"iac_prs": QUICK}}
    story.weeks([0, 0], mandates=[AZURE])
    story.told()
    story.rules = {"triggers": TWO}
    story.weeks([0] * 3, mandates=None)
    assert story.verdict("second_cloud").subjects == ("azure",)
    (event,) = story.told()
    assert event.payload["subjects"] == ["azure"]


def test_another_cloud_changes_an_activation_and_asks_people_anew(clouds: Story) -> None:
    begun = clouds.weeks([0], mandates=[AZURE])
    clouds.decide(trigger="second_cloud")
    assert clouds.weeks([0] * 2, mandates=[AZURE]).decided
    changed = clouds.weeks([0] * 3, mandates=[AZURE, GCP])
    assert (changed.activation, changed.subjects) == (begun.activation, ("azure", "gcp"))
    assert changed.decided is None
    event = clouds.told()[-1]
    assert (event.name, event.payload["subjects"]) == (CHANGED, ["azure", "gcp"])
    assert event.payload["reason"] == "gcp was added"
    clouds.decide(trigger="second_cloud")
    # What cannot be told takes nothing away.
    assert clouds.weeks([0] * 4, mandates=[GCP, BROKEN]).subjects == ("azure", "gcp")
    assert clouds.names() == []
    fewer = clouds.weeks([0] * 5, mandates=[GCP])
    assert (fewer.subjects, fewer.decided is not None) == (("gcp",), True)
    (event,) = clouds.told()
    assert event.payload["reason"] == "azure is not in force any more"
    back = clouds.weeks([0] * 6, mandates=[GCP, AZURE])
    assert (back.subjects, back.decided) == (("azure", "gcp"), None)
    (event,) = clouds.told()
    assert clouds.is_whole()


@pytest.mark.parametrize("left", [{}, {"renamed": QUICK}])
def test_a_trigger_that_is_removed_or_renamed_ends_its_activation(
    tmp_path: Path, left: dict[str, Any]
) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": TWO})
    begun = story.weeks([6])
    story.told()
    story.rules = {"triggers": {"second_cloud": SECOND_CLOUD, **left}}
    story.weeks([6, 6])
    assert story.last
    (end,) = story.last.ended
    assert (end.trigger, end.activation, end.ended) == (
        "iac_prs", begun.activation, MONDAY + 2 * WEEK,
    )  # fmt: skip
    events = {event.trigger: event for event in story.told()}
    assert set(events) == {"iac_prs", *left}
    payload = events["iac_prs"].payload
    assert payload["event"] == "deactivated"
    assert payload["components"] == ["k3s", "atlantis"]
    assert payload["reason"] == "the policy platform has no trigger iac_prs any more"
    story.weeks([6, 6])
    assert story.names() == []
    # If it comes back, that is another activation.
    story.rules = {"triggers": TWO}
    assert story.weeks([6, 6, 6]).number == 2
    assert story.is_whole()


def test_what_is_shown_as_active_has_an_activation_when_github_fails_as_well(
    tmp_path: Path,
) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": TWO})
    story.weeks([6])
    story.rules = {"triggers": {"second_cloud": SECOND_CLOUD}}
    story.weeks([6, 6])
    story.rules = {"triggers": TWO}
    row = story.weeks([None] * 3, failure=FAILURE)
    assert (row.active, row.number) == (True, 2)
    # It does not begin before the one before it ended.
    assert row.since == MONDAY + 2 * WEEK
    assert story.names() == ["activated", "deactivated", "activated"]
    assert story.is_whole()


def test_what_is_declared_today_does_not_say_what_was_in_force_on_a_day_before(
    clouds: Story,
) -> None:
    clouds.weeks([0], mandates=[AZURE])
    clouds.weeks([0] * 2, mandates=None, mandates_reason="the clone is shallow")
    clouds.weeks([0] * 3, mandates=[])  # withdrawn, nobody knows on which day
    events = clouds.told()
    assert [event.payload["period"] for event in events] == ["2025-09-22", "2025-10-06"]
    # That one was in force is learnt of a day that is past; and of the day itself, everything.
    clouds.weeks([0] * 4, mandates=[BROKEN])
    assert not clouds.verdict("second_cloud").active
    row = clouds.weeks([0] * 5, mandates=[AZURE])
    assert (row.number, row.since) == (2, MONDAY + 3 * WEEK)
    clouds.weeks([0] * 6, mandates=None)
    assert not clouds.weeks([0] * 6, mandates=[]).active
    assert clouds.is_whole()
    for entry in clouds.entries():
        assert explain(clouds.history, "second_cloud", entry.period).agrees


def test_another_policys_triggers_are_left_alone(tmp_path: Path) -> None:
    first = Story(tmp_path / "h.sqlite", {"triggers": {"iac_prs": QUICK}})
    begun = first.weeks([6])
    other = Story(first.file, {"name": "home", "triggers": {"second_cloud": SECOND_CLOUD}})
    other.weeks([6])
    assert other.last
    assert other.last.ended == ()
    assert first.weeks([6, 6]).activation == begun.activation
    same = Story(first.file, {"name": "home", "triggers": {"iac_prs": QUICK}})
    assert same.weeks([6, 6]).activation not in (None, begun.activation)
    assert first.is_whole()


def test_a_decision_stays_with_its_activation(tmp_path: Path) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": {"iac_prs": IAC_PRS}})
    story.weeks([6, None, 6, 6])
    story.decide(Decision.ACCEPTED)
    for values in ([6, 6, 6, 6], [6, 6, 6, 6, 6]):
        row = story.weeks(values)
        assert row.decided
        assert row.state == "active, accepted by me"
    ended = story.weeks([6, 6, 6, 6, 6, 0, 0, 0, 0])
    assert ended.decided is None
    again = story.weeks([6, 6, 6, 6, 6, 0, 0, 0, 0, 9, 9, 9])
    assert (again.number, again.decided) == (2, None)
    for entry in story.entries():
        assert explain(story.history, "iac_prs", entry.period).agrees


def test_a_week_learnt_of_an_earlier_activation_does_not_get_the_later_ones_decision(
    story: Story,
) -> None:
    story.weeks([6, None, 6])
    story.weeks([6, None, 6, 0])
    story.weeks([6, None, 6, 0, 6])
    story.decide()
    story.weeks([6, 9, 6, 0, 6])
    later = [entry for entry in story.entries() if entry.revision and entry.reading]
    decided = {entry.period: entry.after.decided is not None for entry in later}
    assert list(decided.values()) == [False, False, False, True]


@pytest.mark.parametrize("decision", [Decision.ACCEPTED, Decision.REJECTED])
def test_what_settles_the_matter_needs_a_reason(story: Story, decision: Decision) -> None:
    story.weeks([6])
    with pytest.raises(InputError, match=f"argument reason: is missing: {decision} needs one"):
        story.decide(decision, reason=" ")
    assert story.decide(Decision.ACKNOWLEDGED, reason="").decided


def test_when_github_gives_nothing_weeks_are_shown_and_not_entered(tmp_path: Path) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": TWO})
    begun = story.weeks([6])
    story.told()
    before = len(story.entries())
    nothing = {"failure": FAILURE, "origin": None, "source": "github"}
    row = story.weeks([None, None], mandates=[AZURE], **nothing)
    assert (row.active, row.insufficient, row.phase) == (True, True, Phase.ACTIVE)
    assert (row.activation, row.former, row.kept) == (begun.activation, None, "")
    assert [point.value for point in row.series] == [6, None]
    assert story.last
    assert story.last.failure
    assert story.verdict("second_cloud").active
    added = story.entries()[before:]
    assert {entry.trigger for entry in added} == {"second_cloud"}
    assert story.names() == ["activated"]
    # The next week that can be read fills what was not entered.
    assert [point.value for point in story.weeks([6, 7, 8]).series] == [6, 7, 8]
    assert story.is_whole()


def test_what_a_failed_reading_remembers_begins_and_ends_nothing(story: Story) -> None:
    """No event tells of weeks that are not entered: the verdict does not either."""
    story.weeks([0])
    shown = story.weeks([0, (8, None)], failure=FAILURE)
    assert (shown.active, shown.value, shown.bounds) == (False, None, None)
    assert story.weeks([0, 8]).active
    assert story.weeks([0, 8, 0], failure=FAILURE).active
    assert story.names() == ["activated"]


def test_a_first_evaluation_that_reads_nothing_enters_no_week(story: Story) -> None:
    row = story.weeks([None] * 26, failure=FAILURE)
    assert row.insufficient
    assert story.entries() == []


def test_what_is_looked_into_after_a_decision_is_the_reading(story: Story) -> None:
    begun = story.weeks([2, (6, 9)])
    story.decide()
    found = explain(story.history, "iac_prs")
    assert (found.entry.kind, found.agrees, found.problems) == ("reading", True, ())
    assert (found.value, str(found.bounds), found.reason) == (None, "6 to 9", "GitHub answered 502")
    assert found.state == "active, accepted by me"
    assert found.decided
    assert [row.event for row in found.transitions] == ["activated"]
    assert [row.by for row in found.decisions] == ["me"]
    assert (found.activation, found.number) == (begun.activation, 1)
    assert [(row.counted, row.why) for row in found.window] == [(True, "6 to 9 is above 5")]
    assert found.series
    assert found.series["repositories"] == [{"id": "id of acme/a", "asked": ["acme/a"]}]
    assert "repository acme/a (id id of acme/a)" in found.origin


def test_the_window_that_decided_is_told_week_by_week(tmp_path: Path) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": {"iac_prs": IAC_PRS}})
    story.weeks([5, 6, (4, 6), 7, 8, 3, 4])

    def window(index: int) -> list[tuple[bool, str]]:
        found = explain(story.history, "iac_prs", MONDAY + index * WEEK)
        return [(row.counted, row.why) for row in found.window]

    assert window(4) == [
        (True, "6 is above 5"), (False, "unknown, 4 to 6"), (True, "7 is above 5"),
        (True, "8 is above 5"),
    ]  # fmt: skip
    assert window(6) == [
        (False, "7 is above 3"), (False, "8 is above 3"), (True, "3 is at or below 3"),
        (False, "4 is above 3"),
    ]  # fmt: skip
