"""Killed anywhere and run again; a host that does not come up; a bundle without a way out.

But for two, the tests of this module share one cluster and leave it whole.
"""

import io
import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.k3s.hosts_in_memory import Event, Killed
from tests.contract.k3s.lab import Lab, LabMaker
from tests.k3s_release import VERSION
from tests.rig.clusters import XOPS, TestCluster
from tests.rig.conftest import MakeCluster, MakeRig
from tests.rig.engine import run
from tests.rig.hosts import File
from xops.core.errors import ExitCode

pytestmark = [pytest.mark.xdist_group("rig"), pytest.mark.timeout(400)]

# Lines of an apply of 3 servers and 1 agent, in their order: a process is killed at each. What goes
# on by itself after the kill (K3S coming up) is not waited for.
BOUNDARIES = (
    "to create",
    "server-1: binary brought",
    r"server-1: \d files written",
    "server-1: active",
    r"server-2: \d files written",
    "server-2: active",
    r"server-3: \d files written",
    "server-3: active",
    r"agent-1: \d files written",
    "agent-1: active",
)


SERVERS = {"server-1", "server-2", "server-3"}


@pytest.fixture(scope="module")
def cluster(make_shared_rig: MakeRig, make_cluster: MakeCluster) -> TestCluster:
    """Brought up by an apply that is killed at each boundary, then once more.

    Its tokens are a person's own, with everything that a shell or a URL would take apart.
    """
    found = make_cluster(make_shared_rig(servers=3, agents=1))
    found.secrets.mkdir(parents=True)
    for name in ("server-token", "agent-token"):
        file = found.secrets / name
        file.touch(mode=0o600)
        file.write_text(f'{name}: a/b?c&d "e\'f" $g `h` #i%\n')
    for line in BOUNDARIES:
        found.killed_at(line)
    done = found.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    return found


def test_killed_at_every_boundary_it_ends_like_one_run(cluster: TestCluster) -> None:
    assert cluster.voters() == SERVERS
    assert cluster.nodes()["agent-1"]["Ready"] == "True"
    assert cluster.json("plan")["plan"]["changes"] == []
    for host in cluster.rig.servers:
        members = host.shell(
            "ls /usr/local/bin/k3s.* /etc/rancher/k3s/.*partial 2>/dev/null || true"
        )
        assert members.strip() == "", "something of a killed run was left"


def approval(cluster: TestCluster) -> tuple[str, str]:
    """What approves the plan as it is now: a host that lost its disk is a node to delete."""
    digest = cluster.json("plan", accepted=(ExitCode.FINDINGS,))["plan"]["digest"]
    return "--approve", digest


def test_a_host_that_never_comes_up_is_named_and_taken_back(cluster: TestCluster) -> None:
    one, two, three = cluster.rig.servers
    three.lose_disk()
    # Preflight cannot see it: where K3S runs, as on the two others, it tries no ports.
    cluster.environ["XOPS_K3S_GATE_SECONDS"] = "20"
    three.block_port(2380, sender=one)
    three.block_port(2380, sender=two)
    done = cluster.run("apply", *approval(cluster))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "waiting for K3S on server-3" in done.stderr
    assert "server-3 was rolled back to before it joined" in done.stderr
    assert cluster.json("status")["quorum"] is True
    assert cluster.members(one) == {"server-1": True, "server-2": True}
    assert not three.shell("ls /var/lib/rancher/k3s/server 2>/dev/null || true").strip()

    for sender in (one, two):
        three.unblock_port(2380, sender=sender)
    cluster.environ.clear()
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.voters() == SERVERS


# What a kubelet that is slow, or cannot start, leaves: a member of etcd that is no node.
SLOW_NODE = File("/etc/default/k3s", "K3S_RIG_NODE_SECONDS=60\n")
"""For the test distribution; the real K3S needs no telling."""
BAD_KUBELET = File(
    "/etc/rancher/k3s/config.yaml.d/by-hand.yaml", "kubelet-arg+: [no-such-flag=1]\n"
)


