output "cluster" {
  description = "Cluster name and ARN."
  value       = { name = aws_ecs_cluster.this.name, arn = aws_ecs_cluster.this.arn }
}

output "services" {
  description = "By service: service_name, service_arn, task_definition_arn, target_group_arn (null: private), desired_min, container_name."
  value       = { for name, deployed in local.deployed : name => deployed.service }
}
