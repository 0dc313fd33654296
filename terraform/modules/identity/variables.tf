variable "name" {
  description = "Prefix of every name, such as xops-prod; at most 20 characters, as a permission set's name may have 32."
  type        = string
}

variable "account" {
  description = "Where the stack lives: account id, partition and region."
  type        = object({ id = string, partition = string, region = string })
}

variable "services" {
  description = "What each service's tasks need: image, the ARNs of its secrets, and, if it mounts, its EFS access point."
  type = map(object({
    image            = string
    secret_arns      = list(string)
    mounts           = bool
    access_point_arn = optional(string)
  }))
}

variable "file_system_arn" {
  description = "EFS file system that the access points belong to."
  type        = string
}

variable "kms_key_arn" {
  description = "Key of the stack's data."
  type        = string
}

variable "bucket_arns" {
  description = "Bucket ARNs: evidence and reports."
  type        = object({ evidence = string, reports = string })
}

variable "identity_center" {
  description = "Permission sets and assignments: enabled, and the group name of each role."
  type = object({
    enabled = bool
    groups  = object({ operator = string, finops = string, administrator = string })
  })

  validation {
    condition     = !var.identity_center.enabled || alltrue([for group in values(var.identity_center.groups) : trimspace(group) != ""])
    error_message = "identity_center is enabled but one of its groups is empty: ${jsonencode(var.identity_center.groups)}. Name a group for operator, finops and administrator."
  }

  validation {
    condition     = !var.identity_center.enabled || length(distinct(values(var.identity_center.groups))) == 3
    error_message = "identity_center.groups names one group twice: ${jsonencode(var.identity_center.groups)}. Operating, reading costs and administering are three duties; give each a group of its own."
  }
}

variable "create_groups" {
  description = "Create the groups rather than look them up; for emulators, whose identity store starts empty."
  type        = bool
  default     = false
}

variable "github" {
  description = "Repository and branches allowed to plan, the GitHub environment allowed to apply; null: no CI roles."
  type = object({
    repository         = string
    plan_branches      = list(string)
    apply_environment  = string
    create_provider    = optional(bool, true)
    state_bucket       = optional(string)
    state_kms_key_arns = optional(list(string), [])
  })
  default  = null
  nullable = true

  validation {
    condition     = var.github == null || can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.github.repository))
    error_message = "github.repository is \"${try(var.github.repository, "")}\"; write owner/name. A wildcard here would let foreign repositories assume the role."
  }

  validation {
    condition     = var.github == null || (try(length(var.github.plan_branches), 0) > 0 && !strcontains(join("", try(var.github.plan_branches, [])), "*"))
    error_message = "github.plan_branches is ${jsonencode(try(var.github.plan_branches, []))}; list branch names in full. With a wildcard anyone who may push a branch could plan against the account."
  }

  validation {
    condition     = var.github == null || can(regex("^[A-Za-z0-9._-]+$", var.github.apply_environment))
    error_message = "github.apply_environment is \"${try(var.github.apply_environment, "")}\"; name one GitHub environment, whose required reviewers then stand before every apply."
  }
}
