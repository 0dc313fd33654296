mock_provider "aws" {
  mock_data "aws_ec2_managed_prefix_list" {
    defaults = { id = "pl-b8a742d1" }
  }
}

mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  name                = "xops-prod"
  network             = { vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0a", "subnet-0b"] }
  log_bucket          = { name = "xops-prod-logs", arn = "arn:aws:s3:::xops-prod-logs" }
  domain              = null
  target              = { service = "open-webui", port = 8080, health_path = "/health" }
  drain_seconds       = 60
  deletion_protection = true
}

run "only_cloudfront_is_admitted" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.cloudfront.prefix_list_id == "pl-b8a742d1" && aws_vpc_security_group_ingress_rule.cloudfront.cidr_ipv4 == null
    error_message = "The load balancer must admit the list of CloudFront's addresses and no range."
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection && aws_lb.this.drop_invalid_header_fields && aws_lb.this.access_logs[0].enabled
    error_message = "The load balancer must be protected, drop invalid headers and log."
  }
}

run "without_a_domain_cloudfront_brings_name_and_certificate" {
  command = plan

  assert {
    condition     = aws_lb_listener.this.port == 80 && length(aws_acm_certificate.edge) == 0 && length(aws_route53_record.public) == 0
    error_message = "Without a domain there is nothing to certify and no record to make."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.viewer_certificate[0].cloudfront_default_certificate && one(aws_cloudfront_distribution.this.origin).custom_origin_config[0].origin_protocol_policy == "http-only"
    error_message = "Without a domain CloudFront must use its own certificate and plain HTTP to the origin."
  }
}

run "the_state_s_lock_does_not_wait_for_the_edges" {
  command = plan

  assert {
    condition     = !aws_cloudfront_distribution.this.wait_for_deployment
    error_message = "The deployment to the edges takes minutes; the verification waits for it, without the lock."
  }
}

run "with_a_domain_every_hop_is_tls" {
  command = plan

  variables {
    domain = { name = "ai.example.com", zone = "example.com", create_zone = true }
  }

  override_resource {
    target = aws_acm_certificate.edge
    values = {
      arn = "arn:aws:acm:us-east-1:210987654321:certificate/00000000-0000-0000-0000-000000000000"
      domain_validation_options = [
        { domain_name = "ai.example.com", resource_record_name = "_a.ai.example.com", resource_record_type = "CNAME", resource_record_value = "_b.acm-validations.aws" },
      ]
    }
    override_during = plan
  }

  override_resource {
    target = aws_acm_certificate.origin
    values = {
      arn = "arn:aws:acm:ap-southeast-2:210987654321:certificate/00000000-0000-0000-0000-000000000000"
      domain_validation_options = [
        { domain_name = "ai.example.com", resource_record_name = "_a.ai.example.com", resource_record_type = "CNAME", resource_record_value = "_b.acm-validations.aws" },
        { domain_name = "origin.ai.example.com", resource_record_name = "_c.origin.ai.example.com", resource_record_type = "CNAME", resource_record_value = "_d.acm-validations.aws" },
      ]
    }
    override_during = plan
  }

  assert {
    condition     = aws_lb_listener.this.port == 443 && aws_lb_listener.this.protocol == "HTTPS" && aws_vpc_security_group_ingress_rule.cloudfront.from_port == 443
    error_message = "With a domain the load balancer must speak TLS, and port 443 alone is open."
  }

  assert {
    condition     = one(aws_cloudfront_distribution.this.origin).custom_origin_config[0].origin_protocol_policy == "https-only" && one(aws_cloudfront_distribution.this.origin).domain_name == "origin.ai.example.com"
    error_message = "CloudFront must reach the origin by TLS, at the name its certificate bears."
  }

  assert {
    condition     = contains(aws_acm_certificate.origin[0].subject_alternative_names, "ai.example.com")
    error_message = "CloudFront passes the viewer's Host on, so that the origin's certificate must bear that name too."
  }

  assert {
    condition     = toset([for record in values(aws_route53_record.validation) : record.name]) == toset(["_a.ai.example.com", "_c.origin.ai.example.com"])
    error_message = "Each certificate's names need their validation record, once."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021" && output.url == "https://ai.example.com"
    error_message = "People must get TLS 1.2 or newer at the public name."
  }
}

run "waf_blocks_floods_and_counts_what_misfires_on_prose" {
  command = plan

  assert {
    condition     = aws_wafv2_web_acl.this.scope == "CLOUDFRONT" && length(aws_wafv2_web_acl.this.rule) == 3
    error_message = "The web ACL must belong to CloudFront and have three rules; each more costs USD 1 a month."
  }

  assert {
    condition     = anytrue([for rule in aws_wafv2_web_acl.this.rule : rule.name == "rate-limit" && try(length(rule.action[0].block) == 1, false)])
    error_message = "The rate limit must block."
  }

  assert {
    condition     = contains(local.managed_rule_groups.AWSManagedRulesCommonRuleSet.count, "SizeRestrictions_BODY")
    error_message = "A blocking 8 KB limit on bodies would stop every document upload."
  }
}

run "a_name_outside_its_zone_is_refused" {
  command = plan

  variables {
    domain = { name = "ai.example.org", zone = "example.com", create_zone = false }
  }

  expect_failures = [var.domain]
}

run "a_zone_that_is_only_the_ending_is_refused" {
  command = plan

  variables {
    domain = { name = "myexample.com", zone = "example.com", create_zone = false }
  }

  expect_failures = [var.domain]
}

run "a_path_without_slash_is_refused" {
  command = plan

  variables {
    target = { service = "open-webui", port = 8080, health_path = "health" }
  }

  expect_failures = [var.target]
}
