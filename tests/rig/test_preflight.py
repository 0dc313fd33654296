"""What is wrong with hosts is found before anything is changed: all of it, with the remedy."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.rig.clusters import TestCluster
from tests.rig.conftest import MakeCluster, MakeRig
from tests.rig.hosts import Host
from xops.core.errors import ExitCode

pytestmark = [pytest.mark.xdist_group("rig"), pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def cluster(make_shared_rig: MakeRig, make_cluster: MakeCluster) -> TestCluster:
    return make_cluster(make_shared_rig(servers=3, agents=1))


def found(
    cluster: TestCluster, accepted: ExitCode = ExitCode.FINDINGS
) -> dict[tuple[str, str], str]:
    """The findings: what was found, by host and check."""
    rows = cluster.json("preflight", accepted=(accepted,))["findings"]
    return {(row["host"], row["check"]): row["found"] for row in rows}


@contextmanager
def values(cluster: TestCluster, **changed: Any) -> Iterator[None]:
    """Other values in the cluster file."""
    kept = dict(cluster.values)
    cluster.values.update(changed)
    cluster.write()
    try:
        yield
    finally:
        cluster.values.clear()
        cluster.values.update(kept)
        cluster.write()


def hosts(cluster: TestCluster, **changed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The hosts of the file, some of them changed: `server_1={...}`."""
    rows: list[dict[str, Any]] = cluster.values["hosts"]
    return [{**row, **changed.get(row["name"].replace("-", "_"), {})} for row in rows]


def nothing_is_there(cluster: TestCluster) -> None:
    for host in cluster.rig.hosts:
        found = "find /etc/rancher /usr/local/bin -type f 2>/dev/null || true"
        assert host.shell(found).strip() == ""


def test_sound_hosts_are_sound(cluster: TestCluster) -> None:
    assert found(cluster, accepted=ExitCode.DONE) == {}


_LISTEN = (
    "systemd-run -q --unit taken --property Restart=always --property RestartSec=0"
    " systemd-socket-activate -l 6443 /bin/cat"
)


def test_all_findings_of_all_hosts_come_at_once(cluster: TestCluster) -> None:
    one, two, three = cluster.rig.servers
    (agent,) = cluster.rig.agents
    with ExitStack() as mended:
        two.block_port(2380, sender=one)
        mended.callback(two.unblock_port, 2380, sender=one)
        three.skew_clock(90)
        mended.callback(three.skew_clock, 0)
        one.shell(_LISTEN)
        mended.callback(one.shell, "systemctl stop taken 2>/dev/null || true")
        agent.shell("hostname server-3")  # no finding: nodes have the names of the file
        mended.callback(agent.shell, "hostname agent-1")
        with values(cluster, hosts=hosts(cluster, agent_1={"arch": "arm64"})):
            rows = found(cluster)
            applied = cluster.run("apply")
    assert set(rows) == {
        ("server-1", "peers"),
        ("server-1", "ports"),
        ("server-3", "clock"),
        ("agent-1", "arch"),
    }
    assert rows["server-1", "peers"].endswith("on 2380")
    assert "server-2" in rows["server-1", "peers"]
    assert re.match(r"is \+\d\d s off", rows["server-3", "clock"])
    assert applied.returncode == 1
    assert "4 findings" in applied.stderr
    assert "iptables -I INPUT" in applied.stderr
    nothing_is_there(cluster)


def test_slow_storage_is_no_place_for_etcd(cluster: TestCluster) -> None:
    slow = cluster.rig.servers[2]
    limits = {**cluster.values["preflight"], "fsync_p99_ms": 30}
    with values(cluster, preflight=limits), slow.slow_disk(writes_per_second=15):
        rows = found(cluster)
    assert "ms to reach the disk" in rows["server-3", "fsync"]
    assert "agent-1" not in {host for host, _ in rows}


def test_a_full_disk_is_told_before_anything_is_sent(cluster: TestCluster) -> None:
    full = cluster.rig.servers[0]
    full.fill_disk(left=300)
    try:
        assert "0.3 GiB are free" in found(cluster)["server-1", "disk"]
    finally:
        full.free_disk()


