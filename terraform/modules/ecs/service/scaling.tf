# Who owns the bounds differs, and Terraform has no conditional ignore_changes, hence two resources.
#
# Without business hours Terraform owns them: a changed replica count in the environment file is one update here. With
# business hours the scheduled actions rewrite them twice a day, so a plan outside the hours would show a difference
# that is none; there Terraform owns the two actions, and a changed count takes effect with the next one.
locals {
  resource_id = "service/${var.cluster.name}/${aws_ecs_service.this.name}"
  hours       = { for hours in var.settings.business_hours[*] : "business_hours" => hours }

  scalable_target = one(concat(aws_appautoscaling_target.fixed, aws_appautoscaling_target.scheduled))

  actions = merge([
    for hours in local.hours : {
      business-hours = { at = hours.start, min = hours.min, max = hours.max }
      off-hours      = { at = hours.end, min = hours.off_hours_min, max = hours.off_hours_max }
    }
  ]...)
}

resource "aws_appautoscaling_target" "fixed" {
  count = var.settings.business_hours == null ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = local.resource_id
  min_capacity       = var.settings.replicas.min
  max_capacity       = var.settings.replicas.max
  tags               = local.tags
}

resource "aws_appautoscaling_target" "scheduled" {
  count = var.settings.business_hours == null ? 0 : 1

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = local.resource_id
  min_capacity       = var.settings.replicas.min
  max_capacity       = var.settings.replicas.max
  tags               = local.tags

  lifecycle {
    ignore_changes = [min_capacity, max_capacity]
  }
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-${var.service}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = local.scalable_target.service_namespace
  scalable_dimension = local.scalable_target.scalable_dimension
  resource_id        = local.scalable_target.resource_id

  target_tracking_scaling_policy_configuration {
    target_value = var.settings.cpu_target_percent
    # Out fast, in slowly: a start takes a minute, and a replica that leaves drops its users' streams.
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_scheduled_action" "hours" {
  for_each = local.actions

  name               = "${var.name}-${var.service}-${each.key}"
  service_namespace  = local.scalable_target.service_namespace
  scalable_dimension = local.scalable_target.scalable_dimension
  resource_id        = local.scalable_target.resource_id
  timezone           = var.settings.business_hours.timezone
  schedule = format(
    "cron(%d %d ? * %s *)",
    tonumber(split(":", each.value.at)[1]), tonumber(split(":", each.value.at)[0]), var.settings.business_hours.days,
  )

  scalable_target_action {
    min_capacity = each.value.min
    max_capacity = each.value.max
  }
}
