"""What a Terraform plan costs a month: its bill, by a price book and stated assumptions."""
