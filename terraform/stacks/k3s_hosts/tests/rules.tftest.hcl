# What is refused, and what is warned of.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "210987654321" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["ap-southeast-2a", "ap-southeast-2b", "ap-southeast-2c"] }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-0123456789abcdef0" }
  }
  mock_data "aws_ami" {
    defaults = { architecture = "arm64" }
  }
}

variables {
  environment         = "prod"
  target              = "aws"
  region              = "ap-southeast-2"
  name                = "xops-k3s-prod"
  deletion_protection = true
}

run "two_servers_are_refused" {
  command = plan
  variables {
    server_count = 2
  }
  expect_failures = [var.server_count]
}

run "seven_servers_are_refused" {
  command = plan
  variables {
    server_count = 7
  }
  expect_failures = [var.server_count]
}

run "one_server_in_production_is_refused" {
  command = plan
  variables {
    server_count = 1
  }
  expect_failures = [terraform_data.rules]
}

run "production_without_deletion_protection_is_refused" {
  command = plan
  variables {
    deletion_protection = false
  }
  expect_failures = [terraform_data.rules]
}

run "an_intel_type_is_refused" {
  command = plan
  variables {
    instance_type = "t3.medium"
  }
  expect_failures = [var.instance_type]
}

run "an_amd_type_is_refused" {
  command = plan
  variables {
    instance_type = "m7a.large"
  }
  expect_failures = [var.instance_type]
}

run "an_x86_gpu_type_is_refused" {
  command = plan
  variables {
    instance_type = "g4dn.xlarge"
  }
  expect_failures = [var.instance_type]
}

run "a_type_without_the_memory_is_refused" {
  command = plan
  variables {
    instance_type = "t4g.micro"
  }
  expect_failures = [var.instance_type]
}

run "graviton_of_another_family_is_accepted" {
  command = plan
  variables {
    instance_type = "c7gn.large"
  }
}

run "credits_of_a_type_that_has_none_are_refused" {
  command = plan
  variables {
    instance_type = "m7g.large"
    cpu_credits   = "unlimited"
  }
  expect_failures = [var.cpu_credits]
}

run "throttled_servers_in_production_are_warned_of" {
  command = plan
  variables {
    cpu_credits = "standard"
  }
  expect_failures = [check.etcd_is_not_throttled]
}

run "ssh_from_everywhere_is_refused" {
  command = plan
  variables {
    ssh = { cidrs = ["203.0.113.7/32", "0.0.0.0/0"] }
  }
  expect_failures = [var.ssh]
}

run "ssh_from_half_of_everywhere_is_refused" {
  command = plan
  variables {
    ssh = { cidrs = ["128.0.0.0/1"] }
  }
  expect_failures = [var.ssh]
}

run "ssh_from_all_of_ipv6_is_refused" {
  command = plan
  variables {
    ssh = { cidrs = ["::/0"] }
  }
  expect_failures = [var.ssh]
}

run "a_private_key_is_refused" {
  command = plan
  variables {
    ssh = { public_key = "-----BEGIN OPENSSH PRIVATE KEY-----" }
  }
  expect_failures = [var.ssh]
}

run "a_public_api_for_everyone_is_warned_of" {
  command = plan
  variables {
    endpoint = { public = true, cidrs = ["0.0.0.0/0"] }
  }
  expect_failures = [check.api_faces_few]
}

run "an_api_for_no_range_at_all_is_refused" {
  command = plan
  variables {
    endpoint = { cidrs = ["example.com"] }
  }
  expect_failures = [var.endpoint]
}

run "an_x86_image_is_refused" {
  command = plan
  variables {
    image = { parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" }
  }
  expect_failures = [var.image]
}

run "an_image_that_is_none_is_refused" {
  command = plan
  variables {
    image = { id = "al2023" }
  }
  expect_failures = [var.image]
}

run "a_pinned_image_of_another_architecture_is_refused" {
  command = plan
  override_data {
    target = data.aws_ami.server
    values = { architecture = "x86_64" }
  }
  variables {
    image = { id = "ami-0fedcba9876543210" }
  }
  expect_failures = [aws_instance.server]
}

run "too_few_iops_are_refused" {
  command = plan
  variables {
    root_volume = { iops = 100 }
  }
  expect_failures = [var.root_volume]
}

run "more_iops_than_the_size_carries_are_refused" {
  command = plan
  variables {
    root_volume = { size_gib = 20, iops = 12000 }
  }
  expect_failures = [var.root_volume]
}

run "more_throughput_than_the_iops_carry_is_refused" {
  command = plan
  variables {
    root_volume = { throughput_mib_s = 1000 }
  }
  expect_failures = [var.root_volume]
}

run "too_small_a_volume_is_refused" {
  command = plan
  variables {
    root_volume = { size_gib = 8 }
  }
  expect_failures = [var.root_volume]
}

run "too_small_a_range_is_refused" {
  command = plan
  variables {
    network = { cidr = "10.60.0.0/25" }
  }
  expect_failures = [var.network]
}

run "two_zones_are_refused" {
  command = plan
  variables {
    network = { zones = ["ap-southeast-2a", "ap-southeast-2b"] }
  }
  expect_failures = [var.network]
}

run "a_zone_of_another_region_is_refused" {
  command = plan
  variables {
    network = { zones = ["ap-southeast-2a", "ap-southeast-2b", "us-east-1a"] }
  }
  expect_failures = [var.network]
}

run "a_region_of_two_zones_is_refused" {
  command = plan
  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["us-west-1a", "us-west-1b"] }
  }
  variables {
    region = "us-west-1"
  }
  expect_failures = [terraform_data.rules]
}

run "hosts_within_the_pods_range_are_refused" {
  command = plan
  variables {
    network = { cidr = "10.42.64.0/20" }
  }
  expect_failures = [terraform_data.rules]
}

run "services_within_the_hosts_range_are_refused" {
  command = plan
  variables {
    kubernetes = { service = "10.60.8.0/24" }
  }
  expect_failures = [terraform_data.rules]
}

run "host_gw_across_subnets_is_refused" {
  command = plan
  variables {
    kubernetes = { backend = "host-gw" }
  }
  expect_failures = [var.kubernetes]
}

run "practice_hosts_in_a_real_account_are_refused" {
  command = plan
  variables {
    target = "embedded"
  }
  expect_failures = [terraform_data.rules]
}

run "half_a_day_of_retention_is_refused" {
  command = plan
  variables {
    snapshot_retention_days = 0.5
  }
  expect_failures = [var.snapshot_retention_days]
}

run "a_name_that_cannot_be_part_of_others_is_refused" {
  command = plan
  variables {
    environment = "Staging 2"
  }
  expect_failures = [var.environment]
}

run "too_long_a_name_is_refused" {
  command = plan
  variables {
    name = "xops-k3s-production-of-everything"
  }
  expect_failures = [var.name]
}
