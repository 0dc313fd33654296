"""The least that Prefect can be asked to run: the baseline of a run's first word."""

from prefect import flow, get_run_logger


@flow
def hello() -> None:
    """Say one line."""
    get_run_logger().info("hello")
