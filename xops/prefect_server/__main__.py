"""`python -m xops.prefect_server`: the Prefect server in the foreground, behind its door.

Where it listens and all else is set by Prefect's own variables (PREFECT_SERVER_API_HOST, ..._PORT);
`PREFECT__SERVER_WEBSERVER_ONLY=1` leaves its services to `prefect server services start`.
"""

import os
import socket
import sys
from contextlib import suppress

import uvicorn
from prefect.settings import get_current_settings

from xops.core.errors import ExitCode, PermanentError
from xops.core.rendering import Plain
from xops.prefect_server.app import create_app
from xops.prefect_server.profile import LISTENER_VARIABLE


def main() -> int:
    """Serve until a signal; what is wrong with the settings is one message."""
    api = get_current_settings().server.api
    try:
        app = create_app(os.environ)
    except PermanentError as error:
        sys.stderr.write(f"{Plain.lines(str(error))}\n")
        return error.exit_code
    config = uvicorn.Config(
        app,
        host=api.host,
        port=api.port,
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
        log_level=get_current_settings().server.logging_level.lower(),
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # uvicorn has ended all it had to when it raises this
        server.run(sockets=_given_sockets())
    return ExitCode.DONE if server.started else ExitCode.FAILED


def _given_sockets() -> list[socket.socket] | None:
    """The socket that whoever started us has taken the port with, so that nobody was faster."""
    given = os.environ.pop(LISTENER_VARIABLE, None)
    if given is None:
        return None
    listener = socket.socket(fileno=int(given))
    listener.set_inheritable(False)
    return [listener]


if __name__ == "__main__":
    sys.exit(main())
