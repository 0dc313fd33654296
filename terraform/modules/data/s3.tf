locals {
  buckets = {
    evidence = { kms = true, expire_days = null }
    reports  = { kms = true, expire_days = null }
    # ELB's log delivery cannot write to a bucket whose default key is a KMS key: SSE-S3 it is.
    logs = { kms = false, expire_days = var.log_retention_days }
  }

  log_sources = {
    elb = {
      service   = "logdelivery.elasticloadbalancing.amazonaws.com"
      prefix    = "alb"
      condition = { ArnLike = { "aws:SourceArn" = "arn:${var.account.partition}:elasticloadbalancing:${var.account.region}:${var.account.id}:loadbalancer/*" } }
    }
    # CloudFront's log deliveries are configured in us-east-1, whatever the bucket's region.
    cloudfront = {
      service = "delivery.logs.amazonaws.com"
      prefix  = "cloudfront"
      condition = {
        StringEquals = { "aws:SourceAccount" = var.account.id }
        ArnLike      = { "aws:SourceArn" = "arn:${var.account.partition}:logs:us-east-1:${var.account.id}:delivery-source:*" }
      }
    }
  }

  tls_only = {
    for purpose, bucket in aws_s3_bucket.this : purpose => {
      Sid       = "RefusePlainText"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [bucket.arn, "${bucket.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }

  log_delivery = [
    for name, source in local.log_sources : {
      Sid       = "LogDelivery${title(name)}"
      Effect    = "Allow"
      Principal = { Service = source.service }
      Action    = "s3:PutObject"
      Resource  = "${aws_s3_bucket.this["logs"].arn}/${source.prefix}/*"
      Condition = source.condition
    }
  ]
}

resource "aws_s3_bucket" "this" {
  for_each = local.buckets

  # Bucket names are global; account and region make the name ours without a random part.
  bucket        = "${var.name}-${each.key}-${var.account.id}-${var.account.region}"
  force_destroy = !var.deletion_protection
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    # One data key a bucket instead of one an object: requests to KMS are billed.
    bucket_key_enabled = each.value.kms

    apply_server_side_encryption_by_default {
      sse_algorithm     = each.value.kms ? "aws:kms" : "AES256"
      kms_master_key_id = each.value.kms ? aws_kms_key.data.arn : null
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "superseded"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.value.expire_days[*]

    content {
      id     = "retention"
      status = "Enabled"
      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  # Rules on noncurrent versions mean something on a versioned bucket only.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.tls_only[each.key]], each.key == "logs" ? local.log_delivery : [])
  })

  # A policy and a public access block written at the same moment to one bucket are refused as conflicting.
  depends_on = [aws_s3_bucket_public_access_block.this]
}
