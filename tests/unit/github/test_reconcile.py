"""What a hook has sent against what is there."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from xops.github.hook_deliveries import Attempt
from xops.github.reconcile import KEPT, Comparison, Memory, compare

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
TURN = timedelta(minutes=15)


def attempt(guid: str, minutes: float = 60, code: int = 502, number: int = 1) -> Attempt:
    """One that was sent so many minutes ago."""
    return Attempt(
        id=number, guid=guid, delivered_at=NOW - timedelta(minutes=minutes), redelivery=False,
        status_code=code, status="OK" if code < 400 else "failed", event="push",
    )  # fmt: skip


def look(*attempts: Attempt, known: str = "", memory: Memory | None = None) -> Comparison:
    return compare(memory or Memory(), attempts, set(known), NOW)


def test_what_is_known_is_not_asked_for_however_its_attempts_have_ended() -> None:
    found = look(attempt("a"), attempt("b", code=202), known="ab")
    assert (found.compared, found.missing, found.again) == (2, {}, {})
    assert found.memory == Memory(seen_until=NOW - timedelta(hours=1))


def test_a_failed_delivery_without_a_row_is_asked_for_at_once_by_its_last_attempt() -> None:
    found = look(attempt("a", 5, number=1), attempt("a", 1, number=2))
    assert {guid: one.attempt for guid, one in found.again.items()} == {"a": 2}
    assert found.memory.missing["a"].asked == 1


def test_one_that_github_calls_taken_a_moment_ago_may_become_a_row_yet() -> None:
    fresh, old = attempt("a", 1, code=202), attempt("b", 10, code=202)
    found = look(fresh, old)
    assert set(found.again) == {"b"}
    assert set(found.missing) == {"a", "b"}
    assert found.memory.since(NOW) < fresh.delivered_at, "the next turn does not look at it"


def test_a_clock_that_is_behind_puts_off_only_what_has_not_failed() -> None:
    found = look(attempt("a", -30, code=502), attempt("b", -30, code=202))
    assert set(found.again) == {"a"}


def test_one_that_has_come_is_forgotten_and_counted() -> None:
    first = look(attempt("a"))
    second = look(known="a", memory=first.memory)
    assert (second.arrived, second.missing, dict(second.memory.missing)) == (1, {}, {})


def test_one_that_the_receiver_refuses_is_given_up_and_told_once() -> None:
    memory, lost, asked = Memory(), 0, 0
    for number in range(1, 12):
        found = look(attempt("a", 60 - number, code=413, number=number), memory=memory)
        memory, lost, asked = found.memory, lost + len(found.lost), asked + len(found.again)
    assert (lost, asked) == (1, 5)
    assert found.missing == {}


def test_while_the_receiver_is_down_all_are_asked_for_once_and_then_one_at_a_time() -> None:
    names = "abcdefgh"
    down = [attempt(name, 60, number=index) for index, name in enumerate(names)]
    found = look(*down)
    assert set(found.again) == set(names)
    for _ in range(20):
        found = look(memory=found.memory)
        assert len(found.again) == 1
    up = attempt("x", 1, code=202, number=99)
    found = look(up, known="x", memory=found.memory)
    assert set(found.again) == set(names), "it is up again, and they are left waiting"
    assert not found.lost


def test_one_that_never_came_is_given_up_when_github_keeps_it_no_more() -> None:
    first = look(attempt("a", 60))
    later = compare(first.memory, [], set(), NOW + KEPT)
    assert set(later.lost) == {"a"}
    assert later.again == {}


def test_a_turn_asks_for_so_many_and_the_next_goes_on_with_the_rest() -> None:
    attempts = [attempt(f"guid-{n}", 60 + n, number=n) for n in range(450)]
    asked: set[str] = set()
    memory = Memory()
    for _ in range(3):
        listed = [one for one in attempts if one.delivered_at > memory.since(NOW)]
        found = compare(memory, listed, asked, NOW)
        assert len(found.again) <= 200
        asked |= set(found.again)  # they come at once
        memory = found.memory
    assert asked == {one.guid for one in attempts}


def test_what_a_person_has_made_of_the_memory_is_no_memory() -> None:
    assert Memory.read("nonsense") == Memory.read('{"missing": 3}') == Memory.read(None) == Memory()
    kept = look(attempt("a")).memory
    assert Memory.read(kept.model_dump_json()) == kept


guids = st.sampled_from("abcdefghij")
sent = st.builds(
    attempt,
    guid=guids,
    minutes=st.integers(0, 5000),
    code=st.sampled_from([0, 200, 202, 400, 401, 413, 500, 502, 504]),
    number=st.integers(1, 99),
)


@given(turns=st.lists(st.tuples(st.lists(sent, max_size=8), st.frozensets(guids)), max_size=8))
def test_no_delivery_without_a_row_is_ever_forgotten_and_none_is_asked_for_without_end(
    turns: list[tuple[list[Attempt], frozenset[str]]],
) -> None:
    memory = Memory()
    told: dict[str, int] = {}
    asked: dict[str, int] = {}
    for attempts, known in turns:
        found = compare(memory, attempts, known, NOW)
        assert not set(found.missing) & known
        assert set(found.again) <= set(found.missing)
        for guid in found.again:
            asked[guid] = 0 if guid in known else asked.get(guid, 0) + 1
        for guid in found.lost:
            told[guid] = told.get(guid, 0) + 1
        for guid in known:
            told.pop(guid, None)
        absent = {one.guid for one in attempts} - known
        for guid in absent:
            is_kept = guid in found.memory.missing
            last = max(one.delivered_at for one in attempts if one.guid == guid)
            newest = max(one.delivered_at for one in attempts)
            is_old = newest - last >= KEPT
            assert is_kept or is_old or last > found.memory.since(NOW)
        memory = found.memory
    assert all(count == 1 for count in told.values())
