"""The way in to test hosts: keys, known_hosts, and the OpenSSH client."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.rig.engine import run
from tests.rig.image import ADMIN


class Reachable(Protocol):
    """What it takes to reach a host."""

    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class SshKey:
    """A key pair: the private half as text for a file, the public half as one line."""

    private: str = field(repr=False)
    public: str


def new_key(comment: str) -> SshKey:
    """A new Ed25519 key pair without a passphrase."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
        return SshKey(path.read_text(), path.with_suffix(".pub").read_text().strip())


@dataclass(frozen=True)
class Access:
    """How a person reaches the hosts of a rig.

    Attributes:
        key_file: the private key of `admin` and `asker`, mode 0600.
        known_hosts: the hosts' keys, under their addresses and names.
    """

    key_file: Path
    known_hosts: Path

    def command(self, host: Reachable, user: str = ADMIN) -> list[str]:
        """The OpenSSH client and its arguments up to the host; no settings of the person's own."""
        options = [
            "IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=5", "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.known_hosts}",
        ]  # fmt: skip
        flags = [part for option in options for part in ("-o", option)]
        at = ["-p", str(host.port), "-i", str(self.key_file), f"{user}@{host.address}"]
        return ["ssh", "-F", "none", *flags, *at]

    def ssh(
        self, host: Reachable, *argv: str, user: str = ADMIN, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there with the OpenSSH client; its exit code is in the answer."""
        command = [*self.command(host, user), shlex.join(argv)]
        return run(command, given=given, check=False, deadline=60)
