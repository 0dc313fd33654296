"""What has not taken effect, from what a cluster and its hosts have said."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import cluster, formed, row
from tests.k3s_release import VERSION
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.state import effects, topology
from xops.k3s.state.effects import Effects, Ineffective
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.workloads import DnsFacts, HostEffects, PodFacts, WorkloadFacts

OF = cluster(1, agents=1)
POD = PodFacts("coredns-1", "server-1", "10.42.0.7", ready=True)
DNS = DnsFacts(1, 1, is_current=True, pods=(POD,))
SERVICE = "10.43.0.10"
TWO = {"10.0.0.21": "eth1", "192.0.2.7": "eth0", "10.0.0.99": "eth1"}


def told(of: Cluster, dns: DnsFacts | None = DNS, **values: Any) -> WorkloadFacts:
    tunnels = {host.name: host.internal_address for host in of.hosts}
    return WorkloadFacts(**{"dns": dns, "vip_pods": None, "tunnels": tunnels, **values})


def at_work(
    of: Cluster,
    workloads: WorkloadFacts | None = None,
    answers: Mapping[tuple[str, str], str] | None = None,
    versions: Mapping[str, str | None] | None = None,
) -> Effects:
    """All answer; of `answers`, by host and address, each in another way."""
    workloads = workloads or told(of)
    hosts = {
        host.name: HostEffects(
            (versions or {}).get(host.name, VERSION) if host.is_server else None,
            {
                pair: (answers or {}).get((host.name, pair[0]), "open")
                for pair in effects.addresses_to_ask(of, workloads)
            },
        )
        for host in of.hosts
    }
    return Effects("server-1", workloads, hosts)


def wrong(
    of: Cluster, seen: Effects, facts: Mapping[str, HostFacts] | None = None
) -> list[Ineffective]:
    facts = facts or formed(of)
    return effects.ineffective(of, topology.read(of, facts), facts, seen)


def found(of: Cluster, seen: Effects, facts: Mapping[str, HostFacts] | None = None) -> list[str]:
    return [each.found for each in wrong(of, seen, facts)]


def rows(of: Cluster, seen: Effects) -> dict[str, str]:
    facts = formed(of)
    return effects.rows(of, topology.read(of, facts), facts, seen)


# Versions


def test_an_api_of_another_version_is_told() -> None:
    said = found(OF, at_work(OF, versions={"server-1": "v1.30.0+k3s1"}))

    assert said == [
        f"the API server of server-1 says v1.30.0+k3s1 when asked for its version, not {VERSION}"
    ]


def test_an_api_that_does_not_say_is_no_success() -> None:
    assert "says nothing when asked" in found(OF, at_work(OF, versions={"server-1": None}))[0]


def test_a_program_that_was_replaced_and_not_started_is_told() -> None:
    facts = formed(OF)
    facts["agent-1"] = replace(facts["agent-1"], version="v1.99.0+k3s1")

    (said,) = wrong(OF, at_work(OF), facts)
    assert said.found == (f"the kubelet of agent-1 runs {VERSION}, and the binary is v1.99.0+k3s1")
    assert "Restart K3S on agent-1" in said.remedy


@pytest.mark.parametrize(
    ("binary", "says"), [(VERSION, f", not {VERSION}, though the binary is"), ("v1.30", "")]
)
def test_a_kubelet_of_another_version_is_told_beside_its_program(binary: str, says: str) -> None:
    facts = formed(OF)
    nodes = tuple(
        replace(each, version="v1.30") if each.name == "agent-1" else each
        for each in facts["server-1"].nodes or ()
    )
    facts["server-1"] = replace(facts["server-1"], nodes=nodes)
    facts["agent-1"] = replace(facts["agent-1"], version=binary)

    (said,) = found(OF, at_work(OF), facts)
    assert said == f"the kubelet of agent-1 runs v1.30{says or f', not {VERSION}'}"


def test_of_nobody_asked_nothing_is_said_to_hold() -> None:
    seen = replace(at_work(OF), hosts={})

    assert "no host that could be asked" in rows(OF, seen)["version"]
    assert "no host that could be asked" in rows(OF, seen)["cluster DNS"]


# Flannel


def with_interfaces(of: Cluster, interfaces: Mapping[str, str]) -> dict[str, HostFacts]:
    facts = formed(of)
    return {**facts, "agent-1": replace(facts["agent-1"], interfaces=interfaces)}


def taken(of: Cluster, address: str) -> Effects:
    """The agent's flannel has taken this address."""
    tunnels = {host.name: host.internal_address for host in of.hosts} | {"agent-1": address}
    return at_work(of, told(of, tunnels=tunnels))


