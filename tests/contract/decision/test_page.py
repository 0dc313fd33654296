"""The page of ADR-005 against its data, and its figures against what the software computes."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from xops.cli import main
from xops.decision.record import ADR_005, DecisionRecord, Tasks
from xops.decision.triggers import CountedTrigger

RECORD = DecisionRecord.load()
PAGE = ADR_005.with_suffix(".md").read_text(encoding="utf-8")
SPOT = Decimal("0.3")
"""What is paid on Spot of the price on demand: the page's assumption."""


def table(title: str) -> list[tuple[str, ...]]:
    """The rows of the first table after that line, without its head."""
    rows = PAGE.partition(title)[2].partition("|---")[2].partition("\n\n")[0].splitlines()[1:]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]


def test_the_page_lists_every_departure_from_the_record() -> None:
    assert table("## What xOps added, changed and left out") == [
        (row.kind.replace("_", " "), row.here or "", row.record or "", row.why)
        for row in RECORD.departures.values()
    ]


def test_what_is_added_or_changed_is_marked_where_it_stands() -> None:
    for words in [
        "ECS Fargate only⁺",
        "K3S only⁺",
        "M1 identity⁺, M2 ecs⁺, M3 web⁺, M4 data⁺",
        "cert-manager⁺, external-dns⁺",
        "docker-compose (here the embedded AWS⁺)",
        "local 0⁺, test 45⁺, sit 120⁺, prod 180, peak 380⁺",
    ]:
        assert words in PAGE


def test_the_page_has_the_records_line_that_nothing_derives() -> None:
    (row,) = RECORD.pillars.not_derived

    assert f'the line "{row.says}". Stated, not derived' in PAGE


def test_the_page_has_the_averages_stated_and_recomputed() -> None:
    rows = {name: columns for name, *columns in table("Against the Well-Architected pillars:")}

    assert rows["average, as stated"] == [str(n) for n in RECORD.pillars.stated_average.values()]
    recomputed = [str(n) for n in RECORD.pillars.plain_average.values()]
    assert rows["average, recomputed with equal weights⁺"] == recomputed


def test_the_page_has_the_triggers() -> None:
    rows = table("Stream 2 is switched on by numbers")

    assert [row[0].strip("`") for row in rows] == list(RECORD.triggers)
    for (_, fires, action, classification), trigger in zip(
        rows, RECORD.triggers.values(), strict=True
    ):
        assert (action, classification) == (trigger.action, trigger.classification)
        if isinstance(trigger, CountedTrigger):
            assert fires.startswith(f"more than {trigger.above} ")


def test_each_shape_of_prod_costs_what_the_page_says() -> None:
    check = RECORD.budget_check
    hour = sum((_hour(tasks) for tasks in check.compute.values()), Decimal(0))
    both, half = hour * check.hours, hour * check.hours / 2
    costs = [
        both,
        half + half * SPOT,
        half + hour / 2 * 260,
        half + hour / 2 * 260 * SPOT,
        both * SPOT,
    ]
    told = [row[1].strip("*") for row in table("Ways to bring the sum down")]

    assert told == [f"{compute + check.fixed_month:.2f}" for compute in costs]


def _hour(tasks: Tasks) -> Decimal:
    rates = RECORD.budget_check.rates
    return (tasks.vcpu * rates.vcpu_hour + tasks.gb * rates.gb_hour) * tasks.replicas


@pytest.fixture
def scenarios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """What `xops costs budget` makes of the price book that comes with xOps."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["costs", "budget", "-e", "prod", "--json"])
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["scenarios"]}


def test_the_estimate_is_that_of_the_price_book(scenarios: dict[str, Any]) -> None:
    found, check = scenarios["on_demand_minimum"], RECORD.budget_check
    told = [f"{Decimal(found[name]):.2f}" for name in ("compute", "fixed", "total")]

    assert told == [str(n) for n in (check.compute_month, check.fixed_month, check.month)]


def test_what_stream_2_costs_is_what_the_price_book_says(scenarios: dict[str, Any]) -> None:
    why = RECORD.claims["stream2_costs"].unchecked or ""
    names = ("k3s_medium", "k3s_medium_with_load_balancer", "k3s_large")

    assert re.findall(r"\d+\.\d+", why) == [
        f"{Decimal(scenarios[name]['total']):.2f}" for name in names
    ]
