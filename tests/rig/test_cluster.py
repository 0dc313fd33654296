"""Bare hosts become a cluster, and stay one: with the real command over real SSH.

The tests of this module share one cluster and leave it whole.
"""

import json
import os
import re
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rig.clusters import TestCluster
from tests.rig.conftest import MakeCluster, MakeRig
from tests.rig.hosts import Host
from tests.rig.k3s_program import NEXT, version_of
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.k3s import scripts
from xops.k3s.release import behaviour

pytestmark = [pytest.mark.xdist_group("rig"), pytest.mark.timeout(300)]

SERVERS = {"server-1", "server-2", "server-3"}
SNAPSHOT_KEYS = {"access_key": "canary-access", "secret_key": "canary-'\"$#: secret"}
FIRST: dict[str, str] = {}
"""What the first apply printed."""

_WATCHED = (
    "find /etc/rancher /var/lib/rancher/k3s/server/manifests /etc/systemd/system/k3s*.service"
    " /usr/local/bin /etc/sysctl.d -type f -printf '%p %T@ %i\\n' 2>/dev/null | sort;"
    " systemctl show k3s k3s-agent -p NRestarts -p ActiveEnterTimestampMonotonic -p MainPID"
)


def _references() -> dict[str, dict[str, str]]:
    """The keys as the file names them: from its folder, within the home's folder of secrets."""
    return {name: {"file": f"home/secrets/{name}"} for name in SNAPSHOT_KEYS}


@pytest.fixture(scope="module")
def cluster(make_shared_rig: MakeRig, make_cluster: MakeCluster) -> TestCluster:
    rig = make_shared_rig(servers=3, agents=1)
    keys = {"config_secret": "etcd-s3", **_references()}
    found = make_cluster(rig, snapshots={"s3": {"bucket": "kept", **keys}})
    for name, key in SNAPSHOT_KEYS.items():
        file = found.home / "secrets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{key}\n")
        file.chmod(0o600)
    done = found.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    FIRST["out"], FIRST["err"] = done.stdout, done.stderr
    return found


def touched(cluster: TestCluster) -> dict[str, str]:
    """Files with the moments of their last writes, and since when K3S runs, by host."""
    return {host.name: host.shell(_WATCHED) for host in cluster.rig.hosts}


def test_bare_hosts_become_a_cluster(cluster: TestCluster) -> None:
    nodes = cluster.nodes()
    assert set(nodes) == {*SERVERS, "agent-1"}
    assert cluster.voters() == SERVERS
    assert nodes["agent-1"]["Ready"] == "True"
    assert "Endpoint:     https://" in FIRST["out"]
    assert "every rule of the profile holds" in FIRST["out"]


def test_every_step_of_a_host_is_a_line_with_its_seconds(cluster: TestCluster) -> None:
    for host in ("server-1", "server-2", "server-3"):
        steps = re.findall(rf"✔ {host}: (\S.*?) +\d+\.\d s", FIRST["err"])
        assert steps[:5] == ["binary brought", steps[1], "active", "readyz", "node"], steps
        assert re.fullmatch(r"\d+ files written", steps[1])
    # One server after the other: the next is started when the last is a voter.
    order = re.findall(r"✔ (server-\d): (active|node) ", FIRST["err"])
    assert order == [(name, step) for name in sorted(SERVERS) for step in ("active", "node")]


def test_no_server_is_special_afterwards(cluster: TestCluster) -> None:
    for host in cluster.rig.servers:
        text = host.exec(["cat", "/etc/rancher/k3s/config.yaml"])
        assert "cluster-init" not in text
        assert re.search(r"^server: https://", text, re.MULTILINE)


def test_the_record_names_the_plan_and_what_was_seen(cluster: TestCluster) -> None:
    files = sorted((cluster.home / "evidence" / "k3s" / "rig").glob("*.json"))
    records = [json.loads(file.read_text()) for file in files]
    assert [row["kind"] for row in records[:2]] == ["intent", "intent"]
    record = next(row for row in records if row["kind"] == "apply")
    assert record["digest"] == record["plan"]["digest"]
    assert record["status"] == "applied"
    assert {node["name"] for node in record["verification"]["nodes"]} == {*SERVERS, "agent-1"}
    assert record["approval"]["identity"] == "policy"


