"""A program at the far end of an SSH channel: talking to it, its output, a file sent to it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import asyncssh

from xops.core.errors import PermanentError, UnreachableError
from xops.k3s.ssh.remote_programs import BEGIN
from xops.k3s.ssh.transport_protocol import BytesHandler, CommandTimeoutError, LineHandler

STALL_SECONDS = 600.0
"""How long a program may keep us waiting: an SD card takes minutes to check an image archive."""

KEPT_BYTES = 4 * 1024 * 1024
"""How much is kept of each of a script's stdout and stderr."""

MOST_BYTES = 16 * 1024 * 1024
"""How much a script may print on either; a host that says more is not listened to any longer."""

_CHUNK = 256 * 1024
_LONGEST_LINE = 64 * 1024
_MOST_BEFORE = 64 * 1024
"""Of what is printed before a program begins: by start files of the login, or by sudo."""

_MOST_LINES = 20_000
"""Lines that are reported as they come; scripts that report them print a few."""

_REST_SECONDS = 30.0
_LEAVE_SECONDS = 5.0


class TooMuchError(Exception):
    """A host says more than anybody needs. The text says what, as a clause."""


Lost = Callable[[Exception | None], UnreachableError]
"""Makes the error for a lost connection out of what told of it."""


SSH_ERRORS = (asyncssh.Error, OSError, ValueError, LookupError, ArithmeticError)
"""What asyncssh and the network raise. The last three come of bytes that are no SSH: a packet that
ends too early, a name that is not UTF-8."""


@contextmanager
def translate_ssh_errors(lost: Lost) -> Iterator[None]:
    """What asyncssh and the network raise, as a lost connection."""
    try:
        yield
    except SSH_ERRORS as error:
        raise lost(error) from error


