"""ADR-005 recomputed: every figure with its verdict."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.unit.decision.records import PUBLISHED, RECORD, record
from xops.decision import outputs
from xops.decision.coverage import CheckedClaim, CheckResult, CheckStatus, Coverage
from xops.decision.record import CheckByPolicy
from xops.decision.scoring import Figure, FigureVerdict, ScoreReport, compare, score

DAY = date(2026, 11, 24)
NOTHING = Coverage(())


@pytest.fixture(scope="module")
def report() -> ScoreReport:
    return score(RECORD, NOTHING, DAY)


def of(values: dict[str, Any]) -> ScoreReport:
    return score(record(values), NOTHING, DAY)


def test_the_consensus_follows_from_equal_weights(report: ScoreReport) -> None:
    assert report.consensus.recomputed == Fraction("87.0625")
    assert report.consensus.verdict is FigureVerdict.FOLLOWS
    assert report.agents.consistent.contains(report.agents.used)


def test_the_plain_averages_differ_from_the_stated_ones(report: ScoreReport) -> None:
    rows = {row.column: row.average for row in report.pillars}

    assert {name: row.recomputed for name, row in rows.items()} == {
        "ecs": Fraction(525, 6),
        "k3s": Fraction(365, 6),
        "hybrid": Fraction(540, 6),
    }
    assert [row.stated for row in rows.values()] == [Decimal(s) for s in ("88.5", "60.3", "89.8")]
    assert {row.verdict for row in rows.values()} == {FigureVerdict.DIFFERS}


def test_a_figure_that_nothing_derives_stands_beside_the_averages(report: ScoreReport) -> None:
    stated = report.to_json()["not_derived"]

    assert stated == [
        {
            "says": "with 2026-2030 trend 91.2",
            "stated": 91.2,
            "recomputed": None,
            "verdict": "not_derived",
            "equal_to": ["agents.scores.CA"],
        }
    ]
    averages = outputs.score_sections(report)[3]
    assert averages.rows[-1][:5] == (
        "with 2026-2030 trend 91.2", "", "91.2", "", "stated, not derived",
    )  # fmt: skip
    assert averages.notes == (
        'The record states "with 2026-2030 trend 91.2"; no value, weight or rule in it gives'
        " 91.2. Equal to it is agents.scores.CA: an equal number is no derivation.",
    )


def test_a_figure_that_equals_none_of_the_records_says_no_more() -> None:
    report = of({"pillars.not_derived": [{"says": "trend 1.5", "figure": "1.5"}]})

    assert outputs.score_sections(report)[3].notes == (
        'The record states "trend 1.5"; no value, weight or rule in it gives 1.5.',
    )


def test_what_the_software_added_changed_or_left_out_is_marked(report: ScoreReport) -> None:
    rows: Any = report.to_json()["departures"]

    assert {name: row["kind"] for name, row in rows.items()} == {
        "owner_and_review": "added",
        "option_names": "added",
        "stage_budgets": "added",
        "module_names": "added",
        "certificates_and_names": "added",
        "crossplane_by_argocd": "added",
        "windows": "added",
        "measure_of_engineers": "added",
        "budget_check": "added",
        "local_stream1": "changed",
        "arm64": "changed",
        "files": "left_out",
        "rationale": "left_out",
    }
    assert {row["by"] for row in rows.values()} == {"xops"}
    assert rows["local_stream1"]["record"] == "docker-compose"
    assert rows["stage_budgets"]["keys"][0] == "budgets.stream1.local"
    section = outputs.score_sections(report)[-1]
    assert section.title == "Added to the record, changed or left out"
    assert [row[:3] for row in section.rows][-4:-2] == [
        ("changed", "the embedded AWS", "docker-compose"),
        ("changed", "ARM64, of whichever Graviton", "Graviton4 ARM64"),
    ]


def test_a_record_without_departures_has_no_section_on_them() -> None:
    titles = {section.title for section in outputs.score_sections(of({"departures": {}}))}

    assert "Added to the record, changed or left out" not in titles


def test_one_set_of_weights_gives_all_stated_averages_but_not_the_equal_one(
    report: ScoreReport,
) -> None:
    weighting = report.pillar_weights

    assert not weighting.published
    assert not weighting.consistent.is_empty
    assert not weighting.consistent.contains(weighting.used)
    low, high = weighting.consistent.spans()[5]
    assert [low, high] == [0, Fraction("0.1575")]  # sustainability: less than a sixth


def test_only_the_option_that_the_agents_scored_is_recomputed(report: ScoreReport) -> None:
    rows = {row.option: row for row in report.options}

    assert {name: row.score.verdict for name, row in rows.items()} == {
        "A": FigureVerdict.UNKNOWN,
        "B": FigureVerdict.UNKNOWN,
        "C": FigureVerdict.FOLLOWS,
    }
    assert rows["A"].score.recomputed is None


def test_no_weights_of_the_pillars_give_the_options_scores(report: ScoreReport) -> None:
    possible = {row.option: row.from_pillars.possible for row in report.options}

    assert possible == {"A": True, "B": False, "C": False}  # 71.1 > 65, 87.1 < 88
    assert report.options_from_pillars.is_empty


def test_the_budget_does_not_follow(report: ScoreReport) -> None:
    assert report.budget.verdict is FigureVerdict.DIFFERS
    assert report.budget.to_json() | {"excess": 0.485667} == report.budget.to_json()
    assert report.budget.to_json()["recomputed"] == "267.42"
    assert report.budget.to_json()["record_inputs"] is None


def test_unknown_is_null_in_json_and_never_zero(report: ScoreReport) -> None:
    options: Any = report.to_json()["options"]

    assert options[0]["recomputed"] is None
    assert options[0]["under_any_weights"] is None
    assert options[0]["stated"] == 83.3
    assert report.to_json()["coverage"] == {
        "claims": 0, "covered": 0, "unknown": 0, "share": None, "rows": [],
    }  # fmt: skip


def test_weights_that_are_not_published_are_said_to_be_assumed(report: ScoreReport) -> None:
    sections = outputs.score_sections(report)

    for weighting, section in ((report.agents, sections[2]), (report.pillar_weights, sections[4])):
        assert weighting.published is False
        assert weighting.to_json()["basis"] == "assumed equal"
        assert section.head[1] == "assumed"
        assert any("ASSUMED" in note for note in section.notes)


def test_the_agents_weights_are_published_where_the_record_has_them() -> None:
    weights = {"PO": "0.4", "CA": "0.2", "MEE": "0.2", "IE": "0.2"}
    report = of({"agents.weights": weights})

    assert report.agents.to_json()["basis"] == "published"
    assert report.consensus.recomputed == Fraction("84.9")
    assert "ASSUMED" not in outputs.text([outputs.score_sections(report)[2]])


def test_published_weights_are_used_and_said_to_be() -> None:
    report = of({"pillars.weights": PUBLISHED})

    assert report.pillar_weights.to_json()["basis"] == "published"
    assert report.pillars[0].average.recomputed == Fraction("87.95")
    assert "ASSUMED" not in outputs.text([outputs.score_sections(report)[4]])


def test_a_figure_that_no_weights_give_leaves_no_range() -> None:
    report = of({"pillars.stated_average.k3s": "70.0"})
    weights: Any = report.pillar_weights.to_json()["consistent_with_stated"]

    assert weights == {"exist": False, "include_the_used": False, "ranges": None, "example": None}
    assert "No weights at all give" in outputs.markdown(outputs.score_sections(report))


@pytest.mark.parametrize(
    ("day", "left", "overdue"),
    [("2027-03-10", 1, False), ("2027-03-11", 0, False), ("2027-03-12", -1, True)],
)
def test_a_review_is_overdue_after_its_day(day: str, left: int, overdue: bool) -> None:
    report = score(RECORD, NOTHING, date.fromisoformat(day))

    assert (report.review.days_left, report.review.is_overdue) == (left, overdue)
    assert report.needs_a_person is overdue


def test_a_check_that_is_not_there_needs_a_person(report: ScoreReport) -> None:
    gone = CheckResult(CheckByPolicy(trigger="edge"), CheckStatus.MISSING, "gone")
    broken = Coverage((CheckedClaim("edge", "says", (gone,), None),))

    assert replace(report, coverage=broken).needs_a_person


@pytest.mark.parametrize(
    ("exact", "verdict"),
    [
        (None, FigureVerdict.UNKNOWN),
        ("87.05", FigureVerdict.FOLLOWS),
        ("87.149", FigureVerdict.FOLLOWS),
        ("87.151", FigureVerdict.DIFFERS),
        ("0", FigureVerdict.DIFFERS),
    ],
)
def test_verdicts(exact: str | None, verdict: FigureVerdict) -> None:
    assert compare(Decimal("87.1"), None if exact is None else Fraction(exact)) is verdict


def test_without_a_span_nothing_is_said_about_other_weights() -> None:
    assert Figure(Decimal("83.3"), None).possible is None


def test_the_report_reads_as_it_should(report: ScoreReport) -> None:
    written = outputs.text(outputs.score_sections(report))

    for line in [
        "ecs     88.5    87.50  does not follow      80 to 92: some weights give it",
        "with 2026-2030 trend 91.2          91.2           stated, not derived",
        "The record publishes no weights: equal ones are ASSUMED.",
        "Stated 87.1, recomputed 87.06: follows.",
        "sustainability          16.7%    0.0% to 15.8%",
        "207.48   59.94  267.42    48.6% above it",
        "Enforcement coverage: unknown",
    ]:
        assert line in written
    table = outputs.markdown(outputs.score_sections(report))
    assert (
        "| C | hybrid | 89.8 | 90.00 | does not follow | 88 to 92: some weights give it |" in table
    )
