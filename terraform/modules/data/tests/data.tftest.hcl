mock_provider "aws" {}

variables {
  name        = "xops-prod"
  environment = "prod"
  account     = { id = "210987654321", partition = "aws", region = "ap-southeast-2" }
  network = {
    vpc_id     = "vpc-0123456789abcdef0"
    subnet_ids = { ap-southeast-2a = "subnet-0a", ap-southeast-2b = "subnet-0b" }
  }
  access_points = {
    open-webui = { path = "/open-webui", uid = 1000, gid = 1000 }
    crew       = { path = "/crew", uid = 1000, gid = 1000 }
  }
  secret_names        = ["webui-secret-key"]
  budget              = { amount = "180", currency = "USD", notify = ["platform@example.com"] }
  backup              = { schedule = "cron(0 15 * * ? *)", retention_days = 35 }
  backup_role_arn     = "arn:aws:iam::210987654321:role/xops-prod-backup"
  log_retention_days  = 90
  deletion_protection = true
}

run "protected_data_outlives_a_mistake" {
  command = plan

  assert {
    condition     = alltrue([for bucket in values(aws_s3_bucket.this) : !bucket.force_destroy]) && !aws_backup_vault.this.force_destroy
    error_message = "With deletion protection a bucket or the vault would go with what it holds."
  }

  assert {
    condition     = aws_kms_key.data.deletion_window_in_days == 30 && aws_secretsmanager_secret.this["webui-secret-key"].recovery_window_in_days == 30
    error_message = "With deletion protection keys and secrets wait 30 days."
  }
}

run "unprotected_data_leaves_nothing_behind" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = alltrue([for bucket in values(aws_s3_bucket.this) : bucket.force_destroy]) && aws_secretsmanager_secret.this["webui-secret-key"].recovery_window_in_days == 0
    error_message = "A throw-away environment could not be made again under its name."
  }
}

run "buckets_are_closed_versioned_and_encrypted" {
  command = plan

  assert {
    condition     = toset(keys(aws_s3_bucket.this)) == toset(["evidence", "reports", "logs"])
    error_message = "There must be a bucket each for evidence, reports and logs."
  }

  assert {
    condition = alltrue([for block in values(aws_s3_bucket_public_access_block.this) :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && length(aws_s3_bucket_public_access_block.this) == 3
    error_message = "A bucket may be made public."
  }

  assert {
    condition     = alltrue([for versioning in values(aws_s3_bucket_versioning.this) : versioning.versioning_configuration[0].status == "Enabled"])
    error_message = "A bucket keeps no versions."
  }

  assert {
    condition = {
      for purpose, encryption in aws_s3_bucket_server_side_encryption_configuration.this :
      purpose => one(one(encryption.rule).apply_server_side_encryption_by_default).sse_algorithm
    } == { evidence = "aws:kms", reports = "aws:kms", logs = "AES256" }
    error_message = "Evidence and reports want the KMS key; the log bucket must not have one, or ELB cannot deliver."
  }

  assert {
    condition     = aws_s3_bucket.this["evidence"].bucket == "xops-prod-evidence-210987654321-ap-southeast-2"
    error_message = "The bucket's name changed, which would replace the bucket."
  }
}

run "access_logs_expire" {
  command = plan

  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this["logs"].rule : rule.expiration[0].days if rule.id == "retention"]) == 90
    error_message = "Access logs must expire after log_retention_days."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this["evidence"].rule) == 1
    error_message = "Evidence must not expire."
  }
}

run "files_are_encrypted_and_apart" {
  command = plan

  assert {
    condition     = aws_efs_file_system.this.encrypted && length(aws_efs_mount_target.this) == 2
    error_message = "The file system must be encrypted and have a mount target in every zone."
  }

  assert {
    condition     = aws_efs_access_point.this["crew"].root_directory[0].path == "/crew" && aws_efs_access_point.this["crew"].posix_user[0].uid == 1000
    error_message = "The crew must see its own directory as an unprivileged user."
  }

  assert {
    condition     = one(aws_backup_plan.this.rule).lifecycle[0].delete_after == 35
    error_message = "Recovery points must be kept for backup.retention_days."
  }
}

run "budget_speaks_at_50_80_100_and_on_the_forecast" {
  command = plan

  assert {
    condition = toset([for note in aws_budgets_budget.monthly.notification : "${note.notification_type} ${note.threshold}"]) == toset([
      "ACTUAL 50", "ACTUAL 80", "ACTUAL 100", "FORECASTED 100",
    ])
    error_message = "The budget's notifications differ from 50, 80, 100 % and the forecast."
  }

  assert {
    condition     = aws_budgets_budget.monthly.limit_amount == "180" && one(one(aws_budgets_budget.monthly.cost_filter).values) == "user:environment$prod"
    error_message = "The budget must limit this environment's tag to the amount."
  }
}

run "zero_budget_takes_the_zero_spend_form" {
  command = plan

  variables {
    budget = { amount = "0", currency = "USD", notify = ["platform@example.com"] }
  }

  assert {
    condition = aws_budgets_budget.monthly.limit_amount == "1" && [for note in aws_budgets_budget.monthly.notification : [note.threshold_type, note.threshold]] == [
      ["ABSOLUTE_VALUE", 0.01],
    ]
    error_message = "AWS Budgets refuses a limit of 0; it wants USD 1 and a threshold of one cent."
  }
}

run "zero_budget_may_be_silent" {
  command = plan

  variables {
    budget = { amount = "0", currency = "USD", notify = [] }
  }

  assert {
    condition     = length(aws_budgets_budget.monthly.notification) == 0
    error_message = "A notification without a subscriber is refused by AWS."
  }
}

run "a_budget_nobody_hears_of_is_refused" {
  command = plan

  variables {
    budget = { amount = "180", currency = "USD", notify = [] }
  }

  expect_failures = [var.budget]
}

run "an_amount_that_is_no_number_is_refused" {
  command = plan

  variables {
    budget = { amount = "$180", currency = "USD", notify = ["platform@example.com"] }
  }

  expect_failures = [var.budget]
}

run "another_currency_than_the_bills_is_refused" {
  command = plan

  variables {
    budget = { amount = "180", currency = "AUD", notify = ["platform@example.com"] }
  }

  expect_failures = [var.budget]
}

run "root_on_the_file_system_is_refused" {
  command = plan

  variables {
    access_points = { crew = { path = "/crew", uid = 0, gid = 0 } }
  }

  expect_failures = [var.access_points]
}

run "a_backup_without_an_hour_is_refused" {
  command = plan

  variables {
    backup = { schedule = "daily", retention_days = 35 }
  }

  expect_failures = [var.backup]
}
