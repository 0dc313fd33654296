# One key for the stack's data: evidence, reports, file system, backups, secrets and container logs. A key each would
# cost USD 1 a month more and protect nothing further, as the same roles use all of them.
resource "aws_kms_key" "data" {
  description             = "Data of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_protection ? 30 : 7
  tags                    = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "IamPoliciesOfThisAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.account.partition}:iam::${var.account.id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroupsOfThisStack"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.account.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:/${var.name}/*"
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.data.key_id
}
