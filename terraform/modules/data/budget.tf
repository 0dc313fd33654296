locals {
  # AWS Budgets refuses a limit of 0. Its own form for "nothing may be spent" is a limit of USD 1 with an absolute
  # threshold of one cent.
  zero_spend = tonumber(var.budget.amount) == 0

  thresholds = local.zero_spend ? [
    { type = "ACTUAL", threshold = 0.01, unit = "ABSOLUTE_VALUE" },
    ] : [
    { type = "ACTUAL", threshold = 50, unit = "PERCENTAGE" },
    { type = "ACTUAL", threshold = 80, unit = "PERCENTAGE" },
    { type = "ACTUAL", threshold = 100, unit = "PERCENTAGE" },
    # Two notifications may not be alike, so the forecast has its own type at the same 100 %.
    { type = "FORECASTED", threshold = 100, unit = "PERCENTAGE" },
  ]
}

resource "aws_budgets_budget" "monthly" {
  name         = "${var.name}-monthly"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = local.zero_spend ? "1" : var.budget.amount
  limit_unit   = var.budget.currency
  tags         = local.tags

  # Several stages may share an account. The tag counts only after it is activated as a cost allocation tag in the
  # account that pays; terraform/README.md says how.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:environment$%s", var.environment)]
  }

  dynamic "notification" {
    # A notification without a subscriber is refused.
    for_each = length(var.budget.notify) > 0 ? local.thresholds : []

    content {
      notification_type          = notification.value.type
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value.threshold
      threshold_type             = notification.value.unit
      subscriber_email_addresses = var.budget.notify
    }
  }
}
