mock_provider "aws" {
  mock_data "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:ap-southeast-2:210987654321:cluster/xops-runs", status = "ACTIVE" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:ap-southeast-2:210987654321:rule/xops-prod-flow-runs" }
  }
}

override_resource {
  target = aws_sqs_queue.events
  values = {
    arn = "arn:aws:sqs:ap-southeast-2:210987654321:xops-prod-flow-runs"
    url = "https://sqs.ap-southeast-2.amazonaws.com/210987654321/xops-prod-flow-runs"
  }
}

override_resource {
  target = aws_sqs_queue.dead_letters
  values = {
    arn = "arn:aws:sqs:ap-southeast-2:210987654321:xops-prod-flow-runs-dead-letters"
    url = "https://sqs.ap-southeast-2.amazonaws.com/210987654321/xops-prod-flow-runs-dead-letters"
  }
}

variables {
  name      = "xops-prod"
  account   = { id = "210987654321", partition = "aws", region = "ap-southeast-2" }
  cluster   = "xops-runs"
  log_group = "/xops/runs"
}

run "the_rule_takes_the_tasks_of_the_cluster" {
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.tasks.event_pattern) == {
      source      = ["aws.ecs"]
      detail-type = ["ECS Task State Change"]
      detail      = { clusterArn = ["arn:aws:ecs:ap-southeast-2:210987654321:cluster/xops-runs"] }
    }
    error_message = "The rule must take what ECS tells of the tasks of the cluster of flow runs, and nothing else."
  }

  assert {
    condition     = aws_cloudwatch_event_target.events.arn == aws_sqs_queue.events.arn && aws_cloudwatch_event_target.events.rule == aws_cloudwatch_event_rule.tasks.name
    error_message = "What the rule takes must go to the queue."
  }

  assert {
    condition     = output.queue_name == "xops-prod-flow-runs" && aws_cloudwatch_event_rule.tasks.name == "xops-prod-flow-runs" && aws_iam_policy.observer.name == "xops-prod-flow-runs"
    error_message = "A name changed: the worker would look for the old queue, and CI has rights on the old names only."
  }
}

run "messages_are_encrypted_and_come_back_for_an_hour" {
  assert {
    condition     = alltrue([for queue in [aws_sqs_queue.events, aws_sqs_queue.dead_letters] : queue.sqs_managed_sse_enabled])
    error_message = "A queue is not encrypted."
  }

  assert {
    condition     = aws_sqs_queue.events.visibility_timeout_seconds == 300 && aws_sqs_queue.events.message_retention_seconds == 86400
    error_message = "The worker works on a message for up to 300 s before it asks for more time."
  }

  assert {
    condition = jsondecode(aws_sqs_queue.events.redrive_policy) == {
      deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
      maxReceiveCount     = 12
    }
    error_message = "A message must come back for as long as ECS knows a stopped task, and then go aside."
  }

  assert {
    condition     = aws_sqs_queue.dead_letters.message_retention_seconds > aws_sqs_queue.events.message_retention_seconds
    error_message = "Retention counts from the first queue on: what goes aside would be gone at once."
  }
}

run "only_the_rule_sends" {
  assert {
    condition = [
      for statement in jsondecode(aws_sqs_queue_policy.events.policy).Statement : [statement.Principal, statement.Action, statement.Condition] if statement.Effect == "Allow"
      ] == [
      [{ Service = "events.amazonaws.com" }, "sqs:SendMessage", { ArnEquals = { "aws:SourceArn" = "arn:aws:events:ap-southeast-2:210987654321:rule/xops-prod-flow-runs" } }],
    ]
    error_message = "Somebody else than the rule may use the queue."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_sqs_queue_policy.events.policy).Statement : statement.Effect == "Deny" && statement.Action == "sqs:SendMessage" && try(statement.Condition.ArnNotEquals["aws:SourceArn"], "") == aws_cloudwatch_event_rule.tasks.arn
    ])
    error_message = "Who has sqs:SendMessage by IAM could have a run marked as crashed."
  }

  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.events, aws_sqs_queue_policy.dead_letters] :
      anytrue([for statement in jsondecode(policy.policy).Statement : statement.Effect == "Deny" && statement.Action == "sqs:*" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"])
    ])
    error_message = "A queue takes plain text."
  }
}

run "the_worker_reads_this_queue_and_these_tasks" {
  assert {
    condition = { for statement in jsondecode(aws_iam_policy.observer.policy).Statement : statement.Sid => statement.Resource } == {
      ReadEvents         = "arn:aws:sqs:ap-southeast-2:210987654321:xops-prod-flow-runs"
      SeeTasks           = "arn:aws:ecs:ap-southeast-2:210987654321:task/xops-runs/*"
      SeeTaskDefinitions = "*"
      ReadLogs           = "arn:aws:logs:ap-southeast-2:210987654321:log-group:/xops/runs:log-stream:*"
    }
    error_message = "The worker's rights reach further than its queue, its cluster and its log."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_policy.observer.policy).Statement : strcontains(jsonencode(statement.Action), "*")])
    error_message = "The worker's rights must name each action."
  }
}

run "a_cluster_that_is_gone_is_refused" {
  command = plan

  override_data {
    target = data.aws_ecs_cluster.runs
    values = { arn = "arn:aws:ecs:ap-southeast-2:210987654321:cluster/xops-runs", status = "INACTIVE" }
  }

  expect_failures = [data.aws_ecs_cluster.runs]
}

run "a_pattern_of_clusters_is_refused" {
  command = plan

  variables {
    cluster = "*"
  }

  expect_failures = [var.cluster]
}

run "a_pattern_of_log_groups_is_refused" {
  command = plan

  variables {
    log_group = "/xops/*"
  }

  expect_failures = [var.log_group]
}
