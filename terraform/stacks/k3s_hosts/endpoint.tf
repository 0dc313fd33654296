locals {
  endpoint_tags = { service = "k3s-endpoint" }
}

resource "aws_lb" "api" {
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = !var.endpoint.public
  subnets                          = [for zone in local.zones : aws_subnet.public[zone].id]
  security_groups                  = [aws_security_group.endpoint.id]
  enable_deletion_protection       = var.deletion_protection
  enable_cross_zone_load_balancing = true
  tags                             = local.endpoint_tags

  # AWS refuses a public load balancer in a VPC that has no internet gateway yet.
  depends_on = [aws_route.internet]
}

resource "aws_lb_target_group" "api" {
  name                 = var.name
  vpc_id               = aws_vpc.this.id
  target_type          = "instance"
  protocol             = "TCP"
  port                 = 6443
  deregistration_delay = 30
  # kubectl and controllers hold watches for hours; without this a removed server would keep them until it is gone.
  connection_termination = true
  # A server that calls the load balancer may be led back to itself. With its own address as the source it would drop that.
  preserve_client_ip = false
  tags               = local.endpoint_tags

  # The API answers a stranger 401, so an HTTP check could not tell a sick server from a healthy one. Out after 20 s.
  health_check {
    protocol            = "TCP"
    port                = "traffic-port"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_target_group_attachment" "api" {
  for_each = aws_instance.server

  target_group_arn = aws_lb_target_group.api.arn
  target_id        = each.value.id
  port             = 6443
}

resource "aws_lb_listener" "api" {
  load_balancer_arn = aws_lb.api.arn
  port              = 6443
  protocol          = "TCP"
  tags              = local.endpoint_tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.api.arn
  }
}
