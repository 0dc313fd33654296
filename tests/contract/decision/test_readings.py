"""The examples of both readings in docs/reference/triggers-file.md, folded by the machine."""

from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from itertools import cycle, islice

import pytest

from xops.core.files.settings import ROOT
from xops.triggers.facts import WEEK
from xops.triggers.machine import Reading, fold
from xops.triggers.measure.team import DAYS28
from xops.triggers.policy import Enter, MetricTrigger, Policy, PullRequestTrigger, TeamSizeTrigger

PAGE = (ROOT / "docs" / "reference" / "triggers-file.md").read_text(encoding="utf-8")
HEAD = "| merged a week | average | active by one week (`above: 5`) | active by 3 of 4 |\n"
LONG = 26
POLICY = Policy.load(environ={})


def examples() -> list[tuple[str, ...]]:
    table = PAGE.partition(HEAD)[2].partition("\n\n")[0].splitlines()[1:]
    return [tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in table]


def weeks(words: Iterable[str]) -> Iterator[int | None]:
    """The weeks of "20x2 0 _", without the dots that repeat them."""
    for word in words:
        value, _, times = word.partition("x")
        yield from [None if value == "_" else int(value)] * int(times or 1)


def series(text: str) -> list[int | None]:
    *first, last = text.split()
    if last != "...":
        return list(weeks([*first, last]))
    return list(islice(cycle(weeks(first)), LONG))


def average(text: str) -> str:
    known = [n for n in weeks(text.removesuffix(" ...").split()) if n is not None]
    return f"{float(Fraction(sum(known), len(known))):.1f}"


def active(trigger: MetricTrigger, values: Iterable[int | None]) -> str:
    """In which weeks it is active: "never", "4 to 7", "1 to 4, from 9"."""
    start = date(2024, 1, 1)
    readings = [Reading(period=start + WEEK * n, value=value) for n, value in enumerate(values)]
    states = [state.is_active for state in fold(trigger, readings)]
    changes = [n for n, (a, b) in enumerate(zip([False, *states], states, strict=False)) if a != b]
    begins, ends = changes[::2], changes[1::2]
    spells = [f"{a + 1} to {b}" for a, b in zip(begins, ends, strict=False)]
    spells += [f"from {n + 1}" for n in begins[len(ends) :]]
    return ", ".join(spells) or "never"


def pull_requests() -> PullRequestTrigger:
    trigger = POLICY.triggers["iac_prs"]
    assert isinstance(trigger, PullRequestTrigger)
    return trigger


def by(reading: Enter | None) -> PullRequestTrigger:
    """The project's trigger on pull requests, decided by this reading."""
    assert reading is not None
    return pull_requests().model_copy(update={"enter": reading, "beside": None})


def test_the_policy_decides_by_one_week_and_shows_three_of_four_beside() -> None:
    trigger = pull_requests()

    assert trigger.enter == Enter(above=5)
    assert trigger.beside == Enter(above=5, weeks=3, of=4)


def test_the_page_has_the_series_on_which_the_readings_differ() -> None:
    shown = {row[0]: row for row in examples()}

    assert shown["20 20 0 0 ..."][1:] == ("10.0", "from 1", "never")
    assert shown["9 9 5 5 ..."][1:] == ("7.0", "from 1", "never")


@pytest.mark.parametrize(
    ("text", "mean", "strict", "damped"), examples(), ids=lambda value: str(value)
)
def test_an_example_is_what_the_machine_says(
    text: str, mean: str, strict: str, damped: str
) -> None:
    trigger = pull_requests()

    assert average(text) == mean
    assert active(by(trigger.enter), series(text)) == strict
    assert active(by(trigger.beside), series(text)) == damped


def test_one_visitor_never_fires_the_damped_reading_of_the_team() -> None:
    trigger = POLICY.triggers["team_size"]
    assert isinstance(trigger, TeamSizeTrigger)
    assert trigger.beside is not None
    seen = DAYS28 // WEEK
    visit = [3, 3, *[4] * seen, *[3] * 8]
    stays = [3, 3, *[4] * (seen + 1), *[3] * 8]
    damped = trigger.model_copy(update={"enter": trigger.beside})

    assert seen == 4
    assert active(trigger, visit).startswith("3 to ")
    assert active(damped, visit) == "never"
    assert active(damped, stays) != "never"
