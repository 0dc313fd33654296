variable "name" {
  description = "Prefix of every name, such as xops-prod."
  type        = string
}

variable "region" {
  description = "AWS region; names the endpoint services."
  type        = string
}

variable "cidr" {
  description = "Address range of the VPC, /16 to /24. It is cut into eight equal subnets."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr))
    error_message = "network.cidr is \"${var.cidr}\", which is no IPv4 range. Write it like 10.40.0.0/20."
  }

  validation {
    # An ALB subnet needs a /27 at least; eight /27 make a /24. AWS takes no VPC larger than /16.
    condition     = !can(cidrnetmask(var.cidr)) || try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "network.cidr is \"${var.cidr}\"; the prefix must lie between /16 (the largest VPC) and /24 (so that a load balancer subnet still is a /27)."
  }
}

variable "zones" {
  description = "Number of availability zones, 2 or 3."
  type        = number

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "network.zones is ${var.zones}; an ALB needs 2 zones and the subnet plan has room for 3. Set 2 or 3."
  }
}

variable "egress" {
  description = "How tasks reach the internet and AWS: public_ip (own addresses), nat (one NAT gateway) or endpoints (AWS only)."
  type        = string

  validation {
    condition     = contains(["public_ip", "nat", "endpoints"], var.egress)
    error_message = "network.egress is \"${var.egress}\"; choose public_ip, nat or endpoints. terraform/README.md compares their cost."
  }
}
