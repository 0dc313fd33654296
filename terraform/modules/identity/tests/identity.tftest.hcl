mock_provider "aws" {
  mock_data "aws_ssoadmin_instances" {
    defaults = { arns = ["arn:aws:sso:::instance/ssoins-0123456789abcdef"], identity_store_ids = ["d-0123456789"] }
  }
  mock_data "aws_identitystore_group" {
    defaults = { group_id = "00000000-0000-0000-0000-000000000000" }
  }
}

variables {
  name    = "xops-prod"
  account = { id = "210987654321", partition = "aws", region = "ap-southeast-2" }
  services = {
    open_webui = {
      image            = "ghcr.io/open-webui/open-webui:v0.6.36"
      secret_arns      = ["arn:aws:secretsmanager:ap-southeast-2:210987654321:secret:xops-prod/key-AbCdEf:password::"]
      mounts           = true
      access_point_arn = "arn:aws:elasticfilesystem:ap-southeast-2:210987654321:access-point/fsap-0a"
    }
    crew = {
      image       = "210987654321.dkr.ecr.ap-southeast-2.amazonaws.com/team/crew:0.1.0"
      secret_arns = []
      mounts      = false
    }
  }
  file_system_arn = "arn:aws:elasticfilesystem:ap-southeast-2:210987654321:file-system/fs-0123456789abcdef0"
  kms_key_arn     = "arn:aws:kms:ap-southeast-2:210987654321:key/00000000-0000-0000-0000-000000000000"
  bucket_arns     = { evidence = "arn:aws:s3:::xops-prod-evidence", reports = "arn:aws:s3:::xops-prod-reports" }
  identity_center = { enabled = true, groups = { operator = "xops-operators", finops = "xops-finops", administrator = "xops-administrators" } }
  github          = { repository = "example/platform", plan_branches = ["main"], apply_environment = "production" }
}

run "a_service_reads_its_own_secrets_and_image_only" {
  command = plan

  assert {
    condition = [for statement in local.execution_statements["open_webui"] : statement.Resource if statement.Sid == "ReadOwnSecrets"] == [
      ["arn:aws:secretsmanager:ap-southeast-2:210987654321:secret:xops-prod/key-AbCdEf"],
    ]
    error_message = "The execution role must read the secrets named, by the ARN that IAM knows."
  }

  assert {
    condition     = !anytrue([for statement in local.execution_statements["open_webui"] : contains(statement.Action, "ecr:GetAuthorizationToken")])
    error_message = "An image from a public registry needs no right in ECR."
  }

  assert {
    condition = [for statement in local.execution_statements["crew"] : statement.Resource if statement.Sid == "PullOwnImage"] == [
      ["arn:aws:ecr:ap-southeast-2:210987654321:repository/team/crew"],
    ]
    error_message = "The execution role must pull from its own repository only."
  }

  assert {
    condition     = !anytrue([for statement in local.execution_statements["crew"] : statement.Sid == "ReadOwnSecrets"])
    error_message = "A service without secrets must not read any."
  }

  assert {
    condition     = keys(aws_iam_role_policy.task) == ["open_webui"]
    error_message = "A service that mounts nothing needs no task policy."
  }
}

run "no_statement_of_a_task_is_open" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for statements in values(local.execution_statements) : [
        for statement in statements : statement.Resource != ["*"] || statement.Action == ["ecr:GetAuthorizationToken"]
      ]
    ]))
    error_message = "A task's right is given on every resource."
  }

  assert {
    condition     = alltrue([for role in concat(values(aws_iam_role.task), values(aws_iam_role.execution)) : jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "210987654321"])
    error_message = "ECS of another account could assume a task's role."
  }
}

run "three_duties_three_permission_sets" {
  command = plan

  assert {
    condition     = { for role, set in aws_ssoadmin_permission_set.this : role => set.session_duration } == { operator = "PT4H", finops = "PT8H", administrator = "PT1H" }
    error_message = "Operator, finops and administrator each need a set with its session length."
  }

  assert {
    condition     = length(aws_ssoadmin_account_assignment.this) == 3 && length(aws_identitystore_group.this) == 0
    error_message = "The groups of a real directory are looked up, not made."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(local.finops_policy).Statement : alltrue([
        for action in flatten([statement.Action]) : can(regex(":(Describe|Get|List|View|Decrypt|\\*)", action))
      ])
    ])
    error_message = "The finops set must only read."
  }
}

