locals {
  tags      = { service = var.service }
  port_name = var.service

  # Both images bring Python, and neither has to bring curl for this.
  health_probe = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:${var.settings.port}${var.settings.health.path}', timeout=4)"

  container = {
    name                   = var.service
    image                  = var.settings.image
    essential              = true
    readonlyRootFilesystem = var.settings.read_only_root
    stopTimeout            = var.settings.stop_seconds
    # An init process reaps children and hands SIGTERM on, so that the stop timeout means something.
    linuxParameters = { initProcessEnabled = true }

    portMappings = [{
      name          = local.port_name
      containerPort = var.settings.port
      hostPort      = var.settings.port
      protocol      = "tcp"
      appProtocol   = "http"
    }]

    # Sorted by name, since a list in another order would be a new revision of the task definition.
    environment = [for name in sort(keys(var.settings.environment)) : { name = name, value = var.settings.environment[name] }]
    secrets     = [for name in sort(keys(var.settings.secrets)) : { name = name, valueFrom = var.settings.secrets[name] }]

    mountPoints = concat(
      [{ sourceVolume = "data", containerPath = var.settings.mount.path, readOnly = false }],
      var.settings.read_only_root ? [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }] : [],
    )

    healthCheck = {
      command     = ["CMD", "python3", "-c", local.health_probe]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = var.settings.health.start_seconds
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = "task"
        # A log service that is slow must not stop the service that logs.
        mode              = "non-blocking"
        "max-buffer-size" = "4m"
      }
    }
  }

  # A provider without weight and base is left out: ECS counts it as a change of strategy, which starts a deployment.
  strategy = [
    for provider in [
      { name = "FARGATE", base = var.settings.capacity.on_demand_base, weight = var.settings.capacity.on_demand_weight },
      { name = "FARGATE_SPOT", base = 0, weight = var.settings.capacity.spot_weight },
    ] : provider if provider.base > 0 || provider.weight > 0
  ]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/${var.service}"
  retention_in_days = var.logs.retention_days
  kms_key_id        = var.logs.kms_key_arn
  tags              = local.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-${var.service}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.settings.cpu
  memory                   = var.settings.memory
  task_role_arn            = var.settings.roles.task
  execution_role_arn       = var.settings.roles.execution
  container_definitions    = jsonencode([local.container])
  # The old revision stays: the service runs on it until the new one is steady, and a rollback returns to it.
  skip_destroy = true
  tags         = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "ARM64"
  }

  volume {
    name = "data"

    efs_volume_configuration {
      file_system_id     = var.file_system.id
      transit_encryption = "ENABLED"

      authorization_config {
        access_point_id = var.settings.mount.access_point_id
        iam             = "ENABLED"
      }
    }
  }

  dynamic "volume" {
    for_each = var.settings.read_only_root ? ["tmp"] : []

    content {
      name = volume.value
    }
  }
}

resource "aws_ecs_service" "this" {
  name             = var.service
  cluster          = var.cluster.arn
  task_definition  = aws_ecs_task_definition.this.arn
  platform_version = "LATEST"
  desired_count    = var.settings.replicas.min
  tags             = local.tags

  # Without both, Fargate's cost lines bear no tag and there is no cost by service.
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = try(var.load_balancer.grace_seconds, null)
  availability_zone_rebalancing      = "ENABLED"

  # Whether the new tasks are healthy is asked from outside, after Terraform: a deployment that never settles must not
  # hold the state's lock.
  wait_for_steady_state = false

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "capacity_provider_strategy" {
    for_each = local.strategy

    content {
      capacity_provider = capacity_provider_strategy.value.name
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
    }
  }

  network_configuration {
    subnets          = var.network.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.network.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = var.load_balancer[*]

    content {
      target_group_arn = load_balancer.value.target_group_arn
      container_name   = local.container.name
      container_port   = var.settings.port
    }
  }

  service_connect_configuration {
    enabled   = true
    namespace = var.service_connect.namespace_arn

    dynamic "service" {
      for_each = var.service_connect.alias[*]

      content {
        port_name      = local.port_name
        discovery_name = service.value

        client_alias {
          dns_name = service.value
          port     = var.settings.port
        }
      }
    }
  }

  lifecycle {
    # Application Auto Scaling owns the count from the first minute on; the value above is the start only.
    ignore_changes = [desired_count]
  }

  # A task that cannot write its log or reach its mount target fails, and the circuit breaker counts it. A client of
  # Service Connect learns names at its start, so what it calls comes first.
  depends_on = [
    var.start_after,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.s3,
    aws_vpc_security_group_egress_rule.efs,
    aws_vpc_security_group_ingress_rule.efs,
    aws_vpc_security_group_ingress_rule.load_balancer,
    aws_vpc_security_group_egress_rule.load_balancer,
  ]
}
