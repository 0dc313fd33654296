output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

# AWS refuses a public load balancer in a VPC that has no internet gateway yet, and does not let the gateway go while one
# is there.
output "public_subnet_ids" {
  description = "Subnets with a route to the internet gateway; the ALB lives here."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
  depends_on  = [aws_route.internet, aws_route_table_association.public]
}

output "private_subnet_ids" {
  description = "Subnets without an inbound route, by zone; the EFS mount targets live here."
  value       = { for zone in local.zones : zone => aws_subnet.private[zone].id }
}

# The routes and endpoints must be there before a task starts, or its first image pull fails and the deployment
# circuit breaker counts it.
output "tasks" {
  description = "Where tasks run: subnet_ids, assign_public_ip, and what their HTTPS egress may reach (https_cidr, https_prefix_list_id or null)."
  value = {
    subnet_ids           = [for zone in local.zones : local.public_tasks ? aws_subnet.public[zone].id : aws_subnet.private[zone].id]
    assign_public_ip     = local.public_tasks
    https_cidr           = var.egress == "endpoints" ? var.cidr : "0.0.0.0/0"
    https_prefix_list_id = one(data.aws_ec2_managed_prefix_list.s3[*].id)
  }
  depends_on = [
    aws_route.internet,
    aws_route.nat,
    aws_route_table_association.public,
    aws_route_table_association.private,
    aws_vpc_endpoint.interface,
    aws_vpc_endpoint.s3,
  ]
}