class Channel:
    """A program that runs on a host.

    Every call raises UnreachableError once the connection is lost, and CommandTimeoutError when
    nothing moves for ten minutes.

    Attributes:
        began: whether it has said that it runs; False before the first answer.
        before: what was printed on stdout before it ran.
    """

    def __init__(
        self, process: asyncssh.SSHClientProcess[bytes], attempted: str, lost: Lost
    ) -> None:
        self.began = False
        self.before = ""
        self._process = process
        self._attempted = attempted
        self._lost = lost

    async def read_answer(self) -> tuple[str, str]:
        """The next answer: its first word, and the rest. Both are empty if there is none."""
        while not self.began and (text := await self.read_line()):
            self.began = text.endswith(BEGIN)
            self.before += "" if self.began else f"{text}\n"
            if len(self.before) > _MOST_BEFORE:
                raise self._senseless("its login prints without end")
        verb, _, rest = (await self.read_line()).partition(" ")
        return verb, rest

    async def read_line(self) -> str:
        """The next line of its output, without its end; empty if there is none."""
        async with self._patience():
            read = await self._process.stdout.readline()
        if len(read) > _LONGEST_LINE:
            raise self._senseless("it answers with a line without end")
        return read.decode(errors="replace").rstrip("\n")

    async def read_end(self) -> tuple[Output, int]:
        """The rest of the standard error of a program that ends, and its exit code.

        Raises:
            CommandTimeoutError: it does not end.
            PermanentError: it prints without end.
        """
        err = Output()
        try:
            async with asyncio.timeout(_REST_SECONDS):
                await err.fill(self.stderr())
                return err, await self.wait_ended()
        except TooMuchError as error:
            raise self._senseless(str(error)) from None
        except TimeoutError:
            raise CommandTimeoutError(
                self._attempted,
                "it neither answers nor ends",
                "See on the host what runs there, then run it again.",
            ) from None

    def _senseless(self, found: str) -> PermanentError:
        return PermanentError(self._attempted, found, "See on the host what prints so much.")

    async def send(self, data: bytes) -> bool:
        """Send bytes to its standard input; False if it does not listen any more."""
        async with self._patience():
            try:
                self._process.stdin.write(data)
                await self._process.stdin.drain()
            except BrokenPipeError:
                return False
        return True

    def end_input(self) -> None:
        """Let its standard input end."""
        with suppress(BrokenPipeError):
            self._process.stdin.write_eof()

    async def leave(self) -> None:
        """End its standard input, and give it a few seconds to end by itself."""
        with suppress(TimeoutError, UnreachableError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                self.end_input()
                await self.wait_ended()

    async def wait_ended(self) -> int:
        """Wait for its end: the exit code, 128 and more if a signal ended it."""
        with translate_ssh_errors(self._lost):
            await self._process.wait_closed()
        code = self._process.returncode
        if code is None:
            raise self._lost(None)
        return code if code >= 0 else 128 - code

    def stdout(self) -> AsyncIterator[bytes]:
        """Its standard output as it comes, for as long as it takes."""
        return self._pieces(self._process.stdout)

    def stderr(self) -> AsyncIterator[bytes]:
        """Its standard error as it comes, for as long as it takes."""
        return self._pieces(self._process.stderr)

    async def _pieces(self, reader: asyncssh.SSHReader[bytes]) -> AsyncIterator[bytes]:
        while True:
            with translate_ssh_errors(self._lost):
                piece = await reader.read(_CHUNK)
            if not piece:
                return
            yield piece

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                with translate_ssh_errors(self._lost):
                    yield
        except TimeoutError:
            raise CommandTimeoutError(
                self._attempted,
                f"nothing has moved for {STALL_SECONDS:.0f} s",
                "See whether the host's disk still answers (dmesg), then run it again.",
            ) from None


class Output:
    """What came on one stream once the program ran; beyond a limit, its beginning and its end.

    Attributes:
        began: whether the program has said that it runs.
        left_out: bytes of the middle that were not kept.
    """

    def __init__(self, on_line: LineHandler | None = None) -> None:
        self.began = False
        self._before = bytearray()
        self._first = bytearray()
        self._rest = bytearray()
        self.left_out = 0
        self._count = 0
        self._lines = 0
        self._line = bytearray()
        self._on_line = on_line

    async def fill(self, pieces: AsyncIterator[bytes]) -> None:
        """Take everything that comes.

        Raises:
            TooMuchError: it does not end.
        """
        async for piece in pieces:
            self._count += len(piece)
            if self._count > MOST_BYTES:
                raise TooMuchError(f"it has printed more than {MOST_BYTES >> 20} MiB")
            self._take(piece)
        if self._line:
            self._tell(bytes(self._line))

    @property
    def before(self) -> str:
        """What was printed before the program ran: by the login's start files, or by sudo."""
        return self._before.decode(errors="replace")

    @property
    def text(self) -> str:
        """The output, and in its middle how much was left out, if any was."""
        gap = f"\n[xops left out {self.left_out} bytes]\n" if self.left_out else ""
        return f"{self._first.decode(errors='replace')}{gap}{self._rest.decode(errors='replace')}"

    @property
    def last(self) -> str:
        """The last line that is not empty."""
        lines = (self._rest or self._first).decode(errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.strip()), "")

    def _take(self, piece: bytes) -> None:
        if not self.began:
            self._before += piece
            if len(self._before) > _MOST_BEFORE + _CHUNK:
                raise TooMuchError("its login prints without end")
            said, begin, rest = self._before.partition(f"{BEGIN}\n".encode())
            self._before, self.began, piece = said, bool(begin), bytes(rest)
        if self.began:
            self._keep(piece)
            self._split(piece)

    def _keep(self, piece: bytes) -> None:
        fits = KEPT_BYTES // 2 - len(self._first)
        self._first += piece[:fits]
        self._rest += piece[fits:]
        if (excess := len(self._rest) - KEPT_BYTES // 2) > 0:
            self.left_out += excess
            del self._rest[:excess]

    def _split(self, piece: bytes) -> None:
        if self._on_line is None:
            return
        *lines, rest = (bytes(self._line) + piece).split(b"\n")
        for line in lines:
            self._tell(line)
        # A program that prints no line ends (a progress bar) must not fill the memory.
        self._line = bytearray(rest[-_LONGEST_LINE:])

    def _tell(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > _MOST_LINES:
            raise TooMuchError(f"it has printed more than {_MOST_LINES} lines")
        if self._on_line:
            self._on_line(line[:_LONGEST_LINE].decode(errors="replace"))


@dataclass(frozen=True)
class Content:
    """The content of a file that is sent; read piece by piece, never whole in memory.

    Attributes:
        size: bytes.
        sha256: in hexadecimal.
    """

    source: Path | bytes
    attempted: str
    size: int
    sha256: str

    @classmethod
    async def of(cls, source: Path | bytes, attempted: str) -> Content:
        """Measure a file, or bytes.

        Raises:
            PermanentError: it cannot be read.
        """
        if isinstance(source, bytes):
            return cls(source, attempted, len(source), hashlib.sha256(source).hexdigest())
        with _translate_read_errors(source, attempted):
            status = await asyncio.to_thread(source.stat)
            about = (source, status.st_size, status.st_mtime_ns)
            return cls(source, attempted, status.st_size, await asyncio.to_thread(_sha256, *about))

    async def pour(self, channel: Channel, offset: int, on_progress: BytesHandler | None) -> None:
        """Send all of it from `offset` on; ends early if nobody listens any more.

        Raises:
            PermanentError: it cannot be read, or has become shorter.
        """
        done = offset
        async with aclosing(self._pieces(offset)) as pieces:
            async for piece in pieces:
                if on_progress:
                    on_progress(done, self.size)
                if not await channel.send(piece):
                    return
                done += len(piece)
        channel.end_input()
        if on_progress:
            on_progress(done, self.size)

    async def _pieces(self, offset: int) -> AsyncGenerator[bytes]:
        with _translate_read_errors(self.source, self.attempted), self._open() as file:
            file.seek(offset)
            while offset < self.size:
                piece = await asyncio.to_thread(file.read, min(_CHUNK, self.size - offset))
                if not piece:
                    raise OSError("it has become shorter since it was looked at")
                offset += len(piece)
                yield piece

    def _open(self) -> io.BufferedReader | io.BytesIO:
        source = self.source
        return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


@contextmanager
def _translate_read_errors(source: Path | bytes, attempted: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermanentError(
            attempted,
            f"{source if isinstance(source, Path) else 'its content'} cannot be read:"
            f" {error.strerror or error}",
            "See that it is there, readable, and written by nobody in the meantime.",
        ) from error


# Many hosts get the same file: it is read once for all of them.
@lru_cache(maxsize=32)
def _sha256(file: Path, size: int, modified_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
