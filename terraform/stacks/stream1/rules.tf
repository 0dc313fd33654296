locals {
  protected = contains(["prod", "peak"], var.environment)

  too_few     = [for name, service in var.services : "${name}.replicas.min is ${service.replicas.min}" if service.replicas.min < 2]
  spot_only   = [for name, service in var.services : "${name}.capacity.on_demand_base is ${service.capacity.on_demand_base}" if service.capacity.on_demand_base < 1]
  off_at_dusk = [for name, service in var.services : "${name}.business_hours.off_hours_min is ${service.business_hours.off_hours_min}" if try(service.business_hours.off_hours_min, 1) < 1]
  outside_ecr = [for name, service in var.services : "${name}.image is ${service.image}" if !can(regex("^[0-9]{12}\\.dkr\\.ecr\\.${var.region}\\.", service.image))]
}

# What must hold of an environment as a whole. Preconditions and not variable validations, for two reasons: they see
# every problem in one plan, and a destroy does not meet them, so that an environment with a wrong file can still go.
resource "terraform_data" "rules" {
  lifecycle {
    precondition {
      condition     = !local.protected || var.deletion_protection
      error_message = "deletion_protection is false in ${var.environment}, where one wrong apply would take the evidence, the backups and every conversation with it. Set it to true. terraform/README.md says how to retire an environment."
    }

    precondition {
      condition     = !local.protected || length(local.too_few) == 0
      error_message = "In ${var.environment} one task is one failure away from an outage: ${join("; ", local.too_few)}. Set replicas.min to 2 or more; business_hours may go down to 1 outside the hours."
    }

    precondition {
      condition     = !local.protected || length(local.spot_only) == 0
      error_message = "In ${var.environment} a Spot reclaim could take every task: ${join("; ", local.spot_only)}. Set capacity.on_demand_base to 1 or more."
    }

    precondition {
      condition     = !local.protected || length(local.off_at_dusk) == 0
      error_message = "In ${var.environment} the service would be off outside business hours: ${join("; ", local.off_at_dusk)}. Set off_hours_min to 1 or more."
    }

    precondition {
      condition     = !(var.target == "aws" && var.network.egress == "endpoints" && length(local.outside_ecr) > 0)
      error_message = "network.egress is endpoints, so tasks reach AWS only and cannot pull from another registry: ${join("; ", local.outside_ecr)}. Copy the image to ECR in ${var.region} (a pull-through cache does it), or choose nat."
    }

    precondition {
      condition     = try(var.flow_runs.cluster, "") != var.name
      error_message = "flow_runs.cluster is ${var.name}, which this stack makes and serves from. Name the cluster of the ECS work pool, which runs flow runs."
    }

    precondition {
      # Nobody means to build a practice environment in a real account with the credentials that happen to be there.
      condition     = contains(["123456789012", "000000000000"], local.account.id) == local.emulated
      error_message = "target is ${var.target} but account ${local.account.id} answered. ${local.emulated ? "That is no emulator's account: set AWS_ENDPOINT_URL to the emulator, or target to aws." : "That is an emulator's account: unset AWS_ENDPOINT_URL."}"
    }
  }
}

check "private_tasks" {
  assert {
    condition     = !(local.protected && var.network.egress == "public_ip")
    error_message = "Tasks of ${var.environment} have public addresses (network.egress is public_ip). Their security groups admit no one but the load balancer, and NAT costs about USD 43 a month more; but the next careless rule would face the internet. Consider nat."
  }
}

check "shared_state_of_open_webui" {
  assert {
    condition     = var.services.open_webui.replicas.max < 2 || contains(local.open_webui_names, "DATABASE_URL")
    error_message = "open_webui may run ${var.services.open_webui.replicas.max} replicas on one SQLite file on EFS: two writers wait for each other's file lock, and a lost lock can damage it. Give DATABASE_URL (PostgreSQL) in services.open_webui.secrets before it carries load."
  }

  assert {
    condition     = var.services.open_webui.replicas.max < 2 || contains(local.open_webui_names, "WEBUI_SECRET_KEY")
    error_message = "open_webui may run ${var.services.open_webui.replicas.max} replicas, each of which would make a signing key of its own: a login at one is unknown to the next. Give WEBUI_SECRET_KEY in services.open_webui.secrets."
  }
}
