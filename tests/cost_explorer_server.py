"""A server that speaks Cost Explorer's protocol: it answers from charges, pages, and can refuse."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
from botocore.config import Config

from tests.http_servers import serving

ACCOUNT = "000000000000"
_TARGET = "AWSInsightsIndexService."
_USAGE = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")


@dataclass(frozen=True)
class Spent:
    """A charge as Cost Explorer knows it."""

    day: date
    amount: Decimal
    service: str = "Amazon Elastic Container Service"
    record: str = "Usage"
    environment: str = ""
    unit: str = "USD"


@dataclass
class Told:
    """What the server is told to do, and what it was asked.

    Attributes:
        page_size: groups on a page.
        refusals: answers to the next requests instead: the status and the error's code.
        page_tokens: of the next answers, each of which is the whole one again; empty: the last.
        tag_status: of the environment's tag; empty: AWS knows none.
    """

    spent: list[Spent] = field(default_factory=list)
    page_size: int = 100
    refusals: list[tuple[int, str]] = field(default_factory=list)
    page_tokens: list[str] = field(default_factory=list)
    tag_status: str = "Active"
    answer: Mapping[str, Any] | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def questions(self) -> list[tuple[str, str]]:
        """The spans of days that were asked for, without pages."""
        return [
            (body["TimePeriod"]["Start"], body["TimePeriod"]["End"])
            for name, body in self.asked
            if name == "GetCostAndUsage" and "NextPageToken" not in body
        ]


def _handler(told: Told) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.headers.get("X-Amz-Target", "").removeprefix(_TARGET)
            if not name:  # STS: who asks
                self._send(200, _IDENTITY, "text/xml")
                return
            asked = json.loads(body)
            told.asked.append((name, asked))
            if told.refusals:
                status, code = told.refusals.pop(0)
                answer = {"__type": code, "message": f"told to say {code}"}
                self._send(status, json.dumps(answer).encode())
                return
            answers = {"GetCostAndUsage": cost_and_usage, "ListCostAllocationTags": allocation_tags}
            made = answers[name](told, asked) if told.answer is None else told.answer
            self._send(200, json.dumps(made).encode())

        def _send(self, status: int, body: bytes, kind: str = "application/x-amz-json-1.1") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


_IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    f"<GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/x</Arn><UserId>x</UserId>"
    f"<Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
).encode()


def cost_and_usage(told: Told, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of each day, in pages; a day may go on on the next page."""
    assert len(asked["GroupBy"]) <= 2
    start, end = (date.fromisoformat(asked["TimePeriod"][key]) for key in ("Start", "End"))
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    lines: list[tuple[date, dict[str, Any] | None]] = []
    for day in days:
        lines += [(day, group) for group in _groups(told, asked, day)] or [(day, None)]
    again = told.page_tokens.pop(0) if told.page_tokens else None
    first = int(asked.get("NextPageToken", "0")) if again is None else 0
    page = lines[first : first + told.page_size]
    results: dict[date, list[Any]] = {}
    for day, group in page:
        results.setdefault(day, []).extend([group] if group else [])
    answer = {
        "GroupDefinitions": asked["GroupBy"],
        "ResultsByTime": [_result(day, groups) for day, groups in results.items()],
        "DimensionValueAttributes": [],
    }
    if again is not None:
        return answer | ({"NextPageToken": again} if again else {})
    more = first + told.page_size < len(lines)
    return answer | ({"NextPageToken": str(first + told.page_size)} if more else {})


def _result(day: date, groups: Sequence[Any]) -> dict[str, Any]:
    period = {"Start": str(day), "End": str(day + timedelta(days=1))}
    return {"TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": True}


def _groups(told: Told, asked: Mapping[str, Any], day: date) -> list[dict[str, Any]]:
    negated = "Not" in asked["Filter"]
    found: dict[tuple[str, str], list[Spent]] = {}
    for one in told.spent:
        if one.day == day and (one.record in _USAGE) is not negated:
            by_tag = asked["GroupBy"][1]["Type"] == "TAG"
            key = f"{asked['GroupBy'][1]['Key']}${one.environment}" if by_tag else one.record
            found.setdefault((one.service, key), []).append(one)
    return [
        {
            "Keys": list(keys),
            "Metrics": {
                metric: {
                    "Amount": str(sum((one.amount for one in spent), Decimal(0))),
                    "Unit": spent[0].unit,
                }
                for metric in asked["Metrics"]
            },
        }
        for keys, spent in found.items()
    ]


def allocation_tags(told: Told, asked: Mapping[str, Any]) -> dict[str, Any]:
    tags = [
        {"TagKey": key, "Type": "UserDefined", "Status": told.tag_status}
        for key in asked["TagKeys"]
        if told.tag_status
    ]
    return {"CostAllocationTags": tags}


@contextmanager
def cost_explorer(told: Told) -> Iterator[str]:
    """Its address."""
    with serving(_handler(told)) as url:
        yield url


def asking(url: str) -> Any:
    """A boto3 client of it, which leaves trying again to whoever asks."""
    return boto3.client(
        "ce",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )
