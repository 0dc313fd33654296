variable "names" { type = list(string) }
resource "terraform_data" "vpc" {
  input = { cidr = "10.0.0.0/16" }
}
resource "terraform_data" "subnet" {
  for_each = toset(var.names)
  input    = { vpc = terraform_data.vpc.id, name = each.key }
}
output "id" { value = terraform_data.vpc.id }
output "subnets" { value = [for s in terraform_data.subnet : s.id] }
