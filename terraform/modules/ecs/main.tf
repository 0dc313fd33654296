locals {
  tags = { service = "ecs" }

  # Fargate sells fixed pairs: docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
  fargate_cpu = [256, 512, 1024, 2048, 4096, 8192, 16384]
  fargate_memory = {
    "256"   = [512, 1024, 2048]
    "512"   = range(1024, 4096 + 1, 1024)
    "1024"  = range(2048, 8192 + 1, 1024)
    "2048"  = range(4096, 16384 + 1, 1024)
    "4096"  = range(8192, 30720 + 1, 1024)
    "8192"  = range(16384, 61440 + 1, 4096)
    "16384" = range(32768, 122880 + 1, 8192)
  }

  log_retention_days = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]

  # Services that offer a name come before those that only call.
  servers  = { for name, service in var.services : name => service if service.alias != null }
  clients  = { for name, service in var.services : name => service if service.alias == null }
  deployed = merge(module.server, module.client)

  calls = merge([
    for name, service in var.services : { for caller in service.callers : "${caller}-${name}" => { from = caller, to = name, port = service.port } }
  ]...)
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  service_connect_defaults {
    namespace = aws_service_discovery_http_namespace.this.arn
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  # For what is started by hand in the cluster; the services bring their own strategy.
  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 0
    weight            = 1
  }
}

# An HTTP namespace costs nothing and makes no DNS zone: Service Connect resolves its names inside the task.
resource "aws_service_discovery_http_namespace" "this" {
  name        = var.name
  description = "Names services of ${var.name} call each other by"
  tags        = local.tags
}

module "server" {
  source   = "./service"
  for_each = local.servers

  name            = var.name
  service         = replace(each.key, "_", "-")
  region          = var.region
  cluster         = local.cluster
  network         = var.network
  restrict_https  = var.restrict_https
  file_system     = var.file_system
  settings        = each.value
  load_balancer   = each.value.public ? local.load_balancer : null
  service_connect = { namespace_arn = aws_service_discovery_http_namespace.this.arn, alias = each.value.alias }
  logs            = var.logs
}

module "client" {
  source   = "./service"
  for_each = local.clients

  name            = var.name
  service         = replace(each.key, "_", "-")
  region          = var.region
  cluster         = local.cluster
  network         = var.network
  restrict_https  = var.restrict_https
  file_system     = var.file_system
  settings        = each.value
  load_balancer   = each.value.public ? local.load_balancer : null
  service_connect = { namespace_arn = aws_service_discovery_http_namespace.this.arn }
  logs            = var.logs
  start_after     = [for server in module.server : server.service.service_arn]
}

locals {
  # Taken from the capacity providers' resource, so that no service asks for Spot before the cluster offers it.
  cluster = { name = aws_ecs_cluster_capacity_providers.this.cluster_name, arn = aws_ecs_cluster.this.arn }

  # The longest start of the public image, migrations included, before the load balancer's verdict counts.
  load_balancer = merge(var.load_balancer, { grace_seconds = 180 })
}

# Service Connect's proxy listens on the container port, so that these rules are for the port the caller names.
resource "aws_vpc_security_group_ingress_rule" "call" {
  for_each = local.calls

  security_group_id            = local.deployed[each.value.to].security_group_id
  description                  = "Calls from ${replace(each.value.from, "_", "-")}"
  referenced_security_group_id = local.deployed[each.value.from].security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "call" {
  for_each = local.calls

  security_group_id            = local.deployed[each.value.from].security_group_id
  description                  = "Calls to ${replace(each.value.to, "_", "-")}"
  referenced_security_group_id = local.deployed[each.value.to].security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = local.tags
}
