"""Ask Cost Explorer, within a budget, and keep its answer as charges that are estimated."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from xops.aws.errors import ThrottledError, translate_aws_errors
from xops.core.errors import PermanentError, XopsError
from xops.finops.configuration import COST_EXPLORER
from xops.finops.focus.columns import arrow_schema
from xops.finops.store.changes import Ingested
from xops.finops.store.cost_explorer.answers import Answers, Day, Group
from xops.finops.store.cost_explorer.call_budget import CallBudget
from xops.finops.store.cost_explorer.questions import (
    Question,
    charges,
    has_tag,
    parse_groups,
    questions,
)
from xops.finops.store.cost_store import CostStore
from xops.finops.store.examination import Typed, examine
from xops.finops.store.exports.staging import Staged, Told, tell_nobody
from xops.finops.store.partitions import Label, SourceFile
from xops.finops.store.sources import disk_error

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

PAUSES = (2.0, 8.0, 30.0)
"""Seconds before a throttled question is put again; botocore has tried it several times before."""

MOST_PAGES = 200
_FOLDER = ".cost-explorer"
_TAG_STATUS = {
    "Active": "is activated, and no charge of these days carries it: it counts from the day of its"
    " activation on",
    "Inactive": "is not activated as a cost allocation tag: activate it in the payer's account; it"
    " counts from a day later on, and not for days before",
}
_UNKNOWN_TAG = "is not known to AWS's billing: no resource carries it, or it is younger than a day"


@dataclass(frozen=True)
class CostExplorer:
    """Cost Explorer of one account.

    Attributes:
        client: boto3's `ce` client.
        account: that it asks about, for the rows and the cache.
        store: where the charges and the answers are kept.
        budget: counts what the run costs.
        environment_tag: the key of the tag that tells environments apart.
        pause: waits so many seconds.
    """

    client: Any
    account: str
    store: CostStore
    budget: CallBudget
    environment_tag: str
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        self.budget.watch(self.client)

    def ingest(self, *, now: datetime, months: int = 2, told: Told = tell_nobody) -> Ingested:
        """Ask for the whole days of the latest billing periods, and keep them as estimated.

        A month that an export has the charges of is left to it.

        Args:
            now: when this is; the day that it is of is not over and is not asked for.
            months: how many billing periods, that of yesterday the last.
            told: hears of the progress.

        Raises:
            CallBudgetError: the run's money does not reach; what was answered is kept for the next.
            CredentialsError: AWS does not let us; this is no answer, and never 0.
            ThrottledError, UnreachableError, TemporaryError, PermanentError: it does not answer.
        """
        days = whole_days(now.astimezone(UTC).date(), months)
        asked = questions(self.environment_tag)
        answers = {one: self._answers(one, days, now, told) for one in asked}
        rows = [
            row
            for question, found in answers.items()
            for day, answer in found.items()
            for row in charges(question, day, answer, self.account)
        ]

        def stage(engine: Backend, folder: Path) -> list[Staged]:
            return [_staged(engine, folder, month, rows) for month in _months(days)]

        address = f"Cost Explorer of {self.account}"
        kept = self.store.keep(stage, COST_EXPLORER, address, now=now)
        return replace(kept, notes=(*kept.notes, *self._tag_notes(answers[asked[0]], now)))

    def _answers(
        self, question: Question, days: Sequence[date], now: datetime, told: Told
    ) -> dict[date, Day]:
        """The answer for each day: kept ones, and for the others one question for all."""
        kept = Answers(self.store.folder / _FOLDER, self._name(question))
        found = kept.usable(days, now)
        lacking = [day for day in days if day not in found]
        if lacking:
            told(f"asking Cost Explorer for {question.name}, {len(lacking)} days", None)
            fresh = self._ask(question, lacking[0], lacking[-1] + timedelta(days=1), now)
            kept.keep(fresh)
            found |= {day: fresh[day] for day in days if day in fresh}
        return {day: found[day] for day in days}

    def _name(self, question: Question) -> str:
        told = json.dumps([self.account, question.parameters()], sort_keys=True)
        return f"{question.name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def _ask(self, question: Question, start: date, end: date, now: datetime) -> dict[date, Day]:
        """Every page of one question, for days from `start` until before `end`."""
        groups: dict[date, list[Group]] = {}
        span = {"TimePeriod": {"Start": str(start), "End": str(end)}}
        for page in self._pages({**question.parameters(), **span}):
            try:
                for result in page["ResultsByTime"]:
                    day = date.fromisoformat(result["TimePeriod"]["Start"])
                    groups.setdefault(day, []).extend(parse_groups(result))
            except (KeyError, TypeError, ValueError, ArithmeticError):
                raise _no_answer("an answer without days, groups or amounts") from None
        wanted = [start + timedelta(days=n) for n in range((end - start).days)]
        if lacking := [day for day in wanted if day not in groups]:
            raise _no_answer(f"nothing about {lacking[0]} and {len(lacking) - 1} more days")
        for day in wanted:
            if len({one.keys for one in groups[day]}) < len(groups[day]):
                raise _no_answer(f"a group of {day} twice")
        return {day: Day(asked_at=now, groups=tuple(groups[day])) for day in wanted}

    def _pages(self, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        token: dict[str, str] = {}
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            page = self._call("get_cost_and_usage", {**parameters, **token})
            yield page
            if not page.get("NextPageToken"):
                return
            if page["NextPageToken"] in seen:
                raise _no_answer("the same page again as the next one")
            seen.add(page["NextPageToken"])
            token = {"NextPageToken": page["NextPageToken"]}
        raise _no_answer(f"more than {MOST_PAGES} pages")

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request, put again after a pause where AWS asks for fewer."""
        for pause in (*PAUSES, None):
            try:
                with translate_aws_errors("asking Cost Explorer"):
                    answer: Mapping[str, Any] = getattr(self.client, operation)(**parameters)
            except ThrottledError:
                if pause is None:
                    raise
                self.pause(pause)
            else:
                self.budget.answered += 1
                return answer
        raise AssertionError("the last try raises")

    def _tag_notes(self, answers: Mapping[date, Day], now: datetime) -> list[str]:
        """Why no charge carries the tag of environments, if none does."""
        days = list(answers.values())
        if not any(day.groups for day in days) or has_tag(days):
            return []
        try:
            found = self._call(
                "list_cost_allocation_tags", {"TagKeys": [self.environment_tag], "MaxResults": 1}
            )
        except XopsError as error:
            because = f"cannot be asked for: {error.found}"
        else:
            tags = found.get("CostAllocationTags") or [{}]
            because = _TAG_STATUS.get(str(tags[0].get("Status")), _UNKNOWN_TAG)
        return [f"no charge carries the tag {self.environment_tag}, which {because}"]


