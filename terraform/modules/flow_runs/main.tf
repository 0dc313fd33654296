# What Prefect's ECS worker needs to learn how the tasks of flow runs ended: ECS tells EventBridge, a rule puts what concerns
# the cluster of flow runs into a queue, the worker reads the queue and marks the run of a task that failed as crashed.
locals {
  tags        = { service = "flow-runs" }
  arn_prefix  = "arn:${var.account.partition}"
  region_path = "${var.account.region}:${var.account.id}"

  # What the worker itself asks for with each message; it asks for more time while it works on one.
  visibility_seconds = 300
  # The worker learns whose a task was from ECS, which knows a stopped task for an hour: that long a message comes back while
  # the Prefect server is away. Prefect's own template gives up after three times, that is a quarter of an hour.
  receives = 3600 / local.visibility_seconds

  plain_text = {
    Sid       = "RefusePlainText"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sqs:*"
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }
}

# A name that no cluster has would make a queue that stays empty, and crashes that nobody hears of.
data "aws_ecs_cluster" "runs" {
  cluster_name = var.cluster

  lifecycle {
    postcondition {
      condition     = self.status == "ACTIVE"
      error_message = "flow_runs.cluster names ${var.cluster}, which is ${self.status}. Name the cluster of the ECS work pool, or take flow_runs out of the environment's file."
    }
  }
}

# Keys of SQS's own: with a key in KMS EventBridge would need rights on it, and each request would be billed there.
resource "aws_sqs_queue" "events" {
  name                       = "${var.name}-flow-runs"
  visibility_timeout_seconds = local.visibility_seconds
  receive_wait_time_seconds  = 20
  # An older message says nothing any more, see receives; this is for who looks what happened overnight.
  message_retention_seconds = 86400
  sqs_managed_sse_enabled   = true
  tags                      = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = local.receives
  })
}

# Retention counts from the first queue on, so this one keeps longer: as long as SQS does.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-flow-runs-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

# Whoever could send here could have any run marked as crashed, and a message that is no JSON stops the worker's observer.
resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "EventsOfTheRule"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.events.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.tasks.arn } }
      },
      {
        # Without this whoever has sqs:SendMessage by IAM could send as well.
        Sid       = "NothingElse"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.events.arn
        Condition = { ArnNotEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.tasks.arn } }
      },
      merge(local.plain_text, { Resource = aws_sqs_queue.events.arn }),
    ]
  })
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url
  policy    = jsonencode({ Version = "2012-10-17", Statement = [merge(local.plain_text, { Resource = aws_sqs_queue.dead_letters.arn })] })
}

resource "aws_cloudwatch_event_rule" "tasks" {
  name        = "${var.name}-flow-runs"
  description = "Tasks of ${var.cluster}, for the worker of ${var.name}"
  tags        = local.tags

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail      = { clusterArn = [data.aws_ecs_cluster.runs.arn] }
  })
}

resource "aws_cloudwatch_event_target" "events" {
  rule      = aws_cloudwatch_event_rule.tasks.name
  target_id = "queue"
  arn       = aws_sqs_queue.events.arn

  # An event that the queue does not take is lost.
  depends_on = [aws_sqs_queue_policy.events]
}

# What the worker's observer asks AWS, and nothing else; an operator attaches it to the worker's role.
resource "aws_iam_policy" "observer" {
  name        = "${var.name}-flow-runs"
  description = "Crash detection of the ECS worker of ${var.name}"
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadEvents"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
        Resource = aws_sqs_queue.events.arn
      },
      {
        # The tags of a task name its flow run.
        Sid      = "SeeTasks"
        Effect   = "Allow"
        Action   = "ecs:DescribeTasks"
        Resource = "${local.arn_prefix}:ecs:${local.region_path}:task/${var.cluster}/*"
      },
      {
        # Says where a task wrote its log. ECS knows no resource for this action.
        Sid      = "SeeTaskDefinitions"
        Effect   = "Allow"
        Action   = "ecs:DescribeTaskDefinition"
        Resource = "*"
      },
      {
        # The last lines of a run that failed before it reached the Prefect server.
        Sid      = "ReadLogs"
        Effect   = "Allow"
        Action   = "logs:GetLogEvents"
        Resource = "${local.arn_prefix}:logs:${local.region_path}:log-group:${var.log_group}:log-stream:*"
      },
    ]
  })
}
