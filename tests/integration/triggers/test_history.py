"""The history in real databases: appended once, never changed, recomputed, two at once."""

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.postgres_server import Postgres
from tests.unit.triggers.samples import MONDAY, NOW, WEEK, facts, mandate, policy
from xops.core.errors import InputError, PermanentError, TemporaryError
from xops.triggers.evaluation import Evaluation, evaluate
from xops.triggers.history.activations import ACTIVATED, DEACTIVATED
from xops.triggers.history.decisions import acknowledge
from xops.triggers.history.ledger import History, Ledger
from xops.triggers.history.record import evaluate_and_record, recorded_readings
from xops.triggers.history.verification import explain, verify
from xops.triggers.machine import Decision


@pytest.fixture(params=["sqlite", "postgresql"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    if request.param == "sqlite":
        return History(f"sqlite:///{tmp_path}/made/history.sqlite")
    server: Postgres = request.getfixturevalue("postgres")
    name = f"h{uuid4().hex}"
    asyncio.run(execute(server.url(), f"CREATE DATABASE {name}"))
    return History(server.url(database=name))


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def remember(history: History, values: list[int | None], **others: Any) -> Evaluation:
    found = facts(values, **others)
    return evaluate_and_record(history, policy(), found, found.as_of, NOW)


def states(evaluation: Evaluation) -> dict[str, str]:
    return {row.trigger: row.state for row in evaluation.triggers}


def count(history: History) -> int:
    return history.transact(lambda ledger: len(ledger.entries()))


def test_what_is_remembered_is_what_is_judged_on_its_own(history: History) -> None:
    found = facts([6, 6, None, 6, 6], mandates=[mandate("2025-09-20", "2026-09-20")])
    for weeks in range(1, 5):
        remember(history, [6, 6, None, 6][:weeks])
    last = evaluate_and_record(history, policy(), found, found.as_of, NOW)
    alone = evaluate(policy(), found, found.as_of)
    assert states(last)["iac_prs"] == states(alone)["iac_prs"] == "active"
    # Three a week; both activations have an entry as well.
    assert count(history) == 17
    assert last.recorded == "4 entries were added"


def test_the_same_week_again_adds_nothing(history: History) -> None:
    first = remember(history, [6, 6, 6])
    again = remember(history, [6, 6, 6])
    assert states(first) == states(again)
    assert count(history) == 10
    assert "nothing is new" in again.recorded


def test_a_mandate_of_a_later_day_of_the_week_is_seen(history: History) -> None:
    remember(history, [0])
    day = MONDAY + WEEK + timedelta(days=2)
    mandates = [mandate(str(day), "2027-01-01")]
    later = facts([0], mandates=mandates).model_copy(update={"as_of": day})
    found = evaluate_and_record(history, policy(), later, day, NOW)
    assert states(found)["second_cloud"] == "active"
    assert count(history) == 5
    assert [event.name for event in history.pending_events()] == [ACTIVATED]
    # The next Monday looks at no day before that again.
    after = remember(history, [0, 0], mandates=mandates)
    assert states(after)["second_cloud"] == "active"
    assert count(history) == 8


def test_a_mandate_that_is_declared_after_the_look_of_the_day_is_seen_on_that_day(
    history: History,
) -> None:
    azure = mandate("2025-09-20", "2027-01-01")
    gcp = mandate("2025-09-20", "2027-01-01", subject="gcp")
    broken = {**azure, "valid": False, "reason": "changed by a stranger"}
    remember(history, [0], mandates=[])
    for rows, subjects in (([azure], ("azure",)), ([azure, gcp], ("azure", "gcp"))):
        for _ in range(2):
            row = remember(history, [0], mandates=rows).triggers[2]
            assert (row.active, row.subjects) == (True, subjects)
    # What cannot be told takes nothing away that was known that day.
    for unclear in ([broken], [gcp, broken], None):
        assert remember(history, [0], mandates=unclear).triggers[2].subjects == ("azure", "gcp")
    assert not remember(history, [0], mandates=[]).triggers[2].active
    told = [event.payload for event in history.pending_events()]
    assert [(row["event"], row["reason"]) for row in told] == [
        ("activated", "2025-09-22 was looked at again: a mandate is in force for azure"),
        ("changed", "gcp was added"),
        ("deactivated", "2025-09-22 was looked at again: no mandate is in force"),
    ]  # fmt: skip
    assert explain(history, "second_cloud").agrees
    assert verify(history).problems == ()


def test_a_day_behind_a_later_one_is_not_looked_at_again(history: History) -> None:
    later = facts([0], mandates=[]).model_copy(update={"as_of": MONDAY + WEEK + timedelta(days=2)})
    remember(history, [0])
    evaluate_and_record(history, policy(), later, later.as_of, NOW)
    found = remember(history, [0], mandates=[mandate("2025-09-20", "2027-01-01")])
    assert "nothing is new" in found.recorded


def test_the_clock_may_not_go_back(history: History) -> None:
    remember(history, [6, 6])
    with pytest.raises(InputError, match="2025-09-22 lies before 2025-09-29"):
        remember(history, [6])
    assert count(history) == 6
    # Within the week it may: nothing is added.
    day = MONDAY + 2 * WEEK + timedelta(days=3)
    late = facts([6, 6]).model_copy(update={"as_of": day})
    evaluate_and_record(history, policy(), late, day, NOW)
    remember(history, [6, 6])
    assert count(history) == 7  # the mandates of that day


def test_a_day_to_come_is_not_remembered(history: History) -> None:
    day = NOW.date() + timedelta(days=1)  # the 16th at 17:00 in Sydney
    with pytest.raises(InputError, match="2026-03-17 lies in the future: today is 2026-03-16"):
        evaluate_and_record(history, policy(), facts([6]), day, NOW)


def test_two_at_once_add_once(history: History) -> None:
    remember(history, [6, 6])
    barrier, results, failures = threading.Barrier(4), [], []

    def go() -> None:
        barrier.wait()
        try:
            results.append(remember(history, [6, 6, 6]))
        except Exception as error:  # noqa: BLE001 - seen by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(row.recorded for row in results)[0] == "4 entries were added"
    assert [row.recorded for row in results].count("4 entries were added") == 1
    assert len({row.triggers[0].activation for row in results}) == 1
    assert {str(states(row)) for row in results} == {str(states(results[0]))}
    assert count(history) == 10
    assert len(history.pending_events()) == 1
    assert verify(history).problems == ()


def test_nothing_of_an_evaluation_that_fails_is_kept(history: History) -> None:
    remember(history, [6, 6])

    def fail(ledger: Ledger) -> None:
        entry = ledger.last()
        assert entry
        ledger.append(entry.model_copy(update={"revision": 9}))
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        history.transact(fail)
    assert count(history) == 6
    assert verify(history).problems == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE xops_trigger_entries SET body = '{}'",
        "DELETE FROM xops_trigger_entries",
        "DELETE FROM xops_trigger_documents",
        "UPDATE xops_trigger_history SET id = ''",
    ],
)
def test_the_database_refuses_to_change_the_past(history: History, statement: str) -> None:
    remember(history, [6])

    def change(ledger: Ledger) -> None:
        ledger._connection.exec_driver_sql(statement)

    with pytest.raises(PermanentError, match="append-only"):
        history.transact(change)
    assert count(history) == 3


