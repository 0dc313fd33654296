resource "aws_efs_file_system" "this" {
  creation_token = var.name
  encrypted      = true
  kms_key_id     = aws_kms_key.data.arn
  # Bursting throughput starves at this size: 10 GiB earn 0.5 MiB/s. Elastic is paid by the byte moved.
  throughput_mode = "elastic"
  tags            = merge(local.tags, { Name = var.name })

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }

  lifecycle_policy {
    transition_to_primary_storage_class = "AFTER_1_ACCESS"
  }
}

# With this policy in place a client without an IAM identity cannot mount at all, and none without TLS.
resource "aws_efs_file_system_policy" "this" {
  file_system_id = aws_efs_file_system.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "IamPoliciesOfThisAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.account.partition}:iam::${var.account.id}:root" }
        Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        Resource  = aws_efs_file_system.this.arn
        Condition = { Bool = { "elasticfilesystem:AccessedViaMountTarget" = "true" } }
      },
      {
        Sid       = "RefusePlainText"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = aws_efs_file_system.this.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# Rules are added by the ecs module, one for each service that mounts.
resource "aws_security_group" "efs" {
  name        = "${var.name}-efs"
  description = "NFS from the services that mount the file system"
  vpc_id      = var.network.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-efs" })
}

resource "aws_efs_mount_target" "this" {
  for_each = var.network.subnet_ids

  file_system_id  = aws_efs_file_system.this.id
  subnet_id       = each.value
  security_groups = [aws_security_group.efs.id]
}

resource "aws_efs_access_point" "this" {
  for_each = var.access_points

  file_system_id = aws_efs_file_system.this.id
  tags           = { Name = "${var.name}-${each.key}", service = each.key }

  posix_user {
    uid = each.value.uid
    gid = each.value.gid
  }

  root_directory {
    path = each.value.path

    creation_info {
      owner_uid   = each.value.uid
      owner_gid   = each.value.gid
      permissions = "0750"
    }
  }
}