def test_a_server_that_joins_anew_and_fails_is_removed_from_etcd_before_it_is_erased(
    cluster: TestCluster,
) -> None:
    one, _, three = cluster.rig.servers
    three.lose_disk()
    three.put(SLOW_NODE)
    cluster.environ["XOPS_K3S_GATE_SECONDS"] = "25"
    done = cluster.run("apply", *approval(cluster))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "waiting for K3S on server-3: got as far as: active, readyz" in done.stderr
    assert "server-3 was rolled back to before it joined" in done.stderr
    assert cluster.members(one) == {"server-1": True, "server-2": True}
    assert cluster.voters(one) == {"server-1", "server-2"}
    assert not three.shell("ls /var/lib/rancher/k3s/server 2>/dev/null || true").strip()

    three.shell(f"rm {SLOW_NODE.path}")
    cluster.environ.clear()
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.voters() == SERVERS
    assert cluster.members(one) == dict.fromkeys(SERVERS, True)


def test_a_service_that_is_stopped_does_not_hide_the_cluster(cluster: TestCluster) -> None:
    one, two, _ = cluster.rig.servers
    one.shell("systemctl stop k3s")
    assert cluster.members(two) == dict.fromkeys(SERVERS, True)
    status = cluster.json("status")
    assert (status["quorum"], len(status["nodes"]), len(status["members"])) == (True, 4, 3)
    changes = cluster.json("plan", accepted=(ExitCode.FINDINGS,))["plan"]["changes"]
    assert [row["target"] for row in changes] == ["server-1: k3s", "server-1: node"]

    token = cluster.secrets / "server-token"
    right = token.read_text()
    token.write_text("of another cluster\n")
    done = cluster.run("plan")
    assert (done.returncode, "run with other tokens" in done.stderr) == (1, True), done.stderr
    token.write_text(right)
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.voters() == SERVERS


def test_a_new_server_whose_kubelet_cannot_start_leaves_the_cluster_alive(
    make_rig: MakeRig, make_cluster: MakeCluster
) -> None:
    """It votes by then, one of two: erased as it is, it would take the quorum along for good."""
    cluster = make_cluster(make_rig(servers=3, agents=0))
    one, two, _ = cluster.rig.servers
    two.put(BAD_KUBELET)
    cluster.environ["XOPS_K3S_GATE_SECONDS"] = "45"
    done = cluster.run("apply")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "waiting for K3S on server-2" in done.stderr
    assert "unknown flag: --no-such-flag" in done.stderr
    assert "server-2 was rolled back to before it joined" in done.stderr
    assert cluster.members(one) == {"server-1": True}
    status = cluster.json("status")
    assert (status["quorum"], [node["name"] for node in status["nodes"]]) == (True, ["server-1"])

    two.shell(f"rm {BAD_KUBELET.path}")
    cluster.environ.clear()
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.voters() == SERVERS
    assert cluster.members(one) == dict.fromkeys(SERVERS, True)


def test_a_host_that_reboots_while_it_joins_is_joined_by_running_again(
    cluster: TestCluster,
) -> None:
    second = cluster.rig.servers[1]
    second.lose_disk()
    cluster.apply_until(r"server-2: \d files written", second.reboot, *approval(cluster))
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.voters() == SERVERS
    assert cluster.json("plan")["plan"]["changes"] == []


@dataclass
class BothWorlds:
    """The same steps on these hosts and on the hosts in memory, which the sequences that hypothesis
    makes up are tried on (`tests/contract/k3s/test_sequences.py`): are members as they are told?"""

    cluster: TestCluster
    model: Lab
    values: int = 0

    def setting_changes(self) -> None:
        """K3S of every server has to restart."""
        self.values += 1
        config = {"config": {"v": self.values}}
        self.cluster.values["k3s"] |= config
        self.cluster.write()
        self.model.change(k3s={"version": VERSION, **config})

    def stops(self, name: str) -> None:
        self.cluster.rig.host(name).shell("systemctl stop k3s")
        self.model.machine(name).active = "inactive"

    def loses_disk(self, name: str) -> None:
        self.cluster.rig.host(name).lose_disk()
        self.model.machine(name).lose_disk()

    def apply(self) -> None:
        done = self.cluster.run("apply", *approval(self.cluster))
        assert done.returncode == 0, done.stdout + done.stderr
        self.model.apply()

    def killed_once_forgotten(self, name: str) -> None:
        """The apply ends when the cluster has forgotten the host, which has not joined anew yet."""
        self.cluster.apply_until(rf"{name}: forgotten by", lambda: None, *approval(self.cluster))
        world = self.model.world

        def end(request: Event) -> None:
            if (request.host, request.what) == (name, "put") and name not in world.etcd.values():
                raise Killed

        world.on_event = end
        with pytest.raises(Killed):
            self.model.apply()
        world.on_event = lambda _: None

    def compare(self, asked: str = "server-1") -> dict[str, str]:
        """Members and voters are the same; the ids of the members on the hosts, by name."""
        server = self.cluster.rig.host(asked)
        world = self.model.world
        told = {name: name in world.members for name in world.etcd.values()}
        assert self.cluster.members(server) == told
        assert self.cluster.voters(server) == set(world.voters)
        rows = server.exec(["/usr/local/bin/k3s", "kubectl", "get", "--raw", "/db/info"])
        return {row["name"].rpartition("-")[0]: row["ID"] for row in json.loads(rows)["members"]}


