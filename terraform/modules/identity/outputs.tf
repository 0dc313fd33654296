# A task started before its role has its policy fails to pull, to read its secrets or to mount.
output "service_roles" {
  description = "Task and execution role ARNs by service."
  value = {
    for service in keys(var.services) : service => {
      task      = aws_iam_role.task[service].arn
      execution = aws_iam_role.execution[service].arn
    }
  }
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}

output "backup_role_arn" {
  description = "Role AWS Backup assumes."
  value       = aws_iam_role.backup.arn
  depends_on  = [aws_iam_role_policy_attachment.backup]
}

output "github_role_arns" {
  description = "CI roles by right (plan, apply); empty without github."
  value       = { for right, role in aws_iam_role.github : right => role.arn }
}

output "permission_set_arns" {
  description = "Permission sets by role (operator, finops, administrator); empty when Identity Center is off."
  value       = { for role, set in aws_ssoadmin_permission_set.this : role => set.arn }
}
