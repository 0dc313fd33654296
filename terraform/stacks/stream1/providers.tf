locals {
  # An emulator answers on one endpoint (AWS_ENDPOINT_URL), without virtual-host names, instance metadata or real
  # credentials.
  emulated = var.target != "aws"

  # environment is what the budget filters by. A module adds its own service tag.
  default_tags = merge(var.tags, { environment = var.environment, stack = var.name })
}

provider "aws" {
  region                      = var.region
  skip_credentials_validation = local.emulated
  skip_metadata_api_check     = local.emulated
  s3_use_path_style           = local.emulated

  default_tags {
    tags = local.default_tags
  }
}

provider "aws" {
  alias                       = "us_east_1"
  region                      = "us-east-1"
  skip_credentials_validation = local.emulated
  skip_metadata_api_check     = local.emulated
  s3_use_path_style           = local.emulated

  default_tags {
    tags = local.default_tags
  }
}
