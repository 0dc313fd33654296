"""Whether the command still runs that a record names: whatever is done to the clock."""

import json
import os
import socket
import subprocess
import sys

import psutil

from tests.processes import running
from tests.waiting import look_until_found
from xops.core.lifecycle.runs import command_run, how_command_ended

NAMED = """
import json
from xops.core.lifecycle.runs import command_run
print(json.dumps(command_run()), flush=True)
input()
"""


def test_this_command_runs_though_the_clock_was_set() -> None:
    run = json.loads(json.dumps(command_run()))
    assert how_command_ended(run) is None
    assert how_command_ended({**run, "started": run["started"] - 7200}) is None


def test_a_command_that_has_ended_is_gone_though_its_id_is_used_again() -> None:
    with running(
        [sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as it:
        assert it.stdout is not None
        run = json.loads(it.stdout.readline())
        assert how_command_ended(run) is None
        it.kill()
        # Nobody has waited for it yet: it is a zombie.
        assert look_until_found(lambda: how_command_ended(run)) == "its process is gone"
        it.communicate()
    assert how_command_ended({**run, "pid": os.getpid()}) == "its process is gone"
    assert how_command_ended({**run, "boot": "another", "pid": os.getpid()}) is not None


def test_a_record_of_the_release_before_is_understood() -> None:
    me = psutil.Process()
    run = {"by": "command", "host": socket.gethostname(), "pid": me.pid}
    assert how_command_ended({**run, "started": me.create_time() + 2}) is None
    assert how_command_ended({**run, "started": me.create_time() - 7200}) is not None
