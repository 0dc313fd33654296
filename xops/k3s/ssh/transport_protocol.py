"""How a host is reached: the one Protocol behind which SSH stands, its values and its errors.

Scripts are POSIX sh, run as root and carry no secret (a script can be read in the process list of
the host); what is secret goes in by stdin or as an uploaded file of mode 0600.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from xops.core.errors import PermanentError, TemporaryError
from xops.k3s.cluster_file.cluster import Host

LineHandler = Callable[[str], None]
BytesHandler = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


_LONGEST_SAID = 1000
"""Characters of a host's that a message shows in one place."""


class CommandTimeoutError(TemporaryError):
    """A script did not end within its deadline."""


class HostKeyError(PermanentError):
    """The host's key is not the pinned one, or none is pinned.

    Attributes:
        shown: the key that it has shown, as a line of a file of pinned keys; None if it was refused
            outright (revoked).
    """

    shown: str | None = None


class AuthenticationError(PermanentError):
    """The host accepts none of the keys that were offered."""


class SudoError(PermanentError):
    """The login may not become root without a password."""


class LockedError(TemporaryError):
    """Somebody else is changing this host."""

    is_refusal: ClassVar[bool] = True


@dataclass(frozen=True)
class Ran:
    """How a script ended. `stdout` and `stderr` are decoded, undecodable bytes replaced.

    Attributes:
        left_out: bytes of stdout that were left out of its middle.
    """

    exit_code: int
    stdout: str
    stderr: str
    duration_seconds: float
    left_out: int = 0

    def whole_stdout(self) -> str:
        """Its output, for whom a part of it is no answer.

        Raises:
            PermanentError: some was left out.
        """
        if self.left_out:
            raise PermanentError(
                "reading what a host has answered",
                f"it is too long: {self.left_out} bytes of it were left out",
                "See on the host what prints so much; an answer has some 100 kB.",
            )
        return self.stdout

    def last_words(self) -> str:
        """The end of what it has said, for a message."""
        said = (self.stderr.strip() or self.stdout.strip() or "nothing").splitlines()[-3:]
        return " / ".join(shorten(line) for line in said)


def shorten(text: str) -> str:
    """Text of a host for a message: its beginning and its end."""
    half = _LONGEST_SAID // 2
    return text if len(text) <= 2 * half else f"{text[:half]} ... {text[-half:]}"


@dataclass(frozen=True)
class Upload:
    """A file as it shall be on the host: content, absolute path, mode and owner."""

    source: Path | bytes
    path: str
    mode: int
    owner: str = "root:root"


class Transport(Protocol):
    """One host, connected. All calls of one host share one connection."""

    @property
    def host(self) -> str:
        """The host's name in the cluster file."""
        ...

    @property
    def ssh_requests(self) -> int:
        """How many requests were made of the host so far."""
        ...

    async def run(
        self,
        script: str,
        *,
        stdin: bytes = b"",
        deadline: float,
        on_line: LineHandler | None = None,
    ) -> Ran:
        """Run a script as root. An exit code other than 0 is an answer, not an error.

        Raises:
            UnreachableError, CommandTimeoutError, SudoError: there is no answer.
        """
        ...

    async def put(self, upload: Upload, on_progress: BytesHandler | None = None) -> bool:
        """Bring a file to the host; False if it was right already and nothing was written.

        An interrupted upload goes on where it stopped; readers see the old file or the new one.
        """
        ...

    def lock(self, path: str, holder: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock on the host for as long as the block runs and this process lives.

        Raises:
            LockedError: it is held; says by whom and since when.
        """
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


class Connector(Protocol):
    """Connects to hosts of a cluster file."""

    async def connect(self, host: Host) -> Transport:
        """One host, connected and let in.

        Raises:
            UnreachableError, HostKeyError, AuthenticationError: with a remedy.
        """
        ...
