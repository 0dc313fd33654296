"""`python -m xops.local.aws`: the embedded AWS in the foreground."""

import argparse
import errno
import logging
import os
import sys

from xops.aws.embedded_key import load_or_create_embedded_key
from xops.local.aws.ecs.task import Pace
from xops.local.aws.server.serve import listen, serve

PORT_TAKEN = 2


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; 0 after SIGTERM or SIGINT, 2 when the port is in use."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(message)s")
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.stderr.write(_port_taken(options.host, options.port))
        return PORT_TAKEN
    with listener:
        serve(listener, options.step_seconds, load_or_create_embedded_key(os.environ))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m xops.local.aws", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind")
    parser.add_argument("--port", type=int, default=4566, help="port to bind; 0 takes a free one")
    parser.add_argument(
        "--step-seconds",
        type=float,
        default=Pace.step,
        help="how long an ECS task stays in each passing state (default: %(default)s)",
    )
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING"])
    return parser


def _port_taken(host: str, port: int) -> str:
    return (
        f"error: port {port} on {host} is in use: stop the program that holds it "
        f"(`ss -ltnp 'sport = :{port}'` names it) or choose another with --port\n"
    )


if __name__ == "__main__":
    sys.exit(main())
