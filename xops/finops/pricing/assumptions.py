"""What no plan says and a bill depends on: how much is stored, moved and asked for in a month."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from xops.core.files import settings
from xops.core.files.validation import Model
from xops.core.money import Amount

FILE = Path(__file__).with_name("assumptions.yaml")

Quantity = Annotated[Amount, Field(ge=0, le=10**12, decimal_places=12)]


class Range(Model):
    """A quantity a month: the least, what is expected, the most."""

    low: Quantity
    expected: Quantity
    high: Quantity

    @field_validator("high")
    @classmethod
    def _in_order(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        low, expected = info.data.get("low", value), info.data.get("expected", value)
        if not low <= expected <= value:
            raise ValueError("must not lie below expected, nor expected below low")
        return value


class Assumptions(Model):
    """Quantities a month. A GB is 2^30 bytes, as AWS counts."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    load_balancer_units: Annotated[Range, Field(description="LCU in use, on average.")]
    file_system_gb: Annotated[Range, Field(description="Stored in a file system.")]
    backup_gb: Annotated[Range, Field(description="Stored in backups of it.")]
    log_group_gb: Annotated[Range, Field(description="Taken in by a log group.")]
    bucket_gb: Annotated[Range, Field(description="Stored in a bucket.")]
    repository_gb: Annotated[Range, Field(description="Stored in a repository of images.")]
    internet_gb: Annotated[
        Range, Field(description="Out of a VPC to the internet, above the account's free 100 GB.")
    ]
    between_zones_gb: Annotated[
        Range, Field(description="Between the zones of a VPC, counted in each direction.")
    ]
    nat_gb: Annotated[Range, Field(description="Through a NAT gateway.")]
    endpoint_gb: Annotated[Range, Field(description="Through an interface endpoint.")]
    web_gb: Annotated[Range, Field(description="From CloudFront to people.")]
    web_10k_requests: Annotated[Range, Field(description="HTTPS requests to CloudFront.")]
    firewall_million_requests: Annotated[Range, Field(description="Looked at by the firewall.")]
    zone_million_queries: Annotated[Range, Field(description="Of a hosted zone.")]
    key_10k_requests: Annotated[Range, Field(description="Of a KMS key.")]
    secret_10k_calls: Annotated[Range, Field(description="Of a secret.")]
    file_system_read_gb: Annotated[
        Range | None,
        Field(description="Read from a file system of elastic throughput; none: it is unpriced."),
    ] = None
    file_system_written_gb: Annotated[
        Range | None,
        Field(description="Written to a file system of elastic throughput; none: it is unpriced."),
    ] = None
    insights_metrics: Annotated[
        Range | None,
        Field(description="Metrics of a cluster's Container Insights; none: they are unpriced."),
    ] = None

    @classmethod
    def load(cls, file: Path = FILE) -> Self:
        """Read a file of assumptions.

        Raises:
            InputError: everything that is wrong with it.
        """
        return settings.load(cls, file, prefix="", environ={}, arguments={})
