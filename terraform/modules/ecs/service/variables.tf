variable "name" {
  description = "Prefix of every name, such as xops-prod."
  type        = string
}

variable "service" {
  description = "Service name as it appears in ECS, DNS and log groups, such as open-webui."
  type        = string
}

variable "region" {
  description = "AWS region of the log group."
  type        = string
}

variable "cluster" {
  description = "Cluster name and ARN."
  type        = object({ name = string, arn = string })
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

variable "settings" {
  description = "One entry of the ecs module's services, checked there: image, size, health, scaling, environment, roles and mount."
  type = object({
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
  })
}

variable "file_system" {
  description = "EFS file system and the security group of its mount targets."
  type        = object({ id = string, security_group_id = string })
}

variable "load_balancer" {
  description = "Target group and security group of the load balancer, and the seconds a new task may fail its check; null: private."
  type        = object({ target_group_arn = string, security_group_id = string, grace_seconds = number })
  default     = null
}

variable "service_connect" {
  description = "Namespace ARN, and the name under which others reach this service (null: it only calls others)."
  type        = object({ namespace_arn = string, alias = optional(string) })
}

variable "logs" {
  description = "Retention in days and the key of the log group."
  type        = object({ retention_days = number, kms_key_arn = string })
}

variable "start_after" {
  description = "Services that must exist before this one is created."
  type        = list(string)
  default     = []
}