def test_secrets_are_root_s_alone_and_nowhere_else(cluster: TestCluster) -> None:
    tokens = [
        (cluster.secrets / name).read_text().strip() for name in ("server-token", "agent-token")
    ]
    for file in cluster.secrets.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert cluster.secrets.stat().st_mode & 0o777 == 0o700
    shown = FIRST["out"] + FIRST["err"]
    shown += "".join(f.read_text() for f in cluster.home.rglob("*.json"))
    for host in cluster.rig.hosts:
        modes = host.shell("stat -c '%a %U' /etc/rancher/k3s/config.yaml /etc/rancher/k3s/*token")
        assert set(modes.split("\n")) - {""} == {"600 root"}
        shown += host.shell("journalctl --no-pager; ps axww; cat /etc/rancher/k3s/config.yaml")
    assert not [secret for secret in [*tokens, *SNAPSHOT_KEYS.values()] if secret in shown]


def test_k3s_has_the_keys_of_the_snapshots_bucket(
    cluster: TestCluster, eventually: Callable[..., object]
) -> None:
    def secret() -> dict[str, str]:
        listed = cluster.kubectl("get", "secrets", "-n", "kube-system", "-o", "json")
        named = {row["metadata"]["name"]: row for row in json.loads(listed)["items"]}
        data = named.get("etcd-s3", {"data": {}})["data"]
        return {name: b64decode(value).decode() for name, value in data.items()}

    eventually(secret, 60)
    version = cluster.values["k3s"]["version"]
    kept = {"etcd-s3-retention": "5"} if behaviour.separates_s3_retention(version) else {}
    assert secret() == kept | {
        "etcd-s3-bucket": "kept",
        "etcd-s3-region": "ap-southeast-2",
        "etcd-s3-access-key": SNAPSHOT_KEYS["access_key"],
        "etcd-s3-secret-key": SNAPSHOT_KEYS["secret_key"],
    }


def test_an_agent_keeps_no_token_that_lasts(cluster: TestCluster) -> None:
    """Its host holds a token that ends after an hour, and no token of the servers'."""
    (agent,) = cluster.rig.agents
    server = cluster.rig.servers[0]
    kept = agent.exec(["cat", "/etc/rancher/k3s/token"]).strip()
    identity = kept.partition("::")[2].partition(".")[0]
    listed = server.exec(["k3s", "token", "list"])
    assert re.search(rf"^{identity} +\S*(59m|1h)", listed, re.MULTILINE), listed


def test_a_second_run_writes_and_restarts_nothing(cluster: TestCluster) -> None:
    before = touched(cluster)
    assert cluster.json("plan")["plan"]["changes"] == []
    outcome = cluster.json("apply")
    assert outcome["status"] == "unchanged"
    assert touched(cluster) == before
    # Facts and what it is answered by the cluster; of one what runs and its kubeconfig, too.
    trips = outcome["verification"]["ssh_requests"]
    assert sorted(trips.values()) == [2, 2, 2, 4]


def test_coredns_answers_every_host_or_who_hears_nothing_is_named(cluster: TestCluster) -> None:
    assert "CoreDNS answers every host at" in FIRST["out"]
    whole = cluster.json("status")["effects"]
    assert (whole["wrong"], whole["failed"]) == ([], {})
    assert set(whole["seen"]) == {"version", "pod network", "cluster DNS"}
    (agent,) = cluster.rig.agents
    rule = ["OUTPUT", "--protocol", "tcp", "--dport", "53", "--jump", "DROP"]
    agent.exec(["iptables", "-I", *rule])
    try:
        wrong = [row["found"] for row in cluster.json("status")["effects"]["wrong"]]
    finally:
        agent.exec(["iptables", "-D", *rule])
    assert wrong
    assert all(found.endswith("does not answer agent-1 (silent)") for found in wrong)
    assert cluster.json("status")["effects"]["wrong"] == []


