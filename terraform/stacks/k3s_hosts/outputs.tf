locals {
  # SSM reaches a machine by its id, and OpenSSH's ProxyCommand hands it over as the host's address.
  hosts = [
    for name, server in local.servers : {
      name            = name
      address         = length(var.ssh.cidrs) > 0 ? aws_eip.server[name].public_ip : aws_instance.server[name].id
      private_address = server.private_address
      arch            = "arm64"
      zone            = server.zone
      role            = "server"
      user            = var.ssh.user
    }
  ]
}

output "hosts" {
  description = "Hosts: name, address (where SSH connects to: the public address, or the instance's id where SSH goes through SSM), private_address, arch, zone, role, user."
  value       = local.hosts
}

output "endpoint" {
  description = "DNS name of the Kubernetes API's load balancer, on port 6443; it belongs into tls-san."
  value       = aws_lb.api.dns_name
}

output "snapshots_bucket" {
  description = "Bucket of the etcd snapshots. The servers' role reaches it, so K3S needs no key."
  value       = aws_s3_bucket.snapshots.bucket
}

output "instances" {
  description = "Instance id and public address by host: for Session Manager, the console's output and firewalls of others."
  value       = { for name in keys(local.servers) : name => { id = aws_instance.server[name].id, public_address = aws_eip.server[name].public_ip } }
}

output "networks" {
  description = "Ranges and flannel backend the addresses and security groups were made for; the cluster file must say the same."
  value       = { cluster = var.kubernetes.cluster, service = var.kubernetes.service, backend = var.kubernetes.backend }
}

output "inventory" {
  description = "What a cluster file with source.kind terraform takes from here, as one JSON text: hosts, endpoint, snapshots_bucket, networks."
  value = jsonencode({
    hosts            = local.hosts
    endpoint         = aws_lb.api.dns_name
    snapshots_bucket = aws_s3_bucket.snapshots.bucket
    networks         = { cluster = var.kubernetes.cluster, service = var.kubernetes.service, backend = var.kubernetes.backend }
  })
}
