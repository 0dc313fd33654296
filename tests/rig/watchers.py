"""How many programs may still watch files: the kernel counts inotify instances for a whole user."""

from __future__ import annotations

from pathlib import Path

from tests.rig.engine import as_root, run

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_SERVER, _AGENT = 28, 17
"""What a host with real pods takes: 26 and 15 were seen, 7 of them the kubelet's."""
_COUNT = "find /proc/[0-9]*/fd -lname anon_inode:inotify 2>/dev/null | wc -l"


def why_too_few(servers: int, agents: int) -> str | None:
    """Why so many hosts with real pods cannot run beside what runs, in one line; None if they can.

    A kubelet that gets no instance ends with `inotify_init: too many open files`.
    """
    limit, used = int(_LIMIT.read_text()), in_use()
    wanted = servers * _SERVER + agents * _AGENT
    if limit - used >= wanted:
        return None
    return (
        f"real pods on {servers + agents} hosts need {wanted} inotify instances: {used} of"
        f" {limit} are taken (fs.inotify.max_user_instances)"
    )


def in_use() -> int:
    """The instances of all processes of the machine; whose they are does not matter here."""
    return int(run(as_root(["sh", "-c", _COUNT])).stdout)
