"""Whether GitHub sent a body: `X-Hub-Signature-256`, an HMAC of its bytes.

Source: GitHub's "Validating webhook deliveries". SHA-1, the older header, counts for nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence


def signature_of(body: bytes, key: bytes) -> bytes:
    """The value of the header for a body."""
    return b"sha256=" + hmac.digest(key, body, "sha256").hex().encode()


def is_authentic(body: bytes, given: bytes, keys: Sequence[bytes]) -> bool:
    """Whether a header is the signature of a body with one of the keys.

    Takes as long whatever is wrong with it, and whichever key was the right one.

    Args:
        body: the bytes as they were sent.
        given: the header's value as it was sent: comparing texts fails for what is no ASCII.
        keys: the secrets that are accepted; without any, nothing is authentic.
    """
    matches = [hmac.compare_digest(signature_of(body, key), given) for key in keys]
    return any(matches)
