"""One module a lifecycle step: parameters, order of steps, gate, artifacts. No logic."""

import logging
import os

from xops.core.rendering import render_logs

# PREFECT_LOGGING_EXTRA_LOGGERS gives our loggers Prefect's handlers but leaves them on the root
# logger's level, which drops all that a run says of itself.
logging.getLogger("xops").setLevel(logging.INFO)
render_logs()
# In a run's own process, whatever its worker's umask: Terraform's state is for its owner alone.
if "PREFECT__FLOW_RUN_ID" in os.environ:
    os.umask(0o077)
