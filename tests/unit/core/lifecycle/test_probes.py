"""What is looked at from outside while an apply goes on, for its record."""

import json
import threading

import pytest

from tests.waiting import look_until_found
from xops.core.lifecycle.probes import Availability, Probe, watch_availability


def seen(*looks: tuple[float, str | None]) -> Availability:
    found = Availability("K3S API")
    for now, failure in looks:
        found.add(failure, now)
    return found


@pytest.mark.parametrize(
    ("looks", "failed", "outage"),
    [
        ([], 0, 0.0),
        ([(0, None), (1, None)], 0, 0.0),
        ([(0, None), (1, "refused"), (2, None)], 1, 0.0),
        ([(0, "refused"), (1, "refused"), (4, "refused"), (5, None)], 3, 4.0),
        ([(0, "x"), (2, "x"), (3, None), (4, "x"), (7, "x"), (8, None), (9, "x")], 5, 3.0),
    ],
)
def test_the_longest_outage_lasts_from_its_first_look_to_its_last(
    looks: list[tuple[float, str | None]], failed: int, outage: float
) -> None:
    found = seen(*looks)

    assert (found.looks, found.failed) == (len(looks), failed)
    assert found.longest_outage_seconds == outage


def test_it_says_what_was_seen() -> None:
    assert str(seen()) == "was not looked at"
    assert str(seen((0, None), (1, None))) == "answered 2 of 2 looks"
    down = seen((0, None), (1, "refused"), (3, "timed out"), (4, None))
    assert str(down) == "answered 2 of 4 looks, out for 2 s at most: timed out"


def test_it_goes_into_a_record() -> None:
    found = seen((0, "refused"), (2.26, "refused"))

    assert json.loads(json.dumps(found.to_json())) == {
        "name": "K3S API",
        "looks": 2,
        "failed": 2,
        "longest_outage_seconds": 2.3,
        "last_failure": "refused",
    }


def test_each_is_looked_at_until_the_block_ends() -> None:
    looked: dict[str, int] = {"a": 0, "b": 0}

    def look(name: str) -> str | None:
        looked[name] += 1
        return "down" if name == "b" else None

    probes = [Probe("a", lambda: look("a")), Probe("b", lambda: look("b"))]
    with watch_availability(probes, interval=0.005) as found:
        assert look_until_found(lambda: min(looked.values()) >= 3)
    ended = dict(looked)

    assert [(each.name, each.looks) for each in found] == list(ended.items())
    assert (found[0].failed, found[1].failed) == (0, ended["b"])
    assert not [each for each in threading.enumerate() if each.name.startswith("probe ")]
    assert looked == ended


def test_each_is_looked_at_at_once_then_once_an_interval_by_a_thread_of_its_own() -> None:
    looked = dict.fromkeys("ab", 0)

    def probe(name: str) -> Probe:
        def look() -> None:
            looked[name] += 1

        return Probe(name, look)

    with watch_availability([probe("a"), probe("b")], interval=600):
        threads = [each for each in threading.enumerate() if each.name.startswith("probe ")]
        assert look_until_found(lambda: min(looked.values()))
    assert {each.name: each.daemon for each in threads} == {"probe a": True, "probe b": True}
    assert looked == {"a": 1, "b": 1}


def test_one_that_hangs_stops_no_other() -> None:
    let_go, others = threading.Event(), []

    def hang() -> None:
        let_go.wait(20)

    def look() -> None:
        others.append(1)

    with watch_availability([Probe("a", hang), Probe("b", look)], interval=0.005):
        assert look_until_found(lambda: len(others) >= 3)
        let_go.set()


def test_an_apply_that_is_interrupted_ends_them_too() -> None:
    def apply() -> None:
        with watch_availability([Probe("a", lambda: None)], interval=0.005) as found:
            look_until_found(lambda: found[0].looks)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply()

    assert not [each for each in threading.enumerate() if each.name.startswith("probe ")]


def test_without_probes_nothing_is_started() -> None:
    before = threading.active_count()
    with watch_availability([]) as found:
        assert (found, threading.active_count()) == ([], before)
