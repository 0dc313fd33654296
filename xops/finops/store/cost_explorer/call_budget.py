"""What asking Cost Explorer costs, and the most that a run may spend on it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from xops.core.errors import PermanentError

USD_A_REQUEST = Decimal("0.01")
"""Each page of an answer is a request. Source: AWS, Cost Explorer's price page, seen 2026-08."""


class CallBudgetError(PermanentError):
    """The run has no money left for what it still had to ask.

    It is not temporary: what is temporary is tried again at once, and that would be asked for too.
    """


class CallBudget:
    """Counts requests, those that are tried again among them, and stops before one too many.

    AWS is said not to charge for those that fail; the limit counts them all the same.

    Args:
        most_usd: what a run may spend.
    """

    def __init__(self, most_usd: Decimal) -> None:
        self.most_usd = most_usd
        self.sent = 0
        self.answered = 0

    @property
    def usd(self) -> Decimal:
        """What the answers cost."""
        return self.answered * USD_A_REQUEST

    def watch(self, client: Any) -> None:
        """Count every request that a boto3 client sends, also those that botocore tries again."""
        client.meta.events.register("before-send.cost-explorer", self._spend)

    def _spend(self, **_details: Any) -> None:
        if (self.sent + 1) * USD_A_REQUEST > self.most_usd:
            raise CallBudgetError(
                "asking Cost Explorer",
                f"the next request would cost more than the {self.most_usd} USD that a run may"
                f" spend: {self.sent} requests were sent",
                "Run it again: what was answered is kept and not asked again; or raise"
                " cost_explorer.most_usd_a_run in deployments/costs.yaml.",
            )
        self.sent += 1
