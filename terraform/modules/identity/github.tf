locals {
  github_url = "token.actions.githubusercontent.com"
  github     = var.github[*]

  github_provider_arn = one(concat(
    aws_iam_openid_connect_provider.github[*].arn,
    data.aws_iam_openid_connect_provider.github[*].arn,
  ))

  # Who may do what is decided by the token's subject: a pull request or a named branch plans, a job in the protected
  # GitHub environment applies. A pull request from a fork gets no id token, so it does not even plan.
  github_subjects = merge([
    for settings in local.github : {
      plan = concat(
        ["repo:${settings.repository}:pull_request"],
        [for branch in settings.plan_branches : "repo:${settings.repository}:ref:refs/heads/${branch}"],
      )
      apply = ["repo:${settings.repository}:environment:${settings.apply_environment}"]
    }
  ]...)

  github_trust = {
    for right, subjects in local.github_subjects : right => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Federated = local.github_provider_arn }
        Action    = "sts:AssumeRoleWithWebIdentity"
        Condition = {
          StringEquals = {
            "${local.github_url}:aud" = "sts.amazonaws.com"
            "${local.github_url}:sub" = subjects
          }
        }
      }]
    })
  }

  # Terraform locks by writing <key>.tflock, so that even a plan writes; it may write the lock and nothing else.
  github_state_bucket_arns = [for bucket in compact(local.github[*].state_bucket) : "${local.arn_prefix}:s3:::${bucket}"]
  github_state_keys        = flatten(local.github[*].state_kms_key_arns)

  github_lock_statements = concat(
    [for arn in local.github_state_bucket_arns : {
      Sid      = "LockState"
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:DeleteObject"]
      Resource = "${arn}/*.tflock"
    }],
    length(local.github_state_keys) == 0 ? [] : [{
      Sid      = "DecryptState"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = local.github_state_keys
    }],
  )

  # Resources of IAM that belong to the stack, and the CI roles among them, which CI must not touch.
  own_role_arn     = "${local.arn_prefix}:iam::${var.account.id}:role/${var.name}-*"
  own_ci_role_arn  = "${local.arn_prefix}:iam::${var.account.id}:role/${var.name}-github-*"
  own_queue_arn    = "${local.arn_prefix}:sqs:${local.region_path}:${var.name}-flow-runs*"
  own_boundary_arn = "${local.arn_prefix}:iam::${var.account.id}:policy/${var.name}-workload-boundary"

  github_apply_statements = concat(
    [
      {
        Sid    = "ServicesOfTheStack"
        Effect = "Allow"
        Action = [
          "acm:*",
          "application-autoscaling:*",
          "backup:*",
          "backup-storage:MountCapsule",
          "budgets:*",
          "cloudfront:*",
          "cloudwatch:*",
          "ec2:*",
          "ecs:*",
          "elasticfilesystem:*",
          "elasticloadbalancing:*",
          "identitystore:Describe*",
          "identitystore:Get*",
          "identitystore:List*",
          "kms:*",
          "logs:*",
          "route53:*",
          "s3:*",
          "servicediscovery:*",
          "sso:Describe*",
          "sso:Get*",
          "sso:List*",
          "wafv2:*",
        ]
        Resource = "*"
      },
      {
        # Makes and removes secrets, reads no value.
        Sid      = "SecretsWithoutTheirValues"
        Effect   = "Allow"
        Action   = ["secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy", "secretsmanager:RestoreSecret", "secretsmanager:TagResource", "secretsmanager:UntagResource", "secretsmanager:UpdateSecret"]
        Resource = "${local.arn_prefix}:secretsmanager:${local.region_path}:secret:${var.name}/*"
      },
      {
        # Not the policy of the worker that reads the queue: who wrote that would give the worker rights.
        Sid    = "EventsOfFlowRuns"
        Effect = "Allow"
        Action = [
          "events:DeleteRule",
          "events:DescribeRule",
          "events:ListTagsForResource",
          "events:ListTargetsByRule",
          "events:PutRule",
          "events:PutTargets",
          "events:RemoveTargets",
          "events:TagResource",
          "events:UntagResource",
          "sqs:CreateQueue",
          "sqs:DeleteQueue",
          "sqs:GetQueueAttributes",
          "sqs:GetQueueUrl",
          "sqs:ListQueueTags",
          "sqs:SetQueueAttributes",
          "sqs:TagQueue",
          "sqs:UntagQueue",
        ]
        Resource = ["${local.arn_prefix}:events:${local.region_path}:rule/${var.name}-flow-runs", local.own_queue_arn]
      },
      {
        Sid      = "ReadIam"
        Effect   = "Allow"
        Action   = ["iam:Get*", "iam:List*"]
        Resource = "*"
      },
      {
        Sid       = "RolesWithinTheBoundary"
        Effect    = "Allow"
        Action    = ["iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
        Resource  = local.own_role_arn
        Condition = { StringEquals = { "iam:PermissionsBoundary" = local.own_boundary_arn } }
      },
      {
        Sid      = "CareOfRoles"
        Effect   = "Allow"
        Action   = ["iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription"]
        Resource = local.own_role_arn
      },
      {
        Sid       = "HandRolesToTheirServices"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = local.own_role_arn
        Condition = { StringEquals = { "iam:PassedToService" = ["backup.amazonaws.com", "ecs-tasks.amazonaws.com"] } }
      },
      {
        Sid       = "ServiceLinkedRoles"
        Effect    = "Allow"
        Action    = ["iam:CreateServiceLinkedRole"]
        Resource  = "*"
        Condition = { StringEquals = { "iam:AWSServiceName" = ["backup.amazonaws.com", "ecs.amazonaws.com", "ecs.application-autoscaling.amazonaws.com", "elasticfilesystem.amazonaws.com", "elasticloadbalancing.amazonaws.com"] } }
      },
      {
        # Whoever changes CI's own rights or the people's needs the administrator's permission set.
        Sid      = "NeverItself"
        Effect   = "Deny"
        Action   = ["iam:Add*", "iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:Put*", "iam:Update*"]
        Resource = [local.own_ci_role_arn, local.own_boundary_arn]
      },
    ],
    [for arn in local.github_state_bucket_arns : {
      Sid      = "WriteState"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
      Resource = [arn, "${arn}/*"]
    }],
  )
}

