locals {
  snapshot_tags = { service = "k3s-snapshots" }
}

# One key for disks and snapshots: both hold the cluster's secrets, and the same servers use both. It is not Stream 1's.
resource "aws_kms_key" "this" {
  description             = "Disks and etcd snapshots of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_protection ? 30 : 7
  tags                    = local.snapshot_tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "IamPoliciesOfThisAccountDecide"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.account.partition}:iam::${local.account.id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_s3_bucket" "snapshots" {
  # Bucket names are global; account and region make the name ours without a random part.
  bucket        = "${var.name}-snapshots-${local.account.id}-${var.region}"
  force_destroy = !var.deletion_protection
  tags          = local.snapshot_tags
}

resource "aws_s3_bucket_public_access_block" "snapshots" {
  bucket                  = aws_s3_bucket.snapshots.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "snapshots" {
  bucket = aws_s3_bucket.snapshots.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "snapshots" {
  bucket = aws_s3_bucket.snapshots.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "snapshots" {
  bucket = aws_s3_bucket.snapshots.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

# K3S deletes what exceeds its own retention. Nothing here expires a snapshot K3S still counts on, least of all the last
# ones of a cluster that is no more.
resource "aws_s3_bucket_lifecycle_configuration" "snapshots" {
  bucket = aws_s3_bucket.snapshots.id

  rule {
    id     = "superseded"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.snapshot_retention_days
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # Rules on noncurrent versions mean something on a versioned bucket only.
  depends_on = [aws_s3_bucket_versioning.snapshots]
}

resource "aws_s3_bucket_policy" "snapshots" {
  bucket = aws_s3_bucket.snapshots.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainText"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.snapshots.arn, "${aws_s3_bucket.snapshots.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # A policy and a public access block written at the same moment to one bucket are refused as conflicting.
  depends_on = [aws_s3_bucket_public_access_block.snapshots]
}
