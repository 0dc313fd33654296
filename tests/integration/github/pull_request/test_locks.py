"""Locks of environments and shown plans, in a real SQLite and a real PostgreSQL."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from tests.postgres_server import Postgres
from tests.pull_request_values import EARLIER, HEAD, cost, plan, shown
from xops.core.database.exclusive import Database
from xops.core.errors import TemporaryError
from xops.github.inbox.address import VARIABLE
from xops.github.inbox.connection import open_tables
from xops.github.inbox.tables import environment_locks, shown_plans
from xops.github.pull_request import locks as module
from xops.github.pull_request.facts import Holder
from xops.github.pull_request.locks import Locks, ShownPlans

NOW = datetime(2026, 11, 29, 12, 0, 0, 123456, UTC)
LATER = NOW + timedelta(hours=1)
REPOSITORY = "acme/platform"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/github/inbox.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def database(url: str) -> Database:
    return open_tables({VARIABLE: url})


@pytest.fixture
def locks(database: Database) -> Locks:
    return Locks(database)


@pytest.fixture
def plans(database: Database) -> ShownPlans:
    return ShownPlans(database)


def take(locks: Locks, number: int, subject: str = "ecs/test", **values: str) -> Holder | None:
    repository, head = values.get("repository", REPOSITORY), values.get("head", HEAD)
    return locks.take(subject, repository, number, head, NOW)


def test_the_tables_are_those_of_the_inbox() -> None:
    for mine, theirs in ((module._locks, environment_locks), (module._shown, shown_plans)):
        assert mine.name == theirs.name
        assert set(mine.c.keys()) == set(theirs.c.keys())


# Locks


def test_the_second_pull_request_is_told_who_holds_it(locks: Locks) -> None:
    assert take(locks, 7) is None
    assert take(locks, 8) == Holder("ecs/test", REPOSITORY, 7, HEAD, NOW)
    assert take(locks, 7, repository="acme/other") == locks.held()[0]
    assert take(locks, 8, "ecs/prod") is None
    assert [(each.subject, each.number) for each in locks.held()] == [
        ("ecs/prod", 8),
        ("ecs/test", 7),
    ]


def test_the_holder_takes_it_again_with_its_new_head_and_keeps_its_time(locks: Locks) -> None:
    take(locks, 7)
    assert locks.take("ecs/test", "ACME/Platform", 7, EARLIER, LATER) is None
    assert locks.held() == (Holder("ecs/test", REPOSITORY, 7, EARLIER, NOW),)


def test_a_pull_request_keeps_only_what_it_concerns(locks: Locks) -> None:
    for subject in ("ecs/test", "ecs/prod", "ecs/sit"):
        take(locks, 7, subject)
    take(locks, 8, "ecs/peak")
    assert locks.keep("Acme/Platform", 7, ["ecs/prod", "ecs/peak"]) == ("ecs/sit", "ecs/test")
    assert [each.subject for each in locks.held()] == ["ecs/peak", "ecs/prod"]
    assert locks.keep(REPOSITORY, 7) == ("ecs/prod",)
    assert locks.keep(REPOSITORY, 7) == ()
    assert [each.number for each in locks.held()] == [8]


def test_a_lock_is_released_only_from_the_pull_request_that_was_found_closed(locks: Locks) -> None:
    take(locks, 7)
    assert not locks.release_from("ecs/test", REPOSITORY, 8)
    assert not locks.release_from("ecs/test", "acme/other", 7)
    assert not locks.release_from("ecs/prod", REPOSITORY, 7)
    assert take(locks, 8) is not None
    assert locks.release_from("ecs/test", "ACME/platform", 7)
    assert take(locks, 8) is None


def test_an_explicit_unlock_says_who_held_it(locks: Locks) -> None:
    take(locks, 7)
    assert locks.release("ecs/test") == Holder("ecs/test", REPOSITORY, 7, HEAD, NOW)
    assert locks.release("ecs/test") is None
    assert locks.held() == ()


def test_names_with_quotes_are_names(locks: Locks) -> None:
    subject = "ecs/'; DROP TABLE xops_github_environment_locks; --"
    take(locks, 7, subject)
    assert [each.subject for each in locks.held()] == [subject]


_TAKER = """
import json, sys
from datetime import UTC, datetime
from xops.github.inbox.connection import open_tables
from xops.github.pull_request.locks import Locks

number, subjects = int(sys.argv[1]), sys.argv[2:]
locks = Locks(open_tables())
locks.held()  # the tables are there, everything is imported
print("ready", flush=True)
sys.stdin.readline()
for subject in subjects:
    other = locks.take(subject, "acme/platform", number, "a" * 40, datetime.now(UTC))
    print(json.dumps([subject, other.number if other else number]), flush=True)
