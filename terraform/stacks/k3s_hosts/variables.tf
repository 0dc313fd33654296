# What a single value must look like is checked here; what the hosts together must be like is in rules.tf.

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
  description = "AWS region of everything; it needs three availability zones that offer the instance type."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is \"${var.region}\"; write a region's code, such as ap-southeast-2."
  }
}

variable "name" {
  description = "Prefix of every name, and with a number the name of each host, such as xops-k3s-prod."
  type        = string

  validation {
    # The longest name made from it is the bucket's, <name>-snapshots-<account>-<region>, of which S3 takes 63 characters.
    condition     = can(regex("^[a-z]([a-z0-9]|-[a-z0-9]){2,19}$", var.name)) && length(var.name) <= 20
    error_message = "name is \"${var.name}\"; use 3 to 20 lower-case letters, digits and single hyphens, beginning with a letter, such as xops-k3s-prod."
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

variable "server_count" {
  description = "Number of K3S servers, each a member of the etcd cluster: 1, 3 or 5."
  type        = number
  default     = 3

  validation {
    condition     = contains([1, 3, 5], var.server_count)
    error_message = "server_count is ${var.server_count}; etcd decides by majority, so an even number fails as early as one server fewer, and more than 5 only slow its writes. Set 1, 3 or 5."
  }
}

variable "instance_type" {
  description = "EC2 instance type of every server, of a Graviton (ARM64) family."
  type        = string
  default     = "t4g.medium"

  validation {
    # The letter g after the generation is Graviton's. A g before it is a GPU family, which may well be x86.
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.[a-z0-9-]+$", var.instance_type))
    error_message = "instance_type is \"${var.instance_type}\", which is no Graviton type, and the image is ARM64. Choose one with a g after the generation, such as t4g.medium or m7g.large."
  }

  validation {
    condition     = !can(regex("\\.(nano|micro)$", var.instance_type))
    error_message = "instance_type is \"${var.instance_type}\", which has less than the 2 GiB of memory a K3S server needs at least. Choose small or larger; medium leaves room for a workload."
  }
}

variable "cpu_credits" {
  description = "For burstable types: unlimited bills what exceeds the credits, standard slows the CPU down instead; null is the account's default, which AWS sets to unlimited."
  type        = string
  default     = null

  validation {
    condition     = var.cpu_credits == null ? true : contains(["unlimited", "standard"], var.cpu_credits)
    error_message = "cpu_credits is \"${coalesce(var.cpu_credits, "null")}\"; choose unlimited or standard, or leave it out."
  }

  validation {
    condition     = var.cpu_credits == null ? true : startswith(var.instance_type, "t")
    error_message = "cpu_credits is set, but ${var.instance_type} is not burstable and has none. Leave it out."
  }
}

variable "image" {
  description = "Machine image, ARM64, with the SSM agent: parameter is the public SSM parameter that names the newest one, id pins one instead."
  type = object({
    parameter = optional(string, "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64")
    id        = optional(string)
  })
  default = {}

  validation {
    condition     = can(regex("^/aws/service/.*arm64", var.image.parameter))
    error_message = "image.parameter is \"${var.image.parameter}\"; name a public parameter (/aws/service/...) of an arm64 image."
  }

  validation {
    condition     = var.image.id == null ? true : can(regex("^ami-[0-9a-f]{8,17}$", var.image.id))
    error_message = "image.id is \"${coalesce(var.image.id, "null")}\"; write an image's id, such as ami-0123456789abcdef0, or leave it out to take the newest."
  }
}

variable "root_volume" {
  description = "Root volume (gp3) of every server: size_gib, iops, throughput_mib_s. 3000 IOPS and, for null, 125 MiB/s are part of the volume's price."
  type = object({
    size_gib         = optional(number, 30)
    iops             = optional(number, 3000)
    throughput_mib_s = optional(number)
  })
  default = {}

  validation {
    condition     = var.root_volume.size_gib >= 20 && var.root_volume.size_gib <= 16384
    error_message = "root_volume.size_gib is ${var.root_volume.size_gib}; images, etcd and its snapshots need 20 or more, and gp3 ends at 16384."
  }

  validation {
    condition     = var.root_volume.iops >= 3000 && var.root_volume.iops <= min(16000, max(3000, 500 * var.root_volume.size_gib))
    error_message = "root_volume.iops is ${var.root_volume.iops}; gp3 has 3000 to 16000, and beyond 3000 at most 500 for each GiB."
  }

  validation {
    condition     = var.root_volume.throughput_mib_s == null ? true : var.root_volume.throughput_mib_s >= 125 && var.root_volume.throughput_mib_s <= min(1000, var.root_volume.iops / 4)
    error_message = "root_volume.throughput_mib_s is ${coalesce(var.root_volume.throughput_mib_s, 125)}; gp3 has 125 to 1000, and at most a quarter of its IOPS."
  }
}

variable "network" {
  description = "VPC: cidr (/16 to /24), and the three availability zones; null takes the region's first three."
  type        = object({ cidr = optional(string, "10.60.0.0/20"), zones = optional(list(string)) })
  default     = {}

  validation {
    condition     = can(cidrnetmask(var.network.cidr))
    error_message = "network.cidr is \"${var.network.cidr}\", which is no IPv4 range. Write it like 10.60.0.0/20."
  }

  validation {
    # A load balancer's subnet must be a /27 at least and takes addresses of it; AWS makes no VPC larger than /16.
    condition     = !can(cidrnetmask(var.network.cidr)) || try(tonumber(split("/", var.network.cidr)[1]) >= 16 && tonumber(split("/", var.network.cidr)[1]) <= 24, false)
    error_message = "network.cidr is \"${var.network.cidr}\"; the prefix must lie between /16 (the largest VPC) and /24 (whose quarters still hold hosts and load balancer)."
  }

  validation {
    condition     = var.network.zones == null ? true : length(distinct(var.network.zones)) == 3 && length(var.network.zones) == 3
    error_message = "network.zones is ${jsonencode(var.network.zones)}; name three different zones, so that losing one leaves a majority of three servers."
  }

  validation {
    condition     = var.network.zones == null ? true : alltrue([for zone in var.network.zones : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "network.zones is ${jsonencode(var.network.zones)}; every zone must be one of ${var.region}, such as ${var.region}a."
  }
}

variable "kubernetes" {
  description = "What the network must know of K3S, as in the cluster file: cluster and service ranges, flannel backend (vxlan or wireguard-native), embedded_registry."
  type = object({
    cluster           = optional(string, "10.42.0.0/16")
    service           = optional(string, "10.43.0.0/16")
    backend           = optional(string, "vxlan")
    embedded_registry = optional(bool, false)
  })
  default = {}

  validation {
    condition     = contains(["vxlan", "wireguard-native"], var.kubernetes.backend)
    error_message = "kubernetes.backend is \"${var.kubernetes.backend}\"; the servers stand in three subnets, which host-gw cannot cross, and the security group opens one backend's ports. Choose vxlan or wireguard-native."
  }

  validation {
    condition     = can(cidrnetmask(var.kubernetes.cluster)) && can(cidrnetmask(var.kubernetes.service))
    error_message = "kubernetes.cluster is \"${var.kubernetes.cluster}\" and kubernetes.service \"${var.kubernetes.service}\"; both must be IPv4 ranges, such as 10.42.0.0/16 and 10.43.0.0/16."
  }
}

variable "ssh" {
  description = "Login: user of the image, public_key to admit (null: the image's own means), and cidrs that may reach port 22; without any, SSH goes through SSM Session Manager."
  type = object({
    user       = optional(string, "ec2-user")
    public_key = optional(string)
    cidrs      = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = alltrue([for range in var.ssh.cidrs : can(cidrnetmask(range))])
    error_message = "ssh.cidrs is ${jsonencode(var.ssh.cidrs)}; every entry must be an IPv4 range, such as 203.0.113.7/32. The VPC has no IPv6."
  }

  validation {
    # /8 and not /0 alone: two halves of the internet are the internet.
    condition     = alltrue([for range in var.ssh.cidrs : try(tonumber(split("/", range)[1]) >= 8, true)])
    error_message = "ssh.cidrs is ${jsonencode(var.ssh.cidrs)}; a range larger than /8 opens SSH to the internet. Name your own addresses, or leave the list empty and go through SSM Session Manager."
  }

  validation {
    condition     = var.ssh.public_key == null ? true : can(regex("^(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?$", var.ssh.public_key))
    error_message = "ssh.public_key is no OpenSSH public key that EC2 takes: give the one line of an id_ed25519.pub or id_rsa.pub. A private key never belongs here."
  }
}

variable "endpoint" {
  description = "Load balancer of the Kubernetes API: public (true) or inside the VPC (false), and the cidrs that may reach it besides the servers and, if it is internal, the VPC."
  type        = object({ public = optional(bool, false), cidrs = optional(list(string), []) })
  default     = {}

  validation {
    condition     = alltrue([for range in var.endpoint.cidrs : can(cidrnetmask(range))])
    error_message = "endpoint.cidrs is ${jsonencode(var.endpoint.cidrs)}; every entry must be an IPv4 range, such as 203.0.113.0/24."
  }
}

variable "snapshot_retention_days" {
  description = "Days that a deleted or overwritten etcd snapshot can still be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.snapshot_retention_days >= 1 && floor(var.snapshot_retention_days) == var.snapshot_retention_days
    error_message = "snapshot_retention_days is ${var.snapshot_retention_days}; keep them for 1 day or more, in whole days."
  }
}

variable "deletion_protection" {
  description = "Protect load balancer, snapshots and key from deletion, and servers from termination by others than Terraform; required in prod and peak."
  type        = bool
}
