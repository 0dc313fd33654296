"""What preflight looks at, and what it finds wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from xops.core.errors import XopsError
from xops.k3s.state.facts import HostFacts


class Severity(StrEnum):
    """Whether a finding stops the apply."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class PreflightFinding:
    """One thing wrong with one host (or with the hosts together), and how to fix it.

    Attributes:
        temporary: whether it may be over when it is looked at again.
    """

    host: str
    check: str
    found: str
    remedy: str
    severity: Severity = Severity.ERROR
    temporary: bool = False

    def __str__(self) -> str:
        return f"{self.host}: {self.check}: {self.found}\n  -> {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return asdict(self)


@dataclass(frozen=True)
class Observation:
    """All that preflight looks at.

    Attributes:
        facts: of every host, by name.
        offsets: each host's clock against this machine's, in seconds.
        reached: how each host's peers answered, by host, then by address and port.
        failed: why a host could not be looked at; it is in none of the others.
        ssh_requests: made of each host for it.
    """

    facts: Mapping[str, HostFacts]
    offsets: Mapping[str, float]
    reached: Mapping[str, Mapping[tuple[str, int], str]]
    failed: Mapping[str, XopsError] = field(default_factory=dict)
    ssh_requests: Mapping[str, int] = field(default_factory=dict)
