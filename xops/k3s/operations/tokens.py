"""The cluster's tokens: made once, kept on this machine in files of their owner alone.

Nothing else remembers them but the servers themselves, so they are written to the disk before a
cluster is founded with them.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files.private_file import write_private

_BYTES = 32
SERVER = "server-token"
AGENT = "agent-token"


@dataclass(frozen=True, repr=False)
class Tokens:
    """What lets servers and agents in. Two, so that an agent's host cannot become a server."""

    server: str
    agent: str

    def of_server(self, cluster_id: str | None) -> str:
        """As a joining server needs it: with the CA's hash, which is checked, once it is known."""
        return f"K10{cluster_id}::server:{self.server}" if cluster_id else self.server

    def server_hashes(self, cluster_id: str | None) -> set[str]:
        """SHA-256 of the contents that a server's token file may have."""
        forms = {self.server, self.of_server(cluster_id)}
        return {_hash(form) for form in forms}

    def agent_hashes(self) -> set[str]:
        """SHA-256 of the contents that a server's file with the agents' token may have."""
        return {_hash(self.agent)}


def _hash(token: str) -> str:
    return hashlib.sha256(f"{token}\n".encode()).hexdigest()


def secret_of(token: str) -> str:
    """The secret part of a token in either form, `K10<hash>::server:<secret>` or plain."""
    text = token.strip()
    is_full = text.startswith("K10") and "::" in text
    return text.split("::", 1)[1].split(":", 1)[-1] if is_full else text


def load(folder: Path) -> Tokens | None:
    """The tokens kept in a folder, None if there are none yet.

    Raises:
        PermanentError: only one of them is there, or others may read them.
    """
    files = [folder / SERVER, folder / AGENT]
    present = [file for file in files if file.exists()]
    if not present:
        return None
    for file in files:
        _refuse_unusable(file)
    return Tokens(*(secret_of(file.read_text(encoding="utf-8")) for file in files))


def _refuse_unusable(file: Path) -> None:
    attempted = f"reading the token in {file}"
    if not file.exists():
        remedy = (
            "Put it back from your backup: a server has both in server/token, server/agent-token."
        )
        raise PermanentError(attempted, "it is missing, the other one is there", remedy)
    if file.stat().st_mode & 0o077:
        raise PermanentError(attempted, "others may read it", f"chmod 600 {file}")
    if not file.read_text(encoding="utf-8").strip():
        raise PermanentError(attempted, "it is empty", "Put it back from your backup.")


def create() -> Tokens:
    """New ones, of 256 bits each."""
    return Tokens(secrets.token_hex(_BYTES), secrets.token_hex(_BYTES))


def keep(folder: Path, tokens: Tokens) -> None:
    """Write them down, so that they survive a crash right after."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, value in ((AGENT, tokens.agent), (SERVER, tokens.server)):
        write_private(folder / name, f"{value}\n")
