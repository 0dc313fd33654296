"""Evaluations: thresholds, what is missing, mandates, costs and evidence."""

from datetime import date, timedelta
from typing import Any

import pytest

from tests.unit.triggers.samples import (
    FAILURE,
    IAC_PRS,
    MONDAY,
    POLICY,
    TEAM_SIZE,
    WEEK,
    document,
    facts,
    mandate,
    policy,
    week,
)
from xops.core.errors import InputError
from xops.triggers.evaluation import Evaluation, TriggerStatus, TriggerVerdict, evaluate
from xops.triggers.facts import Facts
from xops.triggers.machine import Phase


def judged(found: Facts, as_of: date | None = None, **values: Any) -> Evaluation:
    return evaluate(policy(**values), found, as_of or found.as_of)


def verdict(found: Evaluation, name: str = "iac_prs") -> TriggerVerdict:
    return next(row for row in found.triggers if row.trigger == name)


@pytest.mark.parametrize(("value", "active"), [(5, False), (6, True)])
def test_five_pull_requests_are_not_above_five_and_six_are(value: int, active: bool) -> None:
    found = judged(facts([value] * 3))
    assert verdict(found).active is active
    assert found.status.exit_code == (10 if active else 0)


@pytest.mark.parametrize(("value", "active"), [(3, False), (4, True)])
def test_three_engineers_are_not_above_three_and_four_are(value: int, active: bool) -> None:
    found = judged(facts([0], engineers=value))
    assert verdict(found, "team_size").active is active
    assert found.status is (TriggerStatus.ACTIVE if active else TriggerStatus.INACTIVE)


def test_a_missing_week_is_unknown_and_never_0() -> None:
    found = judged(facts([9, 9, None]))
    row = verdict(found)
    assert (row.value, row.phase, row.insufficient) == (None, Phase.PENDING, True)
    assert found.status is TriggerStatus.INSUFFICIENT_DATA
    assert found.to_json()["exit_code"] == 11
    assert "GitHub answered 502" in row.warnings[0]


def test_a_gap_between_weeks_is_unknown() -> None:
    found = judged(facts(as_of=str(MONDAY + 3 * WEEK), weeks=[week(0, 9), week(2, 9)]))
    assert [row.value for row in verdict(found).series] == [9, None, 9]


def test_facts_without_a_week_are_insufficient() -> None:
    assert judged(facts([])).status is TriggerStatus.INSUFFICIENT_DATA


def test_facts_older_than_the_day_are_insufficient() -> None:
    found = judged(facts([9, 9, 9]), MONDAY + 4 * WEEK)
    row = verdict(found)
    assert row.active  # as it was: nothing resolves for want of data
    assert row.insufficient
    assert row.state == "insufficient data (active is kept)"


def test_what_is_active_outweighs_what_is_unknown() -> None:
    found = judged(facts([None], engineers=4))
    assert verdict(found).insufficient
    assert found.status is TriggerStatus.ACTIVE


def test_the_past_can_be_judged_with_later_facts() -> None:
    later = facts([9, 9, 9, 0], engineers=9)
    found = judged(later, MONDAY + 2 * WEEK)
    assert verdict(found).weeks_over == 2
    assert verdict(found, "team_size").value is None  # known for the last week only


def test_on_sunday_the_week_is_not_over() -> None:
    assert verdict(judged(facts([9, 9, 9]), MONDAY + 3 * WEEK - timedelta(days=1))).weeks_over == 2


def test_engineers_of_past_weeks_are_those_of_the_week() -> None:
    weeks = [week(0, 0, engineers={"days28": 4}), week(1, 0)]
    row = verdict(judged(facts([0, 0], weeks=weeks, engineers=3)), "team_size")
    assert [point.value for point in row.series] == [4, 3]


def test_the_policy_says_which_count_decides_and_all_are_shown() -> None:
    counted = facts([0]).model_copy(
        update={"engineers": facts([0]).engineers.model_copy(update={"roster": 5})}  # type: ignore[union-attr]
    )
    rules: dict[str, Any] = {"triggers": {"team_size": {**TEAM_SIZE, "measure": "roster"}}}
    row = verdict(judged(counted, **rules), "team_size")
    assert (row.value, row.active) == (5, True)
    assert row.warnings == ("the counts disagree: days28 3, roster 5; roster decides",)


def test_an_unknown_count_of_engineers_says_why() -> None:
    row = verdict(judged(facts([0], engineers=None)), "team_size")
    assert row.insufficient
    assert "days28 is unknown" in row.warnings[0]


