"""Readings of another origin never continue a history: the verdict is the same from wherever it is
measured, or it says what is measured otherwise."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.triggers.story import QUICK, TWO, Story, day
from tests.integration.triggers.test_history import execute
from tests.postgres_server import Postgres
from tests.unit.triggers.samples import (
    FAILURE,
    MONDAY,
    NOW,
    WEEK,
    facts,
    mandate,
    origin,
    policy,
)
from xops.core.errors import InputError, PermanentError
from xops.core.files.canonical_json import digest_of
from xops.triggers.history.ledger import History
from xops.triggers.history.record import evaluate_and_record, recorded_readings
from xops.triggers.history.verification import explain, verify


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "history.sqlite")


def test_a_policy_does_not_get_another_sources_verdict(story: Story) -> None:
    """The same policy file name and trigger, measured from another organisation's repository."""
    begun = story.weeks([6, 7, 8], origin=origin("home/ops"))
    assert begun.active
    row = story.weeks([0, 0, 0], origin=origin("terraform/eks"))
    assert (row.active, row.value) == (False, 0)
    assert row.former
    assert (row.former.state, row.former.last) == ("active", MONDAY + 2 * WEEK)
    assert row.former.changed == (
        "measured from terraform/eks as well", "no longer measured from home/ops",
    )  # fmt: skip
    assert row.warnings[0] == (
        "a new series begins: measured from terraform/eks as well; no longer measured from"
        " home/ops; before, up to 2025-09-29: active"
    )
    assert story.last
    assert not any("the history stands" in text for text in story.last.warnings)
    events = story.told()
    assert [event.name for event in events] == [
        "xops.trigger.activated",
        "xops.trigger.deactivated",
    ]
    assert events[1].payload["reason"].startswith("measured otherwise; measured from terraform/eks")
    # The next week nothing is said of it any more but what was before.
    later = story.weeks([0] * 4, origin=origin("terraform/eks"))
    assert later.warnings == ()
    assert later.former == row.former
    assert story.is_whole()


def test_two_policies_share_a_history(story: Story) -> None:
    other = Story(story.file, {"name": "home", "triggers": {"iac_prs": QUICK}})
    assert story.weeks([6]).active
    assert not other.weeks([0], origin=origin("home/ops")).active
    assert other.verdict("iac_prs").former is None
    assert story.weeks([6, 7]).active
    assert story.names() == ["activated"]
    found = recorded_readings(story.history, policy(**other.rules)).readings["iac_prs"]
    assert [row.value for row in found] == [0]
    assert explain(story.history, "iac_prs", policy_name="home").value == 0
    assert explain(story.history, "iac_prs").value == 7
    # Each has its own last day.
    other.weeks([0])
    with pytest.raises(InputError, match="up to which the history of platform goes"):
        story.weeks([6])


def test_going_back_goes_on_with_the_earlier_series(story: Story) -> None:
    one, two = origin("acme/a"), origin("acme/a", "acme/b")
    begun = story.weeks([6], origin=one)
    carried = story.weeks([9, 9], origin=two)
    assert carried.activation == begun.activation
    back = story.weeks([6, 6, 6], origin=one)
    assert back.warnings[0].startswith("an earlier series goes on: no longer measured from acme/b")
    assert [point.value for point in back.series] == [6, 6, 6]
    assert back.activation == begun.activation
    assert story.names() == ["activated"]
    assert len({entry.series for entry in story.entries()}) == 2
    # To and fro within a week adds nothing, and each gives its own verdict.
    assert story.weeks([0, 0, 0], origin=origin("other/x")).activation is None
    again = story.weeks([6, 6, 6], origin=one)
    assert (again.active, again.number) == (True, 2)
    assert story.names() == ["deactivated", "activated"]
    assert explain(story.history, "iac_prs").value == 6
    story.weeks([0, 0, 0], origin=origin("other/x"))
    (event,) = story.told()
    assert event.payload["reason"].startswith("measured otherwise; measured from other/x as well")
    assert explain(story.history, "iac_prs").value == 0
    assert story.is_whole()


def test_weeks_in_which_another_series_was_measured_are_not_told_when_going_back(
    story: Story,
) -> None:
    begun = story.weeks([0, 8])
    for weeks in range(3, 6):
        carried = story.weeks([0, 8] + [9] * (weeks - 2), origin=origin("acme/a", "acme/b"))
        assert carried.activation == begun.activation
    back = story.weeks([0, 8, 0, 0, 0, 9])
    assert (back.active, back.activation) == (True, begun.activation)
    assert story.names() == ["activated"]


def test_a_new_name_of_a_repository_that_cannot_be_read_yet_is_the_same_once_it_can(
    story: Story,
) -> None:
    story.weeks([6], origin=origin(("acme/a", "1")))
    asked = story.weeks([6, 6], origin=origin(("acme/new", "")))
    assert asked.former
    known = story.weeks([6, 6, 6], origin=origin(("acme/new", "1")))
    first = story.entries()[0].series
    document = explain(story.history, "iac_prs").series
    assert document
    assert document["continues"] == first
    assert known.number == 1


