"""Real pods: the kubelet, containerd, the pod network, kube-proxy and CoreDNS of a cluster that the
real command has made.

The tests of this module share one cluster; the last one takes it away.
"""

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rig import k3s_program, registry, watchers, workloads
from tests.rig.clusters import TestCluster
from tests.rig.conftest import MakeCluster, MakeRig
from tests.rig.hosts import File, Host
from tests.rig.images import Image
from tests.rig.test_cluster import touched
from tests.rig.workloads import NAMESPACE, PAGE, PORT, WEB
from tests.waiting import Eventually

pytestmark = [
    pytest.mark.xdist_group("rig"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        bool(k3s_program.real_programs()),
        reason="a real K3S needs more of its hosts for real pods: tests/rig/README.md",
    ),
]

_ODD = "/etc/rancher/k3s/config.yaml.d/odd.yaml"
# BusyBox's own limit for a request ends Debian's static build with SIGSEGV.
GET = ("timeout", "10", "wget", "-q", "-O", "-")
_CUT_OFF = "systemctl restart k3s-agent || true"


@pytest.fixture(scope="module")
def cluster(
    make_shared_rig: MakeRig, make_cluster: MakeCluster, tmp_path_factory: pytest.TempPathFactory
) -> TestCluster:
    rig = make_shared_rig(servers=1, agents=1, pods="real")
    found = make_cluster(rig, registries=_registries(rig.servers[0]))
    secret = found.home / "secrets" / "pull-password"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(f"{registry.PASSWORD}\n")
    registry.start(rig.servers[0])
    _bring_web(rig.hosts, tmp_path_factory.mktemp("images"))
    done = found.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    found.apply(
        workloads.namespace(), workloads.page(), workloads.web(2), workloads.service(),
        workloads.store(),
    )  # fmt: skip
    for what in ("deployment/web", "statefulset/store"):
        _await(found, what)
    return found


def _registries(host: Host) -> dict[str, Any]:
    """Images of xops.test come from the registry on this host."""
    where = registry.address(host)
    login = {"username": registry.USER, "password": {"file": "home/secrets/pull-password"}}
    return {
        "mirrors": {"xops.test": {"endpoint": [f"http://{where}"]}},
        "configs": {where: {"auth": login}},
    }


def _bring_web(hosts: list[Host], folder: Path) -> None:
    """An image of BusyBox, from a host, since this machine need not have it."""
    busybox = hosts[0].fetch("/bin/busybox", folder / "busybox")
    names = (
        "sh",
        "httpd",
        "wget",
        "nslookup",
        "cat",
        "echo",
        "sleep",
        "tail",
        "id",
        "timeout",
        "touch",
    )
    links = {f"/bin/{name}": "busybox" for name in names}
    archive = Image(WEB, {"/bin/busybox": busybox}, links=links).pack(folder / "web.tar")
    for host in hosts:
        host.bring(archive)


def _await(cluster: TestCluster, what: str, namespace: str = NAMESPACE) -> None:
    cluster.kubectl("rollout", "status", what, "--namespace", namespace, "--timeout=80s")


def _pods(cluster: TestCluster, app: str) -> dict[str, dict[str, Any]]:
    """The pods of an app, by node."""
    listed = cluster.objects("pods", NAMESPACE, f"--selector=app={app}")
    living = [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]
    return {pod["spec"]["nodeName"]: pod for pod in living}


def _exec(cluster: TestCluster, pod: dict[str, Any], *argv: str) -> str:
    return cluster.kubectl("exec", "--namespace", NAMESPACE, pod["metadata"]["name"], "--", *argv)


def _containers(cluster: TestCluster) -> dict[str, tuple[str, int]]:
    """Which containers run, and how often each was restarted, by pod."""
    listed = json.loads(cluster.kubectl("get", "pods", "--all-namespaces", "--output=json"))
    return {
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": (
            row["containerID"],
            row["restartCount"],
        )
        for pod in listed["items"]
        for row in pod["status"]["containerStatuses"]
    }


