data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account = {
    id        = data.aws_caller_identity.this.account_id
    partition = data.aws_partition.this.partition
    region    = var.region
  }

  # An emulator's identity store and DNS start empty: what an organisation has there already is made along with the stack.
  domain = var.domain == null ? null : merge(var.domain, { create_zone = var.domain.create_zone || local.emulated })

  # A value that is no ARN names a secret to create. The same name in both services is one secret: a key they share.
  secret_names = toset(flatten([
    for service in values(var.services) : [for reference in values(service.secrets) : reference if !startswith(reference, "arn:")]
  ]))
  secrets = {
    for name, service in var.services : name => {
      for variable, reference in service.secrets : variable => startswith(reference, "arn:") ? reference : module.data.secret_arns[reference]
    }
  }
  open_webui_names = concat(keys(var.services.open_webui.environment), keys(var.services.open_webui.secrets))

  # What follows from the architecture and is not a matter of the environment.
  fixed = {
    open_webui = {
      data_path     = "/app/backend/data"
      start_seconds = 120
      stop_seconds  = 60
      # Its start script writes beside its code.
      read_only_root = false
      environment = {
        DATA_DIR            = "/app/backend/data"
        PORT                = tostring(var.services.open_webui.port)
        OPENAI_API_BASE_URL = "http://crew:${var.services.crew.port}/v1"
        ENABLE_OLLAMA_API   = "false"
      }
    }
    crew = {
      data_path     = "/data"
      start_seconds = 30
      # The longest Fargate grants, since a crew's work takes minutes and is lost when it is cut off.
      stop_seconds   = 120
      read_only_root = true
      # CrewAI keeps its memory below the home directory, which the image cannot offer read-only.
      environment = {
        DATA_DIR = "/data"
        HOME     = "/data"
        PORT     = tostring(var.services.crew.port)
      }
    }
  }
}

module "network" {
  source = "../../modules/network"

  name   = var.name
  region = var.region
  cidr   = var.network.cidr
  zones  = var.network.zones
  egress = var.network.egress
}

module "data" {
  source = "../../modules/data"

  name                = var.name
  environment         = var.environment
  account             = local.account
  network             = { vpc_id = module.network.vpc_id, subnet_ids = module.network.private_subnet_ids }
  access_points       = { for service in keys(local.fixed) : replace(service, "_", "-") => { path = "/${replace(service, "_", "-")}", uid = 1000, gid = 1000 } }
  secret_names        = local.secret_names
  budget              = var.budget
  backup              = var.backup
  backup_role_arn     = module.identity.backup_role_arn
  log_retention_days  = var.log_retention_days
  deletion_protection = var.deletion_protection
}

module "identity" {
  source = "../../modules/identity"

  name    = var.name
  account = local.account
  services = {
    for name, service in var.services : name => {
      image            = service.image
      secret_arns      = values(local.secrets[name])
      mounts           = true
      access_point_arn = module.data.access_points[replace(name, "_", "-")].arn
    }
  }
  file_system_arn = module.data.file_system.arn
  kms_key_arn     = module.data.kms_key_arn
  bucket_arns     = { evidence = module.data.buckets.evidence.arn, reports = module.data.buckets.reports.arn }
  identity_center = var.identity_center
  create_groups   = local.emulated
  github          = var.github
}

# Crash detection for Prefect's ECS worker, where flow runs are tasks of ECS.
module "flow_runs" {
  source = "../../modules/flow_runs"
  count  = var.flow_runs == null ? 0 : 1

  name      = var.name
  account   = local.account
  cluster   = var.flow_runs.cluster
  log_group = var.flow_runs.log_group
}

module "web" {
  source    = "../../modules/web"
  providers = { aws = aws, aws.us_east_1 = aws.us_east_1 }

  name                = var.name
  network             = { vpc_id = module.network.vpc_id, subnet_ids = module.network.public_subnet_ids }
  log_bucket          = module.data.buckets.logs
  domain              = local.domain
  target              = { service = "open-webui", port = var.services.open_webui.port, health_path = var.services.open_webui.health_path }
  drain_seconds       = local.fixed.open_webui.stop_seconds
  deletion_protection = var.deletion_protection
}

module "ecs" {
  source = "../../modules/ecs"

  name           = var.name
  region         = var.region
  network        = merge(module.network.tasks, { vpc_id = module.network.vpc_id })
  restrict_https = var.network.egress == "endpoints"
  file_system    = module.data.file_system
  load_balancer  = { target_group_arn = module.web.target_group_arn, security_group_id = module.web.alb.security_group_id }
  logs           = { retention_days = var.log_retention_days, kms_key_arn = module.data.kms_key_arn }

  services = {
    for name, service in var.services : name => merge(service, {
      health         = { path = service.health_path, start_seconds = local.fixed[name].start_seconds }
      stop_seconds   = local.fixed[name].stop_seconds
      read_only_root = local.fixed[name].read_only_root
      environment    = { for variable, value in merge(local.fixed[name].environment, service.environment) : variable => value if !contains(keys(service.secrets), variable) }
      secrets        = local.secrets[name]
      roles          = module.identity.service_roles[name]
      mount          = { access_point_id = module.data.access_points[replace(name, "_", "-")].id, path = local.fixed[name].data_path }
      public         = name == "open_webui"
      alias          = name == "crew" ? "crew" : null
      callers        = name == "crew" ? ["open_webui"] : []
    })
  }
}