def test_a_repository_that_is_unreadable_or_renamed_starts_no_series(story: Story) -> None:
    measured = [(("acme/a", "1"),), (("acme/a", ""),), (("acme/new", "1"),), (("acme/new", ""),)]
    for index, rows in enumerate(measured):
        row = story.weeks([6] * (index + 1), origin=origin(*rows))
        assert (row.former, row.number) == (None, 1)
    row = story.weeks([6] * 5, origin=origin(("acme/new", "2")))
    assert row.former
    assert row.former.changed == ("acme/new is another repository now",)
    assert story.is_whole()


@pytest.mark.parametrize(
    ("others", "rules", "changed"),
    [
        ({"classification": "c2"}, {}, "patterns of kinds"),
        ({"machines": "m2"}, {}, "machines are told from people"),
        ({}, {"timezone": "Europe/Berlin"}, "the time zone is Europe/Berlin instead of Australia"),
        ({}, {"triggers": {"iac_prs": {**QUICK, "enter": {"above": 7}}}}, "the threshold: > 7"),
    ],
)
def test_what_is_counted_otherwise_is_told_and_counted_from_the_facts_own_weeks(
    story: Story, others: dict[str, Any], rules: dict[str, Any], changed: str
) -> None:
    begun = story.weeks([6, 6])
    story.rules = {**story.rules, **rules}
    row = story.weeks([6, 6, 9], origin=origin("acme/a", **others))
    assert row.former
    assert changed in " ".join(row.former.changed)
    assert [point.period for point in row.series] == [MONDAY + WEEK * n for n in range(3)]
    # Both say that it is active: it is the same activation.
    assert row.activation == begun.activation
    assert story.names() == ["activated"]
    for entry in story.entries():
        assert explain(story.history, "iac_prs", entry.period).agrees


def test_a_series_of_which_nothing_is_known_yet_keeps_the_activation_and_says_so(
    story: Story,
) -> None:
    begun = story.weeks([6])
    kept = story.weeks([None, None], origin=origin("acme/b"))
    assert (kept.active, kept.insufficient, kept.activation) == (True, True, begun.activation)
    assert kept.kept in kept.warnings
    assert kept.state == "insufficient data (active is kept)"
    assert kept.since == begun.since
    assert story.last
    assert story.last.status == "active"
    assert story.decide().decided
    decided = story.weeks([None, None, None], origin=origin("acme/b"))
    assert decided.decided
    assert decided.state == "insufficient data (active is kept), accepted by me"
    assert not story.weeks([None, None, None, 0], origin=origin("acme/b")).active
    assert story.names() == ["activated", "deactivated"]
    assert story.is_whole()


def test_an_end_by_another_series_says_since_when_it_is_inactive(story: Story) -> None:
    """The last week is unknown in both: what ended it is a week before."""
    for values, reason in (([0, 0, 0], "active in none of its weeks"),
                           ([9, 9, 0], "at or below 3 since the week of 2025-09-29")):  # fmt: skip
        story.file = story.file.with_name(f"{values[0]}.sqlite")
        story.weeks([6] * 3)
        assert not story.weeks([*values, None], origin=origin("acme/b")).active
        assert story.told()[-1].payload["reason"].endswith(f": {reason}")


def test_a_failure_is_no_reason_for_another_series(tmp_path: Path) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": TWO})
    selected = origin(selections=["acme: 17"])
    begun = story.weeks([6], origin=selected)
    nothing = {"failure": FAILURE, "mandates": []}
    lost = story.weeks([None] * 2, origin=origin(selections=["acme: ?"]), **nothing)
    assert (lost.activation, lost.former, lost.warnings[0][:22]) == (
        begun.activation, None, "the last value is unkn",
    )  # fmt: skip
    assert story.weeks([6] * 3, origin=selected).former is None
    assert story.is_whole()


def test_other_owners_of_mandates_start_a_series_of_mandates_only(tmp_path: Path) -> None:
    story = Story(tmp_path / "h.sqlite", {"triggers": TWO})
    rows = [mandate("2025-09-01", "2026-09-01")]
    story.weeks([0], mandates=rows)
    story.weeks([0, 0], mandates=[], origin=origin("acme/a", mandates="d2"))
    assert story.verdict("iac_prs").former is None
    former = story.verdict("second_cloud").former
    assert former
    assert "mandates count" in former.changed[0]


def test_the_replay_reads_the_present_series(story: Story) -> None:
    story.weeks([6, 7])
    story.weeks([1, 2], origin=origin("acme/b"))
    found = recorded_readings(story.history, policy(**story.rules)).readings
    assert [row.value for row in found["iac_prs"]] == [1, 2]


