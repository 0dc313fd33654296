# The rules of an environment as a whole. What each module refuses is tested beside the module.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "210987654321" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["ap-southeast-2a", "ap-southeast-2b", "ap-southeast-2c"] }
  }
  mock_data "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:ap-southeast-2:210987654321:cluster/xops-runs", status = "ACTIVE" }
  }
  mock_data "aws_ssoadmin_instances" {
    defaults = { arns = ["arn:aws:sso:::instance/ssoins-0123456789abcdef"], identity_store_ids = ["d-0123456789"] }
  }
}

mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  environment = "prod"
  target      = "aws"
  region      = "ap-southeast-2"
  name        = "xops-prod"
  tags        = { owner = "platform", cost_centre = "platform-prod" }
  budget      = { amount = "180", currency = "USD", notify = ["platform@example.com"] }
  network     = { cidr = "10.40.0.0/16", zones = 3, egress = "nat" }
  domain      = null
  services = {
    open_webui = {
      image    = "ghcr.io/open-webui/open-webui:v0.6.36"
      capacity = { on_demand_base = 1, on_demand_weight = 0, spot_weight = 1 }
      secrets  = { WEBUI_SECRET_KEY = "webui-secret-key", DATABASE_URL = "database-url", OPENAI_API_KEY = "crew-api-key" }
    }
    crew = {
      image    = "ghcr.io/xops/crew:0.1.0"
      capacity = { on_demand_base = 1, on_demand_weight = 1, spot_weight = 0 }
      secrets  = { API_KEY = "crew-api-key" }
    }
  }
  deletion_protection = true
  log_retention_days  = 90
  backup              = { schedule = "cron(0 15 * * ? *)", retention_days = 35 }
  identity_center     = { enabled = false, groups = { operator = "a", finops = "b", administrator = "c" } }
}

run "production_as_agreed_is_accepted" {
  command = plan

  assert {
    condition     = local.secret_names == toset(["webui-secret-key", "database-url", "crew-api-key"])
    error_message = "A secret named by both services must be made once."
  }

  assert {
    condition     = output.services.open_webui.desired_min == 2 && output.services.crew.container_name == "crew"
    error_message = "Sizes left out must take the platform's defaults."
  }

  assert {
    condition     = local.fixed.open_webui.environment.OPENAI_API_BASE_URL == "http://crew:8000/v1"
    error_message = "Open WebUI must call the crew by its Service Connect name."
  }

  assert {
    condition     = length(module.flow_runs) == 0 && output.flow_runs == null
    error_message = "An environment without flow_runs has no queue."
  }
}

run "crash_detection_where_flow_runs_are_named" {
  command = plan

  variables {
    flow_runs = { cluster = "xops-runs" }
  }

  assert {
    condition     = output.flow_runs.queue_name == "xops-prod-flow-runs"
    error_message = "The worker must learn its queue's name from the outputs."
  }
}

run "flow_runs_beside_the_services_are_refused" {
  command = plan

  variables {
    flow_runs = { cluster = "xops-prod" }
  }

  expect_failures = [terraform_data.rules]
}

run "production_without_deletion_protection_is_refused" {
  command = plan

  variables {
    deletion_protection = false
  }

  expect_failures = [terraform_data.rules]
}

run "peak_without_deletion_protection_is_refused" {
  command = plan

  variables {
    environment         = "peak"
    name                = "xops-peak"
    deletion_protection = false
  }

  expect_failures = [terraform_data.rules]
}

run "one_replica_in_production_is_refused" {
  command = plan

  variables {
    services = {
      open_webui = var.services.open_webui
      crew       = merge(var.services.crew, { replicas = { min = 1, max = 8 } })
    }
  }

  expect_failures = [terraform_data.rules]
}

run "spot_alone_in_production_is_refused" {
  command = plan

  variables {
    services = {
      open_webui = var.services.open_webui
      crew       = merge(var.services.crew, { capacity = { on_demand_base = 0, on_demand_weight = 0, spot_weight = 1 } })
    }
  }

  expect_failures = [terraform_data.rules]
}

run "production_that_sleeps_at_night_is_refused" {
  command = plan

  variables {
    services = {
      open_webui = var.services.open_webui
      crew = merge(var.services.crew, {
        business_hours = { timezone = "Australia/Sydney", min = 2, max = 8, off_hours_min = 0, off_hours_max = 2 }
      })
    }
  }

  expect_failures = [terraform_data.rules]
}

run "spot_alone_in_test_is_accepted" {
  command = plan

  variables {
    environment         = "test"
    name                = "xops-test"
    deletion_protection = false
    network             = { cidr = "10.20.0.0/16", zones = 2, egress = "public_ip" }
    services = {
      open_webui = merge(var.services.open_webui, { replicas = { min = 0, max = 2 }, capacity = { on_demand_base = 0, on_demand_weight = 0, spot_weight = 1 } })
      crew       = merge(var.services.crew, { replicas = { min = 0, max = 2 }, capacity = { on_demand_base = 0, on_demand_weight = 0, spot_weight = 1 } })
    }
  }
}

run "public_addresses_in_production_are_warned_of" {
  command = plan

  variables {
    network = { cidr = "10.40.0.0/16", zones = 3, egress = "public_ip" }
  }

  expect_failures = [check.private_tasks]
}

run "replicas_on_one_sqlite_file_are_warned_of" {
  command = plan

  variables {
    services = {
      open_webui = merge(var.services.open_webui, { secrets = {} })
      crew       = var.services.crew
    }
  }

  expect_failures = [check.shared_state_of_open_webui]
}

run "a_foreign_registry_behind_endpoints_is_refused" {
  command = plan

  variables {
    network = { cidr = "10.40.0.0/16", zones = 3, egress = "endpoints" }
  }

  expect_failures = [terraform_data.rules]
}

run "a_practice_environment_in_a_real_account_is_refused" {
  command = plan

  variables {
    target = "embedded"
  }

  expect_failures = [terraform_data.rules]
}

run "an_unpinned_image_is_refused" {
  command = plan

  variables {
    services = {
      open_webui = var.services.open_webui
      crew       = merge(var.services.crew, { image = "ghcr.io/xops/crew:latest" })
    }
  }

  expect_failures = [var.services]
}

run "a_variable_given_twice_is_refused" {
  command = plan

  variables {
    services = {
      open_webui = var.services.open_webui
      crew       = merge(var.services.crew, { environment = { API_KEY = "plain" } })
    }
  }

  expect_failures = [var.services]
}

run "a_name_that_cannot_be_part_of_others_is_refused" {
  command = plan

  variables {
    environment = "Staging 2"
  }

  expect_failures = [var.environment]
}

run "too_long_a_name_is_refused" {
  command = plan

  variables {
    name = "xops-production-of-everything"
  }

  expect_failures = [var.name]
}