def test_the_same_week_cannot_be_entered_twice_behind_our_back(history: History) -> None:
    remember(history, [6])

    def twice(ledger: Ledger) -> None:
        entry = ledger.last()
        assert entry
        ledger.append(entry)

    with pytest.raises(PermanentError):
        history.transact(twice)


def test_every_verdict_can_be_recomputed(history: History) -> None:
    remember(history, [6, 6, 6], mandates=[mandate("2025-09-20", "2025-10-01")])
    acknowledge(history, policy(), "iac_prs", decision=Decision.ACCEPTED, by="me", reason="yes",
                now=NOW, today=NOW.date())  # fmt: skip
    remember(history, [6, 6, 6, None])
    remember(history, [6, 6, 6, None, 3])
    found = remember(history, [6, 6, 6, 4, 3])
    assert "2 entries were added" in found.recorded
    entries = history.transact(lambda ledger: ledger.entries())
    assert len(entries) == 19
    for entry in entries:
        for_period = explain(history, entry.trigger, entry.period)
        assert for_period.agrees, for_period.problems
    latest = explain(history, "iac_prs")
    assert latest.state == latest.recomputed == "cooling (1 of 4), accepted by me"
    assert verify(history).problems == ()


def test_a_verdict_that_was_forged_is_found_out(tmp_path: Path) -> None:
    history = History(f"sqlite:///{tmp_path}/h.sqlite")
    remember(history, [6, 6, 6])
    with closing(sqlite3.connect(tmp_path / "h.sqlite")) as file, file:
        file.execute("DROP TRIGGER xops_trigger_entries_no_UPDATE")
        file.execute(
            'UPDATE xops_trigger_entries SET body = replace(body, \'"phase":"active"\','
            " '\"phase\":\"inactive\"') WHERE trigger_name = 'iac_prs'"
        )
    found = explain(history, "iac_prs")
    assert not found.agrees
    assert (found.state, found.recomputed) == ("inactive", "active")
    assert any("was changed after it was made" in text for text in found.problems)
    assert verify(history).problems


def test_later_facts_do_not_rewrite_what_was_known(history: History) -> None:
    remember(history, [6, 6, 6])
    found = remember(history, [6, 0, 6, 6])
    assert states(found)["iac_prs"] == "active"
    assert any("recorded with 6, the facts now say 0" in text for text in found.warnings)


def test_an_event_waits_until_it_was_sent(history: History) -> None:
    remember(history, [6, 6, 6])
    (event,) = history.pending_events()
    assert event.name == ACTIVATED
    assert event.payload["components"] == ["k3s", "atlantis"]
    remember(history, [6, 6, 6, 6])
    assert history.pending_events() == [event]
    history.mark_sent(event.id, NOW)
    assert history.pending_events() == []
    remember(history, [6, 6, 6, 6, 0, 0, 0, 0])
    (ended,) = history.pending_events()
    assert (ended.name, ended.trigger) == (DEACTIVATED, "iac_prs")
    assert ended.payload["activation"] == event.payload["activation"]


