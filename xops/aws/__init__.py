"""How AWS is reached, for boto3 and Terraform alike, and what its errors mean."""
