locals {
  # Policies AWS keeps; their ids are the same in every account.
  caching_disabled  = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
  caching_optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  all_viewer        = "216adef6-5c7f-47e4-b989-5492eafa07d3"
  security_headers  = "67f7725c-6f97-4210-82d7-5512b31e9d03"
}

resource "aws_cloudfront_distribution" "this" {
  comment         = var.name
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  # The cheaper price classes leave out the edges of Australia and New Zealand, where the readers are.
  price_class = "PriceClass_All"
  aliases     = local.domain[*].name
  web_acl_id  = aws_wafv2_web_acl.this.arn
  tags        = local.tags
  # What follows needs the distribution's name and id only, which are there at once: the alias records, the log delivery.
  # Its deployment to the edges (minutes on AWS) is looked at from outside, after Terraform, like the services': a wait
  # here would hold the state's lock and keep the records of the public name from being made meanwhile. Deleting waits
  # for it in any case, since CloudFront deletes only what is disabled at every edge.
  wait_for_deployment = false

  origin {
    origin_id   = "alb"
    domain_name = coalesce(local.origin_name, aws_lb.this.dns_name)

    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = local.has_domain ? "https-only" : "http-only"
      origin_ssl_protocols   = ["TLSv1.2"]
      # The longest CloudFront waits for a first byte without a raised quota.
      origin_read_timeout      = 60
      origin_keepalive_timeout = 60
    }
  }

  default_cache_behavior {
    target_origin_id           = "alb"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods             = ["GET", "HEAD"]
    cache_policy_id            = local.caching_disabled
    origin_request_policy_id   = local.all_viewer
    response_headers_policy_id = local.security_headers
    # Compression would hold back the tokens of a streamed answer.
    compress = false
  }

  # Files named after their content: they never change, so the edge may keep them.
  ordered_cache_behavior {
    path_pattern               = "/_app/immutable/*"
    target_origin_id           = "alb"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    cache_policy_id            = local.caching_optimized
    response_headers_policy_id = local.security_headers
    compress                   = true
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = !local.has_domain
    acm_certificate_arn            = one(aws_acm_certificate_validation.edge[*].certificate_arn)
    ssl_support_method             = local.has_domain ? "sni-only" : null
    # With CloudFront's own certificate AWS fixes the version, and any other value here would differ for ever.
    minimum_protocol_version = local.has_domain ? "TLSv1.2_2021" : "TLSv1"
  }
}

# Standard logging v2: writes straight to the log bucket, needs no bucket ACL.
resource "aws_cloudwatch_log_delivery_source" "cloudfront" {
  provider = aws.us_east_1

  name         = "${var.name}-cloudfront"
  log_type     = "ACCESS_LOGS"
  resource_arn = aws_cloudfront_distribution.this.arn
  tags         = local.tags
}

resource "aws_cloudwatch_log_delivery_destination" "log_bucket" {
  provider = aws.us_east_1

  name          = "${var.name}-log-bucket"
  output_format = "json"
  tags          = local.tags

  delivery_destination_configuration {
    destination_resource_arn = "${var.log_bucket.arn}/cloudfront"
  }
}

resource "aws_cloudwatch_log_delivery" "cloudfront" {
  provider = aws.us_east_1

  delivery_source_name     = aws_cloudwatch_log_delivery_source.cloudfront.name
  delivery_destination_arn = aws_cloudwatch_log_delivery_destination.log_bucket.arn
  tags                     = local.tags
}
