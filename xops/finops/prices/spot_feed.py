"""Fargate Spot's prices, from the file that AWS's own price page reads.

It is public and documented nowhere, so it is tried and never relied on.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx

from xops.core.errors import TemporaryError
from xops.core.files.bounded_json import parse_json
from xops.core.files.reading import UnusableTextError
from xops.finops.prices.book import is_price

ADDRESS = "https://dftu77xade0tc.cloudfront.net/fargate-spot-prices.json"
VARIABLE = "XOPS_FARGATE_SPOT_FEED"
"""Another address; empty: it is not asked."""

ITEMS = {
    "ARM-GB-Hours": "fargate spot arm64 memory",
    "ARM-vCPU-Hours": "fargate spot arm64 vCPU",
    "GB-Hours": "fargate spot x86_64 memory",
    "vCPU-Hours": "fargate spot x86_64 vCPU",
}
"""Our items by the feed's units."""

_MOST_BYTES = 4 << 20
_SECONDS = 15.0


def fetch(address: str) -> bytes:
    """The feed.

    Raises:
        TemporaryError: it does not come, or is larger than it ever was.
    """
    attempted = "reading the feed of Fargate Spot's prices"
    remedy = "The other prices are looked up without it; try again later."
    body = bytearray()
    try:
        with httpx.stream("GET", address, timeout=_SECONDS) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise TemporaryError(attempted, "is larger than 4 MiB", remedy)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TemporaryError(attempted, str(error) or type(error).__name__, remedy) from None
    return bytes(body)


def prices(body: bytes, region: str) -> Mapping[str, list[Decimal]]:
    """What it says of a region, by our items: one price each, if all is well.

    Raises:
        UnusableTextError: it is no such feed.
    """
    document = parse_json(body)
    rows = document.get("prices") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise UnusableTextError("is no feed of prices: it has no list `prices`")
    found: dict[str, list[Decimal]] = {}
    for row in rows:
        item = ITEMS.get(_text(row, "unit"))
        if item and _text(row, "attributes", "aws:region") == region:
            found.setdefault(item, []).append(_usd(_text(row, "price", "USD")))
    return found


def _text(row: Any, *path: str) -> str:
    for key in path:
        row = row.get(key) if isinstance(row, dict) else None
    return str(row)


def _usd(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not is_price(value) or not value:
        raise UnusableTextError("is no feed of prices: one of them is no number of USD")
    return value