def test_a_mandate_is_active_at_once() -> None:
    start = MONDAY + timedelta(days=9)
    found = facts([0, 0], as_of=str(start), weeks=[week(0, 0)],
                  mandates=[mandate(str(start), "2027-01-01")])  # fmt: skip
    row = verdict(judged(found), "second_cloud")
    assert (row.active, row.since, row.value) == (True, start, 1)
    assert row.evidence == ("https://example.com/m",)
    before = verdict(judged(found, start - timedelta(days=1)), "second_cloud")
    assert (before.active, before.state) == (False, "pending")


def test_a_mandate_that_is_not_valid_does_not_count_and_says_why() -> None:
    wrong = mandate("2025-01-01", "2027-01-01", valid=False, reason="committed by a stranger")
    row = verdict(judged(facts([0], mandates=[wrong])), "second_cloud")
    assert not row.active
    assert "committed by a stranger" in row.warnings[0]


def test_it_is_said_30_days_before_a_mandate_expires() -> None:
    expiry = MONDAY + timedelta(days=37)
    found = facts([0], mandates=[mandate("2025-01-01", str(expiry))])
    row = verdict(judged(found), "second_cloud")
    assert (row.phase, row.active) == (Phase.COOLING, True)
    assert "expires in 30 days" in row.warnings[0]


def test_mandates_that_could_not_be_read_are_unknown() -> None:
    found = facts([0], mandates=None, mandates_reason="there is no Git history")
    row = verdict(judged(found), "second_cloud")
    assert row.insufficient
    assert "there is no Git history" in row.warnings[0]


def test_mandates_of_tomorrow_are_unknown() -> None:
    found = facts([0])
    row = verdict(judged(found, found.as_of + timedelta(days=1)), "second_cloud")
    assert row.insufficient


def test_other_zones_weeks_are_refused() -> None:
    with pytest.raises(InputError, match="Europe/Berlin"):
        judged(facts([0]), timezone="Europe/Berlin")


def test_a_component_without_a_price_makes_the_total_incomplete() -> None:
    cost = verdict(judged(facts([0]))).cost
    assert [line.component for line in cost.lines] == ["k3s", "atlantis"]
    assert str(cost) == "120.00 to 190.00 USD a month and what is unpriced"
    priced = {"atlantis": {**POLICY["components"]["k3s"], "title": "A", "requires": ["k3s"]}}
    full = verdict(judged(facts([0]), components={**POLICY["components"], **priced})).cost
    assert not full.incomplete
    assert str(full.highest) == "380.00 USD"


def test_the_evidence_is_what_was_counted_in_the_window() -> None:
    def merged(index: int, bucket: str) -> dict[str, Any]:
        start = MONDAY + WEEK * index
        return {"repository": "a/b", "number": 1, "url": f"{index} {bucket}", "bucket": bucket,
                "merged_at": f"{start}T03:00:00Z"}  # fmt: skip

    weeks = [
        week(index, 6, pull_requests=[merged(index, "counted"), merged(index, "bot")])
        for index in range(6)
    ]
    row = verdict(judged(facts([6] * 6, weeks=weeks)))
    assert row.evidence == ("2 counted", "3 counted", "4 counted", "5 counted")


def test_a_review_that_is_due_is_said() -> None:
    rules: dict[str, Any] = {"triggers": {"iac_prs": {**IAC_PRS, "review_by": "2025-01-01"}}}
    assert "its review was due" in verdict(judged(facts([0]), **rules)).warnings[0]


def test_without_a_history_it_says_so_and_names_no_activation() -> None:
    found = judged(facts([9, 9, 9]))
    assert found.basis == "facts"
    assert found.policy_name == "platform"
    assert found.warnings == (
        "these states follow from these weeks alone: activations before them are not known",
    )
    assert (verdict(found).active, verdict(found).activation) == (True, None)


def test_a_week_of_which_enough_is_known_decides() -> None:
    row = verdict(judged(facts([9, 9, (6, None)])))
    assert (row.value, str(row.bounds), row.active, row.insufficient) == (
        None, "at least 6", True, False,
    )  # fmt: skip
    assert row.warnings == (
        "the last value is at least 6, which decides all the same: GitHub answered 502",
    )
    assert row.series[-1].bounds == row.bounds
    assert row.weeks_over == 3
    open_ = verdict(judged(facts([9, 9, (4, 6)])))
    assert (open_.phase, open_.insufficient) == (Phase.PENDING, True)
    assert open_.warnings == ("the last value is 4 to 6: GitHub answered 502",)