run "an_emulator_gets_its_groups_made" {
  command = plan

  variables {
    create_groups = true
  }

  assert {
    condition     = toset([for group in values(aws_identitystore_group.this) : group.display_name]) == toset(["xops-operators-xops-prod", "xops-finops-xops-prod", "xops-administrators-xops-prod"])
    error_message = "The identity store of an emulator starts empty."
  }
}

run "identity_center_may_be_off" {
  command = plan

  variables {
    identity_center = { enabled = false, groups = { operator = "", finops = "", administrator = "" } }
  }

  assert {
    condition     = length(aws_ssoadmin_permission_set.this) == 0 && length(data.aws_ssoadmin_instances.this) == 0
    error_message = "Without Identity Center nothing of it may be asked for."
  }
}

run "github_plans_from_branches_and_applies_from_one_environment" {
  command = plan

  assert {
    condition     = local.github_subjects.plan == ["repo:example/platform:pull_request", "repo:example/platform:ref:refs/heads/main"]
    error_message = "Pull requests and the named branches may plan, nothing else."
  }

  assert {
    condition     = local.github_subjects.apply == ["repo:example/platform:environment:production"]
    error_message = "Only a job in the protected environment may apply."
  }

  assert {
    condition = anytrue([
      for statement in local.github_apply_statements : statement.Effect == "Deny" && contains(flatten([statement.Resource]), "arn:aws:iam::210987654321:role/xops-prod-github-*")
    ])
    error_message = "CI could rewrite its own rights."
  }

  assert {
    condition = alltrue([
      for statement in local.github_apply_statements : statement.Effect == "Deny" || !anytrue([for action in statement.Action : contains(["iam:*", "iam:CreateRole", "iam:PutRolePolicy"], action)]) || can(statement.Condition.StringEquals["iam:PermissionsBoundary"])
    ])
    error_message = "CI could create a role beyond the boundary."
  }

  assert {
    condition     = !anytrue([for statement in local.github_apply_statements : contains(statement.Action, "secretsmanager:GetSecretValue") && statement.Effect == "Allow"])
    error_message = "CI has no need of a secret's value."
  }

  assert {
    condition = alltrue([
      for statement in local.github_apply_statements : statement.Effect == "Deny" || length(setintersection(statement.Action, ["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion"])) == 0
    ])
    error_message = "CI could rewrite a policy that an administrator attached to somebody else's role, such as the worker's."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.github_plan[0].policy).Statement :
      statement.Effect == "Deny" && contains(statement.Action, "sqs:ReceiveMessage") && contains(statement.Resource, "arn:aws:sqs:ap-southeast-2:210987654321:xops-prod-flow-runs*")
    ])
    error_message = "A plan could take messages away from the worker."
  }
}

run "github_may_be_absent" {
  command = plan

  variables {
    github = null
  }

  assert {
    condition     = length(aws_iam_role.github) == 0 && length(aws_iam_openid_connect_provider.github) == 0
    error_message = "Without github there are no CI roles."
  }
}

run "a_second_environment_shares_the_identity_provider" {
  command = plan

  variables {
    github = { repository = "example/platform", plan_branches = ["main"], apply_environment = "sit", create_provider = false }
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && length(aws_iam_role.github) == 2
    error_message = "An account has room for one identity provider of GitHub."
  }
}

run "a_wildcard_repository_is_refused" {
  command = plan

  variables {
    github = { repository = "example/*", plan_branches = ["main"], apply_environment = "production" }
  }

  expect_failures = [var.github]
}

run "a_wildcard_branch_is_refused" {
  command = plan

  variables {
    github = { repository = "example/platform", plan_branches = ["*"], apply_environment = "production" }
  }

  expect_failures = [var.github]
}

run "one_group_for_two_duties_is_refused" {
  command = plan

  variables {
    identity_center = { enabled = true, groups = { operator = "everyone", finops = "everyone", administrator = "xops-administrators" } }
  }

  expect_failures = [var.identity_center]
}
