"""Commands that start servers at the same time: of one installation, and of two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prefect_servers import free_ports, home
from xops.local.down import stop_servers
from xops.local.stack import stack

START = """
from xops.local.services import starting_alone
from xops.local.stack import stack
from xops.local.up import start_servers
found = stack()
with starting_alone(found.home, print):
    start_servers(found, print)
"""


def start(folder: Path, ports: dict[str, str]) -> subprocess.Popen[str]:
    """What `xops up` does first."""
    with home(folder, **ports):
        return subprocess.Popen(
            [sys.executable, "-c", START],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def end(folder: Path) -> list[str]:
    with home(folder):
        return stop_servers(stack())


@pytest.mark.timeout(400)  # two Prefect servers come up at once
def test_each_installation_gets_one_of_each_server(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    ports, others = free_ports(), free_ports()
    try:
        commands = [start(one, ports), start(one, ports), start(other, others)]
        outputs = [command.communicate(timeout=350)[0] for command in commands]
        assert [command.returncode for command in commands] == [0, 0, 0], outputs
    finally:
        stopped = [end(one), end(other)]
    assert stopped == 2 * [["prefect", "receiver", "postgresql", "aws"]]
    for name in ("aws", "postgresql", "prefect"):
        assert sorted(said(output, name) for output in outputs[:2]) == ["found", "starting"]
        assert said(outputs[2], name) == "starting"
    waited = [output for output in outputs if "which is starting this installation" in output]
    assert len(waited) == 1
    assert waited[0] in outputs[:2]


def said(output: str, name: str) -> str:
    """Whether the server was started or found."""
    return next(line.split()[0] for line in output.splitlines() if line.split()[1:2] == [name])
