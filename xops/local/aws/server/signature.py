"""Who may give orders: requests signed with the installation's own key, and no others.

Signature Version 4 as AWS checks it, recomputed by botocore from what was signed. What a client
sends in pieces (`STREAMING-...`) is signed by its headers alone; the pieces are not checked.

Source: "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference, and "Signature
Version 4 for API requests" in the IAM user guide.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from xops.aws.embedded_key import EmbeddedKey

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=15)
"""How far a client's clock may be off, as on AWS."""

_HASH = re.compile(r"[0-9a-f]{64}")
_LOCAL = frozenset({"127.0.0.1", "localhost"})


class RefusedError(Exception):
    """A request that is not answered: an error code of AWS's, and why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class _Claim:
    """What a request says of its signature."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def check_caller(environ: Mapping[str, Any]) -> None:
    """Refuse what a browser sends for a page, and what is addressed to another name.

    No page has anything to ask here; a name that leads here by the DNS of somebody else is how a
    page gets round the rule that it may only speak to where it came from.

    Raises:
        RefusedError: it has an Origin, or its Host is no name of this machine's loopback.
    """
    if origin := environ.get("HTTP_ORIGIN"):
        raise RefusedError("AccessDenied", f"no page may ask the embedded AWS (Origin {origin})")
    host = str(environ.get("HTTP_HOST", ""))
    if host.rpartition(":")[0] not in _LOCAL and host not in _LOCAL:
        raise RefusedError("AccessDenied", f"this is 127.0.0.1, and not {host or 'nameless'}")


_RESTART = "if the file with the key was changed since it started: `xops down`, then `xops up`"


def check_signature(environ: MutableMapping[str, Any], key: EmbeddedKey, now: datetime) -> None:
    """Refuse a request that `key` has not signed as it is.

    Args:
        environ: WSGI's; its body is read, and can be read once more.
        key: the installation's.
        now: the moment, UTC.

    Raises:
        RefusedError: with the code that AWS would answer.
    """
    claim = _claim(environ.get("HTTP_AUTHORIZATION", ""))
    if not hmac.compare_digest(claim.access_key_id, key.access_key_id):
        message = f"the key is not that of this installation's embedded AWS; {_RESTART}"
        raise RefusedError("InvalidClientTokenId", message)
    sent = environ.get("HTTP_X_AMZ_DATE", "")
    _check_date(sent, claim, now)
    if "host" not in claim.signed_headers:
        raise RefusedError("SignatureDoesNotMatch", "the signature does not cover the host")
    request = _as_signed(environ, claim, _body(environ))
    if not hmac.compare_digest(_signature(request, claim, key, sent), claim.signature):
        message = f"the signature is not that of this request by the installation's key; {_RESTART}"
        raise RefusedError("SignatureDoesNotMatch", message)


def _claim(authorization: str) -> _Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        message = (
            "the embedded AWS takes requests that are signed with its installation's key"
            f" ({ALGORITHM} in the header Authorization)"
        )
        raise RefusedError("MissingAuthenticationToken", message)
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    try:
        identity, date, region, service, _ = parts["Credential"].split("/")
        signed = tuple(parts["SignedHeaders"].split(";"))
        return _Claim(identity, date, region, service, signed, parts["Signature"])
    except (KeyError, ValueError):
        message = "Authorization lacks Credential, SignedHeaders or Signature"
        raise RefusedError("IncompleteSignature", message) from None


def _check_date(sent: str, claim: _Claim, now: datetime) -> None:
    try:
        at = datetime.strptime(sent, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError("IncompleteSignature", "X-Amz-Date is missing") from None
    if abs(now - at) > SKEW or not sent.startswith(claim.date):
        raise RefusedError("RequestExpired", f"signed at {sent}; here it is {now:%Y%m%dT%H%M%SZ}")


def _body(environ: MutableMapping[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    sent = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if _HASH.fullmatch(sent) and sent != hashlib.sha256(body).hexdigest():
        raise RefusedError("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
    return body


def _as_signed(environ: Mapping[str, Any], claim: _Claim, body: bytes) -> AWSRequest:
    headers = {name: str(environ.get(_variable(name), "")) for name in claim.signed_headers}
    url = f"http://{environ['HTTP_HOST']}{environ['REQUEST_URI']}"
    return AWSRequest(str(environ["REQUEST_METHOD"]), url, headers=headers, data=body)


def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def _signature(request: AWSRequest, claim: _Claim, key: EmbeddedKey, sent: str) -> str:
    signs = S3SigV4Auth if claim.service == "s3" else SigV4Auth
    credentials = Credentials(key.access_key_id, key.secret_access_key)
    signer = signs(credentials, claim.service, claim.region)
    request.context["timestamp"] = sent
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(text, request))
