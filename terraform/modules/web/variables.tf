variable "name" {
  description = "Prefix of every name, such as xops-prod."
  type        = string
}

variable "network" {
  description = "VPC and the public subnets of the load balancer, two at least."
  type        = object({ vpc_id = string, subnet_ids = list(string) })
}

variable "log_bucket" {
  description = "Bucket of the access logs; encrypted by SSE-S3, with a policy that lets ELB and CloudFront deliver."
  type        = object({ name = string, arn = string })
}

variable "domain" {
  description = "Public name, its hosted zone, and whether to create that zone; null: CloudFront's own name and certificate."
  type        = object({ name = string, zone = string, create_zone = bool })
  default     = null
  nullable    = true

  validation {
    condition     = var.domain == null || try(var.domain.name == var.domain.zone || endswith(var.domain.name, ".${var.domain.zone}"), false)
    error_message = "domain.name \"${try(var.domain.name, "")}\" does not lie in domain.zone \"${try(var.domain.zone, "")}\"; a record can only be made in the zone that holds the name."
  }

  validation {
    condition     = var.domain == null || try(can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain.name)), false)
    error_message = "domain.name is \"${try(var.domain.name, "")}\"; write a full host name in lower case, without a final dot, such as chat.example.com."
  }
}

variable "target" {
  description = "What the load balancer sends requests to: port and health path of the public service."
  type        = object({ service = string, port = number, health_path = string })

  validation {
    condition     = startswith(var.target.health_path, "/")
    error_message = "health_path of ${var.target.service} is \"${var.target.health_path}\"; it must begin with /."
  }
}

variable "drain_seconds" {
  description = "How long a task that leaves keeps its open requests; at most the container's stop timeout."
  type        = number
}

variable "rate_limit" {
  description = "Requests one address may make in five minutes before it is blocked."
  type        = number
  default     = 2000

  validation {
    condition     = var.rate_limit >= 10 && var.rate_limit <= 2000000000
    error_message = "rate_limit is ${var.rate_limit}; WAF counts between 10 and 2,000,000,000 requests in five minutes."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the load balancer."
  type        = bool
}
