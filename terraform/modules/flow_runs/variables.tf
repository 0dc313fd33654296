variable "name" {
  description = "Prefix of every name, such as xops-prod."
  type        = string
}

variable "account" {
  description = "Where the stack lives: account id, partition and region."
  type        = object({ id = string, partition = string, region = string })
}

variable "cluster" {
  description = "Name of the ECS cluster that runs flow runs. It exists, in this account and region."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.cluster))
    error_message = "flow_runs.cluster is \"${var.cluster}\"; give the cluster's name: letters, digits, hyphens and underscores, such as xops-runs."
  }
}

variable "log_group" {
  description = "CloudWatch log group to which flow runs write, in this account and region."
  type        = string

  validation {
    # What CloudWatch Logs takes; * would be a pattern in the worker's rights.
    condition     = can(regex("^[A-Za-z0-9._/#-]{1,512}$", var.log_group))
    error_message = "flow_runs.log_group is \"${var.log_group}\"; give a log group's name, such as /xops/runs."
  }
}
