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

variable "image" {
  description = "Image with tag or digest."
  type        = string
}

variable "cpu" {
  description = "CPU units of the task; 1024 is one vCPU."
  type        = number
}

variable "memory" {
  description = "Memory of the task in MiB."
  type        = number
}

variable "port" {
  description = "TCP port the container listens on."
  type        = number
}

variable "health" {
  description = "Container health check: path, and the seconds a start may take before failures count."
  type        = object({ path = string, start_seconds = number })
}

variable "stop_seconds" {
  description = "Seconds between SIGTERM and SIGKILL, at most 120 on Fargate."
  type        = number
}

variable "replicas" {
  description = "Least and most tasks."
  type        = object({ min = number, max = number })
}

variable "cpu_target_percent" {
  description = "Average CPU that scaling holds."
  type        = number
}

variable "capacity" {
  description = "Tasks kept on demand first, and how the rest is shared between on-demand and Spot."
  type        = object({ on_demand_base = number, on_demand_weight = number, spot_weight = number })
}

variable "business_hours" {
  description = "Least and most tasks inside and outside the hours, which are local to timezone; null: no schedule."
  type = object({
    timezone      = string
    start         = string
    end           = string
    days          = string
    min           = number
    max           = number
    off_hours_min = number
    off_hours_max = number
  })
  default = null
}

variable "environment" {
  description = "Plain environment variables."
  type        = map(string)
}

variable "secrets" {
  description = "Environment variables read from Secrets Manager at start: name to ARN."
  type        = map(string)
}

variable "roles" {
  description = "Task and execution role ARNs."
  type        = object({ task = string, execution = string })
}

variable "read_only_root" {
  description = "Mount the image read-only; /tmp stays writable."
  type        = bool
}

variable "mount" {
  description = "EFS directory: file system, its security group, access point and the container path."
  type = object({
    file_system_id    = string
    security_group_id = string
    access_point_id   = string
    path              = string
  })
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
