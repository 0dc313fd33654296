"""Who founds a cluster and who joins it: nobody founds one while another host knows of it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.k3s_hosts import CLUSTER_ID, all_bare, bare, cluster, formed
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts


def names(hosts: Sequence[object]) -> list[str]:
    return [getattr(host, "name", "") for host in hosts]


def silent(seen: HostFacts) -> HostFacts:
    """The same host, its API down."""
    return replace(seen, nodes=None)


def lost(of: Cluster, seen: Mapping[str, HostFacts], *hosts: str) -> dict[str, HostFacts]:
    """The same hosts after these lost their disks."""
    return {**seen, **{name: bare(of.host(name)) for name in hosts}}


@pytest.mark.parametrize("servers", [1, 3, 5])
def test_of_bare_hosts_the_first_server_founds(servers: int) -> None:
    of = cluster(servers, agents=2)
    found = topology.read(of, all_bare(of))

    assert found.initialising_server == of.servers[0]
    assert found.joiners == of.servers[1:]
    assert (found.members, found.source, found.nodes, found.cluster_id) == ((), None, None, None)


def test_a_whole_cluster_has_members_only() -> None:
    of = cluster(3, agents=1)
    found = topology.read(of, formed(of))

    assert found.members == of.servers
    assert (found.initialising_server, found.joiners) == (None, ())
    assert found.source == of.servers[0]
    assert found.cluster_id == CLUSTER_ID
    assert [node.name for node in found.nodes or ()] == names(of.hosts)


LOSSES = [
    combination
    for count in (1, 2)
    for combination in itertools.combinations(("server-1", "server-2", "server-3"), count)
]


@pytest.mark.parametrize("gone", LOSSES)
@pytest.mark.parametrize("api", [True, False])
def test_while_anybody_has_data_nobody_founds(gone: tuple[str, ...], api: bool) -> None:
    of = cluster(3)
    seen = lost(of, formed(of), *gone)
    if not api:
        seen = {name: silent(each) for name, each in seen.items()}
    found = topology.read(of, seen)

    assert found.initialising_server is None
    assert names(found.joiners) == list(gone)
    assert {*names(found.members), *gone} == {"server-1", "server-2", "server-3"}
    assert (found.source is not None) == api


@pytest.mark.parametrize("unseen", ["server-1", "server-3"])
def test_while_a_server_was_not_seen_nobody_founds(unseen: str) -> None:
    """It may be the one that has the data."""
    of = cluster(3)
    seen = {name: each for name, each in all_bare(of).items() if name != unseen}
    found = topology.read(of, seen)

    assert found.initialising_server is None
    assert unseen not in names(found.joiners)
    assert len(found.joiners) == 2


def test_an_unseen_agent_keeps_nobody_from_founding() -> None:
    of = cluster(3, agents=1)
    seen = {name: each for name, each in all_bare(of).items() if name != "agent-1"}

    assert topology.read(of, seen).initialising_server == of.servers[0]


def test_a_server_that_answers_is_asked() -> None:
    of = cluster(3)
    seen = formed(of)
    seen["server-1"] = silent(seen["server-1"])

    assert topology.read(of, seen).source == of.servers[1]


def test_the_nodes_are_found_by_name() -> None:
    of = cluster(3)
    found = topology.read(of, formed(of, without=["server-3"]))

    node = found.node(of.servers[0])
    assert node is not None
    assert node.name == "server-1"
    assert found.node(of.servers[2]) is None


def test_hosts_are_sorted_by_their_cluster() -> None:
    of = cluster(3, agents=1)
    seen = formed(of, without=["server-2"])
    seen["server-3"] = replace(seen["server-3"], cluster_id="other")

    assert topology.cluster_ids(of, seen) == {
        CLUSTER_ID: ["server-1", "agent-1"],
        "other": ["server-3"],
    }
    assert topology.cluster_ids(of, all_bare(of)) == {}


@pytest.mark.parametrize(
    ("servers", "host", "peer"),
    [
        (3, "server-1", "server-2"),
        (3, "server-2", "server-1"),
        (3, "agent-1", "server-1"),
        (1, "server-1", None),
        (1, "agent-1", "server-1"),
    ],
)
def test_a_host_joins_through_another_one(servers: int, host: str, peer: str | None) -> None:
    of = cluster(servers, agents=1)
    found = topology.peer_of(of, of.host(host))

    assert (found.name if found else None) == peer
