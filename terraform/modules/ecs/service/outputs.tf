output "service" {
  description = "Names and ARNs of the service, and the least number of tasks that runs at any hour."
  value = {
    service_name        = aws_ecs_service.this.name
    service_arn         = aws_ecs_service.this.id
    task_definition_arn = aws_ecs_task_definition.this.arn
    target_group_arn    = try(var.load_balancer.target_group_arn, null)
    desired_min = min([
      for least in [var.settings.replicas.min, try(var.settings.business_hours.min, null), try(var.settings.business_hours.off_hours_min, null)] : least if least != null
    ]...)
    container_name = local.container.name
  }
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}