def _restarts(cluster: TestCluster, app: str) -> dict[str, int]:
    return {
        node: pod["status"]["containerStatuses"][0]["restartCount"]
        for node, pod in _pods(cluster, app).items()
    }


def test_the_nodes_are_the_real_kubelet_s(cluster: TestCluster) -> None:
    items = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]
    told = {item["metadata"]["name"]: item for item in items}
    assert set(told) == {"server-1", "agent-1"}
    for host in cluster.rig.hosts:
        node = told[host.name]
        engine = node["status"]["nodeInfo"]["containerRuntimeVersion"]
        assert engine.split(":")[0] == "containerd"
        assert engine.endswith(host.exec(["containerd", "--version"]).split()[2].split("~")[0])
        notes = node["metadata"]["annotations"]
        assert notes["flannel.alpha.coreos.com/public-ip"] == host.address
        assert host.exec(["pgrep", "--full", "--count", "kubelet --config-dir"]).strip() == "1"


def test_pods_run_as_restricted_as_they_ask_for(cluster: TestCluster) -> None:
    pods = _pods(cluster, "web")
    assert set(pods) == {"server-1", "agent-1"}
    for pod in pods.values():
        assert _exec(cluster, pod, "id", "-u").strip() == "65534"
        script = "touch /new 2>&1; while read -r line; do echo $line; done </proc/self/status"
        said = _exec(cluster, pod, "sh", "-c", script)
        assert "Read-only file system" in said
        for line in ("CapEff: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"):
            assert line in said


def test_an_archive_in_the_images_folder_is_imported_with_its_layers(cluster: TestCluster) -> None:
    for host in cluster.rig.hosts:
        assert WEB in host.exec(["k3s", "ctr", "images", "list", "--quiet"]).split()


def test_an_image_is_pulled_through_a_mirror_that_asks_for_a_login(
    cluster: TestCluster, eventually: Eventually
) -> None:
    registry.push(cluster.rig.servers[0], WEB, "pulled:1")
    cluster.apply(*(workloads.says("pulled", host.name) for host in cluster.rig.hosts))

    def said() -> list[str]:
        listed = cluster.objects("pods", NAMESPACE, "--selector=app=says")
        return [pod["status"]["phase"] for pod in listed]

    eventually(lambda: said() == ["Succeeded"] * len(cluster.rig.hosts))
    for host in cluster.rig.hosts:
        assert cluster.kubectl("logs", f"says-{host.name}", "--namespace", NAMESPACE) == "pulled\n"
    cluster.kubectl("delete", "pods", "--namespace", NAMESPACE, "--selector=app=says")


def test_a_pod_is_reached_from_every_host_and_from_pods_of_other_hosts(
    cluster: TestCluster,
) -> None:
    pods = _pods(cluster, "web")
    addresses = [f"http://{pod['status']['podIP']}:{PORT}/" for pod in pods.values()]
    for address in addresses:
        for host in cluster.rig.hosts:
            assert host.exec(["curl", "--silent", "--max-time", "10", address]) == PAGE
        for pod in pods.values():
            assert _exec(cluster, pod, *GET, address) == PAGE


def test_a_service_is_found_by_its_name_and_reached_at_its_address(cluster: TestCluster) -> None:
    (found,) = cluster.objects("services", NAMESPACE)
    address = found["spec"]["clusterIP"]
    for pod in _pods(cluster, "web").values():
        said = _exec(cluster, pod, "nslookup", f"web.{NAMESPACE}.svc.cluster.local")
        assert address in said
        for name in ("web", f"web.{NAMESPACE}.svc.cluster.local", address):
            assert _exec(cluster, pod, *GET, f"http://{name}") == PAGE
    for host in cluster.rig.hosts:
        asked = ["curl", "--silent", "--max-time", "10", f"http://{address}/"]
        assert host.exec(asked) == PAGE


