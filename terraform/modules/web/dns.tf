locals {
  domain = var.domain[*]

  # The load balancer's own name, which its certificate bears: CloudFront refuses an origin whose certificate names
  # someone else. It mentions no resource, so that the certificates are validated while the load balancer is made.
  origin_name = one([for domain in local.domain : "origin.${domain.name}"])
  zone_id     = one(concat(aws_route53_zone.this[*].zone_id, data.aws_route53_zone.this[*].zone_id))

  # ACM asks for the same record for a name whichever certificate and region it is for, so that the record made for the
  # edge certificate serves the origin's second name too.
  validations = merge([
    for domain in local.domain : {
      edge   = { name = domain.name, options = aws_acm_certificate.edge[0].domain_validation_options }
      origin = { name = local.origin_name, options = aws_acm_certificate.origin[0].domain_validation_options }
    }
  ]...)
}

resource "aws_route53_zone" "this" {
  count = length([for domain in local.domain : domain if domain.create_zone])

  name    = var.domain.zone
  comment = "Public names of ${var.name}"
  tags    = local.tags
}

data "aws_route53_zone" "this" {
  count = length([for domain in local.domain : domain if !domain.create_zone])

  name         = var.domain.zone
  private_zone = false
}

resource "aws_acm_certificate" "edge" {
  count    = length(local.domain)
  provider = aws.us_east_1

  domain_name       = var.domain.name
  validation_method = "DNS"
  tags              = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_acm_certificate" "origin" {
  count = length(local.domain)

  domain_name = local.origin_name
  # CloudFront passes the viewer's Host on and asks the load balancer for that name.
  subject_alternative_names = [var.domain.name]
  validation_method         = "DNS"
  tags                      = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  for_each = local.validations

  zone_id         = local.zone_id
  name            = one([for option in each.value.options : option.resource_record_name if option.domain_name == each.value.name])
  type            = one([for option in each.value.options : option.resource_record_type if option.domain_name == each.value.name])
  records         = [one([for option in each.value.options : option.resource_record_value if option.domain_name == each.value.name])]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "edge" {
  count    = length(local.domain)
  provider = aws.us_east_1

  certificate_arn         = aws_acm_certificate.edge[0].arn
  validation_record_fqdns = [aws_route53_record.validation["edge"].fqdn]
}

resource "aws_acm_certificate_validation" "origin" {
  count = length(local.domain)

  certificate_arn         = aws_acm_certificate.origin[0].arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

resource "aws_route53_record" "origin" {
  count = length(local.domain)

  zone_id = local.zone_id
  name    = local.origin_name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_record" "public" {
  for_each = local.has_domain ? toset(["A", "AAAA"]) : toset([])

  zone_id = local.zone_id
  name    = var.domain.name
  type    = each.key

  alias {
    name                   = aws_cloudfront_distribution.this.domain_name
    zone_id                = aws_cloudfront_distribution.this.hosted_zone_id
    evaluate_target_health = false
  }
}