def test_a_manifest_that_is_withdrawn_takes_what_it_made_with_it(cluster: TestCluster) -> None:
    """The file goes last; an apply that wants it brings both back."""
    server = cluster.rig.servers[0]
    file = "/var/lib/rancher/k3s/server/manifests/xops-etcd-s3.yaml"

    def there() -> str:
        return server.shell(
            f"k3s kubectl get secret etcd-s3 -n kube-system --ignore-not-found -o name; ls {file}"
            " 2>/dev/null || true"
        )

    assert there() == f"secret/etcd-s3\n{file}\n"
    withdraw = scripts.script("withdraw", {"BINARY": "k3s", "MANIFESTS": file})
    for _ in range(2):
        server.shell(withdraw)
        assert there() == ""
    assert cluster.run("apply").returncode == 0


def test_the_profile_is_in_force(cluster: TestCluster) -> None:
    server = cluster.rig.servers[0]
    status = cluster.json("status")
    assert status["quorum"] is True
    assert status["hardening"]
    assert all(control["met"] for control in status["hardening"])
    privileged = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "wants-all", "namespace": "default"},
        "spec": {
            "containers": [{"name": "it", "image": "a:1", "securityContext": {"privileged": True}}]
        },
    }
    refused = cluster.create_pod(privileged)
    assert refused.returncode == 1
    assert "violates PodSecurity" in refused.stderr
    assert "wants-all" in server.shell("cat /var/lib/rancher/k3s/server/logs/audit.log")
    assert "Enabled" in server.exec(["k3s", "secrets-encrypt", "status"])


def test_a_pod_is_created_as_soon_as_a_fresh_namespace_can_hold_it(cluster: TestCluster) -> None:
    """A namespace gets its service account a moment after it is made; until then none is let in."""
    cluster.kubectl("create", "namespace", "fresh")
    allowed = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    modest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "modest", "namespace": "fresh"},
        "spec": {"containers": [{"name": "it", "image": "a:1", "securityContext": allowed}]},
    }
    created = cluster.create_pod(modest)
    assert created.returncode == 0, created.stderr
    cluster.kubectl("delete", "namespace", "fresh", "--wait=false")


@contextmanager
def held(host: Host, cluster: TestCluster) -> Iterator[None]:
    """The host's lock, held by another process as another apply would."""
    code = f"""
import asyncio
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.ssh.connector import SshConnector
async def main():
    cluster = Cluster.load({str(cluster.file)!r}).completed()
    transport = await SshConnector(cluster.ssh).connect(cluster.host({host.name!r}))
    async with transport.lock(paths.LOCK, "somebody else's apply"):
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            yield
        finally:
            process.kill()  # no clean end: the lock must be free all the same


def changed(cluster: TestCluster, retention: int) -> None:
    cluster.values["snapshots"] = {**cluster.values["snapshots"], "retention": retention}
    cluster.write()


def test_of_two_applies_the_second_is_refused(cluster: TestCluster) -> None:
    before = touched(cluster)
    changed(cluster, 9)
    with held(cluster.rig.servers[1], cluster):
        done = cluster.run("apply")
    assert done.returncode == ExitCode.TEMPORARY
    assert "somebody else's apply" in done.stderr
    assert touched(cluster) == before


def test_a_change_goes_from_server_to_server_and_the_api_stays(
    cluster: TestCluster, eventually: Callable[..., object]
) -> None:
    changed(cluster, 7)
    planned = cluster.json("plan", accepted=(ExitCode.FINDINGS,))["plan"]["changes"]
    restarts = [row["target"] for row in planned if row["reason"].startswith("restarts")]
    assert restarts == [f"{name}: k3s" for name in sorted(SERVERS)]
    pids = {host.name: host.shell("systemctl show k3s -p MainPID") for host in cluster.rig.servers}
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    order = re.findall(r"✔ (server-\d): (active|node) ", done.stderr)
    assert order == [(name, step) for name in sorted(SERVERS) for step in ("active", "node")]
    for host in cluster.rig.servers:
        assert host.shell("systemctl show k3s -p MainPID") != pids[host.name]
    assert cluster.voters() == SERVERS


def marks(cluster: TestCluster, name: str) -> tuple[dict[str, str], set[str]]:
    """A node's labels and taints of this test, whoever gave them."""
    node = json.loads(cluster.kubectl("get", "node", name, "-o", "json"))
    own = "marks.example.com/"
    labels = {key: value for key, value in node["metadata"]["labels"].items() if own in key}
    taints = node["spec"].get("taints", [])
    return labels, {
        f"{row['key']}={row.get('value', '')}:{row['effect']}"
        for row in taints
        if own in row["key"]
    }