def test_cluster_dns_is_a_real_pod_as_k3s_packages_it(cluster: TestCluster) -> None:
    (deployment,) = cluster.objects("deployments", "kube-system")
    assert deployment["metadata"]["name"] == "coredns"
    assert deployment["status"]["readyReplicas"] == 1
    (pod,) = cluster.objects("pods", "kube-system", "--selector=k8s-app=kube-dns")
    (service,) = cluster.objects("services", "kube-system")
    assert service["spec"]["clusterIP"] == "10.43.0.10"
    health = f"http://{pod['status']['podIP']}"
    for path in (f"{health}:8080/health", f"{health}:8181/ready"):
        asked = ["curl", "--silent", "--max-time", "10", path]
        assert cluster.rig.agents[0].exec(asked) == "OK"
    named = ("-n", "kube-system", pod["metadata"]["name"])
    assert "CoreDNS-1.12" in cluster.kubectl("logs", *named)


def test_a_claim_is_bound_and_written(cluster: TestCluster) -> None:
    (claim,) = cluster.objects("persistentvolumeclaims", NAMESPACE)
    assert claim["status"]["phase"] == "Bound"
    ((node, pod),) = _pods(cluster, "store").items()
    assert _exec(cluster, pod, "cat", "/data/log") == "kept\n"
    host = next(host for host in cluster.rig.hosts if host.name == node)
    folder = f"{claim['spec']['volumeName']}_{NAMESPACE}_data-store-0"
    assert host.exec(["cat", f"/var/lib/rancher/k3s/storage/{folder}/log"]) == "kept\n"


def test_a_container_that_dies_is_started_again_and_counted(
    cluster: TestCluster, eventually: Eventually
) -> None:
    before = _restarts(cluster, "web")
    (agent,) = cluster.rig.agents
    agent.exec(["pkill", "-KILL", "--full", "^/bin/httpd"])
    wanted = before | {"agent-1": before["agent-1"] + 1}
    eventually(lambda: _restarts(cluster, "web") == wanted)
    _await(cluster, "deployment/web")


def test_memory_has_its_limit(cluster: TestCluster, eventually: Eventually) -> None:
    cluster.apply(workloads.greedy())

    def end() -> list[int]:
        pods = cluster.objects("pods", NAMESPACE)
        (pod,) = [pod for pod in pods if pod["metadata"]["name"] == "greedy"]
        rows = pod["status"].get("containerStatuses", [])
        return [
            row["state"]["terminated"]["exitCode"] for row in rows if "terminated" in row["state"]
        ]

    assert eventually(end) == [128 + signal.SIGKILL]
    cluster.kubectl("delete", "pod", "greedy", "--namespace", NAMESPACE)


def test_what_a_pod_says_can_be_read(cluster: TestCluster) -> None:
    for pod in _pods(cluster, "web").values():
        named = ("--namespace", NAMESPACE, pod["metadata"]["name"])
        assert "response:200" in cluster.kubectl("logs", *named)


def test_a_second_apply_changes_nothing_and_restarts_no_pod(cluster: TestCluster) -> None:
    files, containers = touched(cluster), _containers(cluster)
    assert cluster.json("apply")["status"] == "unchanged"
    assert (touched(cluster), _containers(cluster)) == (files, containers)


def test_pods_live_on_while_k3s_is_restarted(cluster: TestCluster, eventually: Eventually) -> None:
    before = _containers(cluster)
    for host, unit in zip(cluster.rig.hosts, ("k3s", "k3s-agent"), strict=True):
        host.exec(["systemctl", "restart", unit])
    # A node is still called Ready while its new kubelet has yet to find out what runs there.
    eventually(lambda: all(_can_be_entered(cluster, pod) for pod in _pods(cluster, "web").values()))
    eventually(lambda: _all_ready(cluster))
    assert _containers(cluster) == before
    test_a_service_is_found_by_its_name_and_reached_at_its_address(cluster)


