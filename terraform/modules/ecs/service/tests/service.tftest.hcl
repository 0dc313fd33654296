mock_provider "aws" {}

variables {
  name            = "xops-prod"
  service         = "crew"
  region          = "ap-southeast-2"
  cluster         = { name = "xops-prod", arn = "arn:aws:ecs:ap-southeast-2:210987654321:cluster/xops-prod" }
  network         = { vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0a", "subnet-0b"], assign_public_ip = false, https_cidr = "0.0.0.0/0" }
  restrict_https  = false
  file_system     = { id = "fs-0123456789abcdef0", security_group_id = "sg-0efs" }
  service_connect = { namespace_arn = "arn:aws:servicediscovery:ap-southeast-2:210987654321:namespace/ns-0", alias = "crew" }
  logs            = { retention_days = 90, kms_key_arn = "arn:aws:kms:ap-southeast-2:210987654321:key/00000000-0000-0000-0000-000000000000" }
  settings = {
    image              = "ghcr.io/xops/crew:0.1.0"
    cpu                = 1024
    memory             = 2048
    port               = 8000
    health             = { path = "/health", start_seconds = 30 }
    stop_seconds       = 120
    replicas           = { min = 2, max = 8 }
    cpu_target_percent = 60
    capacity           = { on_demand_base = 1, on_demand_weight = 0, spot_weight = 1 }
    environment        = { B = "2", A = "1" }
    secrets            = { KEY = "arn:aws:secretsmanager:ap-southeast-2:210987654321:secret:xops-prod/key-AbCdEf" }
    roles              = { task = "arn:aws:iam::210987654321:role/crew-task", execution = "arn:aws:iam::210987654321:role/crew-execution" }
    read_only_root     = true
    mount              = { access_point_id = "fsap-0b", path = "/data" }
  }
}

run "a_service_rolls_back_and_bears_its_cost_tags" {
  command = plan

  assert {
    condition     = one(aws_ecs_service.this.deployment_circuit_breaker).rollback && one(aws_ecs_service.this.deployment_circuit_breaker).enable
    error_message = "A failed deployment must roll back by itself."
  }

  assert {
    condition     = aws_ecs_service.this.enable_ecs_managed_tags && aws_ecs_service.this.propagate_tags == "SERVICE" && aws_ecs_service.this.tags["service"] == "crew"
    error_message = "Without managed and propagated tags Fargate's cost cannot be told by service."
  }

  assert {
    condition = { for item in aws_ecs_service.this.capacity_provider_strategy : item.capacity_provider => [item.base, item.weight] } == {
      FARGATE = [1, 0], FARGATE_SPOT = [0, 1]
    }
    error_message = "The first task must be on demand and the rest Spot."
  }

  assert {
    condition     = one(one(one(aws_ecs_service.this.service_connect_configuration).service).client_alias).dns_name == "crew" && length(aws_ecs_service.this.load_balancer) == 0
    error_message = "The crew must be reached by its Service Connect name and not by the load balancer."
  }
}

run "the_container_is_as_agreed" {
  command = plan

  assert {
    condition     = local.container.stopTimeout == 120 && local.container.readonlyRootFilesystem && contains(local.container.mountPoints[*].containerPath, "/tmp")
    error_message = "The crew gets 120 s to stop, a read-only image and a writable /tmp."
  }

  assert {
    condition     = local.container.environment[*].name == ["A", "B"] && local.container.secrets == [{ name = "KEY", valueFrom = var.settings.secrets.KEY }]
    error_message = "Plain values come sorted, secrets by ARN."
  }

  assert {
    condition     = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64" && aws_cloudwatch_log_group.this.retention_in_days == 90
    error_message = "Tasks run on ARM64 and their log expires."
  }

  assert {
    condition = anytrue([for volume in aws_ecs_task_definition.this.volume :
      try(volume.efs_volume_configuration[0].transit_encryption == "ENABLED" && volume.efs_volume_configuration[0].authorization_config[0].iam == "ENABLED", false)
    ])
    error_message = "The file system must be mounted with TLS and the task's identity."
  }
}

run "without_hours_terraform_owns_the_bounds" {
  command = plan

  assert {
    condition     = aws_appautoscaling_target.fixed[0].min_capacity == 2 && aws_appautoscaling_target.fixed[0].max_capacity == 8 && length(aws_appautoscaling_scheduled_action.hours) == 0
    error_message = "Bounds must be the replicas of the environment file."
  }

  assert {
    condition     = one(aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration).target_value == 60
    error_message = "Scaling must hold the CPU target."
  }
}

run "with_hours_the_schedule_owns_the_bounds" {
  command = plan

  variables {
    settings = merge(var.settings, {
      business_hours = { timezone = "Australia/Sydney", start = "07:00", end = "19:30", days = "MON-FRI", min = 2, max = 8, off_hours_min = 1, off_hours_max = 2 }
    })
  }

  assert {
    condition     = length(aws_appautoscaling_target.fixed) == 0 && length(aws_appautoscaling_target.scheduled) == 1
    error_message = "With a schedule the target must be the one whose bounds Terraform leaves alone."
  }

  assert {
    condition = { for name, action in aws_appautoscaling_scheduled_action.hours : name => [action.schedule, action.timezone, tonumber(action.scalable_target_action[0].min_capacity)] } == {
      business-hours = ["cron(0 7 ? * MON-FRI *)", "Australia/Sydney", 2]
      off-hours      = ["cron(30 19 ? * MON-FRI *)", "Australia/Sydney", 1]
    }
    error_message = "The two actions must follow the hours in their own time zone."
  }
}

run "endpoints_confine_https" {
  command = plan

  variables {
    restrict_https = true
    network        = { vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0a", "subnet-0b"], assign_public_ip = false, https_cidr = "10.20.0.0/20", https_prefix_list_id = "pl-6ca54005" }
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.https.cidr_ipv4 == "10.20.0.0/20" && aws_vpc_security_group_egress_rule.s3[0].prefix_list_id == "pl-6ca54005"
    error_message = "With endpoints a task must reach the VPC and S3 only."
  }
}
