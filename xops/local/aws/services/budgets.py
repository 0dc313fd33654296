"""Budgets: DescribeSubscribersForNotification, UpdateBudget and the tags of a budget.

AWS: answers who is told when a notification fires, as `{"Subscribers": [{SubscriptionType,
Address}]}`, in pages of up to 100. A notification is identified by its type (ACTUAL or FORECASTED),
comparison, threshold and threshold type. NotFoundException (400) when the budget or the
notification does not exist; notifications are listed empty, not missing, for a budget without any.

UpdateBudget replaces a budget's document and keeps its notifications. ListTagsForResource answers
`{"ResourceTags": [{Key, Value}]}` of the budget that an ARN names; TagResource merges,
UntagResource drops, and CreateBudget takes `ResourceTags`.

moto 5.2.5 stores the subscribers but has no call to read them, and has neither the update nor tags.
Terraform's provider reads subscribers and tags in every refresh of a budget.

Source: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_DescribeSubscribersForNotification.html
"""

import json
from typing import Any, cast

from moto.budgets import urls
from moto.budgets.exceptions import NotFoundException
from moto.budgets.models import Budget, BudgetsBackend, budgets_backends
from moto.budgets.responses import BudgetsResponse
from moto.utilities.tagging_service import TaggingService

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
    """moto's Budgets with readable subscribers, updates and tags."""

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.tagger = TaggingService()

    def update_budget(self, account_id: str, budget: dict[str, Any]) -> None:
        """Replace the document of a budget."""
        current = self._budget(account_id, budget["BudgetName"])
        renewed = Budget(budget, [])
        renewed.notifications = current.notifications
        self.budgets[account_id][budget["BudgetName"]] = renewed

    def list_tags_for_resource(self, resource_arn: str) -> list[dict[str, str]]:
        """Answer the tags of the budget that an ARN names."""
        self._require(resource_arn)
        return self.tagger.list_tags_for_resource(resource_arn)["Tags"]

    def tag_resource(self, resource_arn: str, tags: list[dict[str, str]]) -> None:
        """Add tags, replacing values of keys the budget has."""
        self._require(resource_arn)
        self.tagger.tag_resource(resource_arn, tags)

    def untag_resource(self, resource_arn: str, tag_keys: list[str]) -> None:
        """Drop tags; a key the budget does not have is no error."""
        self._require(resource_arn)
        self.tagger.untag_resource_using_names(resource_arn, tag_keys)

    def delete_budget(self, account_id: str, budget_name: str) -> None:
        """Delete a budget and its tags."""
        super().delete_budget(account_id, budget_name)
        self.tagger.delete_all_tags_for_resource(self.arn(account_id, budget_name))

    def arn(self, account_id: str, budget_name: str) -> str:
        """Answer a budget's ARN; budgets have no region."""
        return f"arn:{self.partition}:budgets::{account_id}:budget/{budget_name}"

    def _require(self, resource_arn: str) -> None:
        account_id, _, budget_name = resource_arn.split("::")[-1].partition(":budget/")
        self._budget(account_id, budget_name)

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
    """The response methods of the calls above."""

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

    def create_budget(self) -> str:
        """Create as moto does, then keep the tags of the request."""
        answer = super().create_budget()
        if tags := self._get_param("ResourceTags"):
            name = self._get_param("Budget")["BudgetName"]
            arn = self.backend.arn(self._get_param("AccountId"), name)
            self.backend.tag_resource(arn, tags)
        return answer

    def update_budget(self) -> str:
        """Answer UpdateBudget."""
        self.backend.update_budget(self._get_param("AccountId"), self._get_param("NewBudget"))
        return json.dumps({})

    def list_tags_for_resource(self) -> str:
        """Answer ListTagsForResource."""
        tags = self.backend.list_tags_for_resource(self._get_param("ResourceARN"))
        return json.dumps({"ResourceTags": tags})

    def tag_resource(self) -> str:
        """Answer TagResource."""
        self.backend.tag_resource(
            self._get_param("ResourceARN"), self._get_param("ResourceTags", [])
        )
        return json.dumps({})

    def untag_resource(self) -> str:
        """Answer UntagResource."""
        self.backend.untag_resource(
            self._get_param("ResourceARN"), self._get_param("ResourceTagKeys", [])
        )
        return json.dumps({})


def install() -> None:
    """Put this extension in the place of moto's own Budgets."""
    substitute(budgets_backends, urls, SubscribersBackend, SubscribersResponse)
