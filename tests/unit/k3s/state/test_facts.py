"""What a host says about itself, read; and what it is asked."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests import k3s_hosts
from tests.soak import examples
from xops.core.errors import PermanentError, XopsError
from xops.core.files.bounded_yaml import parse_yaml
from xops.k3s import paths
from xops.k3s.node import config, effects, hardening, labels
from xops.k3s.node.managed_file import SecretContent, SecretFiles
from xops.k3s.state import facts, network_facts, preflight, topology
from xops.k3s.state.facts import EtcdMember, FileFacts, HostFacts, NodeFacts, ServiceFacts
from xops.k3s.state.network_facts import Route
from xops.k3s.state.preflight import Observation

CONFIG = "node-name: server-1\ntoken-file: /etc/rancher/k3s/token\n"
SECTIONS = {
    "clock": "1700000000.250000000",
    "arch": "x86_64",
    "os": "debian 13",
    "init": "systemd",
    "hostname": "server-1",
    "machine_id": "0" * 32,
    "cpus": "4",
    "memory": "MemTotal:        8123456 kB\nSwapTotal:       2097148 kB",
    "disk": "/dev/vda1       41152736 9876543  29160000      26% /",
    "addresses": "10.0.0.11/24\nfd00::11/64",
    "routes": "default via 10.0.0.1 dev eth0",
    "cgroups": "cpuset cpu io memory pids",
    "modules": "br_netfilter",
    "iptables": "iptables v1.8.11 (nf_tables)",
    "sockets": "tcp 0.0.0.0:22\ntcp [::]:6443\nudp *:8472",
    "sysctls": "vm.overcommit_memory=1\nkernel.panic=",
    "version": "k3s version v1.36.4+k3s1 (0123abcd)",
    "service": "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=2\n"
    "ActiveEnterTimestamp=Mon 2026-11-02 10:00:00 UTC",
    "files": f"{'a' * 64} 600 root:root 61 /etc/rancher/k3s/a file",
    "images": "1234 /var/lib/rancher/k3s/agent/images/xops-0123-images.tar.gz",
    "config": CONFIG.rstrip(),
    "cluster_id": "c" * 64,
    "etcd": "member",
    "nodes": "",
    "fsync": "",
}


def said(**changed: str) -> str:
    """What the script prints, with other answers in some sections."""
    shown = {**SECTIONS, **changed}
    return "".join(f"\n@@{name}\n{text}\n" for name, text in shown.items()) + "\n@@end\n"


def parsed(**changed: str) -> HostFacts:
    return facts.parse("server-1", said(**changed))


def test_everything_is_read() -> None:
    seen = parsed()

    assert seen.clock == 1700000000.25
    assert (seen.arch, seen.os, seen.init, seen.cpus) == ("amd64", "debian 13", "systemd", 4)
    assert (seen.memory_mib, seen.swap_mib) == (7933, 2047)
    assert seen.disk_free_gib == pytest.approx(27.81, abs=0.01)
    assert seen.addresses == {"10.0.0.11", "fd00::11"}
    assert seen.listening == {("tcp", 22), ("tcp", 6443), ("udp", 8472)}
    assert seen.default_route
    assert seen.memory_cgroup
    assert seen.missing_modules == {"br_netfilter"}
    assert seen.sysctls == {"vm.overcommit_memory": "1", "kernel.panic": ""}
    assert seen.version == "v1.36.4+k3s1"
    assert seen.service == ServiceFacts("active", True, 2, "Mon 2026-11-02 10:00:00 UTC")
    assert seen.files == {
        "/etc/rancher/k3s/a file": FileFacts("a" * 64, "600", "root:root", 61),
    }
    assert seen.contents == {paths.CONFIG: CONFIG.rstrip()}
    assert seen.images == {"/var/lib/rancher/k3s/agent/images/xops-0123-images.tar.gz": 1234}
    assert (seen.cluster_id, seen.etcd_member, seen.nodes) == ("c" * 64, True, None)
    assert not seen.api_answers


@pytest.mark.parametrize(
    ("section", "text", "field", "value"),
    [
        ("arch", "aarch64", "arch", "arm64"),
        ("arch", "riscv64", "arch", "riscv64"),
        ("clock", "1700000000.N", "clock", 1700000000.0),  # a date without nanoseconds
        ("routes", "", "default_route", False),
        ("cgroups", "", "memory_cgroup", False),
        ("cgroups", "/sys/fs/cgroup/memory", "memory_cgroup", True),
        ("modules", "", "missing_modules", frozenset()),
        ("iptables", "", "iptables", None),
        ("sockets", "", "listening", frozenset()),
        ("version", "", "version", None),
        ("version", "cannot execute binary file", "version", None),
        ("service", "LoadState=not-found\nActiveState=inactive", "service", None),
        ("service", "", "service", None),
        ("files", "", "files", {}),
        ("config", "", "contents", {}),
        ("images", "", "images", {}),
        ("cluster_id", "", "cluster_id", None),
        ("etcd", "", "etcd_member", False),
        ("nodes", "", "nodes", None),
        ("nodes", '{"items": []}', "nodes", ()),
        ("fsync", "", "fsync_p99_ms", None),
        ("machine_id", "", "machine_id", ""),
    ],
)
def test_an_answer_that_is_not_there_is_told_from_an_empty_one(
    section: str, text: str, field: str, value: object
) -> None:
    assert getattr(parsed(**{section: text}), field) == value


@pytest.mark.parametrize(
    ("shown", "active", "enabled"),
    [
        ("ActiveState=activating\nUnitFileState=enabled", False, True),
        ("ActiveState=failed\nUnitFileState=disabled\nNRestarts=", False, False),
        ("ActiveState=active", True, False),  # as OpenRC's part of the script says it
    ],
)
def test_the_service_is_active_when_it_says_so(shown: str, active: bool, enabled: bool) -> None:
    service = parsed(service=f"LoadState=loaded\n{shown}").service

    assert service is not None
    assert (service.is_active, service.enabled, service.restarts) == (active, enabled, 0)


def api_node(**conditions: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "server-1",
            "labels": {"node-role.kubernetes.io/etcd": "true", "site": "north"},
        },
        "status": {
            "conditions": [{"type": kind, "status": value} for kind, value in conditions.items()],
            "addresses": [
                {"type": "Hostname", "address": "server-1"},
                {"type": "InternalIP", "address": "10.0.0.11"},
            ],
            "nodeInfo": {"kubeletVersion": "v1.36.4+k3s1"},
        },
    }


@pytest.mark.parametrize(
    ("conditions", "ready", "voter"),
    [
        ({"Ready": "True", "EtcdIsVoter": "True"}, True, True),
        ({"Ready": "True", "EtcdIsVoter": "False"}, True, False),
        ({"Ready": "Unknown"}, False, None),
        ({}, False, None),
    ],
)
def test_a_node_is_read(conditions: dict[str, str], ready: bool, voter: bool | None) -> None:
    seen = parsed(nodes=json.dumps({"items": [api_node(**conditions)]}, indent=2))

    labels = {"node-role.kubernetes.io/etcd": "true", "site": "north"}
    assert seen.nodes == (
        NodeFacts(
            "server-1", ready, voter, frozenset({"etcd"}), "v1.36.4+k3s1", "10.0.0.11", labels
        ),
    )
    assert seen.api_answers


def test_a_node_that_has_just_registered_is_read() -> None:
    bare = {"metadata": {"name": "agent-1"}, "status": {}}

    (node,) = parsed(nodes=json.dumps({"items": [bare]})).nodes or ()
    assert node == NodeFacts("agent-1", False, None, frozenset(), "", None)


@pytest.mark.parametrize(
    ("taken", "p99"),
    [
        ([2.5], 2.5),
        ([1.0] * 59 + [40.0], 40.0),
        ([1.0] * 199 + [40.0], 1.0),
        ([1.0] * 198 + [40.0] * 2, 1.0),
        ([1.0] * 197 + [40.0] * 3, 40.0),
        ([7.0, 1.0, 3.0], 7.0),
    ],
)
def test_of_a_hundred_writes_ninety_nine_are_as_fast(taken: list[float], p99: float) -> None:
    lines = [f"2300 bytes (2.3 kB) copied, {each / 1000:g} s, 1.0 MB/s" for each in taken]

    seen = parsed(fsync="\n".join(lines))
    assert seen.fsync_p99_ms == pytest.approx(p99)
    assert (seen.fsync_writes, seen.untimed) == (len(taken), False)


@pytest.mark.parametrize(
    "said", ["untimed", "2300 bytes copied, 0.0 s, 99 MB/s\n2300 bytes copied, 0.1 s, 9 MB/s"]
)
def test_a_disk_that_was_not_timed_is_not_a_fast_one(said: str) -> None:
    seen = parsed(fsync=said)

    assert (seen.fsync_p99_ms, seen.fsync_writes, seen.untimed) == (None, 0, True)


def node_row(name: str = "server-1", **said: str) -> str:
    """A row as kubectl prints it for NODE_FORM."""
    values = {
        "name": name,
        "labels": '{"node-role.kubernetes.io/etcd":"true","site":"north"}',
        "taints": "",
        "member": "",
        "tunnel": "",
        "ready": "True",
        "voter": "True",
        "reason": "",
        "address": "10.0.0.11",
        "version": "v1.36.4+k3s1",
    }
    return "\t".join((values | said).values())


def test_a_row_of_a_node_says_what_the_whole_node_says() -> None:
    whole = parsed(nodes=json.dumps({"items": [api_node(Ready="True", EtcdIsVoter="True")]}))

    assert parsed(nodes=f"rows\n{node_row()}").nodes == whole.nodes


def test_what_a_row_says_beyond_that_is_read() -> None:
    row = node_row(
        taints='[{"effect":"NoSchedule","key":"gpu","value":"yes"},{"effect":"NoExecute","key":"a"}]',
        member="server-1-1a2b3c4d",
        tunnel="192.0.2.1",
        voter="False",
        reason="Unhealthy",
        address="10.0.0.11 fd00::11",
    )
    (node,) = parsed(nodes=f"rows\n{row}").nodes or ()

    assert node.taints == {"gpu=yes:NoSchedule", "a:NoExecute"}
    assert (node.member, node.tunnel_address) == ("server-1-1a2b3c4d", "192.0.2.1")
    assert (node.voter, node.voter_reason, node.address) == (False, "Unhealthy", "10.0.0.11")


def test_no_nodes_are_told_from_no_answer() -> None:
    assert parsed(nodes="rows").nodes == ()
    assert parsed(nodes="").nodes is None


def test_a_row_of_a_node_that_has_just_registered_is_read() -> None:
    empty = dict.fromkeys(("labels", "ready", "voter", "address", "version"), "")

    (node,) = parsed(nodes=f"rows\n{node_row('agent-1', **empty)}").nodes or ()
    assert node == NodeFacts("agent-1", False, None, frozenset(), "", None)


def test_a_thousand_nodes_are_far_from_the_limit_of_an_answer() -> None:
    """Labels are long here; images, which take 18 kB of each node, are not asked for."""
    labels = json.dumps({f"example.com/label-{n}": "x" * 40 for n in range(10)})
    rows = "\n".join(node_row(f"agent-{n}", labels=labels) for n in range(1000))

    assert len(rows) < (4 << 20) / 2
    assert len(parsed(nodes=f"rows\n{rows}").nodes or ()) == 1000
    assert ".images" not in facts.NODE_FORM


@pytest.mark.parametrize(
    "text",
    ["x", "a\tb", node_row("$(reboot)"), node_row(labels="{"), node_row(labels="[]"),
     node_row(taints="[5]"), f"{node_row()}\tmore", node_row(version="x" * 999)],
)  # fmt: skip
def test_a_row_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(PermanentError, match="cannot be understood"):
        parsed(nodes=f"rows\n{text}")


# What the kernel says of addresses, routes and sockets


def test_routes_are_read_from_the_kernel_s_words() -> None:
    seen = parsed(
        routes="4 eth1 0000000A 00FFFFFF 0001\n4 eth0 00000000 00000000 0003\n"
        "4 gone 0000A8C0 0000FFFF 0000\n"
        "6 eth1 fd000000000000000000000000000000 40 00000001\n"
        "6 lo 00000000000000000000000000000000 00 00200200"
    )

    assert seen.routes == (
        Route("10.0.0.0/24", "eth1"), Route("0.0.0.0/0", "eth0"), Route("fd00::/64", "eth1")
    )  # fmt: skip
    assert (seen.default_route, seen.default_interface) == (True, "eth0")


def test_routes_without_a_default_one_are_not_one() -> None:
    seen = parsed(routes="4 eth1 0000000A 00FFFFFF 0001")

    assert (seen.default_route, seen.default_interface) == (False, None)


def test_addresses_tell_their_interface() -> None:
    seen = parsed(addresses="eth0 192.0.2.7/24\neth1@if5 10.0.0.11/24\n10.9.9.9/8")

    assert seen.addresses == {"192.0.2.7", "10.0.0.11", "10.9.9.9"}
    assert seen.interfaces == {"192.0.2.7": "eth0", "10.0.0.11": "eth1"}


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.integers(0, 32), st.integers(1, 65535))
def test_what_the_kernel_prints_is_read_back(address: IPv4Address, length: int, port: int) -> None:
    network = IPv4Network((address, length), strict=False)
    words = [
        int.from_bytes(value.packed, "little")
        for value in (network.network_address, network.netmask)
    ]
    row = f"4 eth0 {words[0]:08X} {words[1]:08X} 0001"

    assert network_facts.parse_routes([row]) == (Route(str(network), "eth0"),)
    assert list(network_facts.parse_sockets([f"udp hex {port:04X}"])) == [("udp", port)]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("routes", "4 eth0"), ("routes", "4 eth0 X 0 1"), ("routes", f"4 {'x' * 99} 0 0 1"),
        ("routes", "4 eth0 00000000 00000000 1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"),
        ("routes", "6 eth0 0 FF 1"), ("routes", "4 eth0 1FFFFFFFF 0 1"),
        ("sockets", "tcp hex x"), ("sockets", "tcp"), ("addresses", "x" * 500),
    ],
)  # fmt: skip
def test_what_the_kernel_never_prints_is_an_error(name: str, rows: str) -> None:
    with pytest.raises(PermanentError):
        parsed(**{name: rows})


@pytest.mark.parametrize(
    ("said", "version", "controllers"),
    [
        ("v2\ncpuset cpu io memory", 2, {"cpuset", "cpu", "io", "memory"}),
        ("v1\ncpu\nmemory", 1, {"cpu", "memory"}),
        ("v1", 1, set()),
        ("memory", None, None),  # as a release before said it
        ("", None, None),
    ],
)
def test_cgroups_are_read(said: str, version: int | None, controllers: set[str] | None) -> None:
    seen = parsed(cgroups=said)

    assert (seen.cgroup_version, seen.cgroup_controllers) == (version, controllers)
    assert seen.memory_cgroup is ("memory" in said)


def test_what_a_host_says_besides_is_read() -> None:
    seen = parsed(
        mount="rw,noexec,relatime", selinux="enforcing\npolicy", datastore_file="yes",
        dropins="/etc/rancher/k3s/config.yaml.d/a.yaml", proxies="HTTP_PROXY in /etc/default/k3s",
        tools="ip", other_service="LoadState=loaded\nActiveState=active",
    )  # fmt: skip

    assert (seen.noexec, seen.selinux, seen.selinux_policy) == (True, "enforcing", True)
    assert (seen.datastore_file, seen.dropins) == (True, ("/etc/rancher/k3s/config.yaml.d/a.yaml",))
    assert seen.proxies == ("HTTP_PROXY in /etc/default/k3s",)
    assert seen.missing_tools == {"ip"}
    assert seen.other_service is not None


def test_of_words_that_a_host_makes_up_little_is_kept() -> None:
    seen = parsed(selinux="x" * 9999, tools="\n".join(f"{n} {'x' * 999}" for n in range(9999)))

    assert seen.selinux is None
    assert sum(map(len, seen.missing_tools)) < 10_000


def test_what_a_release_before_did_not_ask_is_unknown() -> None:
    seen = parsed()

    assert (seen.noexec, seen.selinux, seen.routes, seen.cgroup_version) == (None,) * 4


MEMBERS = (
    '{"members":[{"ID":10501334649042878790,"name":"server-1-1a2b3c4d",'
    '"peerURLs":["https://10.0.0.11:2380"],"clientURLs":["https://10.0.0.11:2379"]},'
    '{"ID":77,"peerURLs":["https://[fd00::12]:2380"],"isLearner":true}]}'
)


def test_etcd_s_members_are_read() -> None:
    first, second = parsed(members=MEMBERS).members or ()

    assert first == EtcdMember(
        "10501334649042878790",
        "server-1-1a2b3c4d",
        ("https://10.0.0.11:2380",),
        ("https://10.0.0.11:2379",),
    )
    assert (first.node_name, first.addresses) == ("server-1", frozenset({"10.0.0.11"}))
    assert str(first) == "server-1-1a2b3c4d (voter at 10.0.0.11)"
    assert (second.name, second.is_learner, second.addresses) == ("", True, frozenset({"fd00::12"}))
    assert str(second) == "77 (learner at fd00::12)"


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"members":[]}',
        '{"members":null}',
        # A server without quorum, of releases before 2024-11: itself alone, without an id.
        '{"members":[{"name":"server-1-1a2b3c4d","peerURLs":["https://10.0.0.11:2380"]}]}',
    ],
)
def test_without_a_quorum_the_members_are_unknown(text: str) -> None:
    assert parsed(members=text).members is None


def test_a_host_that_tells_no_members_is_read() -> None:
    assert parsed().members is None


@pytest.mark.parametrize(
    ("member", "node"),
    [("server-1-1a2b3c4d", "server-1"), ("a-1a2b3c4d", "a-1a2b3c4d"), ("node", "node"), ("", "")],
)
def test_a_member_is_named_after_its_node(member: str, node: str) -> None:
    assert EtcdMember("1", member, ()).node_name == node


def test_a_node_tells_its_member() -> None:
    row = api_node(Ready="True")
    row["metadata"]["annotations"] = {facts.MEMBER_NAME: "server-1-1a2b3c4d"}

    (node,) = parsed(nodes=json.dumps({"items": [row]})).nodes or ()
    assert node.member == "server-1-1a2b3c4d"


def test_a_live_view_is_whole_or_none() -> None:
    nodes = '{"items": []}'

    view = facts.parse_live_view(f"@@members\n{MEMBERS}\n@@nodes\n{nodes}\n")
    assert view is not None
    assert (len(view[0]), view[1]) == (2, ())
    assert facts.parse_live_view(f"@@members\n{MEMBERS}\n") is None
    assert facts.parse_live_view(f"@@nodes\n{nodes}\n") is None
    assert facts.parse_live_view("") is None


# What is no answer


def test_an_answer_that_was_cut_off_says_where() -> None:
    with pytest.raises(PermanentError, match="ends after \\['etcd'\\]") as caught:
        facts.parse("server-1", said().partition("\n@@nodes")[0])
    assert caught.value.attempted == "reading the facts of server-1"

    with pytest.raises(PermanentError, match="ends after nothing"):
        facts.parse("server-1", "sh: 1: Syntax error\n")


@pytest.mark.parametrize(
    "changed",
    [
        {"cpus": "four"},
        {"memory": "MemTotal: 100 kB"},
        {"disk": "df: cannot read"},
        {"clock": ""},
        {"files": "sha256sum: no such file"},
        {"nodes": '{"items": [{"metadata'},
        {"members": '{"members": [{'},
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(changed: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="cannot be understood"):
        parsed(**changed)


WHOLE = said(
    tools="", mount="rw", other_service="", dropins="", proxies="", selinux="disabled",
    datastore_file="", members="", exposed="",
    nodes=f"rows\n{node_row()}", routes="4 eth0 00000000 00000000 0003",
)  # fmt: skip


@pytest.mark.parametrize("cut", [found.start() for found in re.finditer("\n@@", WHOLE)])
@pytest.mark.parametrize("more", [0, 3, 9])
def test_an_answer_that_was_cut_off_anywhere_is_an_error(cut: int, more: int) -> None:
    with pytest.raises(PermanentError):
        facts.parse("server-1", WHOLE[: min(cut + more, WHOLE.rindex("@@end"))])


@examples(100)
@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n\r\x0b\x0c"))))
def test_any_row_of_nodes_is_read_or_refused(rows: list[str]) -> None:
    try:
        nodes = parsed(nodes="\n".join(["rows", *rows])).nodes
    except PermanentError:
        return
    assert nodes is not None


def test_a_missing_section_is_an_error_and_not_an_empty_one() -> None:
    with pytest.raises(PermanentError, match="images"):
        facts.parse("server-1", said().replace("@@images", "@@pictures"))


@examples(25)
@given(st.text(max_size=200))
def test_no_text_is_taken_for_facts(text: str) -> None:
    with pytest.raises(PermanentError):
        facts.parse("server-1", text)


# What a host says that means harm, or that another program wrote

HOSTILE_JSON = [
    "null", "5", '"x"', "[]", "true", "NaN", "1e999", "[" * 100_000, '{"a":' * 3000, "{", "\x00",
    '{"items": null}', '{"items": 5}', '{"items": {}}', '{"items": [null]}', '{"items": [[]]}',
    '{"items": [{}]}', '{"items": [{"metadata": null, "status": {}}]}',
    '{"items": [{"metadata": {"name": 5}, "status": {}}]}',
    '{"items": [{"metadata": {"name": "$(reboot)"}, "status": {}}]}',
    '{"items": [{"metadata": {"name": "a"}, "status": []}]}',
    '{"items": [{"metadata": {"name": "a", "labels": []}, "status": {}}]}',
    '{"items": [{"metadata": {"name": "a", "labels": {"x": null}}, "status": {}}]}',
    '{"items": [{"metadata": {"name": "a", "annotations": 5}, "status": {}}]}',
    '{"items": [{"metadata": {"name": "a"}, "status": {"conditions": {}}}]}',
    '{"items": [{"metadata": {"name": "a"}, "status": {"conditions": [5]}}]}',
    '{"items": [{"metadata": {"name": "a"}, "status": {"addresses": "x"}}]}',
    '{"items": [{"metadata": {"name": "a"}, "status": {"nodeInfo": null}}]}',
    '{"items": [{"metadata": {"name": "a"}, "status": {"nodeInfo": {"kubeletVersion": {}}}}]}',
    '{"members": 5}', '{"members": {}}', '{"members": [5]}', '{"members": [{"ID": {}}]}',
    '{"members": [{"ID": -1}]}', '{"members": [{"ID": 1e400}]}', '{"members": [{"ID": "1"}]}',
    '{"members": [{"ID": 1, "name": 5}]}', '{"members": [{"ID": 1, "peerURLs": "https://a"}]}',
    '{"members": [{"ID": 1, "peerURLs": [5]}]}', '{"members": [{"ID": 1, "peerURLs": ["http://["]}]}',
    '{"members": [{"ID": 1, "isLearner": "yes"}]}', f'{{"members": [{{"ID": 1{"0" * 5000}}}]}}',
    f'{{"members": [{{"ID": 1, "name": "{"x" * 5000}"}}]}}',
]  # fmt: skip

HOSTILE = {
    "clock": ["nan", "inf", "-1", "1e300", "9" * 5000],
    "cpus": ["-1", "1_0", "9" * 5000, "\u0664", "", "4 4"],
    "memory": ["MemTotal:", "x", f"MemTotal: {'9' * 4000} kB\nSwapTotal: 1 kB", "a: nan"],
    "disk": [f"/dev/vda 1 1 {'9' * 4000} 1% /", "a b c", "a b c -5"],
    "sockets": ["tcp 0.0.0.0:x", f"tcp a:{'9' * 5000}", ":"],
    "service": ["LoadState=loaded\nNRestarts=x", f"LoadState=loaded\nNRestarts={'9' * 5000}"],
    "files": ["a b c d e", "x", f"a b c {'9' * 5000} e"],
    "images": ["x", f"{'9' * 5000} a", "5"],
    "cluster_id": ["x", "A" * 64, "a" * 63, "../../etc/passwd"],
    "fsync": ["copied, 1e999 s", "copied, e s", "copied, 1.1.1 s"],
    "version": [f"k3s version v1.{'9' * 5000}.0"],
    "hostname": ["x" * 5000],
    "machine_id": ["x" * 5000],
    "nodes": [text for text in HOSTILE_JSON if "members" not in text],
    "members": [text for text in HOSTILE_JSON if "items" not in text and text not in ("{", "[]")],
}


@pytest.mark.parametrize(
    ("section", "text"),
    [(name, text) for name, texts in HOSTILE.items() for text in texts],
    ids=lambda text: str(text)[:40],
)
def test_what_means_harm_is_an_error_about_that_host(section: str, text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        parsed(**{section: text})
    assert caught.value.attempted == "reading the facts of server-1"
    assert len(str(caught.value)) < 2000


HOSTILE_CONFIGS = [
    "a: &a [*a]", "[" * 5000, "a: !!python/object/apply:os.system [id]", "server: [x]",
    "server: {a: b}", "5: x", "a: 2026-13-45", f"a: {'9' * 5000}", "? [a]\n: b", "a: .nan",
    "a: &b [x]\n" + "".join(f"k{n}: [*b, *b, *b]\n" for n in range(999)), "x" * 100_000,
    "<<: 5", "a: b\x00", "? {a: b}\n: c",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_CONFIGS, ids=lambda text: text[:30])
def test_a_configuration_of_any_form_is_read_or_unknown(text: str) -> None:
    cluster = k3s_hosts.cluster()
    host = cluster.hosts[1]
    seen = replace(parsed(config=text), etcd_member=True)
    formation = topology.read(cluster, k3s_hosts.all_bare(cluster))
    assert config.server_url(cluster, host, formation)
    assert config._kept_server(cluster, host, seen) is None
    for known in seen.contents.values():
        before, after = parse_yaml(known) or {}, {"a": {"b": "c"}}
        assert effects.restarts(effects.differences(before, after, is_server=True))
        assert labels.given(seen) == labels.Marks()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["items", "metadata", "name", "labels", "annotations", "status", "conditions",
                 "type", "addresses", "address", "nodeInfo", "kubeletVersion", "members", "ID",
                 "peerURLs", "clientURLs", "isLearner"]
            ) | st.text(),
            inner, max_size=4,
        )
    ),
)  # fmt: skip


def whatever_comes_of_it(output: str) -> None:
    """One host's answer, and all that is done with the answers of all."""
    cluster = k3s_hosts.cluster(3, 1)
    others = k3s_hosts.formed(cluster)
    failed: dict[str, XopsError] = {}
    try:
        seen = {**others, "server-1": facts.parse("server-1", output)}
    except PermanentError as error:
        seen = {name: one for name, one in others.items() if name != "server-1"}
        failed = {"server-1": error}
    observed = Observation(seen, {name: one.clock for name, one in seen.items()}, {}, failed)
    rows = preflight.findings(cluster, observed)
    assert not failed or [row.host for row in rows if row.check == "ssh"] == ["server-1"]
    formation = topology.read(cluster, seen)
    json.dumps([row.to_json() for row in rows], allow_nan=False).encode()
    json.dumps([str(member) for member in formation.etcd or ()]).encode()
    assert hardening.report(cluster, seen)
    for name in seen:
        config._kept_server(cluster, cluster.host(name), seen[name])


