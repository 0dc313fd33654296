terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, key and region come by -backend-config, and the key is not Stream 1's: neither stream's state may be needed for
  # the other. The lock is an object beside the state.
  backend "s3" {
    use_lockfile = true
    encrypt      = true
  }
}