def test_a_history_that_is_begun_anew_tells_of_other_activations(tmp_path: Path) -> None:
    """The server knows the events of the one before, by their ids, and takes none of them again."""
    histories = [History(f"sqlite:///{tmp_path}/{name}.sqlite") for name in ("a", "b")]
    verdicts = [remember(history, [6, 6, 6]).triggers[0] for history in histories]
    assert len({row.activation for row in verdicts}) == 2
    assert len({event.id for history in histories for event in history.pending_events()}) == 2


def test_a_history_restored_from_a_backup_tells_of_the_same_activation(tmp_path: Path) -> None:
    history = History(f"sqlite:///{tmp_path}/h.sqlite")
    remember(history, [6])
    shutil.copy(tmp_path / "h.sqlite", tmp_path / "backup.sqlite")
    backup = History(f"sqlite:///{tmp_path}/backup.sqlite")
    first, again = (remember(row, [6, 6, 6]).triggers[0] for row in (history, backup))
    assert first.activation == again.activation is not None
    assert history.pending_events()[0].id == backup.pending_events()[0].id


def test_what_became_active_and_ended_unseen_sends_nothing(history: History) -> None:
    remember(history, [6, 6, 6, 0, 0, 0, 0])
    assert history.pending_events() == []


def test_decisions_need_something_active(history: History) -> None:
    def decide(name: str) -> Any:
        return acknowledge(history, policy(), name, decision=Decision.REJECTED, by="me",
                           reason="too dear", now=NOW, today=NOW.date())  # fmt: skip

    with pytest.raises(InputError, match="is inactive"):
        decide("iac_prs")
    remember(history, [6, 6, 6])
    with pytest.raises(InputError, match="no trigger 'nothing'"):
        decide("nothing")
    assert decide("iac_prs").decided.by == "me"
    assert states(remember(history, [6, 6, 6, 6]))["iac_prs"] == "active, rejected by me"
    ended = remember(history, [6, 6, 6, 6, 0, 0, 0, 0])
    assert states(ended)["iac_prs"] == "inactive"


def test_what_the_history_read_is_there_to_be_replayed(history: History) -> None:
    with pytest.raises(InputError, match="is empty"):
        recorded_readings(history)
    remember(history, [6, None])
    found = recorded_readings(history)
    assert [row.value for row in found.readings["iac_prs"]] == [6, None]
    assert found.entries == 6
    until = recorded_readings(history, policy(), MONDAY + WEEK + timedelta(days=3))
    assert [row.value for row in until.readings["iac_prs"]] == [6]
    assert len(until.readings["second_cloud"]) == 1
    with pytest.raises(InputError, match="no reading of the policy platform up to 2025-01-01"):
        recorded_readings(history, policy(), date(2025, 1, 1))
    with pytest.raises(InputError, match="no reading of the policy another"):
        recorded_readings(history, policy(name="another"))


def test_nothing_to_explain(history: History) -> None:
    with pytest.raises(InputError, match="no verdict"):
        explain(history, "iac_prs")
    remember(history, [6])
    with pytest.raises(InputError, match="for the period 2020-01-06"):
        explain(history, "iac_prs", date(2020, 1, 6))


@pytest.mark.parametrize("url", ["", "nothing", "mysql://a:canary@b/c", "sqlite"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        History(url)
    assert "canary" not in str(caught.value)


def test_a_server_that_does_not_answer_may_answer_later() -> None:
    with pytest.raises(TemporaryError) as caught:
        count(History("postgresql://xops:canary@127.0.0.1:1/postgres"))
    assert "canary" not in str(caught.value)


def test_a_wrong_password_is_no_matter_of_time(postgres: Postgres) -> None:
    with pytest.raises(PermanentError, match="password authentication failed") as caught:
        count(History(postgres.url("xops:wrong-canary")))
    assert "canary" not in str(caught.value)


def test_a_database_that_is_not_there(postgres: Postgres) -> None:
    with pytest.raises(PermanentError, match="does not exist"):
        count(History(postgres.url(database="nothing")))


def test_a_locked_file_may_be_free_later(tmp_path: Path) -> None:
    history = History(f"sqlite:///{tmp_path}/h.sqlite", wait_seconds=0)
    remember(history, [6])
    other = sqlite3.connect(tmp_path / "h.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(TemporaryError, match="locked"):
            remember(history, [6, 6])
    finally:
        other.close()
    assert "added" in remember(history, [6, 6]).recorded


def test_the_default_is_a_file_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    remember(History.open({}), [6])
    assert (tmp_path / "triggers" / "history.sqlite").is_file()
    assert "127.0.0.1" in str(History.open({"XOPS_TRIGGERS_HISTORY": "postgresql://127.0.0.1/x"}))
