variable "network" { type = string }
variable "subnets" { type = list(string) }
variable "image" { type = string }
variable "password" {
  type      = string
  sensitive = true
}
resource "terraform_data" "task" {
  triggers_replace = [var.image]
  input            = { image = var.image, network = var.network, password = var.password }
}
resource "terraform_data" "service" {
  input = { task = terraform_data.task.id, subnets = var.subnets, network = var.network, count = 2 }
}
output "id" { value = terraform_data.service.id }
