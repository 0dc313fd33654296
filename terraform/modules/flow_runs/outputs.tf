# The worker gives up for good if the queue is not there when it starts, so nobody hears of it before it can be used.
output "queue_name" {
  description = "Queue the ECS worker reads; its PREFECT_INTEGRATIONS_AWS_ECS_OBSERVER_SQS_QUEUE_NAME."
  value       = aws_sqs_queue.events.name
  depends_on  = [aws_cloudwatch_event_target.events]
}

output "worker_policy_arn" {
  description = "IAM policy with what the worker needs to read the queue and to look at the tasks it tells of."
  value       = aws_iam_policy.observer.arn
}
