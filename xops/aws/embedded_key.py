"""The key with which an installation signs its requests to its own embedded AWS."""

from __future__ import annotations

import base64
import configparser
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.files.installation_secret import load_or_create_secret

FILE_VARIABLE = "XOPS_EMBEDDED_AWS_KEY_FILE"
"""Names the file that holds the key, instead of the one in xOps' home."""

NAME = "embedded-aws-key"


@dataclass(frozen=True)
class EmbeddedKey:
    """An access key as AWS has them, known to one installation's embedded AWS and no other."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def variables(self) -> dict[str, str]:
        """As the AWS tools are told."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


def load_or_create_embedded_key(environ: Mapping[str, str]) -> EmbeddedKey:
    """The installation's key, made if it has none.

    Its file has the form of the AWS tools' own, so that `AWS_SHARED_CREDENTIALS_FILE` may name it.

    Raises:
        PermanentError: the file cannot be kept or read, or is of another form.
    """
    named = environ.get(FILE_VARIABLE)
    file = Path(named) if named else settings.home() / NAME
    return _parsed(file, load_or_create_secret(file, _make, FILE_VARIABLE))


def _make() -> str:
    identity = "XOPS" + base64.b32encode(secrets.token_bytes(10)).decode()
    secret = secrets.token_urlsafe(30)
    return f"[default]\naws_access_key_id = {identity}\naws_secret_access_key = {secret}"


def _parsed(file: Path, text: str) -> EmbeddedKey:
    document = configparser.ConfigParser(interpolation=None)
    try:
        document.read_string(text)
        section = document["default"]
        return EmbeddedKey(section["aws_access_key_id"], section["aws_secret_access_key"])
    except (configparser.Error, KeyError):
        raise PermanentError(
            f"reading the embedded AWS's key from {file}",
            "it holds no [default] with aws_access_key_id and aws_secret_access_key",
            "Remove it: `xops down`, then `xops up` makes a new one.",
        ) from None
