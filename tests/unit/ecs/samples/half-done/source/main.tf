variable "image" {
  type = string
}
variable "password" {
  type      = string
  sensitive = true
}
variable "login" {
  type      = map(string)
  sensitive = true
}
variable "fail" {
  type    = string
  default = "no"
}

locals {
  label = "label of ${terraform_data.base.id}"
}

resource "terraform_data" "base" {
  input = { image = var.image, size = 1 }
}

module "net" {
  source = "./net"
  names  = ["a", "b.c", "d]"]
}

module "svc" {
  source   = "./svc"
  network  = module.net.id
  subnets  = module.net.subnets
  image    = var.image
  password = var.password
}

resource "terraform_data" "template" {
  input = {
    text  = "arn:${terraform_data.base.id}:role"
    label = local.label
    image = var.image
  }
}

resource "terraform_data" "secret" {
  input = { password = var.password, user = "admin" }
}

resource "terraform_data" "map" {
  input = var.login
}

resource "terraform_data" "reader" {
  input = { url = "postgres://app@${terraform_data.secret.id}", given = terraform_data.secret.output }
}

resource "terraform_data" "first" {
  triggers_replace = [var.image]
  input            = "kept"
  lifecycle {
    create_before_destroy = true
  }
}

resource "terraform_data" "after" {
  triggers_replace = [terraform_data.first.id]
  provisioner "local-exec" {
    command = "test ! -e refuse"
  }
}

output "network" {
  value = module.net.id
}

output "both" {
  value = { service = module.svc.id, template = terraform_data.template.output }
}