def _can_be_entered(cluster: TestCluster, pod: dict[str, Any]) -> bool:
    words = ("exec", "--namespace", NAMESPACE, pod["metadata"]["name"], "--", "id")
    return not cluster.try_kubectl(*words).returncode


def _all_ready(cluster: TestCluster) -> bool:
    return all(conditions["Ready"] == "True" for conditions in cluster.nodes().values())


@pytest.fixture
def odd_argument(cluster: TestCluster, eventually: Eventually) -> Iterator[Host]:
    """The agent with an argument that no kubelet knows."""
    (agent,) = cluster.rig.agents
    agent.put(File(_ODD, "kubelet-arg:\n- no-such-flag=1\n", 0o600))
    yield agent
    agent.exec(["rm", _ODD])
    agent.exec(["systemctl", "restart", "k3s-agent"])
    eventually(lambda: _all_ready(cluster))


def test_an_unknown_argument_ends_the_kubelet_in_its_own_words(
    odd_argument: Host, eventually: Eventually
) -> None:
    odd_argument.shell(_CUT_OFF)
    words = "Shutdown request received: kubelet exited: failed to parse kubelet flag: unknown flag"
    journal = ["journalctl", "--no-pager", "--unit=k3s-agent", "--boot"]
    eventually(lambda: f"{words}: --no-such-flag" in odd_argument.exec(journal))


def test_pods_come_back_with_a_host_that_lost_its_power(
    cluster: TestCluster, eventually: Eventually
) -> None:
    before = _restarts(cluster, "web")
    (agent,) = cluster.rig.agents
    agent.kill()
    agent.start()
    eventually(lambda: _restarts(cluster, "web")["agent-1"] > before["agent-1"], 100)
    for what in ("deployment/web", "statefulset/store"):
        _await(cluster, what)
    test_a_pod_is_reached_from_every_host_and_from_pods_of_other_hosts(cluster)


def test_a_volume_goes_with_its_claim(cluster: TestCluster, eventually: Eventually) -> None:
    host = next(host for host in cluster.rig.hosts if host.name in _pods(cluster, "store"))
    cluster.kubectl("delete", "statefulset", "store", "--namespace", NAMESPACE)
    cluster.kubectl("delete", "persistentvolumeclaim", "data-store-0", "--namespace", NAMESPACE)
    eventually(lambda: not host.exec(["ls", "/var/lib/rancher/k3s/storage"]).strip())
    eventually(lambda: not cluster.kubectl("get", "persistentvolumes", "--output=name").strip())


def test_nothing_is_left_of_real_pods(cluster: TestCluster, eventually: Eventually) -> None:
    """The last one: it takes the hosts away while pods run on them."""
    rig = cluster.rig
    inspected = [rig.engine.docker("inspect", host.container).stdout for host in rig.hosts]
    hosts = [json.loads(shown)[0] for shown in inspected]
    pids = {host["State"]["Pid"] for host in hosts}
    processes = {child for pid in pids for child in psutil.Process(pid).children(recursive=True)}
    assert {"containerd-shim", "httpd"} <= {process.name()[:15] for process in processes}
    rig.close()
    psutil.wait_procs(processes, timeout=30)
    assert not [process for process in processes if process.is_running()]
    mounts = Path("/proc/self/mountinfo").read_text()
    volumes = rig.engine.docker("volume", "ls", "--quiet").stdout.split()
    for host in hosts:
        eventually(partial(_has_no_group, host["Id"]))
        assert host["Id"] not in mounts
        assert not {row["Name"] for row in host["Mounts"] if "Name" in row} & set(volumes)


def _has_no_group(container: str) -> bool:
    return not list(Path("/sys/fs/cgroup").rglob(f"*{container}*"))


def test_too_few_watchers_are_one_line() -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    reason = watchers.why_too_few(limit, 0)
    assert reason
    assert f"real pods on {limit} hosts need {28 * limit} inotify instances: " in reason
    assert len(reason.splitlines()) == 1
    assert watchers.why_too_few(0, 0) is None
