terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
      # CloudFront reads its certificate and its web ACL from us-east-1 only, whatever region the stack is in.
      configuration_aliases = [aws.us_east_1]
    }
  }
}
