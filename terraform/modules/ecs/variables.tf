variable "name" {
  description = "Prefix of every name, such as xops-prod; also the cluster's name."
  type        = string
}

variable "region" {
  description = "AWS region of the log groups."
  type        = string
}

variable "network" {
  description = "VPC, the tasks' subnets, whether tasks get a public address, and what their HTTPS egress may reach."
  type = object({
    vpc_id               = string
    subnet_ids           = list(string)
    assign_public_ip     = bool
    https_cidr           = string
    https_prefix_list_id = optional(string)
  })
}

variable "restrict_https" {
  description = "HTTPS egress ends at interface endpoints, so that S3's gateway endpoint needs a rule of its own."
  type        = bool
}

variable "services" {
  description = "Services by key (open_webui, crew): size, scaling, health, image, what they mount and who may call them."
  type = map(object({
    image              = string
    cpu                = number
    memory             = number
    port               = number
    health             = object({ path = string, start_seconds = number })
    stop_seconds       = number
    read_only_root     = bool
    replicas           = object({ min = number, max = number })
    cpu_target_percent = number
    capacity           = object({ on_demand_base = number, on_demand_weight = number, spot_weight = number })
    business_hours = optional(object({
      timezone      = string
      start         = string
      end           = string
      days          = string
      min           = number
      max           = number
      off_hours_min = number
      off_hours_max = number
    }))
    environment = map(string)
    secrets     = map(string)
    roles       = object({ task = string, execution = string })
    mount       = object({ access_point_id = string, path = string })
    # Name others call it by through Service Connect; null: a client only.
    alias   = optional(string)
    callers = optional(list(string), [])
    public  = optional(bool, false)
  }))

  validation {
    condition = alltrue([
      for service in values(var.services) : contains(keys(local.fargate_memory), tostring(service.cpu))
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.cpu is ${service.cpu}" if !contains(keys(local.fargate_memory), tostring(service.cpu))])}. Fargate has ${join(", ", local.fargate_cpu)} CPU units."
  }

  validation {
    condition = alltrue([
      for service in values(var.services) : contains(lookup(local.fargate_memory, tostring(service.cpu), [service.memory]), service.memory)
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name} has ${service.memory} MiB with ${service.cpu} CPU units, where Fargate takes ${jsonencode(lookup(local.fargate_memory, tostring(service.cpu), []))}" if !contains(lookup(local.fargate_memory, tostring(service.cpu), [service.memory]), service.memory)])}. Choose one of these."
  }

  validation {
    condition = alltrue([
      for service in values(var.services) : service.replicas.min >= 0 && service.replicas.max >= max(1, service.replicas.min)
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.replicas is ${service.replicas.min} to ${service.replicas.max}" if !(service.replicas.min >= 0 && service.replicas.max >= max(1, service.replicas.min))])}. Let max be at least 1 and not below min."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.cpu_target_percent >= 10 && service.cpu_target_percent <= 90])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.cpu_target_percent is ${service.cpu_target_percent}"])}. Keep it between 10 and 90: below, replicas idle; above, scaling comes too late."
  }

  validation {
    condition = alltrue([
      for service in values(var.services) : alltrue([for number in values(service.capacity) : number >= 0 && floor(number) == number])
      && service.capacity.on_demand_weight + service.capacity.spot_weight > 0
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.capacity is ${jsonencode(service.capacity)}"])}. Base and weights are whole numbers, and on_demand_weight or spot_weight must be above 0: ECS cannot place the tasks beyond the base otherwise."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.stop_seconds >= 2 && service.stop_seconds <= 120])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.stop_seconds is ${service.stop_seconds}"])}. Fargate takes 2 to 120 seconds."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.port >= 1 && service.port <= 65535 && startswith(service.health.path, "/")])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name} has port ${service.port} and health path ${service.health.path}"])}. Ports are 1 to 65535, paths begin with /."
  }

  validation {
    condition = alltrue([
      for hours in [for service in values(var.services) : service.business_hours if service.business_hours != null] :
      can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", hours.start)) && can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", hours.end))
      && try(tonumber(replace(hours.start, ":", "")) < tonumber(replace(hours.end, ":", "")), false)
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.business_hours run from ${try(service.business_hours.start, "")} to ${try(service.business_hours.end, "")}" if service.business_hours != null])}. Write HH:MM, and let the end come after the start on the same day."
  }

  validation {
    condition = alltrue([
      for hours in [for service in values(var.services) : service.business_hours if service.business_hours != null] :
      can(regex("^(MON|TUE|WED|THU|FRI|SAT|SUN)([-,](MON|TUE|WED|THU|FRI|SAT|SUN))*$", hours.days)) && can(regex("^([A-Z][A-Za-z_]+/[A-Za-z_/+-]+|UTC)$", hours.timezone))
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.business_hours has days ${try(service.business_hours.days, "")} and timezone ${try(service.business_hours.timezone, "")}" if service.business_hours != null])}. Write days like MON-FRI and an IANA zone like Australia/Sydney."
  }

  validation {
    condition = alltrue([
      for hours in [for service in values(var.services) : service.business_hours if service.business_hours != null] :
      hours.min >= 0 && hours.max >= max(1, hours.min) && hours.off_hours_min >= 0 && hours.off_hours_max >= hours.off_hours_min
    ])
    error_message = "services: ${join("; ", [for name, service in var.services : "${name}.business_hours has ${service.business_hours.min} to ${service.business_hours.max} replicas inside and ${service.business_hours.off_hours_min} to ${service.business_hours.off_hours_max} outside" if service.business_hours != null])}. Let neither minimum exceed its maximum."
  }
}

variable "file_system" {
  description = "EFS file system and the security group of its mount targets."
  type        = object({ id = string, security_group_id = string })
}

variable "load_balancer" {
  description = "Target group and security group of the load balancer, for the services marked public."
  type        = object({ target_group_arn = string, security_group_id = string })
}

variable "logs" {
  description = "Retention in days and the key of the log groups."
  type        = object({ retention_days = number, kms_key_arn = string })

  validation {
    condition     = contains(local.log_retention_days, var.logs.retention_days)
    error_message = "log_retention_days is ${var.logs.retention_days}; CloudWatch Logs keeps ${join(", ", local.log_retention_days)} days."
  }
}