def test_engineers_of_whom_enough_are_known_decide() -> None:
    counted = {"days28": None, "bounds": {"days28": {"at_least": 4, "at_most": 6}}, "reason": "r"}
    row = verdict(judged(facts([0]).model_validate({**document([0]), "engineers": counted})),
                  "team_size")  # fmt: skip
    assert (row.active, str(row.bounds), row.insufficient) == (True, "4 to 6", False)


def test_who_was_counted_is_shown() -> None:
    people = [{"name": "Mona", "identities": ["mona", "mona@acme.com"], "last_seen": "2025-09-20"},
              {"name": "Lisa"}]  # fmt: skip
    counted = {"days28": 2, "people": people}
    found = Facts.model_validate({**document([0]), "engineers": counted})
    row = verdict(judged(found), "team_size")
    assert [person.name for person in row.people] == ["Mona", "Lisa"]
    assert row.evidence == ("Mona (mona, mona@acme.com), last seen on 2025-09-20", "Lisa")
    assert verdict(judged(found)).people == ()


def test_a_record_that_is_no_longer_valid_leaves_it_open_whether_a_mandate_is_in_force() -> None:
    broken = mandate("2025-09-20", "2027-01-01", valid=False, reason="changed by a stranger",
                     file="azure.yaml")  # fmt: skip
    row = verdict(judged(facts([0], mandates=[broken])), "second_cloud")
    assert (row.active, row.insufficient, str(row.bounds)) == (False, True, "0 to 1")
    assert row.warnings[0] == (
        "the last value is 0 to 1: mandate of the regulator for azure (azure.yaml): changed by a"
        " stranger"
    )
    other = mandate("2025-09-20", "2027-01-01", subject="gcp")
    both = verdict(judged(facts([0], mandates=[broken, other])), "second_cloud")
    assert (both.active, both.subjects, str(both.bounds)) == (True, ("gcp",), "1 to 2")


def test_mandates_say_for_which_clouds_they_are() -> None:
    rows = [mandate("2025-09-20", "2027-01-01", subject=name) for name in ("gcp", "azure")]
    assert verdict(judged(facts([0], mandates=rows)), "second_cloud").subjects == ("azure", "gcp")
    assert verdict(judged(facts([0])), "second_cloud").subjects == ()


BESIDE: dict[str, Any] = {"triggers": {"iac_prs": {
    **IAC_PRS, "enter": {"above": 5}, "beside": {"above": 5, "weeks": 3, "of": 4}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "active", "beside", "why"),
    [
        ([0, 0], False, False, "both agree"),
        ([6, 6, 6], True, True, "both agree"),
        ([6, 0, 6], True, False, "2 of the last 4 weeks are above 5; a single one is enough for"
         " the deciding reading"),
        ([0, 6, 0], True, False, "1 of the last 4 weeks is above 5; the deciding reading is active"
         " since 2025-09-22 and stays so until <= 3 in 4 of 4"),
        ([6, 6, 6, 3, 3, 3, 3], False, False, "both agree"),
        ([9, 6, 6, 3, 3, 3], True, True, "both agree"),
        ([6, 0, 6, 0, 6, 6, 0, 0, 0], True, True, "both agree"),
    ],
)  # fmt: skip
def test_both_readings_of_a_threshold_stand_side_by_side(
    values: list[int | None], active: bool, beside: bool, why: str
) -> None:
    row = verdict(judged(facts(values), **BESIDE))
    other = row.beside
    assert other
    assert other.threshold == "> 5 in 3 of 4 weeks, until <= 3 in 4 of 4"
    assert (row.active, other.active, other.why) == (active, beside, why)
    assert [point.value for point in other.series] == [point.value for point in row.series]
    assert other.series[-1].phase.value in other.state


def test_the_other_reading_may_be_the_one_that_is_active() -> None:
    rule = {**IAC_PRS, "beside": {"above": 5}}
    row = verdict(judged(facts([0, 6, 0]), triggers={"iac_prs": rule}))
    assert row.beside
    assert row.beside.why == (
        "1 of the last 4 weeks is above 5; this reading is active since 2025-09-22 and stays so"
        " until <= 3 in 4 of 4"
    )
    now = verdict(judged(facts([0, 6]), triggers={"iac_prs": rule})).beside
    assert now
    assert now.why.endswith("above 5; a single one is enough for this reading")


def test_when_github_gave_nothing_one_line_says_so() -> None:
    found = judged(facts([None] * 5, failure=FAILURE))
    assert found.failure
    assert found.warnings[0] == (
        "GitHub gave nothing: reading GitHub: the token has expired; Make a new one."
    )
    assert len(found.warnings) == 2
