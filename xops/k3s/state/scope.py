"""Which hosts a plan may touch: those that a person has named, or all of the file. Pure.

The others are looked at all the same, as far as they answer: whether the cluster has its quorum is
no question of scope. Nothing is done on them, and what is wrong with them stops nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from xops.core.errors import Finding, InputError, UnreachableError, XopsError
from xops.k3s.cluster_file.cluster import Cluster, Host


@dataclass(frozen=True)
class Scope:
    """Names of hosts; empty for all hosts."""

    names: frozenset[str] = frozenset()

    def __contains__(self, host: Host) -> bool:
        return not self.names or host.name in self.names

    def outside(self, cluster: Cluster) -> tuple[str, ...]:
        """The cluster's other hosts, in the file's order."""
        return tuple(host.name for host in cluster.hosts if host not in self)

    def left_out(self, cluster: Cluster, failed: Mapping[str, XopsError]) -> tuple[str, ...]:
        """Hosts that do not answer and are not waited for: agents, and whoever is out of scope.

        Every server in scope is waited for: what it has may be what the cluster's quorum needs.
        """
        waited_for = {host.name for host in cluster.servers if host in self}
        unreachable = (
            name for name, error in failed.items() if isinstance(error, UnreachableError)
        )
        return tuple(name for name in unreachable if name not in waited_for)


ALL_HOSTS = Scope()


def scope_of(cluster: Cluster, names: Collection[str]) -> Scope:
    """The scope of these names.

    Raises:
        InputError: a name is none of the cluster's hosts.
    """
    known = [host.name for host in cluster.hosts]
    if strangers := sorted(set(names) - set(known)):
        listed = ", ".join(known)
        findings = [
            Finding(cluster.name, "", f"no host is called {name}; there are: {listed}")
            for name in strangers
        ]
        raise InputError(f"choosing hosts of {cluster.subject}", findings)
    return Scope(frozenset(names))
