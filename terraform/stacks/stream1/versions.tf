terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, key and region come by -backend-config. The lock is an object beside the state, written on the condition
  # that it is not there yet; no table is needed.
  backend "s3" {
    use_lockfile = true
    encrypt      = true
  }
}
