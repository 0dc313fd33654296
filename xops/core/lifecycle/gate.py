"""The gate: who let a plan pass, and how that is known."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from dataclasses import dataclass

from xops.core.plan.model import Plan


@dataclass(frozen=True)
class Approval:
    """Who let a plan pass: `by` names a person or the policy, `digest` the plan they saw."""

    by: str
    how: str
    digest: str
    approved: bool = True
    reason: str = ""


Approver = Callable[[Plan], Approval]
"""Asks whoever decides; raises where nobody can be asked."""


def who() -> str:
    """The person or service account at this machine, for the evidence."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
