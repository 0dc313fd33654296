# What is made, and for whom it is open.

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
  mock_resource "aws_eip" {
    defaults = { public_ip = "198.51.100.7" }
  }
  mock_resource "aws_instance" {
    defaults = { id = "i-0123456789abcdef0" }
  }
  mock_resource "aws_lb" {
    defaults = {
      arn      = "arn:aws:elasticloadbalancing:ap-southeast-2:210987654321:loadbalancer/net/xops-k3s-prod/0123456789abcdef"
      dns_name = "xops-k3s-prod-0123456789abcdef.elb.ap-southeast-2.amazonaws.com"
    }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:ap-southeast-2:210987654321:targetgroup/xops-k3s-prod/0123456789abcdef" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:ap-southeast-2:210987654321:key/01234567-89ab-cdef-0123-456789abcdef" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::xops-k3s-prod-snapshots-210987654321-ap-southeast-2" }
  }
}

variables {
  environment         = "prod"
  target              = "aws"
  region              = "ap-southeast-2"
  name                = "xops-k3s-prod"
  tags                = { owner = "platform", cost_centre = "platform-prod" }
  deletion_protection = true
}

run "three_servers_stand_in_three_zones" {
  command = plan

  assert {
    condition = { for name, server in local.servers : name => [server.zone, server.private_address] } == {
      xops-k3s-prod-1 = ["ap-southeast-2a", "10.60.0.11"]
      xops-k3s-prod-2 = ["ap-southeast-2b", "10.60.4.12"]
      xops-k3s-prod-3 = ["ap-southeast-2c", "10.60.8.13"]
    }
    error_message = "Names, zones or addresses changed, which would replace every etcd member."
  }

  assert {
    condition     = local.default_tags == { owner = "platform", cost_centre = "platform-prod", environment = "prod", stack = "xops-k3s-prod" }
    error_message = "Costs are grouped by these tags."
  }
}

run "more_servers_move_none" {
  command = plan

  variables {
    server_count = 5
  }

  assert {
    condition     = local.servers["xops-k3s-prod-3"].private_address == "10.60.8.13" && local.servers["xops-k3s-prod-5"].zone == "ap-southeast-2b" && local.servers["xops-k3s-prod-5"].private_address == "10.60.4.15"
    error_message = "The fourth and the fifth server must find room beside the three."
  }
}

run "zones_can_be_named" {
  command = plan

  variables {
    network = { zones = ["ap-southeast-2c", "ap-southeast-2b", "ap-southeast-2a"] }
  }

  assert {
    condition     = local.servers["xops-k3s-prod-1"].zone == "ap-southeast-2c"
    error_message = "Named zones must be taken in their order."
  }
}

run "a_server_is_closed_encrypted_and_fast_enough" {
  command = plan

  assert {
    condition = alltrue([for server in values(aws_instance.server) :
      server.instance_type == "t4g.medium" && server.ami == "ami-0123456789abcdef0" && server.disable_api_termination
    ])
    error_message = "A server is not what was asked for, or may be terminated."
  }

  assert {
    condition = alltrue([for server in values(aws_instance.server) :
      server.metadata_options[0].http_tokens == "required" && server.metadata_options[0].http_put_response_hop_limit == 1
    ])
    error_message = "A pod could use the servers' role."
  }

  assert {
    condition = alltrue([for server in values(aws_instance.server) :
      server.root_block_device[0].encrypted && server.root_block_device[0].volume_type == "gp3" && server.root_block_device[0].iops == 3000
    ])
    error_message = "The root volume must be an encrypted gp3 with the IOPS etcd needs."
  }

  assert {
    condition     = alltrue([for subnet in values(aws_subnet.public) : !subnet.map_public_ip_on_launch]) && length(aws_eip.server) == 3
    error_message = "Addresses are given to servers only."
  }
}

run "an_image_can_be_pinned" {
  command = plan

  variables {
    image = { id = "ami-0fedcba9876543210" }
  }

  assert {
    condition     = aws_instance.server["xops-k3s-prod-1"].ami == "ami-0fedcba9876543210" && length(data.aws_ssm_parameter.image) == 0
    error_message = "A pinned image must be taken without asking for the newest."
  }
}

run "servers_open_k3s_ports_to_each_other_and_nothing_else" {
  command = plan

  assert {
    condition = {
      for name, rule in aws_vpc_security_group_ingress_rule.peers : name => "${rule.ip_protocol} ${rule.from_port}-${rule.to_port}"
      } == {
      api     = "tcp 6443-6443"
      etcd    = "tcp 2379-2380"
      kubelet = "tcp 10250-10250"
      backend = "udp 8472-8472"
    }
    error_message = "The ports between servers are not those of K3S with VXLAN."
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.ssh) == 0 && aws_vpc_security_group_ingress_rule.endpoint.from_port == 6443
    error_message = "Without ssh.cidrs nobody but the load balancer may come in."
  }
}

run "wireguard_and_the_registry_open_their_own_ports" {
  command = plan

  variables {
    kubernetes = { backend = "wireguard-native", embedded_registry = true }
  }

  assert {
    condition = {
      for name, rule in aws_vpc_security_group_ingress_rule.peers : name => "${rule.ip_protocol} ${rule.from_port}-${rule.to_port}" if contains(["backend", "registry"], name)
    } == { backend = "udp 51820-51821", registry = "tcp 5001-5001" }
    error_message = "WireGuard replaces VXLAN, and the embedded registry needs its port."
  }
}

