locals {
  # An emulator answers on one endpoint (AWS_ENDPOINT_URL), without virtual-host names, instance metadata or real
  # credentials.
  emulated = var.target != "aws"

  # Cost reports group by these; a resource adds its own service tag.
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
