"""The webhook's secret, and the previous one while it is exchanged.

They are read again when their files change, which is looked at once a second: whoever exchanges a
secret writes a file, also one that is mounted into a container, and has nothing to send a signal
to. What cannot be used then is reported, and the secrets stay as they were: a slip of the pen in
the middle of an exchange refuses no delivery.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from xops.core.errors import Finding, InputError, XopsError
from xops.core.files import settings
from xops.core.files.secret import SecretReference, read_private
from xops.github.policy import GitHubPolicy

logger = logging.getLogger(__name__)

LEAST_BYTES = 32
FILE = "webhook-secret"
"""This installation's own, in xOps' home, where `deployments/github.yaml` names none."""
LOOK_SECONDS = 1.0

_Keys = tuple[bytes, ...]
_Stamps = tuple[tuple[int, int, int] | None, ...]


class Secrets:
    """What signatures are checked against.

    Args:
        read: reads them all.
        files: where they are read from, if they can change.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        read: Callable[[], _Keys],
        files: tuple[Path, ...] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._files = files
        self._now = now
        self._stamps = _stamps(files)
        self._keys = read()
        self._look_at = now() + LOOK_SECONDS

    @classmethod
    def read(
        cls,
        policy: GitHubPolicy,
        environ: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
    ) -> Self:
        """The secrets that the policy names, or this installation's own.

        Raises:
            InputError: one is shorter than 32 bytes, or of no configured source.
            PermanentError: there is none, or others on this machine may read it.
        """
        webhook = policy.webhook
        own = Path(environ.get("XOPS_HOME") or settings.home()) / FILE

        def keys() -> _Keys:
            current = _current(webhook.secret, own, environ)
            return (current, *_previous(webhook.previous_secret, environ))

        return cls(keys, _files(webhook.secret, webhook.previous_secret, own), now)

    def keys(self) -> _Keys:
        """The current one, and the previous one if there is one."""
        if self._now() >= self._look_at:
            self._look_at = self._now() + LOOK_SECONDS
            self._look()
        return self._keys

    def _look(self) -> None:
        stamps = _stamps(self._files)
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._keys = self._read()
        except XopsError as error:
            logger.error("the secrets of the webhook stay as they were: %s", error)
        else:
            logger.info("the secrets of the webhook were read again: %d", len(self._keys))


def _current(reference: SecretReference | None, own: Path, environ: Mapping[str, str]) -> bytes:
    if reference is None:
        return _key(f"file {own}", read_private(own, f"file {own}").strip())
    return _key(str(reference), reference.read(environ))


def _previous(reference: SecretReference | None, environ: Mapping[str, str]) -> _Keys:
    """None if it is not there: between two exchanges it is removed, and the file need not say."""
    if reference is None or not _is_there(reference, environ):
        return ()
    return (_key(str(reference), reference.read(environ)),)


def _is_there(reference: SecretReference, environ: Mapping[str, str]) -> bool:
    if reference.file:
        return os.path.lexists(reference.file.expanduser())
    return bool(environ.get(reference.variable or ""))


def _key(place: str, text: str) -> bytes:
    key = text.encode()
    if len(key) < LEAST_BYTES:
        raise InputError(
            "reading the secret of the webhook",
            [Finding(place, "", f"it has less than {LEAST_BYTES} bytes: it could be guessed")],
            "Make one with `openssl rand -hex 32`, write it there and into the settings of the"
            " hook on GitHub, and start again.",
        )
    return key


def _files(*places: SecretReference | Path | None) -> tuple[Path, ...]:
    found = (place.file if isinstance(place, SecretReference) else place for place in places)
    return tuple(file.expanduser() for file in found if file is not None)


def _stamps(files: tuple[Path, ...]) -> _Stamps:
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