run "the_api_is_inside_unless_it_is_asked_out" {
  command = plan

  variables {
    endpoint = { cidrs = ["10.8.0.0/16"] }
  }

  assert {
    condition     = aws_lb.api.internal && aws_lb.api.load_balancer_type == "network" && aws_lb.api.enable_deletion_protection
    error_message = "The load balancer must be internal and protected."
  }

  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.clients : name => rule.cidr_ipv4 } == { vpc = "10.60.0.0/20", "range-10.8.0.0/16" = "10.8.0.0/16" }
    error_message = "An internal API is for the VPC and the ranges named."
  }

  assert {
    condition = alltrue([
      aws_lb_target_group.api.protocol == "TCP", aws_lb_target_group.api.port == 6443,
      aws_lb_target_group.api.health_check[0].protocol == "TCP", aws_lb_target_group.api.preserve_client_ip == "false",
      aws_lb_listener.api.port == 6443, aws_lb_listener.api.protocol == "TCP",
    ])
    error_message = "The API is TCP on 6443 from end to end, and a server must be able to reach itself through it."
  }
}

run "a_public_api_admits_ranges_and_servers" {
  command = apply

  variables {
    endpoint = { public = true, cidrs = ["203.0.113.0/24"] }
  }

  assert {
    condition = !aws_lb.api.internal && toset(values({ for name, rule in aws_vpc_security_group_ingress_rule.clients : name => rule.cidr_ipv4 })) == toset([
      "203.0.113.0/24", "198.51.100.7/32",
    ])
    error_message = "A public API must admit the named ranges and the servers' own addresses, and not the VPC's private ones."
  }
}

run "snapshots_are_closed_versioned_and_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.snapshots.block_public_acls, aws_s3_bucket_public_access_block.snapshots.block_public_policy,
      aws_s3_bucket_public_access_block.snapshots.ignore_public_acls, aws_s3_bucket_public_access_block.snapshots.restrict_public_buckets,
    ])
    error_message = "The bucket may be made public."
  }

  assert {
    condition     = aws_s3_bucket_versioning.snapshots.versioning_configuration[0].status == "Enabled" && one(one(aws_s3_bucket_server_side_encryption_configuration.snapshots.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "Snapshots must be versioned and encrypted with the stack's key."
  }

  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.snapshots.rule).noncurrent_version_expiration[0].noncurrent_days == 30 && try(one(aws_s3_bucket_lifecycle_configuration.snapshots.rule).expiration[0].days, 0) == 0
    error_message = "Only what was deleted or overwritten may expire."
  }

  assert {
    condition     = aws_s3_bucket.snapshots.bucket == "xops-k3s-prod-snapshots-210987654321-ap-southeast-2" && !aws_s3_bucket.snapshots.force_destroy && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "The bucket's name changed, which would replace it, or it is not protected."
  }
}

run "the_role_reaches_session_manager_and_snapshots_only" {
  command = apply

  assert {
    condition     = aws_iam_role_policy_attachment.ssm.policy_arn == "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    error_message = "Session Manager needs AWS's core policy."
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.server.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "kms:Decrypt", "kms:GenerateDataKey",
      "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket",
      "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:PutObject",
    ])
    error_message = "The role may do more than to keep snapshots, or less."
  }

  assert {
    condition     = !contains(flatten([for statement in jsondecode(aws_iam_role_policy.server.policy).Statement : statement.Resource if statement.Effect == "Allow"]), "*")
    error_message = "A right of the role is not bound to this stack."
  }
}

run "hosts_behind_session_manager_are_named_by_their_id" {
  command = apply

  assert {
    condition = output.hosts[0] == {
      name            = "xops-k3s-prod-1"
      address         = "i-0123456789abcdef0"
      private_address = "10.60.0.11"
      arch            = "arm64"
      zone            = "ap-southeast-2a"
      role            = "server"
      user            = "ec2-user"
    }
    error_message = "A host's keys are what the cluster file takes."
  }

  assert {
    condition     = jsondecode(output.inventory).hosts == output.hosts && jsondecode(output.inventory).endpoint == output.endpoint && jsondecode(output.inventory).snapshots_bucket == output.snapshots_bucket
    error_message = "The inventory must say what the outputs say."
  }
}

run "hosts_open_to_ssh_are_named_by_their_address" {
  command = apply

  variables {
    ssh = { user = "ubuntu", public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeKeyOfNobodyAtAllFakeKeyOfNobody ann", cidrs = ["203.0.113.7/32"] }
  }

  assert {
    condition     = output.hosts[2].address == "198.51.100.7" && output.hosts[2].user == "ubuntu" && length(aws_key_pair.this) == 1
    error_message = "With ssh.cidrs SSH connects to the public address."
  }

  assert {
    condition     = { for range, rule in aws_vpc_security_group_ingress_rule.ssh : range => "${rule.ip_protocol} ${rule.from_port}-${rule.to_port}" } == { "203.0.113.7/32" = "tcp 22-22" }
    error_message = "SSH must be open to the named range and no other."
  }
}

run "an_unprotected_stack_leaves_nothing_behind" {
  command = plan

  variables {
    environment         = "test"
    name                = "xops-k3s-test"
    server_count        = 1
    deletion_protection = false
  }

  assert {
    condition     = aws_s3_bucket.snapshots.force_destroy && !aws_lb.api.enable_deletion_protection && !aws_instance.server["xops-k3s-test-1"].disable_api_termination
    error_message = "A throw-away stack could not be destroyed."
  }

  assert {
    condition     = length(aws_subnet.public) == 3
    error_message = "One server must be able to become three without moving."
  }
}
