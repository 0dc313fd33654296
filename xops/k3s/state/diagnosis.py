"""What a log says: known lines of K3S, etcd, kubelet and systemd, each with cause and remedy.

A failing host prints many lines, of which few say why. `diagnose` names those, causes first and
what merely follows from a cause last.
"""

from __future__ import annotations

import re

from xops.k3s.state.known_causes import PATTERNS
from xops.k3s.state.log_pattern import Cause, Pattern

__all__ = ["PATTERNS", "Cause", "Pattern", "diagnose"]

_LOOKED_AT = 4096
"""Characters of a log line that are held against the patterns: their time grows with its square."""

# A token that K3S should never print; should it do so, it goes no further.
_TOKEN = re.compile(r"K10[0-9a-f]{64}::\S+")
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f]")


def diagnose(log: str) -> tuple[Cause, ...]:
    """The causes that a log names, each once, the telling ones first.

    Args:
        log: lines of the journal, in order. Of several lines that say the same the last is shown.

    Returns:
        Nothing if no line is known: the cause is unknown then, not absent.
    """
    lines = [_TOKEN.sub("***", _CONTROL.sub("", line[:_LOOKED_AT])) for line in log.splitlines()]
    found = [cause for pattern in PATTERNS if (cause := pattern.cause(lines))]
    return tuple(sorted(found, key=lambda cause: cause.is_symptom))