@examples(100)
@given(JSON, JSON)
def test_any_json_of_a_host_harms_that_host_alone(nodes: Any, members: Any) -> None:
    whatever_comes_of_it(said(nodes=json.dumps(nodes), members=json.dumps(members)))
    whatever_comes_of_it(said(nodes=json.dumps({"items": [nodes]}), members=json.dumps(members)))
    whatever_comes_of_it(said(members=json.dumps({"members": [members]})))
    facts.parse_live_view(f"@@members\n{json.dumps(members)}\n@@nodes\n{json.dumps(nodes)}\n")


@examples(200)
@given(st.sampled_from(sorted(SECTIONS)), st.text() | st.from_regex(r"[\w:=./%\[\]{}\"' \n-]*"))
def test_any_text_in_a_section_harms_that_host_alone(section: str, text: str) -> None:
    whatever_comes_of_it(said(**{section: text}))


@examples(100)
@given(st.text())
def test_any_text_of_peers_is_read(text: str) -> None:
    facts.parse_peers(text)
    facts.parse_peers(f"10.0.0.1 {text} open\n10.0.0.1 99999999 open\n10.0.0.1 22 {text}\n")


# Secrets in a configuration that another hand wrote


@pytest.mark.parametrize(
    "key",
    [
        "token", "agent-token", "token+", "datastore-endpoint", "etcd-s3-access-key",
        "etcd-s3-secret-key", "etcd-s3-session-token", "vpn-auth",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["{key}: canary", "{key}: >-\n  canary", '"{key}": [canary]'])
def test_a_secret_in_a_foreign_configuration_goes_no_further(key: str, form: str) -> None:
    seen = parsed(config=f"# by hand\nnode-name: x\n{form.format(key=key)}")

    assert "canary" not in repr(seen)
    assert yaml.safe_load(seen.contents[paths.CONFIG]) == {"node-name": "x", key: "not shown"}


@pytest.mark.parametrize("text", ["a: [1", "- a list", "token canary", "\ttoken: canary", "# all"])
def test_what_is_no_configuration_is_not_shown(text: str) -> None:
    assert parsed(config=text).contents == {}


# What is asked


@pytest.mark.parametrize(
    ("role", "probe", "probes", "service"),
    [
        ("server", True, "200", "k3s"),
        ("server", False, "0", "k3s"),
        ("agent", True, "0", "k3s-agent"),  # slow storage is no hindrance to an agent
    ],
)
def test_the_disk_of_servers_is_timed(role: str, probe: bool, probes: str, service: str) -> None:
    host = next(h for h in k3s_hosts.cluster(1, 1).hosts if h.role == role)
    script = facts.facts_script(host, "/data", probe_disk=probe)

    assert f"\nPROBES={probes}\n" in script
    assert f"\nSERVICE={service}\n" in script
    assert "\nDATA=/data\n" in script


def test_every_file_that_a_plan_compares_is_asked_for() -> None:
    cluster = k3s_hosts.cluster(
        endpoint={"kind": "vip", "address": "10.0.0.10"},
        air_gap={"bundle": "b.tar"},
        registries={"mirrors": {"*": {}}},
    )
    secrets = SecretFiles(SecretContent("mirrors: {}\n", ()), SecretContent("kind: Secret\n", ()))
    seen = k3s_hosts.installed(cluster, k3s_hosts.desired(secrets=secrets))
    script = facts.facts_script(cluster.hosts[0], cluster.k3s.data_dir)

    watched = next(line for line in script.splitlines() if line.startswith("WATCHED="))
    for path in seen["server-1"].files:
        assert path in watched or path.startswith(f"{cluster.k3s.data_dir}/server/manifests/xops-")
    assert paths.UNREAD in watched


def test_ports_of_peers() -> None:
    script = facts.peer_script({"10.0.0.12": (6443, 2379), "fd00::1": (10250,)}, seconds=3)

    assert "10.0.0.12 6443\n10.0.0.12 2379\nfd00::1 10250" in script
    assert "SECONDS_EACH=3" in script
    assert facts.parse_peers("10.0.0.12 6443 open\nnoise\nfd00::1 10250 refused\n") == {
        ("10.0.0.12", 6443): "open",
        ("fd00::1", 10250): "refused",
    }
