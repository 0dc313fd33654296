locals {
  tags = { service = "data" }
}

# Values are put by an operator (aws secretsmanager put-secret-value); Terraform knows the name and the ARN only.
resource "aws_secretsmanager_secret" "this" {
  for_each = var.secret_names

  name       = "${var.name}/${each.key}"
  kms_key_id = aws_kms_key.data.arn
  # A window of 0 frees the name at once, so that a throw-away environment can be made again the same day.
  recovery_window_in_days = var.deletion_protection ? 30 : 0
  tags                    = local.tags
}
