locals {
  protected = contains(["prod", "peak"], var.environment)

  # Two ranges overlap when they are one network under the shorter of their masks.
  ranges = {
    "network.cidr"       = var.network.cidr
    "kubernetes.cluster" = var.kubernetes.cluster
    "kubernetes.service" = var.kubernetes.service
  }
  overlaps = [
    for pair in [["network.cidr", "kubernetes.cluster"], ["network.cidr", "kubernetes.service"], ["kubernetes.cluster", "kubernetes.service"]] :
    "${pair[0]} ${local.ranges[pair[0]]} and ${pair[1]} ${local.ranges[pair[1]]}"
    if length(distinct([
      for name in pair : cidrhost(format("%s/%s", split("/", local.ranges[name])[0], min([for other in pair : tonumber(split("/", local.ranges[other])[1])]...)), 0)
    ])) == 1
  ]
}

# What must hold of the hosts together. Preconditions and not variable validations, for two reasons: they see every
# problem in one plan, and a destroy does not meet them, so that a stack with a wrong file can still go.
resource "terraform_data" "rules" {
  lifecycle {
    precondition {
      condition     = !local.protected || var.deletion_protection
      error_message = "deletion_protection is false in ${var.environment}, where one wrong apply would take every etcd member and every snapshot with it. Set it to true. The stack's README.md says how to retire it."
    }

    precondition {
      condition     = !local.protected || var.server_count >= 3
      error_message = "In ${var.environment} server_count is ${var.server_count}: the first lost machine would be the loss of the cluster. Set 3 or 5."
    }

    precondition {
      condition     = length(local.zones) == 3
      error_message = "${var.region} offers this account ${length(local.zones)} availability zones (${join(", ", local.zones)}), but a majority survives the loss of a zone only when the servers stand in three. Choose a region that has three."
    }

    precondition {
      condition     = length(local.overlaps) == 0
      error_message = "Address ranges overlap, so that pods or services would hide hosts: ${join("; ", local.overlaps)}. Give each a range of its own."
    }

    precondition {
      # Nobody means to build practice hosts in a real account with the credentials that happen to be there.
      condition     = contains(["123456789012", "000000000000"], local.account.id) == local.emulated
      error_message = "target is ${var.target} but account ${local.account.id} answered. ${local.emulated ? "That is no emulator's account: set AWS_ENDPOINT_URL to the emulator, or target to aws." : "That is an emulator's account: unset AWS_ENDPOINT_URL."}"
    }
  }
}

check "api_faces_few" {
  assert {
    condition     = !(var.endpoint.public && anytrue([for range in var.endpoint.cidrs : try(tonumber(split("/", range)[1]) < 8, false)]))
    error_message = "endpoint.cidrs is ${jsonencode(var.endpoint.cidrs)} on a public load balancer: the whole internet may knock at the Kubernetes API. It asks for credentials, but the next flaw in it would be everyone's to use. Name the ranges your people and CI come from."
  }
}

check "etcd_is_not_throttled" {
  assert {
    condition     = !(local.protected && coalesce(var.cpu_credits, "unlimited") == "standard")
    error_message = "cpu_credits is standard in ${var.environment}: a server that has used up its credits is slowed to its baseline, answers etcd too late and loses its leadership. Prefer unlimited, or a type that is not burstable."
  }
}
