"""What an evaluation adds to the history, and what it leaves alone. Pure: no database."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.triggers.samples import (
    MONDAY,
    NOW,
    SECOND_CLOUD,
    WEEK,
    Value,
    readings,
    states,
    trigger,
)
from xops.triggers.history.activations import told_after
from xops.triggers.history.ledger import Entry
from xops.triggers.history.timeline import New, Revisions, Timeline, due, revisions_of
from xops.triggers.machine import Reading, State
from xops.triggers.policy import Trigger


class Book:
    """A history of one trigger in memory."""

    def __init__(self, rule: Trigger | None = None) -> None:
        self.entries: list[Entry] = []
        self.rule = rule or trigger()

    def evaluate(self, values: Sequence[Value], first: int = 0) -> list[New]:
        return self.enter(readings(values)[first:])

    def enter(self, rows: Sequence[Reading]) -> list[New]:
        made = list(due(self.rule, self.timeline, rows, self.revisions))
        self.entries += [self._entry(new) for new in made]
        return made

    def _entry(self, new: New) -> Entry:
        return Entry(
            sequence=len(self.entries) + 1, recorded_at=NOW, as_of=new.period + WEEK,
            trigger="iac_prs", kind="reading", period=new.period, revision=new.revision,
            reading=new.reading, before=new.before, after=new.after, facts="", policy="",
            previous="",
        )  # fmt: skip

    @property
    def revisions(self) -> Revisions:
        return revisions_of(self.entries)

    @property
    def timeline(self) -> Timeline:
        return Timeline.of(self.entries)

    @property
    def past(self) -> list[tuple[Reading, State]]:
        return self.timeline.past()


def periods(made: Sequence[New]) -> list[int]:
    return [(new.period - MONDAY) // WEEK for new in made]


def test_each_week_is_entered_once() -> None:
    book = Book()
    assert periods(book.evaluate([6, 6])) == [0, 1]
    assert book.evaluate([6, 6]) == []
    assert periods(book.evaluate([6, 6, 6])) == [2]
    assert book.timeline.state.is_active


def test_weeks_that_were_missed_are_entered_one_by_one() -> None:
    book = Book()
    book.evaluate([6])
    assert periods(book.evaluate([6, 6, 6, 6])) == [1, 2, 3]


def test_an_unknown_week_that_is_known_now_is_entered_again_with_those_after_it() -> None:
    book = Book()
    book.evaluate([6, None, 6])
    assert not book.timeline.state.is_active
    made = book.evaluate([6, 6, 6])
    assert [(period, new.revision) for period, new in zip(periods(made), made, strict=True)] == [
        (1, 1), (2, 1),
    ]  # fmt: skip
    assert book.timeline.state.is_active
    assert len(book.entries) == 5


def test_what_was_known_is_not_rewritten() -> None:
    book = Book()
    book.evaluate([6, 6, 6])
    assert book.evaluate([0, 0, 0]) == []
    assert periods(book.evaluate([None, None, None, 6])) == [3]
    assert [row.value for row, _ in book.past] == [6, 6, 6, 6]


def test_recorded_values_win_when_weeks_are_entered_again() -> None:
    book = Book()
    book.evaluate([6, None, 6])
    book.evaluate([0, 6, 0])
    assert [row.value for row, _ in book.past] == [6, 6, 6]


def test_facts_that_begin_later_take_nothing_away() -> None:
    book = Book()
    book.evaluate([6, 6])
    assert periods(book.evaluate([0, 0, 6, 6], first=2)) == [2, 3]
    assert book.timeline.state.is_active


def test_facts_that_begin_earlier_add_nothing_before_the_history() -> None:
    book = Book()
    book.evaluate([0, 0, 6], first=2)
    assert periods(book.evaluate([9, 9, 9, 6])) == [3]


def test_a_week_of_which_more_is_known_now_is_entered_again_if_that_answers_a_question() -> None:
    book = Book()
    book.evaluate([(0, 9), 6, 6])
    assert book.evaluate([(1, 8), 6, 6]) == []
    assert periods(book.evaluate([(6, 9), 6, 6])) == [0, 1, 2]
    assert book.timeline.state.is_active
    assert book.evaluate([4, 6, 6]) == []  # at least six was known: it stands
    assert periods(book.evaluate([7, 6, 6])) == [0, 1, 2]


def test_weeks_that_nobody_entered_are_entered_when_they_are_known() -> None:
    book = Book()
    rows = readings([6, 6, 6, 0])
    book.enter([rows[0], rows[3]])
    assert book.enter([rows[0], *readings([None, None, None])[1:3], rows[3]]) == []
    assert periods(book.enter(rows)) == [1, 2, 3]
    assert [row.value for row, _ in book.past] == [6, 6, 6, 0]


def test_days_on_which_nobody_looked_at_mandates_are_not_made_up() -> None:
    book = Book(trigger(SECOND_CLOUD))
    rows = readings([0, 1, 1])
    book.enter([rows[0], rows[2]])
    assert book.enter(rows) == []


def test_what_is_told_is_the_end_of_what_was_recorded_before_and_each_new_week() -> None:
    book = Book()
    made = book.evaluate([6, None, 6])
    assert told_after(made, None) == [False, False, True]
    frontier = book.timeline.last
    made = book.evaluate([6, 6, 6, 0, 0])
    assert periods(made) == [1, 2, 3, 4]
    assert told_after(made, frontier) == [False, True, True, True]
    assert told_after([], frontier) == []


@examples(25)
@given(st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=20), st.data())
def test_however_evaluations_are_spread_the_end_is_the_same(
    values: list[int | None], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(1, len(values)), max_size=4))
    book = Book()
    for cut in [*sorted(cuts), len(values)]:
        book.evaluate(values[:cut])
    assert [state for _, state in book.past] == states(values)
    assert len(book.entries) == len(values)


@examples(25)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=20))
def test_once_all_is_known_the_states_are_as_if_it_always_had_been(
    weeks: list[tuple[int, bool]],
) -> None:
    book = Book()
    book.evaluate([value if known else None for value, known in weeks])
    book.evaluate([value for value, _ in weeks])
    assert [state for _, state in book.past] == states([value for value, _ in weeks])
