"""Install every extension, once, before moto answers its first request."""

from xops.local.aws import application_autoscaling, budgets, efs


def install() -> None:
    """Put all extensions in place. Doing it again changes nothing."""
    efs.install()
    application_autoscaling.install()
    budgets.install()
