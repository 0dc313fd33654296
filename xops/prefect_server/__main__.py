"""`python -m xops.prefect_server`: the Prefect server in the foreground, behind its door.

Where it listens and all else is set by Prefect's own variables (PREFECT_SERVER_API_HOST, ..._PORT);
`PREFECT__SERVER_WEBSERVER_ONLY=1` leaves its services to `prefect server services start`.
"""

import os
import sys

import uvicorn
from prefect.settings import get_current_settings

from xops.core.errors import ExitCode, PermanentError
from xops.core.rendering import Plain
from xops.prefect_server.app import create_app


def main() -> int:
    """Serve until a signal; what is wrong with the settings is one message."""
    api = get_current_settings().server.api
    try:
        app = create_app(os.environ)
    except PermanentError as error:
        sys.stderr.write(f"{Plain.lines(str(error))}\n")
        return error.exit_code
    uvicorn.run(
        app,
        host=api.host,
        port=api.port,
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
        log_level=get_current_settings().server.logging_level.lower(),
    )
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
