"""Cost Explorer: asked little, within a budget, and never taken for 0 where it does not answer."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cost_explorer_server import ACCOUNT, Spent, Told, asking, cost_explorer
from tests.cost_exports import charges, deliver
from xops.aws.errors import ThrottledError
from xops.core.errors import CredentialsError, ExitCode, PermanentError, UnreachableError
from xops.finops.configuration import CostConfiguration
from xops.finops.store.changes import Ingested
from xops.finops.store.cost_explorer.call_budget import CallBudget, CallBudgetError
from xops.finops.store.cost_explorer.explorer import CostExplorer
from xops.finops.store.cost_store import CostStore
from xops.finops.store.engine import open_engine
from xops.finops.store.ingest_run import Ingest
from xops.finops.store.partitions import Label
from xops.finops.store.sources import Folder

NOW = datetime(2026, 5, 20, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def spent_in_may() -> list[Spent]:
    days = [date(2026, 5, 1) + n * DAY for n in range(19)]
    return [
        *(Spent(day, Decimal("1.5"), environment="prod") for day in days),
        *(Spent(day, Decimal("0.25")) for day in days),
        Spent(days[0], Decimal("-3"), record="Credit"),
        Spent(days[0], Decimal("2"), service="Tax", record="Tax"),
        Spent(days[1], Decimal("-0.5"), record="EdpDiscount"),
    ]


@pytest.fixture
def told() -> Told:
    return Told(spent=spent_in_may())


@pytest.fixture
def url(told: Told) -> Iterator[str]:
    with cost_explorer(told) as address:
        yield address


class Run:
    """One run with a budget of its own, as the command makes it."""

    def __init__(self, url: str, store: CostStore, most: str = "0.10") -> None:
        self.budget = CallBudget(Decimal(most))
        self.pauses: list[float] = []
        self.explorer = CostExplorer(
            asking(url), ACCOUNT, store, self.budget, "environment", self.pauses.append
        )

    def ingest(self, now: datetime = NOW, months: int = 1) -> Ingested:
        return self.explorer.ingest(now=now, months=months)


def kept(store: CostStore) -> list[dict[str, Any]]:
    engine = open_engine(spill=store.folder.parent / "spill")
    try:
        table = store.table(engine)
        columns = ("ChargeCategory", "ServiceName", "Tags", "BilledCost", "ChargePeriodStart")
        found: list[dict[str, Any]] = table.select(*columns).to_pyarrow().to_pylist()
        return found
    finally:
        engine.disconnect()


def test_its_answer_is_kept_as_estimated_charges(url: str, store: CostStore) -> None:
    run = Run(url, store)
    done = run.ingest()
    (partition,) = store.partitions()
    assert (partition.export_id, partition.label) == ("cost-explorer", Label.ESTIMATED)
    assert partition.totals[0].billed == Decimal("31.75")  # 19 x 1.75, less 3, plus 2, less 0.5
    rows = kept(store)
    assert sum(row["BilledCost"] for row in rows) == Decimal("31.75")
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Credit", "Tax", "Adjustment"}
    assert {row["Tags"] for row in rows} == {None, '{"environment": "prod"}'}
    assert min(row["ChargePeriodStart"] for row in rows) == datetime(2026, 5, 1, tzinfo=UTC)
    assert max(row["ChargePeriodStart"] for row in rows) == datetime(2026, 5, 19, tzinfo=UTC)
    assert done.notes == ()
    assert (run.budget.sent, run.budget.answered, run.budget.usd) == (2, 2, Decimal("0.02"))


def test_the_end_is_exclusive_and_today_is_not_over(url: str, told: Told, store: CostStore) -> None:
    Run(url, store).ingest()
    assert told.questions() == [("2026-05-01", "2026-05-20")] * 2


def test_on_the_first_day_of_a_month_the_last_one_is_asked_for(
    url: str, told: Told, store: CostStore
) -> None:
    Run(url, store).ingest(datetime(2026, 6, 1, 3, tzinfo=UTC))
    assert told.questions() == [("2026-05-01", "2026-06-01")] * 2
    assert store.months() == ["2026-05"]


def test_every_page_is_read_and_each_is_counted(url: str, told: Told, store: CostStore) -> None:
    told.page_size = 9
    run = Run(url, store)
    run.ingest()
    assert store.partitions()[0].totals[0].billed == Decimal("31.75")
    assert run.budget.sent == 8  # 38 groups of usage, 20 of all else
    tokens = [body.get("NextPageToken") for _, body in told.asked]
    assert tokens == [None, "9", "18", "27", "36", None, "9", "18"]


def test_what_was_answered_about_closed_days_is_not_asked_again(
    url: str, told: Told, store: CostStore
) -> None:
    Run(url, store).ingest()
    told.asked.clear()
    told.spent.append(Spent(date(2026, 5, 20), Decimal(4)))
    run = Run(url, store)
    (change,) = run.ingest(NOW + DAY).changes
    # The days that were settled when they were asked for are those up to the 16th.
    assert told.questions() == [("2026-05-17", "2026-05-21")] * 2
    assert change.after[0].billed == Decimal("35.75")
    assert not change.restated


def test_within_some_hours_nothing_is_asked_at_all(url: str, told: Told, store: CostStore) -> None:
    Run(url, store).ingest()
    told.asked.clear()
    run = Run(url, store)
    done = run.ingest(NOW + timedelta(hours=5))
    assert told.asked == []
    assert run.budget.usd == 0
    assert done.unchanged == ("2026-05",)


def test_a_month_is_asked_for_once_more_when_it_was_invoiced_and_then_no_more(
    url: str, told: Told, store: CostStore
) -> None:
    Run(url, store).ingest(datetime(2026, 6, 4, tzinfo=UTC), months=2)
    told.spent.append(Spent(date(2026, 5, 31), Decimal(9), service="Tax", record="Tax"))
    told.asked.clear()
    done = Run(url, store).ingest(datetime(2026, 6, 7, tzinfo=UTC), months=2)
    assert [(one.month, one.restated) for one in done.changes] == [("2026-05", False)]
    assert told.questions() == [("2026-05-01", "2026-06-07")] * 2
    told.asked.clear()
    Run(url, store).ingest(datetime(2026, 6, 20, tzinfo=UTC), months=2)
    assert told.questions() == [("2026-06-04", "2026-06-20")] * 2


def test_the_budget_ends_a_run_before_one_request_too_many(
    url: str, told: Told, store: CostStore
) -> None:
    told.page_size = 9
    run = Run(url, store, most="0.06")
    with pytest.raises(CallBudgetError, match="6 requests were sent") as ended:
        run.ingest()
    assert ended.value.exit_code == ExitCode.FAILED
    assert len(told.asked) == run.budget.sent == 6
    assert store.months() == []  # half an answer is no answer
    second = Run(url, store, most="0.06")
    second.ingest()  # the first question was answered whole, and is not put again
    assert second.budget.sent == 3


def test_a_budget_of_nothing_asks_nothing(url: str, told: Told, store: CostStore) -> None:
    with pytest.raises(CallBudgetError):
        Run(url, store, most="0").ingest()
    assert told.asked == []


@pytest.mark.parametrize("code", ["ThrottlingException", "LimitExceededException"])
def test_a_throttled_question_is_put_again_after_a_pause(
    url: str, told: Told, store: CostStore, code: str
) -> None:
    told.refusals = [(400, code)] * 2
    run = Run(url, store)
    run.ingest()
    assert run.pauses == [2.0, 8.0]
    assert store.partitions()[0].totals[0].billed == Decimal("31.75")
    assert (run.budget.sent, run.budget.usd) == (4, Decimal("0.02"))


def test_where_it_throttles_on_it_is_an_error(url: str, told: Told, store: CostStore) -> None:
    told.refusals = [(400, "ThrottlingException")] * 9
    with pytest.raises(ThrottledError):
        Run(url, store).ingest()
    assert store.months() == []


def test_access_that_is_denied_is_an_error_and_never_nothing_spent(
    url: str, told: Told, store: CostStore
) -> None:
    told.refusals = [(400, "AccessDeniedException")]
    with pytest.raises(CredentialsError, match="AccessDeniedException"):
        Run(url, store).ingest()
    assert store.months() == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "DataUnavailableException", PermanentError),
        (400, "ValidationException", PermanentError),
    ],
)
def test_what_it_cannot_answer_is_an_error(
    url: str, told: Told, store: CostStore, status: int, code: str, expected: type[Exception]
) -> None:
    told.refusals = [(status, code)]
    with pytest.raises(expected, match=code):
        Run(url, store).ingest()


def test_an_address_that_does_not_answer_is_an_error(store: CostStore) -> None:
    with pytest.raises(UnreachableError):
        Run("http://127.0.0.1:1", store).ingest()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, "without days"),
        ({"ResultsByTime": []}, "nothing about 2026-05-01"),
        ({"ResultsByTime": [], "NextPageToken": "x"}, "the same page again"),
        (
            {
                "ResultsByTime": [
                    {
                        "TimePeriod": {"Start": "2026-05-01", "End": "2026-05-20"},
                        "Total": {"UnblendedCost": {"Amount": "9", "Unit": "USD"}},
                        "Groups": [],
                    }
                ]
            },
            "without days, groups or amounts",
        ),
    ],
)
def test_half_an_answer_is_an_error(
    url: str, told: Told, store: CostStore, answer: dict[str, Any], expected: str
) -> None:
    told.answer = answer
    with pytest.raises(PermanentError, match=expected):
        Run(url, store).ingest()


def test_days_on_which_nothing_was_spent_are_zero_and_known(
    url: str, told: Told, store: CostStore
) -> None:
    told.spent.clear()
    done = Run(url, store).ingest()
    assert [one.rows for one in store.partitions()] == [0]
    assert done.notes == ("2026-05: there are no rows",)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Inactive", "is not activated as a cost allocation tag"),
        ("Active", "is activated, and no charge of these days carries it"),
        ("", "is not known to AWS's billing"),
    ],
)
def test_why_no_charge_carries_the_tag_is_said(
    url: str, told: Told, store: CostStore, status: str, expected: str
) -> None:
    told.spent = [one for one in told.spent if not one.environment]
    told.tag_status = status
    run = Run(url, store)
    (note,) = run.ingest().notes
    assert note.startswith("no charge carries the tag environment, which ")
    assert expected in note
    assert run.budget.usd == Decimal("0.03")


def test_a_tag_that_may_not_be_asked_about_is_said(url: str, told: Told, store: CostStore) -> None:
    told.spent = [one for one in told.spent if not one.environment]
    run = Run(url, store, most="0.02")
    (note,) = run.ingest().notes
    assert "cannot be asked for" in note
    assert store.months() == ["2026-05"]


def test_a_month_of_an_export_takes_no_estimates(
    url: str, store: CostStore, tmp_path: Path
) -> None:
    top = deliver(tmp_path, {"2026-05": charges()})
    store.ingest(Folder(top), "aws", now=NOW)
    done = Run(url, store).ingest()
    assert done.changes == ()
    assert "2026-05: not kept, since aws has its charges" in done.notes
    assert [one.export_id for one in store.partitions()] == ["aws"]


def test_an_export_takes_the_place_of_estimates(url: str, store: CostStore, tmp_path: Path) -> None:
    Run(url, store).ingest()
    top = deliver(tmp_path, {"2026-05": charges()})
    (change,) = store.ingest(Folder(top), "aws", now=NOW).changes
    assert change.replaced is not None
    assert change.replaced[0].billed == Decimal("31.75")
    assert [one.export_id for one in store.partitions()] == ["aws"]
    assert not list(store.folder.rglob("cost-explorer/part-*"))


def test_a_run_that_is_tried_again_has_no_new_money(store: CostStore) -> None:
    work = Ingest(CostConfiguration.load(environ={}), store)
    assert work.budget is work.budget
    assert work.budget is not Ingest(work.configuration, store).budget


@pytest.mark.parametrize(
    ("told_tokens", "expected"),
    [(["A", "B", "A"], "the same page again"), (["A", ""], "a group of 2026-05-01 twice")],
)
def test_pages_that_never_end_or_come_twice_are_no_answer(
    url: str, told: Told, store: CostStore, told_tokens: list[str], expected: str
) -> None:
    told.page_tokens = told_tokens
    with pytest.raises(PermanentError, match=expected):
        Run(url, store).ingest()
    assert store.months() == []
