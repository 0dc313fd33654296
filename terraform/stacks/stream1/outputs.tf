output "cluster_name" {
  description = "ECS cluster."
  value       = module.ecs.cluster.name
}

output "cluster_arn" {
  description = "ARN of the ECS cluster."
  value       = module.ecs.cluster.arn
}

output "services" {
  description = "By service: service_name, service_arn, task_definition_arn, target_group_arn (null: private), desired_min, container_name."
  value       = module.ecs.services
}

output "url" {
  description = "Where people reach Open WebUI."
  value       = module.web.url
}

output "health_url" {
  description = "Health endpoint of Open WebUI, asked through CloudFront as people do."
  value       = "${module.web.url}${var.services.open_webui.health_path}"
}

output "evidence_bucket" {
  description = "Bucket of the evidence."
  value       = module.data.buckets.evidence.name
}

output "reports_bucket" {
  description = "Bucket of the reports."
  value       = module.data.buckets.reports.name
}

output "log_bucket" {
  description = "Bucket of the access logs of the load balancer (alb/) and of CloudFront (cloudfront/)."
  value       = module.data.buckets.logs.name
}

output "alb_dns_name" {
  description = "Load balancer, which admits CloudFront only."
  value       = module.web.alb.dns_name
}

output "cloudfront_domain" {
  description = "CloudFront's own name of the distribution."
  value       = module.web.cloudfront_domain
}

output "cloudfront_distribution_id" {
  description = "The distribution; the verification waits until it is deployed to the edges."
  value       = module.web.cloudfront_distribution_id
}

output "name_servers" {
  description = "Name servers to delegate the zone to; empty unless the stack created it."
  value       = module.web.name_servers
}

output "budget_name" {
  description = "Monthly budget in AWS Budgets."
  value       = module.data.budget_name
}

output "secrets" {
  description = "Secrets the stack created, by name; an operator puts their values."
  value       = module.data.secret_arns
}

output "roles" {
  description = "services: task and execution role by service; github: CI roles by right; permission_sets: by role."
  value = {
    services        = module.identity.service_roles
    github          = module.identity.github_role_arns
    permission_sets = module.identity.permission_set_arns
  }
}

output "flow_runs" {
  description = "queue_name: what Prefect's ECS worker reads; worker_policy_arn: attach it to the worker's role. null: no flow_runs in the environment."
  value       = one(module.flow_runs)
}
