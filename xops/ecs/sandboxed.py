"""Runs bubblewrap and hands on SIGINT to what runs in it: `python sandboxed.py BWRAP ARGUMENT...`.

Bubblewrap waits outside of the sandbox's process numbers and forwards no signal: one SIGINT would
end it, and leave Terraform to itself with the lock of the state. This program leads the session
in its place, as every tool does that is started here, and ends as the sandbox ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress


def main(arguments: list[str]) -> int:
    """Start bubblewrap, which tells which process it has made, and wait for its end."""
    held = {signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)  # until it is known whom it is meant for
    read, write = os.pipe()
    os.set_inheritable(write, True)
    program, *rest = arguments
    argv = [program, "--info-fd", str(write), *rest]
    outside = os.posix_spawnp(program, argv, os.environ, setsigmask=())
    os.close(write)
    with open(read, "rb") as report:
        told = report.read()
    if told:
        inside = int(json.loads(told)["child-pid"])
        signal.signal(signal.SIGINT, lambda number, _frame: _hand_on(inside, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    return os.waitstatus_to_exitcode(os.waitpid(outside, 0)[1])


def _hand_on(process: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, number)


if __name__ == "__main__":
    sys.exit(abs(main(sys.argv[1:])))
