output "service" {
  description = "Names and ARNs of the service, and the least number of tasks that runs at any hour."
  value = {
    service_name        = aws_ecs_service.this.name
    service_arn         = aws_ecs_service.this.id
    task_definition_arn = aws_ecs_task_definition.this.arn
    target_group_arn    = try(var.load_balancer.target_group_arn, null)
    desired_min         = min(var.replicas.min, try(var.business_hours.min, var.replicas.min), try(var.business_hours.off_hours_min, var.replicas.min))
    container_name      = local.container.name
  }
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}
