data "aws_ssoadmin_instances" "this" {
  count = var.identity_center.enabled ? 1 : 0
}

locals {
  instance_arn      = try(data.aws_ssoadmin_instances.this[0].arns[0], null)
  identity_store_id = try(data.aws_ssoadmin_instances.this[0].identity_store_ids[0], null)

  permission_sets = {
    for role, set in {
      operator = {
        name        = "operator"
        description = "Runs the environment: services, logs, scaling, evidence, secret values"
        session     = "PT4H"
        managed     = null
        inline      = local.operator_policy
      }
      finops = {
        name        = "finops"
        description = "Reads costs, budgets and reports; changes nothing"
        session     = "PT8H"
        managed     = "AWSBillingReadOnlyAccess"
        inline      = local.finops_policy
      }
      administrator = {
        name        = "admin"
        description = "Full rights, for changes of identity and for emergencies"
        # Short, because it is meant for the minutes of one change.
        session = "PT1H"
        managed = "AdministratorAccess"
        inline  = null
      }
    } : role => set if var.identity_center.enabled
  }

  group_ids = {
    for role in keys(local.permission_sets) : role => (
      var.create_groups ? aws_identitystore_group.this[role].group_id : data.aws_identitystore_group.this[role].group_id
    )
  }

  operator_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "See"
        Effect = "Allow"
        Action = [
          "application-autoscaling:Describe*",
          "backup:Describe*",
          "backup:Get*",
          "backup:List*",
          "budgets:ViewBudget",
          "cloudwatch:Describe*",
          "cloudwatch:Get*",
          "cloudwatch:List*",
          "ec2:Describe*",
          "ecs:Describe*",
          "ecs:List*",
          "elasticfilesystem:Describe*",
          "elasticloadbalancing:Describe*",
          "logs:Describe*",
          "servicediscovery:Get*",
          "servicediscovery:List*",
          "wafv2:Get*",
          "wafv2:List*",
        ]
        Resource = "*"
      },
      {
        Sid      = "ReadLogs"
        Effect   = "Allow"
        Action   = ["logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery", "logs:GetQueryResults", "logs:StartLiveTail"]
        Resource = "${local.arn_prefix}:logs:${local.region_path}:log-group:/${var.name}/*"
      },
      {
        Sid    = "RunServices"
        Effect = "Allow"
        Action = ["ecs:StopTask", "ecs:UpdateService"]
        Resource = [
          "${local.arn_prefix}:ecs:${local.region_path}:service/${var.name}/*",
          "${local.arn_prefix}:ecs:${local.region_path}:task/${var.name}/*",
        ]
      },
      {
        Sid      = "ScaleServices"
        Effect   = "Allow"
        Action   = ["application-autoscaling:RegisterScalableTarget"]
        Resource = "${local.arn_prefix}:application-autoscaling:${local.region_path}:scalable-target/*"
        # A scalable target has no name of its own; its tags say whose it is.
        Condition = { StringEquals = { "aws:ResourceTag/service" = values(local.dns_names) } }
      },
      {
        Sid      = "KeepEvidence"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
        Resource = [var.bucket_arns.evidence, "${var.bucket_arns.evidence}/*", var.bucket_arns.reports, "${var.bucket_arns.reports}/*"]
      },
      {
        # Puts a value, cannot read one back.
        Sid      = "PutSecretValues"
        Effect   = "Allow"
        Action   = ["secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue"]
        Resource = "${local.arn_prefix}:secretsmanager:${local.region_path}:secret:${var.name}/*"
      },
      {
        Sid      = "UseKeyOfThisStack"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = var.kms_key_arn
        Condition = {
          StringEquals = { "kms:ViaService" = ["s3.${var.account.region}.amazonaws.com", "secretsmanager.${var.account.region}.amazonaws.com"] }
        }
      },
    ]
  })

  finops_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "SeeCosts"
        Effect   = "Allow"
        Action   = ["bcm-data-exports:Get*", "bcm-data-exports:List*", "budgets:View*", "ce:Describe*", "ce:Get*", "ce:List*", "pricing:*", "savingsplans:Describe*"]
        Resource = "*"
      },
      {
        Sid      = "SeeWhatCosts"
        Effect   = "Allow"
        Action   = ["application-autoscaling:Describe*", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "ecs:Describe*", "ecs:List*", "tag:GetResources"]
        Resource = "*"
      },
      {
        Sid      = "ReadReports"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket"]
        Resource = [var.bucket_arns.reports, "${var.bucket_arns.reports}/*"]
      },
      {
        Sid       = "DecryptReports"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.account.region}.amazonaws.com" } }
      },
    ]
  })
}

# People and their groups come from the directory and are not ours to make; an emulator has no directory.
data "aws_identitystore_group" "this" {
  for_each = var.create_groups ? {} : local.permission_sets

  identity_store_id = local.identity_store_id

  alternate_identifier {
    unique_attribute {
      attribute_path  = "DisplayName"
      attribute_value = var.identity_center.groups[each.key]
    }
  }
}

resource "aws_identitystore_group" "this" {
  for_each = var.create_groups ? local.permission_sets : {}

  identity_store_id = local.identity_store_id
  # The environments of one emulated account share its directory, where a name is taken once.
  display_name = "${var.identity_center.groups[each.key]}-${var.name}"
  description  = each.value.description
}

resource "aws_ssoadmin_permission_set" "this" {
  for_each = local.permission_sets

  instance_arn     = local.instance_arn
  name             = "${var.name}-${each.value.name}"
  description      = each.value.description
  session_duration = each.value.session
  tags             = local.tags

  lifecycle {
    precondition {
      condition     = length(data.aws_ssoadmin_instances.this[0].arns) > 0
      error_message = "identity_center.enabled is true, but no IAM Identity Center instance answers in ${var.account.region}. Set the region Identity Center lives in, or set identity_center.enabled to false."
    }
  }
}

resource "aws_ssoadmin_permission_set_inline_policy" "this" {
  for_each = { for role, set in local.permission_sets : role => set if role != "administrator" }

  instance_arn       = local.instance_arn
  permission_set_arn = aws_ssoadmin_permission_set.this[each.key].arn
  inline_policy      = each.value.inline
}

resource "aws_ssoadmin_managed_policy_attachment" "this" {
  for_each = { for role, set in local.permission_sets : role => set if role != "operator" }

  instance_arn       = local.instance_arn
  permission_set_arn = aws_ssoadmin_permission_set.this[each.key].arn
  managed_policy_arn = "${local.arn_prefix}:iam::aws:policy/${each.value.managed}"
}

resource "aws_ssoadmin_account_assignment" "this" {
  for_each = local.permission_sets

  instance_arn       = local.instance_arn
  permission_set_arn = aws_ssoadmin_permission_set.this[each.key].arn
  principal_id       = local.group_ids[each.key]
  principal_type     = "GROUP"
  target_id          = var.account.id
  target_type        = "AWS_ACCOUNT"

  # Policies attached after the assignment would need a second provisioning; and on the way down Identity Center does
  # not detach policies from a set that is still assigned.
  depends_on = [aws_ssoadmin_managed_policy_attachment.this, aws_ssoadmin_permission_set_inline_policy.this]
}