# An account has one identity provider a URL. The second environment in one account sets create_provider to false.
resource "aws_iam_openid_connect_provider" "github" {
  count = length([for settings in local.github : settings if settings.create_provider])

  url            = "https://${local.github_url}"
  client_id_list = ["sts.amazonaws.com"]
  tags           = local.tags
}

data "aws_iam_openid_connect_provider" "github" {
  count = length([for settings in local.github : settings if !settings.create_provider])

  url = "https://${local.github_url}"
}

resource "aws_iam_role" "github" {
  for_each = local.github_trust

  name                 = "${var.name}-github-${each.key}"
  description          = "GitHub Actions, terraform ${each.key}"
  assume_role_policy   = each.value
  max_session_duration = 3600
  tags                 = local.tags
}

resource "aws_iam_role_policy_attachment" "github_plan" {
  count = length(local.github)

  role       = aws_iam_role.github["plan"].name
  policy_arn = "${local.arn_prefix}:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "github_plan" {
  count = length(local.github)

  name = "plan"
  role = aws_iam_role.github["plan"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.github_lock_statements, [{
      # ReadOnlyAccess reads every object and message of the account; a plan needs none of the stack's data. Whoever
      # receives a message keeps it from the worker, which would hear of no crash.
      Sid      = "NotTheData"
      Effect   = "Deny"
      Action   = ["s3:GetObject*", "secretsmanager:GetSecretValue", "sqs:ReceiveMessage"]
      Resource = ["${var.bucket_arns.evidence}/*", "${var.bucket_arns.reports}/*", "${local.arn_prefix}:secretsmanager:${local.region_path}:secret:*", local.own_queue_arn]
    }])
  })
}

resource "aws_iam_role_policy" "github_apply" {
  count = length(local.github)

  name   = "apply"
  role   = aws_iam_role.github["apply"].name
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.github_lock_statements, local.github_apply_statements) })
}