def test_labels_and_taints_of_a_running_node_change_and_nothing_restarts(
    cluster: TestCluster,
) -> None:
    row = next(row for row in cluster.values["hosts"] if row["name"] == "agent-1")
    units = "systemctl show k3s k3s-agent -p MainPID -p NRestarts"
    before = {host.name: host.shell(units) for host in cluster.rig.hosts}
    cluster.kubectl("label", "node", "agent-1", "marks.example.com/theirs=x")

    def applied(labels: dict[str, str], taints: list[str]) -> list[str]:
        """Apply with these in the file; the targets of what was planned."""
        row.update(labels=labels, taints=taints)
        cluster.write()
        planned = cluster.json("plan", accepted=(ExitCode.FINDINGS,))["plan"]["changes"]
        done = cluster.run("apply")
        assert done.returncode == 0, done.stdout + done.stderr
        assert cluster.json("plan")["plan"]["changes"] == []
        return [change["target"] for change in planned]

    both = ["agent-1: node labels", "agent-1: node taints"]
    file = "agent-1: /etc/rancher/k3s/config.yaml"
    theirs = {"marks.example.com/theirs": "x"}
    label, taint = "marks.example.com/pool", "marks.example.com/edge"
    try:
        given = {label: "old", "marks.example.com/empty": ""}
        new = [f"{taint}=true:NoSchedule", f"{taint}:PreferNoSchedule"]
        assert applied(given, new) == [file, *both]
        assert marks(cluster, "agent-1") == (
            theirs | given, {f"{taint}=true:NoSchedule", f"{taint}=:PreferNoSchedule"},
        )  # fmt: skip
        # One is another, one is gone; what somebody else gave the node stays.
        assert applied({label: "new"}, [f"{taint}=false:NoSchedule"]) == [*both, file, *both]
        assert marks(cluster, "agent-1") == (
            theirs | {label: "new"}, {f"{taint}=false:NoSchedule"},
        )  # fmt: skip
        # What is taken away by hand is given back, and no file is written for it.
        cluster.kubectl("label", "node", "agent-1", f"{label}-")
        assert applied({label: "new"}, [f"{taint}=false:NoSchedule"]) == both[:1]
        assert marks(cluster, "agent-1")[0] == theirs | {label: "new"}
        assert applied({}, []) == [*both, file]
        assert marks(cluster, "agent-1") == (theirs, set())
        assert {host.name: host.shell(units) for host in cluster.rig.hosts} == before
    finally:
        cluster.kubectl("label", "node", "agent-1", "marks.example.com/theirs-")
        row.pop("labels", None)
        row.pop("taints", None)
        cluster.write()


def written(cluster: TestCluster, server: Host) -> bool:
    """Whether a write is taken: while etcd elects another leader it is not."""
    script = (
        "k3s kubectl create configmap written --from-literal=a=b --dry-run=client -o yaml"
        " | k3s kubectl apply -f - >/dev/null 2>&1 && echo taken || true"
    )
    return server.shell(script).strip() == "taken"


def test_one_server_may_stop(cluster: TestCluster, eventually: Callable[..., object]) -> None:
    first, second, _ = cluster.rig.servers
    first.kill()
    try:
        # The API answers elsewhere, and takes writes: two of three are a quorum.
        eventually(lambda: written(cluster, second), 60)
        status = cluster.json("status")
        assert status["quorum"] is True
        assert set(status["failed"]) == {"server-1"}
        refused = cluster.run("apply")
        assert refused.returncode == ExitCode.TEMPORARY
        assert "server-1: ssh:" in refused.stderr
    finally:
        first.start()
    eventually(lambda: cluster.voters(second) == SERVERS, 120)
    assert cluster.kubectl("get", "configmap", "written", "-o", "jsonpath={.data.a}") == "b"


