mock_provider "aws" {}

variables {
  name   = "xops-prod"
  region = "ap-southeast-2"
  network = {
    vpc_id           = "vpc-0123456789abcdef0"
    subnet_ids       = ["subnet-0a", "subnet-0b"]
    assign_public_ip = false
    https_cidr       = "0.0.0.0/0"
  }
  restrict_https = false
  file_system    = { id = "fs-0123456789abcdef0", security_group_id = "sg-0efs" }
  load_balancer = {
    target_group_arn  = "arn:aws:elasticloadbalancing:ap-southeast-2:210987654321:targetgroup/xops-prod-open-webui/0123456789abcdef"
    security_group_id = "sg-0alb"
  }
  logs = { retention_days = 90, kms_key_arn = "arn:aws:kms:ap-southeast-2:210987654321:key/00000000-0000-0000-0000-000000000000" }
  services = {
    open_webui = {
      image              = "ghcr.io/open-webui/open-webui:v0.6.36"
      cpu                = 2048
      memory             = 4096
      port               = 8080
      health             = { path = "/health", start_seconds = 120 }
      stop_seconds       = 60
      read_only_root     = false
      replicas           = { min = 2, max = 6 }
      cpu_target_percent = 70
      capacity           = { on_demand_base = 1, on_demand_weight = 0, spot_weight = 1 }
      business_hours     = { timezone = "Australia/Sydney", start = "07:00", end = "19:30", days = "MON-FRI", min = 2, max = 6, off_hours_min = 1, off_hours_max = 2 }
      environment        = { PORT = "8080", DATA_DIR = "/app/backend/data" }
      secrets            = { WEBUI_SECRET_KEY = "arn:aws:secretsmanager:ap-southeast-2:210987654321:secret:xops-prod/key-AbCdEf" }
      roles              = { task = "arn:aws:iam::210987654321:role/a-task", execution = "arn:aws:iam::210987654321:role/a-execution" }
      mount              = { access_point_id = "fsap-0a", path = "/app/backend/data" }
      public             = true
    }
    crew = {
      image              = "ghcr.io/xops/crew:0.1.0"
      cpu                = 1024
      memory             = 2048
      port               = 8000
      health             = { path = "/health", start_seconds = 30 }
      stop_seconds       = 120
      read_only_root     = true
      replicas           = { min = 2, max = 8 }
      cpu_target_percent = 60
      capacity           = { on_demand_base = 1, on_demand_weight = 1, spot_weight = 0 }
      environment        = { PORT = "8000" }
      secrets            = {}
      roles              = { task = "arn:aws:iam::210987654321:role/b-task", execution = "arn:aws:iam::210987654321:role/b-execution" }
      mount              = { access_point_id = "fsap-0b", path = "/data" }
      alias              = "crew"
      callers            = ["open_webui"]
    }
  }
}

run "cluster_has_insights_and_both_kinds_of_fargate" {
  command = plan

  assert {
    condition     = one(aws_ecs_cluster.this.setting).value == "enabled" && toset(aws_ecs_cluster_capacity_providers.this.capacity_providers) == toset(["FARGATE", "FARGATE_SPOT"])
    error_message = "The cluster must report Container Insights and offer on-demand and Spot."
  }
}

run "only_the_callers_reach_a_private_service" {
  command = plan

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.call) == ["open_webui-crew"] && aws_vpc_security_group_ingress_rule.call["open_webui-crew"].from_port == 8000
    error_message = "Open WebUI, and only it, may call the crew."
  }

  assert {
    condition     = output.services.crew.target_group_arn == null && output.services.open_webui.target_group_arn != null
    error_message = "The crew must not stand behind the load balancer."
  }

  assert {
    condition     = keys(module.server) == ["crew"] && keys(module.client) == ["open_webui"]
    error_message = "A service with a Service Connect name must be created before those that call it."
  }
}

run "desired_min_is_the_least_of_any_hour" {
  command = plan

  assert {
    condition     = output.services.open_webui.desired_min == 1 && output.services.crew.desired_min == 2
    error_message = "Whoever verifies at night would wait for replicas that the schedule took away."
  }
}

run "memory_fargate_does_not_sell_is_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, { memory = 9216 }) }
  }

  expect_failures = [var.services]
}

run "cpu_fargate_does_not_sell_is_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, { cpu = 1000 }) }
  }

  expect_failures = [var.services]
}

run "fewer_at_most_than_at_least_is_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, { replicas = { min = 3, max = 2 } }) }
  }

  expect_failures = [var.services]
}

run "capacity_without_weight_is_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, { capacity = { on_demand_base = 1, on_demand_weight = 0, spot_weight = 0 } }) }
  }

  expect_failures = [var.services]
}

run "hours_that_end_before_they_start_are_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, {
      business_hours = { timezone = "Australia/Sydney", start = "19:00", end = "07:00", days = "MON-FRI", min = 2, max = 8, off_hours_min = 1, off_hours_max = 2 }
    }) }
  }

  expect_failures = [var.services]
}

run "a_time_zone_without_rules_is_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, {
      business_hours = { timezone = "AEST", start = "07:00", end = "19:00", days = "MON-FRI", min = 2, max = 8, off_hours_min = 1, off_hours_max = 2 }
    }) }
  }

  expect_failures = [var.services]
}

run "retention_cloudwatch_does_not_know_is_refused" {
  command = plan

  variables {
    logs = { retention_days = 100, kms_key_arn = "arn:aws:kms:ap-southeast-2:210987654321:key/00000000-0000-0000-0000-000000000000" }
  }

  expect_failures = [var.logs]
}

run "a_stop_longer_than_fargate_grants_is_refused" {
  command = plan

  variables {
    services = { crew = merge(var.services.crew, { stop_seconds = 300 }) }
  }

  expect_failures = [var.services]
}
