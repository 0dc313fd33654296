"""AWS's Price List Query API as GetProducts speaks it, and the feed of Fargate Spot's prices.

Source of the shapes: AWS Price List Service API reference; botocore's model of 2017-10-15 (JSON
1.1, errors by `__type`). It knows no throttling of its own: a test says what fails.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_servers import serving
from xops.finops.prices import spot_feed
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.prices.products import Question, questions

REGION = "ap-southeast-2"


def product(
    usage_type: str,
    *usd: str,
    unit: str = "Hrs",
    region: str = REGION,
    service: str = "AmazonECS",
    **attributes: str,
) -> str:
    """One of the JSON texts in a PriceList; several prices are tiers."""
    sku = f"SKU{abs(hash((usage_type, usd, tuple(attributes.items())))) % 10**8:08d}"
    tiers = {
        f"{sku}.JRTCKXETXF.T{number}": {
            "unit": unit,
            "beginRange": str(10 * number),
            "endRange": "Inf" if number == len(usd) - 1 else str(10 * (number + 1)),
            "description": f"${price} per {unit}",
            "appliesTo": [],
            "rateCode": f"{sku}.JRTCKXETXF.T{number}",
            "pricePerUnit": {"USD": price},
        }
        for number, price in enumerate(usd)
    }
    term = {
        "priceDimensions": tiers,
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    return json.dumps(
        {
            "product": {
                "productFamily": "Compute",
                "attributes": {"usagetype": usage_type, "regionCode": region, **attributes},
                "sku": sku,
            },
            "serviceCode": service,
            "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
            "version": "20261115000000",
            "publicationDate": "2026-11-15T00:00:00Z",
        }
    )


def known_products() -> dict[str, list[str]]:
    """An answer to every question that the packaged book knows one to, with the same price."""
    book = PriceBook.load(FILE)
    found: dict[str, list[str]] = {}
    for question in questions(REGION):
        row = book.find(question.item, REGION)
        if row is not None:
            price = f"{row.usd / question.per:.10f}"
            usage_type = question.usage_types[0]
            made = product(
                usage_type,
                price,
                region=question.asked_in or "",
                service=question.service_code,
                **question.where,
            )
            found.setdefault(usage_type, []).append(made)
    return found


def feed(**usd: str) -> dict[str, Any]:
    """The feed with these prices by unit, of Sydney and, dearer, of another region."""
    rows = [
        {"unit": unit.replace("_", "-"), "price": {"USD": price}, "attributes": {"aws:region": at}}
        for unit, price in usd.items()
        for at, price in ((REGION, price), ("us-east-1", f"9{price}"))
    ]
    return {"manifest": {"currencyCode": "USD"}, "prices": rows}


KNOWN_FEED = {"ARM_GB_Hours": "0.0014", "ARM_vCPU_Hours": "0.0125", "GB_Hours": "0.00166611"}


@dataclass
class PriceList:
    """What it answers, and what it was asked.

    Attributes:
        products: JSON texts by usage type.
        failing: the error types of the next calls.
        a_page: how many products come at once.
    """

    products: dict[str, list[str]] = field(default_factory=known_products)
    feed: Any = field(default_factory=lambda: feed(**KNOWN_FEED, vCPU_Hours="0.01520795"))
    failing: list[str] = field(default_factory=list)
    a_page: int = 100
    asked: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """As GetProducts: all filters hold, a page at a time."""
        self.asked.append(request)
        wanted = {row["Field"]: row["Value"] for row in request["Filters"]}
        found = [
            text
            for text in self.products.get(wanted["usagetype"], [])
            if _fits(json.loads(text), request["ServiceCode"], wanted)
        ]
        start = int(request.get("NextToken", "0"))
        end = start + self.a_page
        more = {"NextToken": str(end)} if end < len(found) else {}
        return {"FormatVersion": "aws_v1", "PriceList": found[start:end], **more}

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead boto3 and the product here and nowhere else."""
        return {
            "AWS_ENDPOINT_URL_PRICING": self.address,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_EC2_METADATA_DISABLED": "true",
            spot_feed.VARIABLE: f"{self.address}/fargate-spot-prices.json",
        }


def _fits(document: Any, service: str, wanted: dict[str, str]) -> bool:
    attributes = document["product"]["attributes"]
    return document["serviceCode"] == service and all(
        attributes.get(name) == value for name, value in wanted.items()
    )


def question(item: str) -> Question:
    """The question about an item of Sydney."""
    return next(one for one in questions(REGION) if one.item == item)


def cost(item: str) -> Decimal:
    """What the packaged book says of it."""
    row = PriceBook.load(FILE).find(item, REGION)
    assert row is not None
    return row.usd


@contextmanager
def price_list() -> Iterator[PriceList]:
    """One that runs."""
    state = PriceList()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
            if state.failing:
                kind = state.failing.pop(0)
                self._send(400, {"__type": kind, "message": f"{kind}: not now"})
            else:
                self._send(200, state.answer(json.loads(body)))

        def do_GET(self) -> None:
            self._send(200 if state.feed else 503, state.feed)

        def _send(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as address:
        state.address = address
        yield state
