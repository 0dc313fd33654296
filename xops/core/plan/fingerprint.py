"""Fingerprints of hidden values: one key for each installation, HMAC-SHA256.

A plan shows no secret, and its digest must notice a changed one all the same. A plain hash of a
short secret could be found by trying; with a key that never leaves the installation it cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files.canonical_json import canonical_json
from xops.core.files.installation_secret import load_or_create_secret
from xops.core.files.secret import read_private
from xops.core.plan.values import Json, hidden

VARIABLE = "XOPS_FINGERPRINT_KEY"
"""Holds the key where runs have no disk of their own that lasts (a task's secret)."""

FILE_VARIABLE = "XOPS_FINGERPRINT_KEY_FILE"
"""Names the file that holds the key, instead of the one in xOps' home."""

NAME = "fingerprint-key"
_BYTES = 32
_ID_LENGTH = 12


@dataclass(frozen=True)
class FingerprintKey:
    """The key with which an installation marks values that it does not show."""

    secret: str = field(repr=False)

    @property
    def id(self) -> str:
        """Which key this is; tells nothing about the key."""
        return hashlib.sha256(f"xops fingerprint key {self.secret}".encode()).hexdigest()[
            :_ID_LENGTH
        ]

    def hide(self, value: Json) -> Json:
        """The marker that stands for a value in a plan."""
        message = canonical_json(value).encode()
        return hidden(hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest())


def load_or_create_key(home: Path, environ: Mapping[str, str]) -> FingerprintKey:
    """The installation's key: a variable's, a named file's, or that in `home`, made if missing.

    Raises:
        PermanentError: the key cannot be read, is too short, or cannot be kept.
    """
    if VARIABLE in environ:
        return _checked(environ[VARIABLE], f"variable {VARIABLE}")
    # Named by the operator and by no reviewed file: it needs no configured source.
    if FILE_VARIABLE in environ:
        file = Path(environ[FILE_VARIABLE]).expanduser().resolve()
        return _checked(read_private(file, f"file {file}"), f"file {file}")
    file = home / NAME
    return _checked(
        load_or_create_secret(file, lambda: secrets.token_hex(_BYTES), FILE_VARIABLE),
        f"file {file}",
    )


def _checked(text: str, place: str) -> FingerprintKey:
    secret = text.rstrip("\r\n")
    if not secret.strip():
        raise PermanentError(
            f"reading the fingerprint key from the {place}",
            "it is unset or empty",
            "Make one with `openssl rand -hex 32` and put it there.",
        )
    if len(secret) < _BYTES:
        raise PermanentError(
            f"reading the fingerprint key from the {place}",
            f"it has {len(secret)} characters, {_BYTES} are the least",
            "Make one with `openssl rand -hex 32` and put it there.",
        )
    return FingerprintKey(secret)
