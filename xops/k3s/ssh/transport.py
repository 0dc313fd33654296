"""What can be done on a host once it is connected to: scripts, files, a lock."""

from __future__ import annotations

import asyncio
import base64
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime

import asyncssh

from xops.core.errors import DiskFullError, PermanentError, UnreachableError
from xops.k3s.ssh import remote_programs
from xops.k3s.ssh.channel import Channel, Content, Output, TooMuchError, translate_ssh_errors
from xops.k3s.ssh.host_keys import HostKeyRecorder
from xops.k3s.ssh.route import Route
from xops.k3s.ssh.transport_protocol import (
    BytesHandler,
    CommandTimeoutError,
    LineHandler,
    LockedError,
    Ran,
    Upload,
    shorten,
)

_SESSIONS = 4  # at once on a connection; sshd's MaxSessions is 10, and less on hardened hosts
_WAITS = (0.05, 0.2, 0.8)  # sshd has room for a session a moment after another one is closed
_CLOSE_SECONDS = 5.0
_AGAIN = "See that the host is up and reachable, then run it again; what was done stays done."
_LOCKED_SECONDS = 30.0
"""After which a lock is asked for again: about as long as a host takes to restart K3S."""


async def close(connection: asyncssh.SSHClientConnection) -> None:
    """End a connection, waiting a few seconds for the other side's word."""
    connection.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()


