"""Budgets: DescribeSubscribersForNotification.

AWS: answers who is told when a notification fires, as `{"Subscribers": [{SubscriptionType,
Address}]}`, in pages of up to 100. A notification is identified by its type (ACTUAL or FORECASTED),
comparison, threshold and threshold type. NotFoundException (400) when the budget or the
notification does not exist; notifications are listed empty, not missing, for a budget without any.

moto 5.2.5 stores the subscribers but has no call to read them, and Terraform's provider reads them
in every refresh of a budget.

Source: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_DescribeSubscribersForNotification.html
"""

import json
from typing import Any, cast

from moto.budgets import urls
from moto.budgets.exceptions import NotFoundException
from moto.budgets.models import Budget, BudgetsBackend, budgets_backends
from moto.budgets.responses import BudgetsResponse

from xops.local.aws.extension import substitute

DEFAULT_THRESHOLD_TYPE = "PERCENTAGE"
Identity = tuple[str, str, float, str]


def identity(notification: dict[str, Any]) -> Identity:
    """Answer what tells one notification of a budget from another.

    The state of a notification (OK or ALARM) is no part of it, and 80 and 80.0 are one threshold.
    """
    return (
        notification["NotificationType"],
        notification["ComparisonOperator"],
        float(notification["Threshold"]),
        notification.get("ThresholdType", DEFAULT_THRESHOLD_TYPE),
    )


class SubscribersBackend(BudgetsBackend):
    """moto's Budgets with readable subscribers."""

    def describe_subscribers_for_notification(
        self, account_id: str, budget_name: str, notification: dict[str, Any]
    ) -> list[dict[str, str]]:
        """Answer the subscribers of one notification of a budget."""
        wanted = identity(notification)
        for candidate in self._budget(account_id, budget_name).notifications:
            if identity(candidate.details) == wanted:
                # moto declares a dict and stores the list of the request.
                return cast(list[dict[str, str]], candidate.subscribers)
        raise NotFoundException("Unable to get subscribers - the notification doesn't exist.")

    def _budget(self, account_id: str, budget_name: str) -> Budget:
        try:
            return self.budgets[account_id][budget_name]
        except KeyError:
            raise NotFoundException(
                f"Unable to get budget: {budget_name} - the budget doesn't exist."
            ) from None


class SubscribersResponse(BudgetsResponse):
    """The response method of the call above."""

    @property
    def backend(self) -> SubscribersBackend:
        """The backend of the request's account."""
        return cast(SubscribersBackend, super().backend)

    def describe_subscribers_for_notification(self) -> str:
        """Answer DescribeSubscribersForNotification."""
        subscribers = self.backend.describe_subscribers_for_notification(
            account_id=self._get_param("AccountId"),
            budget_name=self._get_param("BudgetName"),
            notification=self._get_param("Notification"),
        )
        return json.dumps({"Subscribers": subscribers})


def install() -> None:
    """Put this extension in the place of moto's own Budgets."""
    substitute(budgets_backends, urls, SubscribersBackend, SubscribersResponse)