def whole_days(today: date, months: int) -> list[date]:
    """The days that are over, of the billing period of yesterday and those before it."""
    last = today - timedelta(days=1)
    first = last.replace(day=1)
    for _ in range(months - 1):
        first = (first - timedelta(days=1)).replace(day=1)
    return [first + timedelta(days=n) for n in range((today - first).days)]


def _months(days: Sequence[date]) -> list[str]:
    return sorted({day.strftime("%Y-%m") for day in days})


def _staged(engine: Backend, folder: Path, month: str, rows: Sequence[dict[str, Any]]) -> Staged:
    """A month's rows as a part."""
    of_month = [row for row in rows if row["ChargePeriodStart"].strftime("%Y-%m") == month]
    table = pa.Table.from_pylist(of_month, arrow_schema())
    part = folder / f"{month}.parquet"
    try:
        pq.write_table(table, part, compression="zstd")
    except OSError as error:
        raise disk_error(f"writing {part}", error) from None
    content = hashlib.sha256(json.dumps(of_month, default=str, sort_keys=True).encode()).hexdigest()
    totals = examine(engine, Typed(part, "Cost Explorer's answer"), month)
    return Staged(
        month,
        parts=[part],
        files=[SourceFile(name=COST_EXPLORER, seen_as="", content=content)],
        totals=totals.get(month, []),
        label=Label.ESTIMATED,
    )


def _no_answer(found: str) -> PermanentError:
    return PermanentError(
        "asking Cost Explorer", found, "Compare with AWS's own page; nothing was taken in."
    )