@pytest.mark.parametrize(
    ("address", "interfaces", "says"),
    [
        ("192.0.2.7", TWO, ["agent-1 sends packets of pods by eth0 (192.0.2.7), not eth1"]),
        ("10.0.0.21", TWO, []),
        ("10.0.0.99", TWO, []),  # another address of the same interface
        ("", TWO, ["agent-1 has no address of flannel's: nobody sends packets to its pods"]),
        ("192.0.2.7", {}, []),  # nobody knows
        ("198.51.100.1", TWO, []),  # an address that a router gives it
    ],
)
def test_packets_of_pods_by_the_wrong_interface_are_told(
    address: str, interfaces: Mapping[str, str], says: list[str]
) -> None:
    assert found(OF, taken(OF, address), with_interfaces(OF, interfaces)) == says


def test_a_node_that_the_api_does_not_know_has_no_tunnel() -> None:
    seen = at_work(OF, told(OF, tunnels={"server-1": "10.0.0.11"}))

    assert found(OF, seen) == [
        "agent-1 has no address of flannel's: nobody sends packets to its pods"
    ]


def test_a_host_that_only_ssh_can_name_is_held_against_its_node_s_address() -> None:
    hosts = [row("server", 1), {**row("agent", 1), "address": "at-the-edge"}]
    of = cluster(1, hosts=hosts)
    facts = formed(of)
    nodes = tuple(
        replace(each, address="10.0.0.21") if each.name == "agent-1" else each
        for each in facts["server-1"].nodes or ()
    )
    facts["server-1"] = replace(facts["server-1"], nodes=nodes)
    facts["agent-1"] = replace(facts["agent-1"], interfaces=TWO)

    assert found(of, taken(of, "192.0.2.7"), facts) == [
        "agent-1 sends packets of pods by eth0 (192.0.2.7), not eth1"
    ]


@pytest.mark.parametrize(
    ("key", "chosen", "says"),
    [
        ("agent_config", "eth0", []),
        ("agent_config", "eth1", ["agent-1 sends packets of pods by eth0 (192.0.2.7), not eth1"]),
        ("config", "eth0", ["agent-1 sends packets of pods by eth0 (192.0.2.7), not eth1"]),
    ],
)
def test_an_interface_that_the_file_names_is_the_right_one(
    key: str, chosen: str, says: list[str]
) -> None:
    of = cluster(1, agents=1, k3s={"version": VERSION, key: {"flannel-iface": chosen}})

    assert found(of, taken(of, "192.0.2.7"), with_interfaces(of, TWO)) == says


def between_sites(**values: Any) -> Cluster:
    hosts = [
        row("server", 1, site="core"),
        {**row("agent", 1), "site": "edge", "address": "203.0.113.7", **values},
    ]
    sites: dict[str, dict[str, str]] = {"core": {}, "edge": {}}
    return cluster(1, hosts=hosts, sites=sites, networks={"backend": "wireguard-native"})


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("203.0.113.7", []),
        (
            "10.9.0.21",
            [
                "agent-1 is sent packets of pods at 10.9.0.21, not at its external address"
                " 203.0.113.7"
            ],
        ),
    ],
)
def test_between_sites_the_external_address_counts(address: str, says: list[str]) -> None:
    of = between_sites(private_address="10.9.0.21")

    assert of.tunnels_between_sites
    assert found(of, taken(of, address)) == says


def test_another_network_plugin_has_no_addresses_of_flannel_s() -> None:
    of = cluster(1, agents=1, networks={"backend": "none"})
    seen = at_work(of, told(of, tunnels=None))

    assert found(of, seen) == []
    assert rows(of, seen)["pod network"] == "not flannel's"


# CoreDNS


@pytest.mark.parametrize(
    ("dns", "says"),
    [
        (DnsFacts(None, 0, is_current=False, pods=()), "CoreDNS: kube-system has no Deployment"),
        (DnsFacts(0, 0, is_current=True, pods=()), "CoreDNS: it is scaled to 0 pods"),
        (
            DnsFacts(1, 0, is_current=True, pods=()),
            "CoreDNS: 0 of 1 pods are available; no pod is being started",
        ),
        (
            DnsFacts(1, 0, is_current=True, pods=(replace(POD, ready=False),)),
            "CoreDNS: 0 of 1 pods are available; pod coredns-1 on server-1: not Ready",
        ),
        (
            DnsFacts(
                1, 0, is_current=True, pods=(replace(POD, ready=False, reason="CrashLoopBackOff"),)
            ),
            "CoreDNS: 0 of 1 pods are available; pod coredns-1 on server-1: CrashLoopBackOff",
        ),
    ],
)
def test_coredns_that_is_not_up_says_what_is_known(dns: DnsFacts, says: str) -> None:
    (said,) = found(OF, at_work(OF, told(OF, dns)))

    assert said.startswith(says)


