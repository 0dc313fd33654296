"""Stream 2: looking at three and at a hundred hosts, against plain ssh.

The hosts are real sshds on this machine (tests/integration/k3s/fleet.py), which answer from the
same processors that ask them. The baseline is what a person would script: OpenSSH's client to all
of them at the same time, with the very scripts that xOps runs there, whose output nobody reads. It
agrees on keys as asyncssh does (curve25519), and not in its own, dearer way.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.rows import ROUNDS, Row, measured, say
from tests.integration.k3s.fleet import SERVERS, Fleet, running_fleet, why_not
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.state import facts, preflight

COUNTS = (SERVERS, 100)


def measure() -> list[Row]:
    """Preflight of bare hosts, then a plan and an apply with nothing to do."""
    if reason := why_not():
        say(f"left out: {reason}")
        return []
    return [row for count in COUNTS for row in _rows(count)]


def _rows(count: int) -> list[Row]:
    with running_fleet(count) as fleet:
        by_hand = _Baseline(fleet)
        rows = [_row(fleet, "preflight", "bare", by_hand.preflight)]
        say(f"{count} hosts: applying, so that nothing is to be done")
        fleet.run("apply")
        rows += [_row(fleet, verb, "nothing to do", by_hand.look) for verb in ("plan", "apply")]
    return rows


def _row(fleet: Fleet, verb: str, state: str, by_hand: Callable[[], float]) -> Row:
    target = f"target {1.5 if fleet.count == SERVERS and verb != 'preflight' else 10:g} s"
    row = Row(f"xops k3s {verb}, {fleet.count} hosts, {state}", f"ssh, same scripts; {target}")
    before = fleet.connections(), fleet.requests()
    fleet.run(verb)
    connections, requests = fleet.connections() - before[0], fleet.requests() - before[1]
    say(f"{row.name}: connections a host {_spread(connections)}, requests {_spread(requests)}")
    return measured(row, lambda: _timed(fleet, verb), by_hand, ROUNDS)


def _spread(counts: Counter[str]) -> str:
    """How many hosts have which count: `1 (99 hosts), 2 (1 host)`."""
    hosts = Counter(counts.values())
    return ", ".join(
        f"{count} ({hosts[count]} host{'s' if hosts[count] > 1 else ''})" for count in sorted(hosts)
    )


def _timed(fleet: Fleet, verb: str) -> float:
    started = time.monotonic()
    fleet.run(verb)
    return time.monotonic() - started


class _Baseline:
    """The same looks by OpenSSH's own client, all hosts at the same time."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._cluster = Cluster.load(fleet.file)

    def look(self) -> float:
        """Seconds for the facts of hosts with K3S."""
        return self._timed(self._ask_facts)

    def preflight(self) -> float:
        """Seconds for the facts of bare hosts, and then for the ports of each one's peers."""
        return self._timed(self._ask_facts) + self._timed(self._ask_peers)

    def _timed(self, ask: Callable[[Host], None]) -> float:
        started = time.monotonic()
        with ThreadPoolExecutor(self._fleet.count) as pool:
            list(pool.map(ask, self._cluster.hosts))
        return time.monotonic() - started

    def _ask_facts(self, host: Host) -> None:
        cluster = self._cluster
        self._ssh(
            host,
            facts.facts_script(host, cluster.k3s.data_dir, backend=cluster.networks.backend),
        )

    def _ask_peers(self, host: Host) -> None:
        self._ssh(host, facts.peer_script(preflight.ports_to_try(self._cluster, host)))

    def _ssh(self, host: Host, script: str) -> None:
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes",
            "KexAlgorithms=curve25519-sha256", f"UserKnownHostsFile={self._fleet.known_hosts}",
        ]  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        argv = ["ssh", "-F", "none", "-i", str(self._fleet.key), *words, f"root@{host.address}"]
        subprocess.run(
            self._fleet.inside(*argv, shlex.join(["sh", "-c", script])),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
