"""Looks for a request that the receiver answers with a fault of its own, led by what it executes.

By hand, since atheris (https://github.com/google/atheris) is no package of the project's:

    pip install --target /tmp/atheris atheris==3.1.0
    PYTHONPATH=/tmp/atheris .venv/bin/python -m tests.fuzz_receiver CORPUS -max_total_time=600

CORPUS is a folder for inputs. Given XOPS_TEST_WEBHOOK_EXAMPLES it begins with the public examples.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["xops.github"]):
    from tests.webhooks import MemoryInbox, ask, policy, secrets, signed
    from xops.github.policy import EVENTS
    from xops.github.webhooks.app import create_app

HEADERS = (
    b"content-type", b"content-length", b"x-github-event", b"x-github-delivery",
    b"x-github-hook-id", b"x-hub-signature-256", b"transfer-encoding",
)  # fmt: skip
ROUTES = [{"event": event, "deployment": "a/b"} for event in EVENTS if event != "ping"]
POLICY = policy(routes=ROUTES)
TOLD_EVERY = 10_000
"""Inputs: libFuzzer ends the process itself, so the counts are told on the way."""

answered: Counter[int] = Counter()
loop = asyncio.new_event_loop()


def try_input(data: bytes) -> None:
    """Send it as a signed delivery, or with headers of its own. The first two bytes decide.

    Raises:
        AssertionError: the answer is a fault of ours; atheris keeps the input in a file.
    """
    choice, event, body = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    name = EVENTS[event[0] % len(EVENTS)]
    if choice[0] % 4:  # mostly what gets past the signature
        headers = list(signed(body, name).items())
    else:
        *lines, body = body.split(b"\n", choice[0] // 4 % (len(HEADERS) + 1))
        given = dict(zip(HEADERS, lines, strict=False))
        headers = [
            (key.decode(), value) for key, value in (_plain(signed(body, name)) | given).items()
        ]
    sent = [(key.encode(), value) for key, value in headers]
    app = create_app(POLICY, secrets(), MemoryInbox())
    reply = loop.run_until_complete(ask(app, sent, [body]))
    answered[reply.status] += 1
    if answered.total() % TOLD_EVERY == 0:
        sys.stdout.write(f"answered: {dict(sorted(answered.items()))}\n")
    assert 200 <= reply.status < 500, reply


def _plain(headers: dict[str, bytes]) -> dict[bytes, bytes]:
    return {name.encode(): value for name, value in headers.items()}


def write_examples(corpus: Path) -> None:
    """Begin with what GitHub really sends."""
    folder = Path(os.environ["XOPS_TEST_WEBHOOK_EXAMPLES"]) / "api.github.com"
    listed: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())
    for one in listed:
        if one["name"] in EVENTS:
            for number, example in enumerate(one["examples"]):
                start = bytes([1, EVENTS.index(one["name"])])
                (corpus / f"{one['name']}-{number}").write_bytes(
                    start + json.dumps(example).encode()
                )


def main() -> None:
    """Run until atheris' own limits, and say how often each status was answered."""
    logging.disable()
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    if "XOPS_TEST_WEBHOOK_EXAMPLES" in os.environ:
        write_examples(corpus)
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
