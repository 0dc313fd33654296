# Ports as in K3S's requirements: https://docs.k3s.io/installation/requirements#networking. NodePorts are not among them:
# what the cluster offers to the outside is for the platform on top of it to open.

locals {
  backend_ports = {
    vxlan            = { protocol = "udp", from = 8472, to = 8472, what = "flannel VXLAN" }
    wireguard-native = { protocol = "udp", from = 51820, to = 51821, what = "flannel WireGuard" }
  }

  # Between servers. The API is here too: a server joins through another one, and the embedded registry finds its peers there.
  peer_ports = merge(
    {
      api     = { protocol = "tcp", from = 6443, to = 6443, what = "Kubernetes API and supervisor" }
      etcd    = { protocol = "tcp", from = 2379, to = 2380, what = "etcd clients and peers" }
      kubelet = { protocol = "tcp", from = 10250, to = 10250, what = "kubelet" }
      backend = local.backend_ports[var.kubernetes.backend]
    },
    { for name in ["registry"] : name => { protocol = "tcp", from = 5001, to = 5001, what = "embedded registry" } if var.kubernetes.embedded_registry },
  )

  # Who may reach the load balancer. A public one is reached by the servers from their public addresses.
  endpoint_clients = merge(
    { for range in var.endpoint.cidrs : "range-${range}" => range },
    { for name in ["vpc"] : name => var.network.cidr if !var.endpoint.public },
    { for name, address in aws_eip.server : "server-${name}" => "${address.public_ip}/32" if var.endpoint.public },
  )
}

resource "aws_security_group" "servers" {
  name        = "${var.name}-servers"
  description = "K3S servers"
  vpc_id      = aws_vpc.this.id
  tags        = merge(local.server_tags, { Name = "${var.name}-servers" })
}

resource "aws_vpc_security_group_ingress_rule" "peers" {
  for_each = local.peer_ports

  security_group_id            = aws_security_group.servers.id
  description                  = each.value.what
  referenced_security_group_id = aws_security_group.servers.id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
  tags                         = local.server_tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoint" {
  security_group_id            = aws_security_group.servers.id
  description                  = "Kubernetes API from the load balancer"
  referenced_security_group_id = aws_security_group.endpoint.id
  ip_protocol                  = "tcp"
  from_port                    = 6443
  to_port                      = 6443
  tags                         = local.server_tags
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each = toset(var.ssh.cidrs)

  security_group_id = aws_security_group.servers.id
  description       = "SSH"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  tags              = local.server_tags
}

# Images, charts, Git and AWS itself lie all over the internet.
resource "aws_vpc_security_group_egress_rule" "servers" {
  security_group_id = aws_security_group.servers.id
  description       = "Anywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
  tags              = local.server_tags
}

# AWS gives a network load balancer security groups at its creation only.
resource "aws_security_group" "endpoint" {
  name        = "${var.name}-endpoint"
  description = "Load balancer of the Kubernetes API"
  vpc_id      = aws_vpc.this.id
  tags        = merge(local.endpoint_tags, { Name = "${var.name}-endpoint" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = local.endpoint_clients

  security_group_id = aws_security_group.endpoint.id
  description       = "Kubernetes API"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 6443
  to_port           = 6443
  tags              = local.endpoint_tags
}

resource "aws_vpc_security_group_egress_rule" "endpoint" {
  security_group_id            = aws_security_group.endpoint.id
  description                  = "Kubernetes API and its health"
  referenced_security_group_id = aws_security_group.servers.id
  ip_protocol                  = "tcp"
  from_port                    = 6443
  to_port                      = 6443
  tags                         = local.endpoint_tags
}