class SshTransport:
    """One host, connected; see `xops.k3s.ssh.transport_protocol.Transport`.

    Args:
        route: the way that leads there.
        connection: to its last machine.
        recorder: the connection's, who knows how it ended.
        way: what must be left when the connection is no longer needed.
    """

    def __init__(
        self,
        route: Route,
        connection: asyncssh.SSHClientConnection,
        recorder: HostKeyRecorder,
        way: AsyncExitStack,
    ) -> None:
        self._route = route
        self._recorder = recorder
        self._connection = connection
        self._way = way
        self._sessions = asyncio.Semaphore(_SESSIONS)
        self._ssh_requests = 0
        self._lost_because: str | None = None

    @property
    def host(self) -> str:
        """The host's name in the cluster file."""
        return self._route.host

    @property
    def ssh_requests(self) -> int:
        """How many channels were opened so far."""
        return self._ssh_requests

    async def run(
        self,
        script: str,
        *,
        stdin: bytes = b"",
        deadline: float,
        on_line: LineHandler | None = None,
    ) -> Ran:
        """Run a script as root, in a session of its own that ends with the channel.

        Args:
            script: POSIX sh, at most some 100 kB, without secrets. What it leaves running must not
                keep its stdout or stderr: the channel waits for those.
            stdin: its standard input, at most some megabytes; a file is for `put`.
            deadline: seconds, from when the channel is asked for.
            on_line: gets the lines of stdout and stderr as they come.

        Returns:
            How it ended. Of output beyond 4 MiB a stream, the middle is left out; `left_out` says
            how much.

        Raises:
            UnreachableError: the connection was lost; whether the script has ended is unknown.
            CommandTimeoutError: the script was ended: SIGTERM, and SIGKILL after 5 s.
            SudoError, AuthenticationError: it was not started.
            PermanentError: it printed more than 16 MiB on a stream, and was ended.
        """
        attempted = f"running {remote_programs.title(script)!r} on {self.host}"
        seconds = str(math.ceil(deadline) + remote_programs.RUN_GRACE_SECONDS)
        out, err = Output(on_line), Output(on_line)
        async with self._sessions:
            started = time.monotonic()
            try:
                async with (
                    asyncio.timeout(deadline),
                    self._open_channel(attempted, remote_programs.RUN, seconds, script) as channel,
                ):
                    await channel.send(base64.b64encode(stdin) + b"\n")
                    await asyncio.gather(out.fill(channel.stdout()), err.fill(channel.stderr()))
                    code = await channel.wait_ended()
            except TimeoutError:
                raise _too_slow(attempted, deadline, err.last or out.last) from None
            except TooMuchError as error:
                raise PermanentError(
                    attempted, f"{error}, and was ended", "See on the host what prints so much."
                ) from None
        if not err.began:
            raise self._refusal(attempted, f"{err.before} {out.before}")
        took = time.monotonic() - started
        return Ran(code, out.text, err.text, took, out.left_out)

    async def put(self, upload: Upload, on_progress: BytesHandler | None = None) -> bool:
        """Bring a file to the host; False if content, mode and owner were right already.

        One channel, also when there is nothing to do. Missing folders are made, mode 0755. A link
        at the destination is replaced, not followed.

        Raises:
            DiskFullError: it does not fit; nothing of it is left on the host.
            UnreachableError: the connection was lost; what has arrived is used the next time.
            PermanentError: it cannot be read here, or not be written there.
        """
        if not upload.path.startswith("/") or upload.path.endswith("/"):
            raise ValueError(f"{upload.path!r} is no absolute path of a file")
        attempted = f"bringing {upload.path} to {self.host}"
        content = await Content.of(upload.source, attempted)
        async with self._sessions:
            # What an earlier upload has left may be spoilt by a crash of the host. It is found out
            # when all has arrived, and then all is sent.
            for _ in range(2):
                written = await self._put(upload, content, attempted, on_progress)
                if written is not None:
                    return written
        raise PermanentError(
            attempted,
            "what arrived is not what was read here before: its SHA-256 differs",
            "See that nothing is writing to it, here or there, then run it again.",
        )

    async def _put(
        self,
        upload: Upload,
        content: Content,
        attempted: str,
        on_progress: BytesHandler | None,
    ) -> bool | None:
        """As `put`; None if what arrived differs from what was to be sent."""
        arguments = (
            upload.path, str(content.size), content.sha256, f"{upload.mode:o}", upload.owner,
            remote_programs.partial(upload.path, content.sha256),
        )  # fmt: skip
        async with self._open_channel(attempted, remote_programs.PUT, *arguments) as channel:
            verb, detail = await channel.read_answer()
            if verb == "need":
                await content.pour(channel, _offset(detail, content, attempted), on_progress)
                verb, detail = await channel.read_answer()
            if verb not in _PUT_ENDS:
                raise await self._not_put(channel, upload.path, attempted, verb, detail)
        return _PUT_ENDS[verb]

    async def _not_put(
        self, channel: Channel, path: str, attempted: str, verb: str, detail: str
    ) -> PermanentError:
        if verb == "failed":
            return _failed(attempted, detail)
        if verb == "full":
            left = f"{int(detail) / 2**20:.0f}" if _BYTES.fullmatch(detail) else "unknown"
            return DiskFullError(
                attempted,
                f"{self.host} has {left} MiB left where {path} is to be",
                f"Free space on {self.host} (df -h {path.rpartition('/')[0] or '/'}), then run it"
                " again. Nothing of the file was left there.",
            )
        return await self._explain_end(channel, attempted)

    @asynccontextmanager
    async def lock(self, path: str, holder: str) -> AsyncIterator[None]:
        """Hold a lock on the host for as long as the block runs and this process lives.

        The kernel of the host frees it when the channel ends; if this machine falls silent, the
        host does within 90 s. When it is lost while the block runs, the connection is ended, so
        that nothing more is done without it.

        Args:
            path: the file to lock; made, with its folder, if missing. Never a file with content.
            holder: told to whoever finds it locked.

        Raises:
            LockedError: it is held; says by whom and since when.
            PermanentError: the answer is none of a lock.
            UnreachableError: there is no answer, or the lock was lost in the meantime.
        """
        attempted = f"locking {self.host}"
        arguments = (path, " ".join(holder.split()), str(remote_programs.LOCK_GRACE_SECONDS))
        async with (
            self._sessions,
            self._open_channel(attempted, remote_programs.LOCK, *arguments) as channel,
        ):
            verb, _ = await channel.read_answer()
            if verb == "taken":
                raise _locked(attempted, await channel.read_line(), await channel.read_line())
            if verb != "held":
                raise await self._explain_end(channel, attempted)
            keeper = asyncio.create_task(self._keep(channel, path))
            try:
                yield
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
                await channel.leave()
        if self._lost_because:
            raise self._unreachable(attempted, None)

    async def close(self) -> None:
        """End the connection. Scripts that still run are ended."""
        await close(self._connection)
        await self._way.aclose()

    async def _keep(self, channel: Channel, path: str) -> None:
        """Say that we live until the lock is lost; then end the connection."""
        with suppress(UnreachableError, CommandTimeoutError):
            while await channel.send(b"beat\n"):
                with suppress(TimeoutError):
                    async with asyncio.timeout(remote_programs.BEAT_SECONDS):
                        await channel.wait_ended()
                    break
        self._lost_because = f"the lock {path} was lost"
        self._connection.abort()

    @asynccontextmanager
    async def _open_channel(
        self, attempted: str, program: str, *arguments: str
    ) -> AsyncIterator[Channel]:
        """A channel on which a program runs as root; it is closed afterwards."""
        command = remote_programs.command(self._route.last.user, program, *arguments)

        def lost(error: Exception | None) -> UnreachableError:
            return self._unreachable(attempted, error)

        self._ssh_requests += 1
        with translate_ssh_errors(lost):
            process = await self._start(command)
        try:
            yield Channel(process, attempted, lost)
        finally:
            process.close()

    async def _start(self, command: str) -> asyncssh.SSHClientProcess[bytes]:
        waits = iter(_WAITS)
        while True:
            try:
                process: asyncssh.SSHClientProcess[bytes] = await self._connection.create_process(
                    command, encoding=None, request_pty=False
                )
                return process
            except asyncssh.ChannelOpenError:
                if self._connection.is_closed() or (wait := next(waits, None)) is None:
                    raise
            await asyncio.sleep(wait)

    def _unreachable(self, attempted: str, error: Exception | None) -> UnreachableError:
        if isinstance(error, asyncssh.ChannelOpenError) and not self._connection.is_closed():
            return UnreachableError(
                attempted,
                f"sshd opens no further session: {error}",
                f"Set MaxSessions to {_SESSIONS} or more in sshd_config on {self.host}.",
            )
        because = (
            self._lost_because or self._recorder.lost_because or shorten(str(error or "closed"))
        )
        return UnreachableError(attempted, f"the connection was lost: {because}", _AGAIN)

    def _refusal(self, attempted: str, said: str) -> PermanentError:
        return remote_programs.refusal(self._route.last.user, self.host, attempted, said)

    async def _explain_end(self, channel: Channel, attempted: str) -> PermanentError:
        """Why a program ended without its answer.

        Raises:
            UnreachableError: it is not known to have ended.
        """
        err, code = await channel.read_end()
        if not channel.began:
            return self._refusal(attempted, f"{err.before} {channel.before}")
        said = err.text.strip() or f"it ended with exit code {code}"
        return _failed(attempted, said)