def test_members_are_here_as_the_hosts_in_memory_have_them(
    cluster: TestCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., object],
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    model = LabMaker(tmp_path)(3, 1)
    model.apply()
    both = BothWorlds(cluster, model)
    first = both.compare()

    both.stops("server-2")
    eventually(lambda: cluster.voters(cluster.rig.servers[0]) == {"server-1", "server-3"}, 90)
    both.compare()
    both.setting_changes()
    both.apply()
    assert both.compare() == first

    both.loses_disk("server-1")
    both.setting_changes()
    both.killed_once_forgotten("server-1")
    left = both.compare("server-2")
    assert left == {name: id_ for name, id_ in first.items() if name != "server-1"}
    both.apply()
    last = both.compare()
    assert {name for name in last if last[name] == first[name]} == {"server-2", "server-3"}
    assert cluster.json("plan")["plan"]["changes"] == []


def archive(path: Path, *images: str) -> Path:
    """An archive of images as `docker save` writes it; only the names in it count here."""
    rows = [{"Config": "config.json", "RepoTags": [image], "Layers": []} for image in images]
    manifest = json.dumps(rows).encode()
    with tarfile.open(path, "w") as packed:
        for name, content in (("manifest.json", manifest), ("config.json", b"{}")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def pod(name: str, image: str) -> dict[str, Any]:
    container = {"name": "it", "image": image}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]},
    }


def test_without_a_way_out_all_comes_from_one_bundle(
    make_rig: MakeRig,
    make_cluster: MakeCluster,
    tmp_path: Path,
    eventually: Callable[..., object],
) -> None:
    cluster = make_cluster(make_rig(servers=1, agents=1, internal=True))
    server = cluster.rig.servers[0]
    no_route = cluster.json("preflight", accepted=(ExitCode.FINDINGS,))["findings"]
    assert {row["check"] for row in no_route} == {"route"}
    assert all("ip route add default" in row["remedy"] for row in no_route)
    for host in cluster.rig.hosts:
        host.add_idle_route()

    # As K3S's own archive has what K3S runs: without CoreDNS no apply is a success.
    packaged = run([cluster.program, "rig-images"]).stdout.split()
    images = archive(tmp_path / "images.tar", *packaged, "docker.io/example/known:1")
    cluster.offer(cluster.program, images)
    version = cluster.values["k3s"]["version"]
    bundle = tmp_path / "k3s.bundle"
    build = [
        XOPS, "bundle", "build", "--k3s", version, "--arch", "amd64", "--lock", cluster.lock,
        "--from", cluster.release, "-o", bundle,
    ]  # fmt: skip
    run(build)
    verified = run([XOPS, "bundle", "verify", bundle, "--lock", cluster.lock])
    assert "Every byte is as its manifest says" in verified.stdout

    cluster.values.pop("artifacts")
    cluster.values["air_gap"] = {"bundle": str(bundle)}
    cluster.write()
    done = cluster.run("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    # Images are on every host before a binary changes on any.
    steps = re.findall(r"✔ (\S+): (\S+ brought|\d+ files written)", done.stderr)
    last_images = max(i for i, (_, step) in enumerate(steps) if "images" in step)
    first_files = min(i for i, (_, step) in enumerate(steps) if "files written" in step)
    assert last_images < first_files

    for name, image in (("known", "example/known:1"), ("stranger", "example/stranger:1")):
        created = cluster.create_pod(pod(name, image))
        assert created.returncode == 0, created.stderr

    def state(name: str) -> str:
        return server.exec(
            ["k3s", "kubectl", "get", "pod", name, "-n", "kube-system", "--no-headers"]
        )

    eventually(lambda: "Running" in state("known"), 60)
    eventually(lambda: "ImagePullBackOff" in state("stranger"), 60)

    damaged = bytearray(bundle.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    bundle.write_bytes(damaged)
    found = run([XOPS, "bundle", "verify", bundle], check=False)
    assert found.returncode == 1
    assert "SHA-256" in found.stderr
