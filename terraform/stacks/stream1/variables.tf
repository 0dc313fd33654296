# The environment file, as xops writes it to one tfvars.json. What a single value must look like is checked here or in the
# module that uses it; what an environment must be like is in rules.tf.

variable "environment" {
  description = "The environment's name, such as prod; the budget counts what carries it as a tag."
  type        = string

  validation {
    condition     = can(regex("^[a-z](-?[a-z0-9])*$", var.environment)) && length(var.environment) <= 15
    error_message = "environment is \"${var.environment}\"; use up to 15 lower-case letters, digits and single hyphens, beginning with a letter, such as prod."
  }
}

variable "target" {
  description = "What answers the AWS API: embedded, localstack or aws."
  type        = string

  validation {
    condition     = contains(["embedded", "localstack", "aws"], var.target)
    error_message = "target is \"${var.target}\"; choose embedded, localstack or aws."
  }
}

variable "region" {
  description = "AWS region of everything but CloudFront, its certificate and its web ACL."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is \"${var.region}\"; write a region's code, such as ap-southeast-2."
  }
}

variable "name" {
  description = "Prefix of every name; xops gives xops-<environment>."
  type        = string

  validation {
    # The longest name made from it is <name>-open-webui, of which a target group takes 32 characters.
    condition     = can(regex("^[a-z]([a-z0-9]|-[a-z0-9]){2,19}$", var.name)) && length(var.name) <= 20
    error_message = "name is \"${var.name}\"; use 3 to 20 lower-case letters, digits and single hyphens, beginning with a letter, such as xops-prod."
  }
}

variable "tags" {
  description = "Tags of every resource, such as owner and cost_centre; environment, stack and service are added."
  type        = map(string)
  default     = {}

  validation {
    condition     = !anytrue([for key in keys(var.tags) : startswith(lower(key), "aws:")])
    error_message = "tags has ${join(", ", keys(var.tags))}; keys that begin with aws: belong to AWS. Choose another key."
  }
}

variable "budget" {
  description = "Monthly budget: amount (decimal), currency (USD), notify (e-mail addresses)."
  type        = object({ amount = string, currency = string, notify = list(string) })
}

variable "network" {
  description = "VPC: cidr (/16 to /24), zones (2 or 3), egress (public_ip, nat or endpoints)."
  type        = object({ cidr = string, zones = number, egress = string })
}

variable "domain" {
  description = "Public name, its hosted zone, whether to create the zone; null: CloudFront's own name."
  type        = object({ name = string, zone = string, create_zone = bool })
  default     = null
  nullable    = true
}

variable "services" {
  description = "Open WebUI and the crew: image, size, scaling, plain environment, and secrets (variable name to ARN, or to the name of a secret to create)."
  type = object({
    open_webui = object({
      image              = string
      cpu                = optional(number, 2048)
      memory             = optional(number, 4096)
      port               = optional(number, 8080)
      health_path        = optional(string, "/health")
      replicas           = optional(object({ min = number, max = number }), { min = 2, max = 6 })
      cpu_target_percent = optional(number, 70)
      capacity           = object({ on_demand_base = number, on_demand_weight = number, spot_weight = number })
      business_hours = optional(object({
        timezone      = string
        start         = optional(string, "07:00")
        end           = optional(string, "19:00")
        days          = optional(string, "MON-FRI")
        min           = number
        max           = number
        off_hours_min = number
        off_hours_max = number
      }))
      environment = optional(map(string), {})
      secrets     = optional(map(string), {})
    })
    crew = object({
      image              = string
      cpu                = optional(number, 1024)
      memory             = optional(number, 2048)
      port               = optional(number, 8000)
      health_path        = optional(string, "/health")
      replicas           = optional(object({ min = number, max = number }), { min = 2, max = 8 })
      cpu_target_percent = optional(number, 60)
      capacity           = object({ on_demand_base = number, on_demand_weight = number, spot_weight = number })
      business_hours = optional(object({
        timezone      = string
        start         = optional(string, "07:00")
        end           = optional(string, "19:00")
        days          = optional(string, "MON-FRI")
        min           = number
        max           = number
        off_hours_min = number
        off_hours_max = number
      }))
      environment = optional(map(string), {})
      secrets     = optional(map(string), {})
    })
  })

  validation {
    condition = alltrue(flatten([
      for service in values(var.services) : [
        for reference in values(service.secrets) : !startswith(reference, "arn:") || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^:]+", reference))
      ]
    ]))
    error_message = "services: a value in secrets begins with arn: but is no secret of Secrets Manager. Give arn:aws:secretsmanager:<region>:<account>:secret:<name>, or the bare name of a secret the stack shall create."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : length(setintersection(keys(service.environment), keys(service.secrets))) == 0])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name} names ${join(", ", setintersection(keys(service.environment), keys(service.secrets)))} in environment and in secrets" if length(setintersection(keys(service.environment), keys(service.secrets))) > 0])}. Keep each in one of the two."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : !endswith(service.image, ":latest") && can(regex("[:@]", reverse(split("/", service.image))[0]))])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.image is ${service.image}"])}. Pin a tag or, better, a digest: with :latest two tasks of one revision may run different code."
  }
}

variable "deletion_protection" {
  description = "Protect what holds data and the load balancer from deletion; required in prod and peak."
  type        = bool
}

variable "log_retention_days" {
  description = "Days that container logs and access logs are kept."
  type        = number
}

variable "backup" {
  description = "AWS Backup of the file system: schedule (cron(...), UTC) and retention_days."
  type        = object({ schedule = string, retention_days = number })
}

variable "identity_center" {
  description = "Permission sets and assignments: enabled, and the name of the group for each role."
  type = object({
    enabled = bool
    groups  = object({ operator = string, finops = string, administrator = string })
  })
}

variable "github" {
  description = "CI roles by OIDC: repository, plan_branches, apply_environment; create_provider is false where the account has GitHub's identity provider already; state_bucket lets the roles use the state. null: none."
  type = object({
    repository         = string
    plan_branches      = list(string)
    apply_environment  = string
    create_provider    = optional(bool, true)
    state_bucket       = optional(string)
    state_kms_key_arns = optional(list(string), [])
  })
  default  = null
  nullable = true
}

variable "flow_runs" {
  description = "Crash detection for Prefect's ECS worker: the existing ECS cluster and log group of flow runs, which are the operator's. null: none."
  type        = object({ cluster = string, log_group = optional(string, "/xops/runs") })
  default     = null
  nullable    = true
}
