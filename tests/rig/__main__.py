"""A rig to work on by hand: `python -m tests.rig [servers] [agents] [--internal]`."""

import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tests.rig.access import new_key
from tests.rig.engine import running_engine, why_not
from tests.rig.hosts import Rig
from tests.rig.image import host_image


def main() -> None:
    """Boot hosts, say how to reach them, and remove them at Ctrl-C."""
    if reason := why_not():
        sys.exit(reason)
    internal = "--internal" in sys.argv
    servers, agents = [*map(int, (n for n in sys.argv[1:] if n.isdigit())), 3, 1][:2]
    with (
        tempfile.TemporaryDirectory() as folder,
        running_engine() as engine,
        Rig(engine, host_image(engine), new_key("xops-rig"), internal=internal) as rig,
    ):
        names = [f"server-{n + 1}" for n in range(servers)]
        rig.add(*names, *(f"agent-{n + 1}" for n in range(agents)))
        access = rig.give_access(Path(folder))
        for host in rig.hosts:
            sys.stdout.write(f"{host.name}: {shlex.join(access.command(host))}\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.stdout.write("removing them\n")


if __name__ == "__main__":
    main()
