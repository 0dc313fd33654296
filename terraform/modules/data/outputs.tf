output "kms_key_arn" {
  description = "Key of the stack's data."
  value       = aws_kms_key.data.arn
}

# A task that starts before the mount target of its zone is there fails with ResourceInitializationError.
output "file_system" {
  description = "EFS: id, arn and the security group that guards its mount targets."
  value = {
    id                = aws_efs_file_system.this.id
    arn               = aws_efs_file_system.this.arn
    security_group_id = aws_security_group.efs.id
  }
  depends_on = [aws_efs_mount_target.this, aws_efs_file_system_policy.this]
}

output "access_points" {
  description = "EFS access points by service: id and arn."
  value       = { for service, point in aws_efs_access_point.this : service => { id = point.id, arn = point.arn } }
}

output "secret_arns" {
  description = "ARN by the name given in secret_names."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

# An ALB checks that it can write before it accepts the bucket, so the policy comes first.
output "buckets" {
  description = "Name and ARN by purpose: evidence, reports, logs."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => { name = bucket.bucket, arn = bucket.arn } }
  depends_on  = [aws_s3_bucket_policy.this, aws_s3_bucket_ownership_controls.this]
}

output "budget_name" {
  description = "Monthly budget."
  value       = aws_budgets_budget.monthly.name
}

output "backup_vault_name" {
  description = "Vault of the recovery points."
  value       = aws_backup_vault.this.name
}
