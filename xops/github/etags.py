"""A transport that remembers answers.

GitHub counts no request that is answered with 304. Answers are kept in files of mode 0600, by
address and the credential's name. Neither request headers nor a credential are written.
Only GET answers of status 200 with an ETag are kept, and they are asked for anew every time.

GitHub binds an ETag to the token that it was given to. A personal token's answers are of use until
the token is renewed. An App has another token every hour, so nothing is kept for it: what makes its
repeated readings cheap are the records alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import httpx

from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import read_bytes
from xops.github.transport import MOST_BYTES

_KEPT_HEADERS = ("content-type", "link", "etag", "x-github-sso")


@dataclass(frozen=True)
class _Kept:
    etag: str
    headers: dict[str, str]
    body: bytes


class EtagTransport(httpx.BaseTransport):
    """Adds `If-None-Match`, and answers a 304 with what was kept.

    Args:
        inner: sends the requests.
        folder: where answers are kept.
        owner: tells credentials apart: a name, not the credential itself.
    """

    def __init__(self, inner: httpx.BaseTransport, folder: Path, owner: str) -> None:
        self._inner = inner
        self._folder = folder
        self._owner = owner
        self.hits = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, on condition where an answer is kept."""
        if request.method != "GET":
            return self._inner.handle_request(request)
        file = self._file(request)
        kept = _read(file)
        if kept is not None:
            request.headers["If-None-Match"] = kept.etag
        response = self._inner.handle_request(request)
        if response.status_code == httpx.codes.NOT_MODIFIED and kept is not None:
            response.close()
            self.hits += 1
            return httpx.Response(200, headers=kept.headers, content=kept.body, request=request)
        return self._keep(file, response, request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _file(self, request: httpx.Request) -> Path:
        key = "\n".join((self._owner, str(request.url), request.headers.get("accept", "")))
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _keep(self, file: Path, response: httpx.Response, request: httpx.Request) -> httpx.Response:
        """The response, kept in the file if it has an ETag."""
        etag = response.headers.get("etag")
        if response.status_code != httpx.codes.OK or not etag:
            return response
        response.read()
        headers = {n: response.headers[n] for n in _KEPT_HEADERS if n in response.headers}
        write_private(file, _to_json(_Kept(etag, headers, response.content)))
        # What was read is decoded; the headers that say how it was encoded go.
        return httpx.Response(200, headers=headers, content=response.content, request=request)


def _to_json(kept: _Kept) -> str:
    body = base64.b64encode(kept.body).decode()
    return json.dumps({"etag": kept.etag, "headers": kept.headers, "body": body})


def _read(file: Path) -> _Kept | None:
    try:
        found = parse_json(read_bytes(file, 2 * MOST_BYTES))
        headers = {str(name): str(value) for name, value in found["headers"].items()}
        return _Kept(str(found["etag"]), headers, base64.b64decode(found["body"]))
    except (ValueError, LookupError, TypeError, AttributeError, binascii.Error):
        return None  # not there, or damaged: it is asked for anew
