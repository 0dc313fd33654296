variable "name" {
  description = "Prefix of every name, such as xops-prod."
  type        = string
}

variable "environment" {
  description = "Golden-path stage; the budget counts what carries this value in the environment tag."
  type        = string
}

variable "account" {
  description = "Where the stack lives: account id, partition and region."
  type        = object({ id = string, partition = string, region = string })
}

variable "network" {
  description = "VPC and, by availability zone, the subnets that get an EFS mount target."
  type        = object({ vpc_id = string, subnet_ids = map(string) })
}

variable "access_points" {
  description = "EFS access points by service: directory and the POSIX user every client is mapped to."
  type        = map(object({ path = string, uid = number, gid = number }))

  validation {
    condition     = alltrue([for point in values(var.access_points) : startswith(point.path, "/") && point.path != "/"])
    error_message = "Every access point needs a directory of its own below /; one that is / would show each service the other's files."
  }

  validation {
    condition     = alltrue([for point in values(var.access_points) : point.uid != 0])
    error_message = "An access point maps its clients to uid 0; root on the file system reads every service's files. Use an unprivileged uid such as 1000."
  }
}

variable "secret_names" {
  description = "Secrets to create, without a value: an operator puts the value, so that none is in Terraform's state."
  type        = set(string)

  validation {
    condition     = alltrue([for name in var.secret_names : can(regex("^[A-Za-z0-9/_+=.@-]{1,128}$", name))])
    error_message = "One of the secret names ${jsonencode(var.secret_names)} is not usable; Secrets Manager takes letters, digits and /_+=.@- only."
  }
}

variable "budget" {
  description = "Monthly budget: amount (decimal, \"0\" means nothing may be spent), currency, notify (e-mail addresses)."
  type        = object({ amount = string, currency = string, notify = list(string) })

  validation {
    condition     = can(regex("^[0-9]+(\\.[0-9]{1,2})?$", var.budget.amount))
    error_message = "budget.amount is \"${var.budget.amount}\"; give a decimal number of ${var.budget.currency} a month, such as \"180\" or \"0\"."
  }

  validation {
    # AWS Budgets counts in the currency of the bill.
    condition     = var.budget.currency == "USD"
    error_message = "budget.currency is \"${var.budget.currency}\"; AWS Budgets compares with the bill, which is in USD. Convert the amount and set USD."
  }

  validation {
    condition     = try(tonumber(var.budget.amount) == 0, true) || length(var.budget.notify) > 0
    error_message = "budget.amount is ${var.budget.amount} but budget.notify is empty: nobody would hear of an overrun. Add an e-mail address."
  }

  validation {
    condition     = length(var.budget.notify) <= 10
    error_message = "budget.notify has ${length(var.budget.notify)} addresses; AWS Budgets takes 10 a notification. Use a mailing list."
  }
}

variable "backup" {
  description = "AWS Backup: schedule (cron(...) in UTC) and retention_days."
  type        = object({ schedule = string, retention_days = number })

  validation {
    condition     = can(regex("^cron\\(([^ ]+ ){5}[^ ]+\\)$", var.backup.schedule))
    error_message = "backup.schedule is \"${var.backup.schedule}\"; AWS Backup wants six fields, such as cron(0 17 * * ? *)."
  }

  validation {
    condition     = var.backup.retention_days >= 1 && floor(var.backup.retention_days) == var.backup.retention_days
    error_message = "backup.retention_days is ${var.backup.retention_days}; keep recovery points for 1 day or more, in whole days."
  }
}

variable "backup_role_arn" {
  description = "Role AWS Backup assumes."
  type        = string
}

variable "log_retention_days" {
  description = "Days after which access logs expire."
  type        = number
}

variable "deletion_protection" {
  description = "Keep what holds data: buckets and vault refuse to go while they have content, secrets and keys wait 30 days."
  type        = bool
}
