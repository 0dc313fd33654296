"""Who founds a cluster and who joins it: nobody founds one while another host knows of it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import (
    CLUSTER_ID,
    all_bare,
    bare,
    cluster,
    formed,
    member,
    node,
    with_members,
)
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.state import topology
from xops.k3s.state.facts import REMOVAL_NODE, EtcdMember, HostFacts


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


# Etcd's members

OF = cluster(3)
ONE, TWO, THREE = OF.servers
WHOLE = [member(host) for host in OF.servers]


def told(*members: EtcdMember, without: Sequence[str] = ()) -> topology.Topology:
    return topology.read(OF, with_members(formed(OF, without=without), *members))


def test_members_that_are_nodes_are_neither_earlier_nor_orphans() -> None:
    found = told(*WHOLE)

    assert (found.etcd, found.earlier, found.orphans) == (tuple(WHOLE), {}, ())
    assert found.lasting_voters == 3


def test_who_is_not_told_is_unknown() -> None:
    found = topology.read(OF, formed(OF))

    assert (found.etcd, found.earlier, found.orphans, found.lasting_voters) == (None, {}, (), 3)


def test_any_server_that_tells_them_is_asked() -> None:
    seen = with_members(formed(OF), *WHOLE)
    seen["server-1"] = replace(seen["server-1"], members=None)

    assert topology.read(OF, seen).etcd == tuple(WHOLE)


def test_a_member_of_a_host_without_data_is_an_earlier_life() -> None:
    found = told(*WHOLE, without=["server-3"])

    assert found.earlier == {"server-3": (WHOLE[2],)}
    assert found.orphans == ()
    assert found.lasting_voters == 2


@pytest.mark.parametrize(
    "stale",
    [
        member(THREE, name=""),  # added, never started
        member(THREE, is_learner=True),
        member(THREE, name="its-old-name-00000001"),
        member(THREE, peer_urls=("https://10.0.0.99:2380",)),  # its old address
    ],
)
def test_an_earlier_life_is_known_by_its_address_or_its_name(stale: EtcdMember) -> None:
    assert told(*WHOLE[:2], stale, without=["server-3"]).earlier == {"server-3": (stale,)}


def test_a_member_that_nobody_has_the_data_of_is_an_orphan() -> None:
    stranger = member(THREE, 7, name="gone-00000007", peer_urls=("https://10.0.0.99:2380",))
    found = told(*WHOLE, stranger)

    assert found.orphans == (stranger,)
    assert found.lasting_voters == 3


def test_a_server_of_somebody_else_that_is_a_node_is_no_orphan() -> None:
    other = member(THREE, 7, name="other-00000007", peer_urls=("https://10.0.0.99:2380",))
    seen = with_members(formed(OF), *WHOLE, other)
    named = node(THREE, name="renamed", member=other.name, address="10.0.0.99")
    seen = {name: replace(each, nodes=(*(each.nodes or ()), named)) for name, each in seen.items()}

    assert topology.read(OF, seen).orphans == ()


def test_a_server_that_is_coming_up_is_no_orphan() -> None:
    """Its etcd is a member for a while before its kubelet has registered its node."""
    seen = with_members(formed(OF), *WHOLE)
    seen = {
        name: replace(each, nodes=tuple(n for n in each.nodes or () if n.name != "server-3"))
        for name, each in seen.items()
    }
    found = topology.read(OF, seen)

    assert (found.earlier, found.orphans, found.lasting_voters) == ({}, (), 3)


def test_data_of_a_member_that_etcd_does_not_have_makes_no_member() -> None:
    seen = with_members(formed(OF), *WHOLE[:2])
    seen["server-3"] = replace(silent(seen["server-3"]), members=None)
    found = topology.read(OF, seen)

    assert (names(found.members), names(found.joiners)) == (["server-1", "server-2"], ["server-3"])
    assert names(found.removed) == ["server-3"]


@pytest.mark.parametrize("change", [{"nodes": None}, {"members": None}])
def test_who_answers_or_is_not_known_to_be_none_is_a_member(change: dict[str, Any]) -> None:
    seen = with_members(formed(OF), *WHOLE[:2])
    seen["server-3"] = replace(seen["server-3"], **change)
    assert topology.read(OF, seen).removed == ()

    silenced = {name: replace(silent(each), members=None) for name, each in seen.items()}
    assert topology.read(OF, silenced).removed == ()


def test_a_node_that_was_made_to_remove_a_member_stands_for_nobody() -> None:
    stranger = member(THREE, 7, name="gone-00000007", peer_urls=("https://10.0.0.99:2380",))
    made = node(THREE, name=f"{REMOVAL_NODE}7", member=stranger.name, address=None)

    assert topology.node_of(stranger, [made]) is None


@pytest.mark.parametrize(
    ("voters", "up", "removed", "kept"),
    [
        (2, 1, 2, True),  # a joiner that fails: who stays is alone, and up
        (3, 3, 3, True),
        (3, 1, 3, False),  # one of the two that stay is down
        (3, 2, 3, True),
        (4, 2, 4, True),
        (5, 2, 5, False),
        (1, 1, 1, False),  # nobody stays
    ],
)
def test_removing_a_voter_must_leave_a_quorum_that_is_up(
    voters: int, up: int, removed: int, kept: bool
) -> None:
    of = cluster(5)
    hosts = of.servers[:voters]
    members = [member(host) for host in hosts]
    nodes = [node(host, member=own.name) for host, own in zip(hosts, members, strict=True)]
    nodes = [replace(each, ready=number < up) for number, each in enumerate(nodes)]
    gone = members[removed - 1]

    assert topology.keeps_quorum_without(gone, members, nodes, hosts[0]) is kept
    learner = replace(gone, is_learner=True)
    others = [each for each in members if each is not gone]
    assert topology.keeps_quorum_without(learner, [*others, learner], nodes, hosts[0])


def test_the_server_that_answers_is_up_whatever_its_node_says() -> None:
    """Between two ends of a joiner's kubelet a node of two may be behind with its lease."""
    members = [member(ONE), member(TWO)]
    nodes = [node(ONE, ready=False, member=members[0].name)]

    assert topology.keeps_quorum_without(members[1], members, nodes, ONE)
    assert not topology.keeps_quorum_without(members[1], members, nodes, TWO)
