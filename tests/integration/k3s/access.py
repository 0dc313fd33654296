"""What the tests of SSH do with a server: name it, pin it, connect to it, be refused by it."""

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.k3s.sshd import Sshd
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.connector import SshConnector, SshTransport


def host(server: Sshd, name: str = "web1", **values: Any) -> Host:
    reached = {"address": "127.0.0.1", "port": server.port, "user": "root", **values}
    return Host(name=name, role="server", **reached)


def settings(folder: Path, *pinned: Sshd, **values: Any) -> Ssh:
    """The `ssh` section of a cluster file that pins the keys of these servers."""
    known_hosts = folder / "known_hosts"
    if pinned:
        known_hosts.write_text("".join(server.pins for server in pinned))
        values.setdefault("identity_file", pinned[0].key)
    return Ssh(**{"known_hosts": known_hosts, "config": Path(os.devnull), **values})


@asynccontextmanager
async def connected(connector: SshConnector, to: Host) -> AsyncIterator[SshTransport]:
    transport = await connector.connect(to)
    try:
        yield transport
    finally:
        await transport.close()


def refused(error: type[Exception], connector: SshConnector, to: Host) -> str:
    """What the connector says to a connection that must not come about."""

    async def attempt() -> None:
        async with connected(connector, to):
            pytest.fail("it was let in")

    with pytest.raises(error) as caught:
        asyncio.run(attempt())
    return str(caught.value)


def gone(script: str) -> bool:
    """Whether no process has this text in its command line."""
    return not [
        name
        for name in os.listdir("/proc")
        if name.isdecimal() and script.encode() in _command_line(name)
    ]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def shell(line: str) -> str:
    """Do what a person would type."""
    done = subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True, text=True)
    return done.stdout


async def whoami(connector: SshConnector, to: Host) -> str:
    async with connected(connector, to) as transport:
        return (await transport.run("id -un", deadline=20)).stdout.strip()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
