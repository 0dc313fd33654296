data "aws_availability_zones" "available" {
  state = "available"

  # Local Zones and Wavelength Zones carry neither an ALB nor EFS.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_ec2_managed_prefix_list" "s3" {
  count = var.egress == "endpoints" ? 1 : 0
  name  = "com.amazonaws.${var.region}.s3"
}

locals {
  tags  = { service = "network" }
  zones = slice(data.aws_availability_zones.available.names, 0, var.zones)

  # Eight equal blocks: 0-2 public, 4-6 private. 3 and 7 stay free, so that a third zone can be added to a running stack.
  public_blocks  = { for index, zone in local.zones : zone => cidrsubnet(var.cidr, 3, index) }
  private_blocks = { for index, zone in local.zones : zone => cidrsubnet(var.cidr, 3, 4 + index) }

  public_tasks = var.egress == "public_ip"

  # What a Fargate task on platform 1.4 calls before its own code runs: image manifest, image layers (with the S3 gateway
  # endpoint), logs and secrets. EFS needs none, it is mounted through its mount targets.
  interface_endpoints = var.egress == "endpoints" ? toset(["ecr.api", "ecr.dkr", "logs", "secretsmanager"]) : toset([])
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = var.name })
}

# The group every forgotten network interface would fall into: empty, so that it admits nothing.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.tags, { Name = "${var.name}-default-closed" })
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_subnet" "public" {
  for_each = local.public_blocks

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  # An address is asked for by the ECS service, never handed out to whatever starts here.
  map_public_ip_on_launch = false
  tags                    = merge(local.tags, { Name = "${var.name}-public-${each.key}" })
}

# Private subnets exist with every kind of egress: the EFS mount targets live here and stay where they are when a stack
# moves from public addresses to NAT.
resource "aws_subnet" "private" {
  for_each = local.private_blocks

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags              = merge(local.tags, { Name = "${var.name}-private-${each.key}" })
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.tags, { Name = "${var.name}-private" })
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

# One NAT gateway, not one a zone: each costs about USD 43 a month in Sydney. Losing its zone cuts the way out (image
# pulls, the model provider), not the way in.
resource "aws_eip" "nat" {
  count = var.egress == "nat" ? 1 : 0

  domain = "vpc"
  tags   = merge(local.tags, { Name = "${var.name}-nat" })
}

resource "aws_nat_gateway" "this" {
  count = var.egress == "nat" ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[local.zones[0]].id
  tags          = merge(local.tags, { Name = var.name })

  # Without the gateway's route the NAT gateway is created in a subnet that leads nowhere.
  depends_on = [aws_route.internet]
}

resource "aws_route" "nat" {
  count = var.egress == "nat" ? 1 : 0

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[0].id
}

# Free, and it keeps image layers and S3 traffic off the NAT gateway's meter.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.public.id, aws_route_table.private.id]
  tags              = merge(local.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "endpoints" {
  count = length(local.interface_endpoints) > 0 ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "HTTPS from inside the VPC to AWS interface endpoints"
  vpc_id      = aws_vpc.this.id
  tags        = merge(local.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(local.interface_endpoints) > 0 ? 1 : 0

  security_group_id = aws_security_group.endpoints[0].id
  description       = "HTTPS from the VPC"
  cidr_ipv4         = var.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_endpoints

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for zone in local.zones : aws_subnet.private[zone].id]
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = merge(local.tags, { Name = "${var.name}-${each.key}" })
}