_BYTES = re.compile("[0-9]{1,15}")


def _offset(detail: str, content: Content, attempted: str) -> int:
    """How much of a file the host says that it has."""
    if not _BYTES.fullmatch(detail) or int(detail) > content.size:
        raise _failed(attempted, f"the host says that it has {detail!r} bytes of {content.size}")
    return int(detail)


_PUT_ENDS = {"have": False, "done": True, "differs": None}


def _too_slow(attempted: str, deadline: float, last: str) -> CommandTimeoutError:
    said = f"; it said last: {shorten(last)}" if last else "; it has said nothing"
    return CommandTimeoutError(
        attempted, f"it did not end within {deadline:g} s and was ended{said}", _AGAIN
    )


def _locked(attempted: str, since: str, holder: str) -> PermanentError | LockedError:
    """Who holds it; a host that tells no moment is none that answers."""
    try:
        if since:
            datetime.strptime(since, remote_programs.LOCK_MOMENT)  # noqa: DTZ007 - is looked at only
    except ValueError:
        return PermanentError(
            attempted,
            f"its answer is none of a lock: {shorten(since)}",
            "Look what the host prints at a login, or in place of the shell that was asked for.",
        )
    by = f"{shorten(holder) or 'somebody who left no name'} since"
    by += f" {shorten(since) or 'an unknown time'}"
    return LockedError(
        attempted,
        f"it is held by {by}",
        "Wait until that has ended, then run it again. The lock goes with the process that holds"
        f" it, at the latest {remote_programs.LOCK_GRACE_SECONDS} s after its machine has gone.",
        retry_after=_LOCKED_SECONDS,
    )


def _failed(attempted: str, said: str) -> PermanentError:
    if "No space left" in said:
        return DiskFullError(
            attempted,
            shorten(said),
            "Free space, or inodes (df -i), on the host, then run it again.",
        )
    return PermanentError(attempted, shorten(said), "Fix that on the host, then run it again.")
