output "alb" {
  description = "Load balancer: arn, dns_name and its security group."
  value = {
    arn               = aws_lb.this.arn
    dns_name          = aws_lb.this.dns_name
    security_group_id = aws_security_group.alb.id
  }
}

# ECS refuses a service whose target group has no listener yet.
output "target_group_arn" {
  description = "Target group of the public service."
  value       = aws_lb_target_group.this.arn
  depends_on  = [aws_lb_listener.this]
}

output "cloudfront_domain" {
  description = "CloudFront's own name of the distribution."
  value       = aws_cloudfront_distribution.this.domain_name
}

output "cloudfront_distribution_id" {
  description = "The distribution, whose deployment to the edges is waited for outside Terraform."
  value       = aws_cloudfront_distribution.this.id
}

output "url" {
  description = "Where people reach the service, https:// without a final slash."
  value       = "https://${coalesce(one(local.domain[*].name), aws_cloudfront_distribution.this.domain_name)}"
}

output "name_servers" {
  description = "Name servers to delegate the zone to; empty unless the stack created it."
  value       = flatten(aws_route53_zone.this[*].name_servers)
}
