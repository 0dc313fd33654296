data "aws_availability_zones" "available" {
  state = "available"

  # Local Zones and Wavelength Zones carry no load balancer of this kind.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  first_zones = slice(data.aws_availability_zones.available.names, 0, min(3, length(data.aws_availability_zones.available.names)))
  zones       = var.network.zones == null ? local.first_zones : var.network.zones

  # Quarters of the range, of which the last stays free. All three subnets exist even for one server: it can become three
  # without moving.
  blocks = { for index, zone in local.zones : zone => cidrsubnet(var.network.cidr, 2, index) }

  network_tags = { service = "k3s-network" }
}

resource "aws_vpc" "this" {
  cidr_block           = var.network.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(local.network_tags, { Name = var.name })
}

# The group every forgotten network interface would fall into: empty, so that it admits nothing.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.network_tags, { Name = "${var.name}-default-closed" })
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.network_tags, { Name = var.name })
}

# Public, because three addresses cost a quarter of one NAT gateway. What keeps strangers out are the security groups.
resource "aws_subnet" "public" {
  for_each = local.blocks

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false
  tags                    = merge(local.network_tags, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.network_tags, { Name = "${var.name}-public" })
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

# Free, and snapshots reach their bucket without leaving AWS's network.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.public.id]
  tags              = merge(local.network_tags, { Name = "${var.name}-s3" })
}
