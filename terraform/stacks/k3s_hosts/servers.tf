data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_ssm_parameter" "image" {
  count = var.image.id == null ? 1 : 0
  name  = var.image.parameter
}

# Asked for before anything is changed: a machine that is to be replaced is gone by the time a wrong image is noticed.
data "aws_ami" "server" {
  include_deprecated = true

  filter {
    name   = "image-id"
    values = [local.image_id]
  }
}

locals {
  account = {
    id        = data.aws_caller_identity.this.account_id
    partition = data.aws_partition.this.partition
  }

  image_id    = var.image.id == null ? data.aws_ssm_parameter.image[0].insecure_value : var.image.id
  server_tags = { service = "k3s-server" }

  # Numbered from 1, spread over the zones in turn. Zone and address follow from the number alone, so that a server that
  # is made anew takes the place of the old one.
  servers = {
    for number in range(1, var.server_count + 1) : "${var.name}-${number}" => {
      zone            = element(local.zones, number - 1)
      private_address = cidrhost(local.blocks[element(local.zones, number - 1)], 10 + number)
    }
  }
}

resource "aws_key_pair" "this" {
  count = var.ssh.public_key == null ? 0 : 1

  key_name   = var.name
  public_key = var.ssh.public_key
  tags       = local.server_tags
}

# The interface outlives the machine: one that is made anew takes over addresses and security groups, and finds its way out
# open at the first boot.
resource "aws_network_interface" "server" {
  for_each = local.servers

  description     = each.key
  subnet_id       = aws_subnet.public[each.value.zone].id
  private_ips     = [each.value.private_address]
  security_groups = [aws_security_group.servers.id]
  tags            = merge(local.server_tags, { Name = each.key })
}

# An address of its own costs what a lent one costs and stays when a machine is stopped.
resource "aws_eip" "server" {
  for_each = local.servers

  domain            = "vpc"
  network_interface = aws_network_interface.server[each.key].id
  tags              = merge(local.server_tags, { Name = each.key })

  depends_on = [aws_route.internet, aws_route_table_association.public]
}

resource "aws_instance" "server" {
  for_each = local.servers

  ami                     = local.image_id
  instance_type           = var.instance_type
  iam_instance_profile    = aws_iam_instance_profile.server.name
  key_name                = one(aws_key_pair.this[*].key_name)
  disable_api_termination = var.deletion_protection
  tags                    = merge(local.server_tags, { Name = each.key })

  network_interface {
    network_interface_id = aws_network_interface.server[each.key].id
    device_index         = 0
  }

  # One hop: K3S itself runs on the host and may use the role for its snapshots, a pod may not.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.root_volume.size_gib
    iops        = var.root_volume.iops
    throughput  = var.root_volume.throughput_mib_s
    encrypted   = true
    kms_key_id  = aws_kms_key.this.arn
    tags        = merge(local.server_tags, { Name = each.key })
  }

  dynamic "credit_specification" {
    for_each = var.cpu_credits[*]

    content {
      cpu_credits = credit_specification.value
    }
  }

  lifecycle {
    # A newer image or another key would replace every etcd member in one apply. Replacing is done server by server, with
    # the member removed first: see README.md.
    ignore_changes = [ami, key_name]

    precondition {
      condition     = data.aws_ami.server.architecture == "arm64"
      error_message = "Image ${local.image_id} is for ${data.aws_ami.server.architecture}, but ${var.instance_type} is arm64. Name an arm64 image in image.id, or leave it out to take the newest of image.parameter."
    }
  }

  # The first thing a machine does is to look for its time server and for SSM.
  depends_on = [aws_eip.server, aws_iam_role_policy_attachment.ssm, aws_vpc_security_group_egress_rule.servers]
}
