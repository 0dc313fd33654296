locals {
  tags        = { service = "identity" }
  arn_prefix  = "arn:${var.account.partition}"
  region_path = "${var.account.region}:${var.account.id}"

  # Only an image in a private ECR registry of this region needs rights; a public registry needs none.
  ecr_image = "^([0-9]{12})\\.dkr\\.ecr\\.${var.account.region}\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)"
  ecr_repository_arns = {
    for service, needs in var.services : service => try(
      format("${local.arn_prefix}:ecr:${var.account.region}:%s:repository/%s", regex(local.ecr_image, needs.image)...), null
    )
  }

  dns_names = { for service in keys(var.services) : service => replace(service, "_", "-") }

  execution_statements = {
    for service, needs in var.services : service => concat(
      [{
        Sid      = "WriteOwnLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${local.arn_prefix}:logs:${local.region_path}:log-group:/${var.name}/${local.dns_names[service]}:*"]
      }],
      [for statement in [
        {
          Sid    = "ReadOwnSecrets"
          Effect = "Allow"
          Action = ["secretsmanager:GetSecretValue"]
          # An ARN in a task definition may go on with a JSON key, a stage and a version; IAM knows the first seven fields.
          Resource = [for arn in needs.secret_arns : join(":", slice(split(":", arn), 0, 7))]
        },
        {
          Sid       = "DecryptOwnSecrets"
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = [var.kms_key_arn]
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.account.region}.amazonaws.com" } }
        },
      ] : statement if length(needs.secret_arns) > 0],
      [for statement in [
        {
          Sid      = "PullOwnImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [local.ecr_repository_arns[service]]
        },
        {
          # ECR gives one token for the whole registry; this action takes no resource.
          Sid      = "LogInToRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
      ] : statement if local.ecr_repository_arns[service] != null],
    )
  }

  mounting_services = toset([for service, needs in var.services : service if needs.mounts])

  ecs_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      # Without these, ECS in a foreign account could be talked into using the role (confused deputy).
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account.id }
        ArnLike      = { "aws:SourceArn" = "${local.arn_prefix}:ecs:${local.region_path}:*" }
      }
    }]
  })
}

# What a role made by CI may do at the very most. CI's apply role can create roles under this boundary only, so that it
# cannot write itself a stronger one.
resource "aws_iam_policy" "boundary" {
  name        = "${var.name}-workload-boundary"
  description = "Upper limit of the rights of tasks and backups of ${var.name}"
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Workload"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability",
          "ecr:BatchGetImage",
          "ecr:GetAuthorizationToken",
          "ecr:GetDownloadUrlForLayer",
          "elasticfilesystem:ClientMount",
          "elasticfilesystem:ClientWrite",
          "logs:CreateLogStream",
          "logs:PutLogEvents",
          "secretsmanager:GetSecretValue",
        ]
        Resource = "*"
      },
      {
        Sid    = "Backup"
        Effect = "Allow"
        Action = [
          "backup:*",
          "elasticfilesystem:Backup",
          "elasticfilesystem:Describe*",
          "elasticfilesystem:ListTagsForResource",
          "tag:GetResources",
        ]
        Resource = "*"
      },
      {
        Sid      = "KeyOfThisStack"
        Effect   = "Allow"
        Action   = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource = var.kms_key_arn
      },
    ]
  })
}

# Execution role: what ECS itself needs to start a task (image, log, secrets).
resource "aws_iam_role" "execution" {
  for_each = var.services

  name                 = "${var.name}-${local.dns_names[each.key]}-execution"
  description          = "Starts tasks of ${local.dns_names[each.key]}"
  assume_role_policy   = local.ecs_trust
  permissions_boundary = aws_iam_policy.boundary.arn
  tags                 = merge(local.tags, { service = local.dns_names[each.key] })
}

resource "aws_iam_role_policy" "execution" {
  for_each = var.services

  name   = "start-tasks"
  role   = aws_iam_role.execution[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.execution_statements[each.key] })
}

# Task role: what the service's own code may do. That is to mount its own directory, and nothing else.
resource "aws_iam_role" "task" {
  for_each = var.services

  name                 = "${var.name}-${local.dns_names[each.key]}-task"
  description          = "Code of ${local.dns_names[each.key]}"
  assume_role_policy   = local.ecs_trust
  permissions_boundary = aws_iam_policy.boundary.arn
  tags                 = merge(local.tags, { service = local.dns_names[each.key] })
}

resource "aws_iam_role_policy" "task" {
  for_each = local.mounting_services

  name = "mount-own-directory"
  role = aws_iam_role.task[each.key].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "MountOwnDirectory"
      Effect    = "Allow"
      Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
      Resource  = var.file_system_arn
      Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = var.services[each.key].access_point_arn } }
    }]
  })
}

resource "aws_iam_role" "backup" {
  name                 = "${var.name}-backup"
  description          = "AWS Backup of the file system"
  permissions_boundary = aws_iam_policy.boundary.arn
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "backup.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "backup" {
  role       = aws_iam_role.backup.name
  policy_arn = "${local.arn_prefix}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
}
