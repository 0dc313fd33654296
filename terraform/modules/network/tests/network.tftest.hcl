mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["ap-southeast-2a", "ap-southeast-2b", "ap-southeast-2c"] }
  }
  mock_data "aws_ec2_managed_prefix_list" {
    defaults = { id = "pl-6ca54005" }
  }
}

variables {
  name   = "xops-test"
  region = "ap-southeast-2"
  cidr   = "10.20.0.0/20"
  zones  = 2
  egress = "public_ip"
}

run "tasks_with_own_addresses_need_no_nat" {
  command = plan

  assert {
    condition     = output.tasks.assign_public_ip && length(aws_nat_gateway.this) == 0 && length(aws_vpc_endpoint.interface) == 0
    error_message = "public_ip must give tasks an address and pay for neither NAT nor interface endpoints."
  }

  assert {
    condition     = values(local.public_blocks) == ["10.20.0.0/23", "10.20.2.0/23"] && values(local.private_blocks) == ["10.20.8.0/23", "10.20.10.0/23"]
    error_message = "The subnet plan changed, which would replace every subnet of a running stack."
  }

  assert {
    condition     = alltrue([for subnet in values(aws_subnet.public) : !subnet.map_public_ip_on_launch])
    error_message = "A subnet hands out public addresses by itself."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "S3 must be reached by the gateway endpoint, which is free."
  }
}

run "a_third_zone_moves_no_subnet" {
  command = plan

  variables {
    zones = 3
  }

  assert {
    condition     = slice(values(local.public_blocks), 0, 2) == ["10.20.0.0/23", "10.20.2.0/23"] && length(aws_subnet.private) == 3
    error_message = "Going from 2 to 3 zones must add subnets and keep the rest."
  }
}

run "nat_is_one_gateway_for_all_zones" {
  command = plan

  variables {
    zones  = 3
    egress = "nat"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && !output.tasks.assign_public_ip && output.tasks.https_cidr == "0.0.0.0/0"
    error_message = "nat must put tasks in private subnets behind exactly one gateway."
  }
}

run "endpoints_keep_https_inside" {
  command = plan

  variables {
    egress = "endpoints"
  }

  assert {
    condition     = output.tasks.https_cidr == "10.20.0.0/20" && output.tasks.https_prefix_list_id == "pl-6ca54005"
    error_message = "With endpoints HTTPS must end inside the VPC, and S3 at its prefix list."
  }

  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "secretsmanager"])
    error_message = "A Fargate task cannot start without these four endpoints."
  }

  assert {
    condition     = length(aws_route.nat) == 0
    error_message = "endpoints must leave the private subnets without a way out."
  }
}

run "too_small_a_range_is_refused" {
  command = plan

  variables {
    cidr = "10.20.0.0/25"
  }

  expect_failures = [var.cidr]
}

run "no_range_at_all_is_refused" {
  command = plan

  variables {
    cidr = "10.20.0.0"
  }

  expect_failures = [var.cidr]
}

run "one_zone_is_refused" {
  command = plan

  variables {
    zones = 1
  }

  expect_failures = [var.zones]
}

run "unknown_egress_is_refused" {
  command = plan

  variables {
    egress = "vpn"
  }

  expect_failures = [var.egress]
}