def test_two_clusters_are_never_merged(cluster: TestCluster) -> None:
    one, two, _ = cluster.rig.servers
    for host, content in ((one, "a"), (two, "b")):
        folder = "/var/lib/rancher/k3s/server"
        host.shell(
            f"mkdir -p {folder}/tls {folder}/db/etcd/member;"
            f" echo {content} > {folder}/tls/server-ca.crt"
        )
    try:
        rows = found(cluster)
    finally:
        for host in (one, two):
            host.shell("rm -rf /var/lib/rancher")
    assert "others are of another" in rows["server-1", "cluster"]
    assert "others are of another" in rows["server-2", "cluster"]


def test_an_agent_of_a_lost_cluster_is_not_taken_into_a_new_one(cluster: TestCluster) -> None:
    (agent,) = cluster.rig.agents
    agent.shell(
        "mkdir -p /var/lib/rancher/k3s/agent; echo a > /var/lib/rancher/k3s/agent/server-ca.crt"
    )
    try:
        rows = found(cluster)
    finally:
        agent.shell("rm -rf /var/lib/rancher")
    assert "no server here has data" in rows["agent-1", "cluster"]


def test_ways_in_that_are_closed(cluster: TestCluster) -> None:
    """A host that is off, a login whose sudo asks, a login that is not let in."""
    off = cluster.rig.servers[2]
    off.stop()
    wrong = hosts(cluster, server_1={"user": "asker"}, agent_1={"user": "nobody"})
    try:
        with values(cluster, hosts=wrong, ssh={**cluster.values["ssh"], "connect_timeout": 3}):
            rows = cluster.json("preflight", accepted=(ExitCode.FINDINGS,))["findings"]
    finally:
        off.start()
    by_host = {row["host"]: row for row in rows}
    assert set(by_host) == {"server-1", "server-3", "agent-1"}
    assert "NOPASSWD" in by_host["server-1"]["remedy"]
    assert all(row["check"] == "ssh" for row in rows)


def test_only_pinned_keys_count_and_trust_pins_them(cluster: TestCluster) -> None:
    pinned = cluster.folder / "pinned"
    with values(cluster, ssh={**cluster.values["ssh"], "known_hosts": str(pinned)}):
        rows = cluster.json("preflight", accepted=(ExitCode.FINDINGS,))["findings"]
        assert {row["host"] for row in rows} == {"server-1", "server-2", "server-3", "agent-1"}
        assert all("xops k3s trust" in row["remedy"] for row in rows)

        done = cluster.run("trust", "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("SHA256:") >= 4
        assert found(cluster, accepted=ExitCode.DONE) == {}

        # Another machine behind a known address is refused, loudly.
        line = next(line for line in pinned.read_text().splitlines() if "ed25519" in line)
        other = cluster.rig.servers[1].host_key if line else ""
        address = cluster.rig.servers[0].address
        pinned.write_text(f"{address} {other}\n")
        rows = cluster.json("preflight", accepted=(ExitCode.FINDINGS,))["findings"]
        (changed,) = [row for row in rows if row["host"] == "server-1"]
        assert "SHA256:" in changed["found"]
    nothing_is_there(cluster)


def test_a_wrong_file_gives_every_error_and_starts_nothing(cluster: TestCluster) -> None:
    wrong = [*hosts(cluster, server_2={"address": cluster.rig.servers[0].address})]
    with values(cluster, hosts=wrong, k3s={"version": "latest"}, colour="blue"):
        done = cluster.run("plan")
    assert done.returncode == 2
    for text in ("k3s.version", "hosts.1.address", "colour: is not a known key"):
        assert text in done.stderr
    assert re.search(r"rig\.yaml:\d+: ", done.stderr)


def port_is_free(host: Host, port: int) -> bool:
    return not host.shell(f"ss -Hltn 'sport = :{port}'").strip()


def test_preflight_leaves_no_trace(cluster: TestCluster) -> None:
    assert found(cluster, accepted=ExitCode.DONE) == {}
    for host in cluster.rig.servers:
        assert port_is_free(host, 6443)
        assert not host.shell("ls -A /var/lib/rancher 2>/dev/null || true").strip()
        assert not host.shell("find / -xdev -name '.xops-*' 2>/dev/null").strip()