def test_an_earlier_form_of_coredns_that_is_still_there_is_told() -> None:
    (said,) = found(OF, at_work(OF, told(OF, replace(DNS, is_current=False))))

    assert said == "CoreDNS: pods of its earlier form are still there"


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("ErrImageNeverPull", "must be in the bundle"),
        ("Unschedulable", "taints"),
        ("CrashLoopBackOff", "logs -p"),
        ("ContainerCreating", "describe pods"),
    ],
)
def test_the_remedy_follows_the_reason(reason: str, remedy: str) -> None:
    pod = replace(POD, ready=False, reason=reason)
    (said,) = wrong(OF, at_work(OF, told(OF, DnsFacts(1, 0, is_current=True, pods=(pod,)))))

    assert remedy in said.remedy


def answered(host: str, address: str, how: str) -> Effects:
    return at_work(OF, answers={(host, address): how})


@pytest.mark.parametrize("how", ["refused", "silent", "unreachable"])
@pytest.mark.parametrize("address", ["10.42.0.7", SERVICE])
def test_each_way_of_not_answering_is_told(how: str, address: str) -> None:
    (said,) = found(OF, answered("agent-1", address, how))

    assert said.endswith(f"({address} port 53) does not answer agent-1 ({how})")


def test_who_cannot_ask_is_neither_right_nor_wrong() -> None:
    seen = answered("agent-1", SERVICE, "unknown")

    assert found(OF, seen) == []
    assert rows(OF, seen)["cluster DNS"].endswith("; unknown from agent-1: no program to ask with")


def test_the_way_is_the_backend_s() -> None:
    of = cluster(1, agents=1, networks={"backend": "wireguard-native"})
    (said,) = wrong(of, at_work(of, answers={("agent-1", "10.42.0.7"): "silent"}))

    assert "UDP port 51820" in said.remedy


def test_of_many_hosts_some_are_named() -> None:
    of = cluster(3, agents=9)
    silent = {(host.name, "10.42.0.7"): "silent" for host in of.agents}
    (said,) = found(of, at_work(of, answers=silent))

    assert "agent-5 (silent) and 4 more" in said
    assert "agent-6" not in said


def test_two_pods_prove_the_way_of_every_host() -> None:
    pods = (POD, PodFacts("coredns-2", "agent-1", "10.42.1.7", ready=True))
    seen = at_work(OF, told(OF, DnsFacts(2, 2, is_current=True, pods=pods)))

    assert "its own pod only" not in rows(OF, seen)["cluster DNS"]


def asked(of: Cluster, pods: Sequence[PodFacts]) -> list[str]:
    dns = DnsFacts(len(pods), len(pods), is_current=True, pods=tuple(pods))
    return [address for address, _ in effects.addresses_to_ask(of, told(of, dns))]


def test_no_more_pods_are_asked_than_say_something() -> None:
    pods = [replace(POD, name=f"p{n}", address=f"10.42.{n}.7") for n in range(100)]

    assert len(asked(OF, pods)) == effects.MOST_PODS + 1


def test_one_server_s_word_sends_no_host_elsewhere() -> None:
    pods = [replace(POD, address="169.254.169.254")]

    assert asked(OF, pods) == [SERVICE]
    dns = DnsFacts(1, 1, is_current=True, pods=tuple(pods))
    assert (
        "which is not in networks.cluster (10.42.0.0/16)"
        in found(OF, at_work(OF, told(OF, dns)))[0]
    )
    assert asked(cluster(1, networks={"backend": "none"}), pods) == ["169.254.169.254", SERVICE]


def test_other_networks_have_other_addresses() -> None:
    of = cluster(1, agents=1, networks={"cluster": "10.52.0.0/16", "service": "10.53.0.0/16"})

    assert asked(of, [replace(POD, address="10.52.0.7")]) == ["10.52.0.7", "10.53.0.10"]


def test_without_coredns_nothing_is_asked() -> None:
    of = cluster(1, agents=1, k3s={"version": VERSION, "disable": ["coredns"]})
    seen = at_work(of, told(of, None))

    assert not effects.wants_dns(of)
    assert effects.addresses_to_ask(of, seen.workloads) == []
    assert found(of, seen) == []
    assert rows(of, seen)["cluster DNS"] == "left out by k3s.disable"


# The VIP


def test_a_server_without_kube_vip_is_told() -> None:
    of = cluster(3, endpoint={"kind": "vip", "address": "10.0.0.100"})
    pods = tuple(
        PodFacts(f"kube-vip-{n}", f"server-{n}", f"10.0.0.1{n}", ready=True) for n in (1, 2)
    )
    seen = at_work(of, told(of, vip_pods=pods))

    assert found(of, seen) == ["kube-vip on server-3: no pod"]
    assert rows(of, seen)["VIP"] == "kube-vip on server-3: no pod"
