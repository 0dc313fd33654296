locals {
  tags       = { service = "web" }
  has_domain = var.domain != null

  # TLS all the way where there is a name to make a certificate for. Without one CloudFront cannot verify the load
  # balancer's name, so it speaks HTTP to it.
  listener    = local.has_domain ? { port = 443, protocol = "HTTPS" } : { port = 80, protocol = "HTTP" }
  target_name = "${var.name}-${replace(var.target.service, "_", "-")}"
}

# Addresses CloudFront reaches origins from, kept by AWS.
data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

resource "aws_security_group" "alb" {
  name        = "${var.name}-alb"
  description = "Load balancer, reached from CloudFront only"
  vpc_id      = var.network.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-alb" })
}

# The list counts as 55 rules, so that one listener port is all a security group's default quota of 60 has room for.
# It admits CloudFront, not just our distribution. A secret header would tell the two apart but would stand in the state.
resource "aws_vpc_security_group_ingress_rule" "cloudfront" {
  security_group_id = aws_security_group.alb.id
  description       = "CloudFront to the listener"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront.id
  ip_protocol       = "tcp"
  from_port         = local.listener.port
  to_port           = local.listener.port
  tags              = local.tags
}

resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = false
  subnets                    = var.network.subnet_ids
  security_groups            = [aws_security_group.alb.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  # A model may think for minutes between two tokens of a streamed answer.
  idle_timeout = 300
  tags         = local.tags

  access_logs {
    bucket  = var.log_bucket.name
    prefix  = "alb"
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  name                 = local.target_name
  vpc_id               = var.network.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = var.target.port
  deregistration_delay = var.drain_seconds
  tags                 = local.tags

  health_check {
    path                = var.target.health_path
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  # A browser holds a websocket to one replica; replicas do not share sessions.
  stickiness {
    type            = "lb_cookie"
    cookie_duration = 86400
    enabled         = true
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = local.listener.port
  protocol          = local.listener.protocol
  ssl_policy        = local.has_domain ? "ELBSecurityPolicy-TLS13-1-2-2021-06" : null
  certificate_arn   = one(aws_acm_certificate_validation.origin[*].certificate_arn)
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}