def test_the_first_server_s_disk_is_lost_and_it_joins_again(
    cluster: TestCluster, eventually: Callable[..., object]
) -> None:
    first, second, _ = cluster.rig.servers
    identity = cluster.json("status")["cluster_id"]
    first.lose_disk()
    plan = cluster.json("plan", accepted=(ExitCode.FINDINGS,))["plan"]
    planned, label = plan["changes"], plan["digest"]
    assert {"delete"} <= {row["action"] for row in planned if row["target"] == "server-1: node"}
    assert not [row for row in planned if "initialises" in row["reason"]]
    waits = cluster.run("apply")  # what is destroyed is approved first, whatever the policy says
    assert waits.returncode == 4, waits.stderr
    done = cluster.run("apply", "--approve", label)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.voters(second) == SERVERS
    status = cluster.json("status")
    assert status["cluster_id"] == identity
    assert cluster.kubectl("get", "configmap", "written", "-o", "jsonpath={.data.a}") == "b"
    assert "cluster-init" not in first.exec(["cat", "/etc/rancher/k3s/config.yaml"])


def test_an_agent_lives_through_the_loss_of_its_link(
    cluster: TestCluster, eventually: Callable[..., object]
) -> None:
    (agent,) = cluster.rig.agents
    pid = agent.shell("systemctl show k3s-agent -p MainPID")
    agent.cut()
    try:
        eventually(lambda: cluster.nodes()["agent-1"]["Ready"] != "True", 120)
        assert agent.shell("systemctl is-active k3s-agent").strip() == "active"
    finally:
        agent.mend()
    eventually(lambda: cluster.nodes()["agent-1"]["Ready"] == "True", 120)
    assert agent.shell("systemctl show k3s-agent -p MainPID") == pid


def test_another_machine_takes_the_tokens_over(cluster: TestCluster, tmp_path: Path) -> None:
    kept = {f.name: f.read_text() for f in cluster.secrets.iterdir()}
    cluster.values["snapshots"]["s3"]["folder"] = "moved"  # a change that restarts nothing
    cluster.write()
    # The other machine's operator allows the keys of the snapshots where they lie.
    sources = tmp_path / "secrets.yaml"
    sources.write_text(f"sources: [{{folder: {cluster.home / 'secrets'}}}]\n")
    sources.chmod(0o600)
    cluster.environ["XOPS_HOME"] = str(tmp_path)
    try:
        done = cluster.run("apply")
    finally:
        cluster.environ.clear()
    assert done.returncode == 0, done.stdout + done.stderr
    found = tmp_path / "clusters" / "rig"
    assert {f.name: f.read_text() for f in found.iterdir()} == kept


def versions(cluster: TestCluster) -> dict[str, str]:
    """What each node's kubelet says it is."""
    items = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    return {row["metadata"]["name"]: row["status"]["nodeInfo"]["kubeletVersion"] for row in items}


@contextmanager
def asked_all_along(cluster: TestCluster) -> Iterator[list[bool]]:
    """Somebody lists the nodes again and again, of one server after the other; who got an answer.

    An election takes seconds, in which a list waits: it is an answer if it comes in time.
    """
    answers: list[bool] = []
    over = threading.Event()

    def answered(server: Host) -> bool:
        words = ["k3s", "kubectl", "get", "nodes", "--request-timeout=15s"]
        return "server-1" in server.exec(words, check=False)

    def ask() -> None:
        while not over.wait(0.5):
            answers.append(any(map(answered, cluster.rig.servers)))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        over.set()
        asking.join()


def test_an_upgrade_goes_host_by_host_and_the_api_answers_all_along(
    cluster: TestCluster, k3s_binary: Callable[..., Path]
) -> None:
    before = cluster.values["k3s"]["version"]
    program = k3s_binary(NEXT)
    after = version_of(program)
    cluster.offer(program)
    cluster.values["k3s"]["version"] = after
    cluster.write()
    with asked_all_along(cluster) as answers:
        done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(versions(cluster).values()) == {after}
    assert re.findall(r"✔ (\S+): node ", done.stderr) == [*sorted(SERVERS), "agent-1"]
    assert cluster.voters() == SERVERS
    assert len(answers) >= 5
    assert all(answers)
    assert cluster.json("plan")["plan"]["changes"] == []

    cluster.values["k3s"]["version"] = before
    cluster.write()
    back = cluster.run("plan")
    cluster.values["k3s"]["version"] = after
    cluster.write()
    assert back.returncode == 1
    assert f"K3S cannot go back: write `version: {after}`" in back.stderr
