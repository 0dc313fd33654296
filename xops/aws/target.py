"""Where a stack runs: the embedded AWS, LocalStack or AWS."""

from __future__ import annotations

from enum import StrEnum


class Target(StrEnum):
    """Which AWS is meant."""

    EMBEDDED = "embedded"
    LOCALSTACK = "localstack"
    AWS = "aws"