"""


def test_of_several_processes_at_once_one_takes_each_lock_and_all_are_told_of_it(
    url: str, locks: Locks
) -> None:
    subjects = [f"ecs/e{number}" for number in range(8)]
    with ExitStack() as stack:
        takers = []
        for number in range(4):
            command = [sys.executable, "-c", _TAKER, str(number), *subjects]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, VARIABLE: url},
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            takers.append(process)
        for process in takers:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in takers:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = [
            json.loads(line)
            for process in takers
            for line in process.communicate()[0].split("\n")
            if line
        ]
    held = {each.subject: each.number for each in locks.held()}
    assert sorted(held) == subjects
    assert Counter(subject for subject, _ in told) == dict.fromkeys(subjects, 4)
    assert {(subject, number) for subject, number in told} == set(held.items())


# Shown plans

FIRST = shown(plan("test"), shown_at=NOW)


def test_what_was_shown_comes_back_as_it_was(plans: ShownPlans) -> None:
    dear = shown(plan("test", cost=cost("40", "44")), shown_at=NOW, comment_id=2**40)
    assert plans.find(REPOSITORY, 12, "ecs/test") is None
    assert plans.show(dear) == dear
    assert plans.find("ACME/Platform", 12, "ecs/test") == dear
    assert plans.of(REPOSITORY, 12) == (dear,)
    assert plans.of(REPOSITORY, 13) == ()


def test_the_same_plan_of_the_same_head_is_shown_since_the_first_time(plans: ShownPlans) -> None:
    plans.show(FIRST)
    again = plans.show(replace(FIRST, shown_at=LATER, base_sha=EARLIER, comment_id=8))
    assert again == replace(FIRST, base_sha=EARLIER, comment_id=8)
    assert plans.find(REPOSITORY, 12, "ecs/test") == again


@pytest.mark.parametrize("changed", [{"digest": "0" * 64}, {"head_sha": EARLIER}])
def test_another_digest_or_another_head_is_shown_anew(
    plans: ShownPlans, changed: dict[str, Any]
) -> None:
    plans.show(FIRST)
    other = replace(FIRST, shown_at=LATER, **changed)
    assert plans.show(other) == other
    assert plans.show(replace(FIRST, shown_at=LATER)).shown_at == LATER


def test_a_plan_that_became_too_dear_is_shown_anew(plans: ShownPlans) -> None:
    plans.show(replace(FIRST, cost=cost("40", "44")))
    cheaper = plans.show(replace(FIRST, shown_at=LATER, cost=cost("40", "45")))
    assert (cheaper.shown_at, cheaper.cost) == (NOW, cost("40", "44"))
    dearer = plans.show(replace(FIRST, shown_at=LATER, cost=cost("40", "46")))
    assert (dearer.shown_at, dearer.cost) == (LATER, cost("40", "46"))


def test_what_was_applied_waits_no_more_and_outlives_the_next_plan(plans: ShownPlans) -> None:
    plans.show(FIRST)
    plans.settle("Acme/platform", 12, "ecs/test", LATER)
    noted = plans.find(REPOSITORY, 12, "ecs/test")
    assert noted == replace(FIRST, digest="", applied_at=LATER)
    assert not noted.is_open
    again = plans.show(replace(FIRST, shown_at=LATER))
    assert (again.shown_at, again.applied_at, again.is_open) == (LATER, LATER, True)


def test_what_has_nothing_left_to_apply_was_not_applied_by_it(plans: ShownPlans) -> None:
    plans.show(FIRST)
    plans.settle(REPOSITORY, 12, "ecs/test")
    noted = plans.find(REPOSITORY, 12, "ecs/test")
    assert noted is not None
    assert (noted.is_open, noted.applied_at) == (False, None)
    plans.settle(REPOSITORY, 12, "ecs/prod", LATER)  # nothing of it was ever shown
    assert plans.find(REPOSITORY, 12, "ecs/prod") is None


def test_plans_of_one_pull_request_are_forgotten_together(plans: ShownPlans) -> None:
    for subject in ("ecs/test", "ecs/prod"):
        plans.show(replace(FIRST, subject=subject))
    plans.show(replace(FIRST, number=13))
    assert [each.subject for each in plans.of(REPOSITORY, 12)] == ["ecs/prod", "ecs/test"]
    plans.forget("ACME/platform", 12)
    plans.forget(REPOSITORY, 12)
    assert plans.of(REPOSITORY, 12) == ()
    assert len(plans.of(REPOSITORY, 13)) == 1


def test_a_store_that_is_locked_is_a_reason_to_try_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    tables = open_tables({VARIABLE: url})
    Locks(tables).held()
    impatient = Database(url, tables._tables, title="inbox", variable=VARIABLE, wait_seconds=0.01)
    engine = sql.create_engine(url)
    with engine.connect() as holding:
        holding.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(TemporaryError):
            Locks(impatient).held()
    engine.dispose()
