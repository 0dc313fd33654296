"""AWS's Price List Query API: one question, and the products that answer it.

Source: AWS Price List Service API reference, GetProducts; the products are JSON texts in JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from xops.aws.access import Aws
from xops.aws.errors import translate_aws_errors
from xops.aws.target import Target
from xops.core.errors import PermanentError
from xops.core.files.bounded_json import parse_json
from xops.core.files.reading import UnusableTextError
from xops.finops.prices.book import is_price
from xops.finops.prices.products import Question

REGION = "us-east-1"
"""One of the few that have this API, whatever region is asked about."""

_A_PAGE = 100
_MOST_PAGES = 50


@dataclass(frozen=True)
class Listed:
    """One product's price on demand.

    Attributes:
        usd: for one of AWS's units: of the first tier that costs something.
        effective: since when, as AWS writes it.
    """

    usage_type: str
    sku: str
    usd: Decimal
    unit: str
    effective: str


class UnreadableProductError(ValueError):
    """An answer that is not what AWS documents; says what is missing."""


def open_client(environ: Mapping[str, str]) -> Any:
    """A client for it; AWS_ENDPOINT_URL_PRICING leads it elsewhere."""
    return Aws(Target.AWS, REGION, dict(environ), follows_endpoints=True).client("pricing")


def ask(client: Any, question: Question) -> list[Listed]:
    """The products that answer it: one, if all is well.

    Raises:
        CredentialsError: pricing:GetProducts is not allowed.
        ThrottledError, UnreachableError, TemporaryError: as they say.
        PermanentError: the answer is not what AWS documents.
    """
    attempted = f"asking the price list for {question.item} of {question.region}"
    try:
        for usage_type in question.usage_types:
            with translate_aws_errors(attempted):
                texts = list(_texts(client, question, usage_type))
            products = [_listed(text) for text in texts]
            found = [one for one in products if one is not None and one.usage_type == usage_type]
            if found:
                return found
    except (UnreadableProductError, UnusableTextError) as error:
        raise PermanentError(
            attempted, str(error), "Say so to whoever keeps xOps: the price list has changed."
        ) from None
    return []


def _texts(client: Any, question: Question, usage_type: str) -> Iterator[str]:
    wanted = {"usagetype": usage_type, **question.where}
    if question.asked_in:
        wanted["regionCode"] = question.asked_in
    request: dict[str, Any] = {
        "ServiceCode": question.service_code,
        "FormatVersion": "aws_v1",
        "MaxResults": _A_PAGE,
        "Filters": [
            {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()
        ],
    }
    for _ in range(_MOST_PAGES):
        answer = client.get_products(**request)
        yield from map(str, answer.get("PriceList", []))
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]
    raise UnreadableProductError(f"has more than {_MOST_PAGES} pages")


def _listed(text: str) -> Listed | None:
    """A product with its price; None for one that is not sold on demand."""
    product = parse_json(text)
    attributes = _at(product, "product", "attributes")
    offers = _mapping(product, "terms").get("OnDemand")
    if not offers:
        return None
    if not isinstance(offers, dict):
        raise UnreadableProductError("a product's terms are no mapping")
    offer = max(offers.values(), key=lambda one: str(_mapping(one).get("effectiveDate")))
    tiers = sorted(_at(offer, "priceDimensions").values(), key=_begins)
    prices = [(_usd(tier), tier) for tier in tiers]
    costing = next((pair for pair in prices if pair[0]), prices[0] if prices else None)
    if costing is None:
        raise UnreadableProductError("a product has no price")
    return Listed(
        str(attributes.get("usagetype")),
        str(_at(product, "product").get("sku")),
        costing[0],
        str(costing[1].get("unit")),
        str(offer.get("effectiveDate")),
    )


def _begins(tier: Any) -> Decimal:
    return _number(_mapping(tier).get("beginRange", "0"))


def _usd(tier: Any) -> Decimal:
    return _number(_at(tier, "pricePerUnit").get("USD"))


def _number(text: object) -> Decimal:
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        value = Decimal("NaN")
    if not is_price(value):
        raise UnreadableProductError("a product's price is no number of USD")
    return value


def _at(value: Any, *path: str) -> dict[str, Any]:
    for key in path:
        value = _mapping(value, key)
    found: dict[str, Any] = value
    return found


def _mapping(value: Any, key: str | None = None) -> dict[str, Any]:
    found = value if key is None else (value.get(key) if isinstance(value, dict) else None)
    if not isinstance(found, dict):
        raise UnreadableProductError(f"a product has no {key or 'mapping where one belongs'}")
    return found
