# The plan below is the file system's only backup: EFS's own automatic backup stays off, since both would keep (and
# bill) the same recovery points.
resource "aws_backup_vault" "this" {
  name          = var.name
  kms_key_arn   = aws_kms_key.data.arn
  force_destroy = !var.deletion_protection
  tags          = local.tags
}

resource "aws_backup_plan" "this" {
  name = var.name
  tags = local.tags

  rule {
    rule_name         = "scheduled"
    target_vault_name = aws_backup_vault.this.name
    schedule          = var.backup.schedule
    start_window      = 60
    completion_window = 240

    lifecycle {
      delete_after = var.backup.retention_days
    }
  }
}

resource "aws_backup_selection" "efs" {
  name         = "efs"
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = var.backup_role_arn
  resources    = [aws_efs_file_system.this.arn]
}