def test_week_53_and_weeks_with_other_hours_are_weeks(tmp_path: Path) -> None:
    """2026 has a week 53, which begins on 2026-12-28; clocks in Berlin change on 2026-03-29."""
    rules = {"timezone": "Europe/Berlin", "triggers": {"iac_prs": QUICK}}
    for first, now in ((day("2026-12-21"), "2027-01-11"), (day("2026-03-16"), "2026-04-06")):
        history = History(f"sqlite:///{tmp_path}/{now}.sqlite")
        starts = [first + WEEK * n for n in range(3)]
        for index in range(3):
            weeks = [{"start": str(start), "iac_prs": 6} for start in starts[: index + 1]]
            as_of = starts[index] + WEEK
            found = facts([], weeks=weeks, as_of=str(as_of), timezone="Europe/Berlin")
            moment = NOW.replace(year=2027, month=6)
            last = evaluate_and_record(history, policy(**rules), found, as_of, moment)
        assert [point.period for point in last.triggers[0].series] == starts
        assert last.triggers[0].number == 1
        assert verify(history).problems == ()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_evaluations_at_once_of_two_origins_end_in_one_order(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/h.sqlite"
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        name = f"h{uuid4().hex}"
        asyncio.run(execute(server.url(), f"CREATE DATABASE {name}"))
        url = server.url(database=name)
    barrier, failures = threading.Barrier(4), []

    def go(index: int) -> None:
        measured = origin("acme/a" if index % 2 else "acme/b")
        found = facts([6, 6, 6 * (index % 2)], origin=measured)
        barrier.wait()
        try:
            evaluate_and_record(
                History(url), policy(triggers={"iac_prs": QUICK}), found, found.as_of, NOW
            )
        except Exception as error:  # noqa: BLE001 - seen by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=go, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    history = History(url)
    assert verify(history).problems == ()
    entries = history.transact(lambda ledger: ledger.entries())
    assert len([entry for entry in entries if entry.reading]) == 6
    told = [event.payload["event"] for event in history.pending_events()]
    assert told == [("activated", "deactivated")[index % 2] for index in range(len(told))]


TAMPERING = [
    ("UPDATE xops_trigger_entries SET body = replace(body, '\"value\":6', '\"value\":2')"
     " WHERE sequence = 2", "entry 2 was changed after it was made"),
    ("UPDATE xops_trigger_entries SET trigger_name = 'other' WHERE sequence = 2",
     "entry 2 was changed after it was made"),
    ("UPDATE xops_trigger_entries SET body = 'x' WHERE sequence = 2", "entry 2 was changed"),
    ("DELETE FROM xops_trigger_entries WHERE sequence = 2", "entry 3 does not follow the one"),
    ("UPDATE xops_trigger_entries SET body = body || ' ' WHERE sequence = 99", ""),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "said"), TAMPERING)
def test_nothing_is_built_on_a_history_that_somebody_changed(
    story: Story, statement: str, said: str
) -> None:
    story.weeks([0, 6, 6])
    assert story.is_whole()
    story.tamper(statement)
    if not said:
        assert story.weeks([0, 6, 6, 6]).active
        return
    with pytest.raises(PermanentError, match=said) as caught:
        story.weeks([0, 6, 6, 6])
    assert "xops triggers verify" in caught.value.remedy
    with pytest.raises(PermanentError, match=said):
        story.decide()
    assert any(said in text for text in verify(story.history).problems)


def test_what_was_changed_shows_in_the_explanation_of_every_later_week(story: Story) -> None:
    story.weeks([0, 6, 6, 6])
    story.tamper(TAMPERING[0][0])
    found = explain(story.history, "iac_prs")
    assert not found.agrees
    assert "entry 2 was changed after it was made" in found.problems


def test_documents_that_were_changed_or_are_gone_are_found(story: Story) -> None:
    story.weeks([6])
    entry = story.entries()[0]
    story.tamper("UPDATE xops_trigger_documents SET body = x'00' WHERE hash = ?", entry.facts)
    assert verify(story.history).problems == (f"document {entry.facts} cannot be read",)
    story.tamper("DELETE FROM xops_trigger_documents WHERE hash = ?", entry.facts)
    assert verify(story.history).problems[0] == (
        f"entry 1: its facts, document {entry.facts}, is not there"
    )
    story.tamper("DELETE FROM xops_trigger_documents WHERE hash = ?", entry.series)
    with pytest.raises(PermanentError, match="has no document"):
        story.weeks([6, 6])


def test_entries_of_a_newer_release_verify_and_are_not_read(story: Story) -> None:
    story.weeks([6])
    last = story.entries()[-1]
    body = {**last.model_dump(mode="json", exclude={"hash"}), "colour": "red", "revision": 9,
            "sequence": last.sequence + 1, "previous": last.hash}  # fmt: skip
    hash_ = digest_of(body)
    story.tamper(
        "INSERT INTO xops_trigger_entries SELECT ?, trigger_name, kind, period, 9, ?, ?"
        " FROM xops_trigger_entries WHERE sequence = ?",
        str(last.sequence + 1), hash_, json.dumps({**body, "hash": hash_}), str(last.sequence),
    )  # fmt: skip
    chain = story.history.transact(lambda ledger: list(ledger.chain_problems()))
    assert chain == []
    with pytest.raises(PermanentError, match="cannot read entry 3: colour") as caught:
        story.weeks([6, 6])
    assert "newer release" in caught.value.remedy
