"""What runs on the hosts, run by real shells, with stand-ins for K3S and the init system."""

import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.k3s_hosts import cluster
from tests.waiting import look_until_found
from xops.core.errors import PermanentError
from xops.k3s import scripts
from xops.k3s.state import facts, workloads
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.workloads import DnsFacts, PodFacts

FOLDER = Path(scripts.__file__).parent
SHELLS = [
    [program, *command[1:]]
    for command in (["dash"], ["bash", "--posix"], ["busybox", "sh"])
    if (program := shutil.which(command[0]))
]
INIT = "/run/systemd/system"

# It notes how it was called, and says what it was told to: each answer in turn.
STAND_IN = """#!/bin/sh
here=$(dirname "$0"); name=$(basename "$0")
echo "$*" >>"$here/$name.calls"
for file in "$here/$name".answer.*; do
  [ -d "$file" ] || continue
  case "$*" in *"$(cat "$file/if")"*) ;; *) continue ;; esac
  count=$(($(cat "$file/count") + 1)); echo "$count" >"$file/count"
  while [ ! -e "$file/$count" ] && [ "$count" -gt 1 ]; do count=$((count - 1)); done
  cat "$file/$count"
  exit "$(cat "$file/code")"
done
exit 0
"""


@dataclass(frozen=True)
class Bench:
    """A folder with stand-ins for programs, and a host's files beside them."""

    folder: Path
    shell: list[str]

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    def program(self, name: str) -> Path:
        """A program that notes its calls and is silent unless told to answer."""
        file = self.programs / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(STAND_IN)
        file.chmod(0o755)
        return file

    def answer(self, name: str, given: str, *answers: str, code: int = 0) -> None:
        """What a program says in turn when `given` is among its arguments."""
        number = len(list(self.programs.glob(f"{name}.answer.*")))
        folder = self.program(name).with_name(f"{name}.answer.{number}")
        folder.mkdir()
        (folder / "if").write_text(given)
        (folder / "count").write_text("0")
        (folder / "code").write_text(str(code))
        for turn, text in enumerate(answers or ("",), start=1):
            (folder / str(turn)).write_text(text)

    def calls(self, name: str) -> list[str]:
        file = self.programs / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []

    def run(
        self,
        name: str,
        values: Mapping[str, str],
        *,
        systemd: bool = True,
        moved: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of ours; paths outside of the bench are moved into it."""
        text = scripts.script(name, values)
        present = self.folder / "systemd"
        if systemd:
            present.mkdir(exist_ok=True)
        places = {INIT: str(present if systemd else self.folder / "none")}
        # A shell of BusyBox may run its own applet whatever is on PATH.
        places |= {"sysctl -q": f"{self.programs}/sysctl -q"}
        places |= {"/etc/rancher/node": str(self.folder / "node"), **(moved or {})}
        for place, other in places.items():
            text = text.replace(place, other)
        return subprocess.run(
            [*self.shell, "-c", text],
            capture_output=True,
            text=True,
            timeout=30,
            env={"PATH": path or f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin"},
        )


@pytest.fixture(params=SHELLS, ids=lambda command: Path(command[0]).name)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    made = Bench(tmp_path, request.param)
    for name in ("systemctl", "rc-service", "rc-update", "k3s", "sysctl"):
        made.program(name)
    return made


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.sh")), ids=lambda file: str(file.stem))
@pytest.mark.parametrize("shell", SHELLS, ids=lambda command: Path(command[0]).name)
def test_every_shell_understands_it(file: Path, shell: list[str]) -> None:
    assert subprocess.run([*shell, "-n", str(file)]).returncode == 0
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("value", ["it's", 'a "b" $HOME `id` \\', "two\nlines", "-n", "", "*"])
def test_a_value_arrives_as_it_is(bench: Bench, value: str) -> None:
    text = scripts.script("prepare", {"VALUE": value}).partition("\numask")[0]
    ran = subprocess.run(
        [*bench.shell, "-c", f'{text}\nprintf "%s" "$VALUE"'], capture_output=True, text=True
    )

    assert ran.stdout == value


# facts.sh


def was_timed(bench: Bench, seen: HostFacts) -> bool:
    """Whether the disk was timed, or was written to by a `dd` of BusyBox that tells no time."""
    if seen.untimed:
        return Path(bench.shell[0]).name == "busybox"
    return seen.fsync_p99_ms is not None and seen.fsync_p99_ms > 0


def facts_values(bench: Bench, probes: int, data: Path) -> dict[str, str]:
    return {
        "SERVICE": "k3s",
        "OTHER": "k3s-agent",
        "DATA": str(data),
        "BINARY": str(bench.programs / "k3s"),
        "CONFIG": str(bench.folder / "config.yaml"),
        "WATCHED": f"{bench.folder}/config.yaml {bench.folder}/none {bench.folder}/xops-*.yaml",
        "MODULES": " ".join(facts.MODULES),
        "SYSCTLS": "kernel.panic no.such.key kernel.pid_max",
        "PROBES": str(probes),
        "NODE_FORM": facts.NODE_FORM,
    }


def facts_script_of(bench: Bench, probes: int) -> str:
    return scripts.script("facts", facts_values(bench, probes, bench.folder / "data" / "k3s"))


def facts_of(
    bench: Bench,
    probes: int = 0,
    moved: Mapping[str, str] | None = None,
    data: Path | None = None,
) -> HostFacts:
    values = facts_values(bench, probes, data or bench.folder / "data" / "k3s")
    ran = bench.run("facts", values, moved=moved)
    assert ran.stderr == ""
    return facts.parse("here", ran.stdout)


def test_this_machine_is_read(bench: Bench) -> None:
    seen = facts_of(bench)

    assert abs(seen.clock - time.time()) < 60
    assert seen.arch == {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    assert seen.hostname == socket.gethostname()
    assert seen.cpus >= 1
    assert seen.memory_mib > 100
    assert seen.disk_free_gib > 0
    # Whole numbers: a program that reads one character at a time gets the first of them alone.
    for key in ("kernel.panic", "kernel.pid_max"):
        assert seen.sysctls[key] == Path(f"/proc/sys/{key.replace('.', '/')}").read_text().strip()
    assert seen.sysctls["no.such.key"] == ""
    assert (seen.files, seen.contents, seen.images) == ({}, {}, {})
    assert (seen.cluster_id, seen.etcd_member, seen.nodes) == (None, False, None)


BUSYBOX = shutil.which("busybox")
SYSTEM = ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


SAME = (
    "addresses", "cgroup_controllers", "cgroup_version", "cpus", "default_route", "interfaces",
    "memory_mib", "missing_modules", "noexec", "routes", "selinux",
)  # fmt: skip
"""What a host tells with whatever programs it has."""


@pytest.fixture
def applets(tmp_path: Path) -> Path:
    """A folder with BusyBox' programs and no others, as a small host has them."""
    if BUSYBOX is None:
        # An expected failure and no skip: with XOPS_REQUIRE_ALL a skip is a failure.
        pytest.xfail("left out: no busybox on PATH, with whose programs alone scripts are run")
    folder = tmp_path / "applets"
    folder.mkdir()
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        (folder / name).symlink_to(BUSYBOX)
    return folder


def on_busybox(bench: Bench, applets: Path, probes: int = 0) -> HostFacts:
    """The facts, asked with the programs of this folder alone."""
    small = Bench(bench.folder, [str(applets / "sh")])
    values = facts_values(small, probes, small.folder / "data" / "k3s")
    ran = small.run("facts", values, moved={SYSTEM: ""}, path=str(applets))
    return facts.parse("here", ran.stdout)


def test_a_host_with_busybox_alone_tells_what_others_tell(bench: Bench, applets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        small, whole = on_busybox(bench, applets), facts_of(bench)

    assert small.missing_tools == frozenset()
    assert ("tcp", port) in small.listening
    for same in SAME:
        assert getattr(small, same) == getattr(whole, same), same
    assert abs(small.clock - time.time()) < 60


def test_busybox_times_the_disk_or_says_that_it_cannot(bench: Bench, applets: Path) -> None:
    """Its `dd` tells the time only if it was built so."""
    (bench.programs / "k3s").unlink()
    seen = on_busybox(bench, applets, probes=5)

    assert seen.untimed is (seen.fsync_p99_ms is None)
    assert seen.fsync_writes == (0 if seen.untimed else 5)


@pytest.mark.parametrize("tool", ["ip", "awk", "wget"])
def test_a_tool_that_is_missing_is_named(bench: Bench, applets: Path, tool: str) -> None:
    (applets / tool).unlink()
    script = scripts.script("facts", facts_values(bench, 0, bench.folder / "data"))
    # BusyBox' own shell runs its applets whatever is on PATH.
    dash = shutil.which("dash") or "sh"
    ran = subprocess.run(
        [dash, "-c", script.replace(SYSTEM, "")],
        capture_output=True, text=True, timeout=30, env={"PATH": str(applets)},
    )  # fmt: skip

    if tool == "awk":
        with pytest.raises(PermanentError, match="tools are missing: awk"):
            facts.parse("here", ran.stdout.replace("@@memory\nMem", "@@memory\nx"))
    else:
        expected = "bash or wget" if tool == "wget" else tool
        assert facts.parse("here", ran.stdout).missing_tools == {expected}


@pytest.mark.parametrize("printed", ["1795874497.%0\n", "1795874497.N\n", "1795874497.\n"])
def test_a_clock_without_nanoseconds_is_read(bench: Bench, printed: str) -> None:
    bench.answer("odd-date", "+%s.%N", printed)
    bench.answer("odd-date", "+%s", "1795874497\n")
    moved = {"date +%s": f"{bench.programs}/odd-date +%s"}

    assert facts_of(bench, moved=moved).clock == 1795874497


def test_the_other_role_and_what_adds_to_a_configuration_are_seen(bench: Bench) -> None:
    data = bench.folder / "data" / "k3s" / "server" / "db"
    data.mkdir(parents=True)
    (data / "state.db").write_text("")
    dropin = bench.folder / "config.yaml.d" / "90-mine.yaml"
    dropin.parent.mkdir()
    dropin.write_text("disable: [traefik]\n")
    bench.answer("systemctl", "show k3s-agent", "LoadState=loaded\nActiveState=active\n")
    seen = facts_of(bench)

    assert seen.datastore_file
    assert seen.dropins == (str(dropin),)
    assert seen.service is None
    assert seen.other_service is not None
    assert seen.other_service.is_active


def test_a_host_s_own_script_is_read(bench: Bench) -> None:
    """With the values that an apply gives it, too."""
    text = facts.facts_script(cluster(1).servers[0], str(bench.folder / "data"))
    ran = subprocess.run([*bench.shell, "-c", text], capture_output=True, text=True, timeout=60)

    assert facts.parse("here", ran.stdout).hostname == socket.gethostname()


def test_a_host_with_k3s_is_read(bench: Bench) -> None:
    data = bench.folder / "data" / "k3s"
    for folder in ("server/tls", "server/db/etcd/member", "agent/images"):
        (data / folder).mkdir(parents=True)
    (data / "server/tls/server-ca.crt").write_text("a certificate")
    (data / "agent/images/xops-0123-images.tar").write_text("images")
    config = bench.folder / "config.yaml"
    config.write_text("node-name: here\n")
    config.chmod(0o600)
    manifest = bench.folder / "xops-kube-vip.yaml"
    manifest.write_text("kind: DaemonSet\n")
    manifest.chmod(0o644)
    bench.answer("k3s", "--version", "k3s version v1.36.4+k3s1 (0123)\ngo version go1.25\n")
    shown = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=3\n"
    bench.answer("systemctl", "show k3s", shown)

    seen = facts_of(bench)
    assert seen.version == "v1.36.4+k3s1"
    assert seen.service is not None
    assert (seen.service.is_active, seen.service.enabled, seen.service.restarts) == (True, True, 3)
    assert {path: file.mode for path, file in seen.files.items()} == {
        str(config): "600",
        str(manifest): "644",
    }
    assert seen.files[str(config)].sha256 == hashlib.sha256(config.read_bytes()).hexdigest()
    assert seen.contents == {"/etc/rancher/k3s/config.yaml": "node-name: here"}
    assert seen.cluster_id == hashlib.sha256(b"a certificate").hexdigest()
    assert seen.etcd_member
    assert list(seen.images.values()) == [6]


@pytest.mark.parametrize("said", ["", f"{'0' * 64} */somewhere/else\n"])
def test_files_are_hashed_where_openssl_fails_too(bench: Bench, said: str) -> None:
    config = bench.folder / "config.yaml"
    config.write_text("node-name: here\n")
    bench.answer("openssl", "dgst -sha256", said, code=1)
    (found,) = facts_of(bench).files.values()

    assert bench.calls("openssl") == [f"dgst -sha256 -r {config}"]
    assert found.sha256 == hashlib.sha256(config.read_bytes()).hexdigest()


def test_where_a_proxy_is_set_is_told_and_not_which(bench: Bench) -> None:
    file = bench.folder / "k3s.default"
    file.write_text("https_proxy=http://me:canary@proxy:3128\n# NO_PROXY=x\nexport HTTP_PROXY=a\n")
    moved = {"/etc/default/$SERVICE": str(file)}
    values = facts_values(bench, 0, bench.folder / "data")
    ran = bench.run("facts", values, moved=moved)

    assert facts.parse("here", ran.stdout).proxies == (
        f"HTTP_PROXY in {file}",
        f"HTTPS_PROXY in {file}",
    )
    assert "canary" not in ran.stdout


def with_api(bench: Bench) -> dict[str, str]:
    """A host on which kubectl can be asked; what is moved for it."""
    kubeconfig = bench.folder / "k3s.yaml"
    kubeconfig.write_text("")
    return {"/etc/rancher/k3s/k3s.yaml": str(kubeconfig)}


def test_what_a_server_tells_of_nodes_and_members_is_read(bench: Bench) -> None:
    node = '{"items": [{"metadata": {"name": "server-1"}, "status": {}}]}'
    bench.answer("k3s", "kubectl get nodes -o jsonpath=", node)
    bench.answer("k3s", "kubectl get --raw /db/info", TWO)
    seen = facts_of(bench, moved=with_api(bench))

    assert [found.name for found in seen.nodes or ()] == ["server-1"]
    assert [member.id for member in seen.members or ()] == ["10", "11"]


def test_a_thousand_nodes_come_through(bench: Bench) -> None:
    """Nodes and members are asked at the same time, and both wait until all else was told."""
    labels = json.dumps({f"example.com/label-{number}": "x" * 40 for number in range(10)})
    rows = (f"agent-{n}\t{labels}\t\t\t\tTrue\t\t\t10.0.0.1\tv1.34.1+k3s1\n" for n in range(1000))
    bench.answer("k3s", "kubectl get nodes -o jsonpath=", f"rows\n{''.join(rows)}")
    bench.answer("k3s", "kubectl get --raw /db/info", TWO)
    seen = facts_of(bench, moved=with_api(bench))

    assert len(seen.nodes or ()) == 1000
    assert [member.id for member in seen.members or ()] == ["10", "11"]


def test_an_api_that_refuses_is_not_one_without_nodes(bench: Bench) -> None:
    """kubectl prints an empty list, too, when it failed and knew the API from earlier."""
    bench.answer("k3s", "kubectl get nodes -o jsonpath=", '{"items": []}', code=1)
    bench.answer("k3s", "kubectl get --raw /db/info", TWO, code=1)
    seen = facts_of(bench, moved=with_api(bench))

    assert (seen.nodes, seen.members, seen.api_answers) == (None, None, False)


def test_the_disk_of_a_host_without_k3s_is_timed_and_left_clean(bench: Bench) -> None:
    (bench.programs / "k3s").unlink()
    seen = facts_of(bench, probes=3)

    assert was_timed(bench, seen)
    assert [file.name for file in bench.folder.iterdir() if file.name.startswith(".xops")] == []


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")


def _of_another_user(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 65534, 65534)


def _of_a_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o775)


def _of_everybody(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)


def _below_another_user_s(folder: Path) -> None:
    _of_another_user(folder.with_name("theirs"))
    folder.with_name("theirs").joinpath("k3s").mkdir()
    folder.symlink_to(folder.with_name("theirs") / "k3s")


@needs_root
@pytest.mark.parametrize(
    "make",
    [
        _of_another_user,
        _of_a_group,
        _of_everybody,
        _below_another_user_s,
    ],
)
def test_nothing_is_written_where_others_could_have_put_a_link(
    bench: Bench, make: Callable[[Path], None]
) -> None:
    victim = bench.folder / "victim"
    victim.write_text("content")
    make(bench.folder / "data")
    place = (bench.folder / "data").resolve()
    for name in (".xops-fsync-probe", *(f".xops-fsync-probe.{n}" for n in range(9))):
        (place / name).symlink_to(victim)
    before = sorted(place.iterdir())
    seen = facts_of(bench, probes=3)

    assert seen.fsync_p99_ms is None
    assert seen.exposed
    assert sorted(place.iterdir()) == before
    assert victim.read_text() == "content"


@needs_root
def test_a_link_of_another_user_s_is_no_way(bench: Bench) -> None:
    shared, real = bench.folder / "shared", bench.folder / "real"
    _of_everybody(shared)
    real.mkdir()
    shared.joinpath("link").symlink_to(real)
    os.chown(shared / "link", 65534, 65534, follow_symlinks=False)
    seen = facts_of(bench, probes=3, data=shared / "link" / "k3s")

    # Which of the two is seen depends on fs.protected_symlinks of this kernel.
    assert seen.exposed in ((str(shared),), (str(shared / "link"),))
    assert seen.fsync_p99_ms is None
    assert list(real.iterdir()) == []


@needs_root
def test_a_folder_of_root_s_in_one_of_everybody_s_is_root_s_alone(bench: Bench) -> None:
    _of_everybody(bench.folder / "shared")
    (bench.folder / "shared" / "mine").mkdir()
    seen = facts_of(bench, probes=3, data=bench.folder / "shared" / "mine" / "k3s")

    assert seen.exposed == ()
    assert was_timed(bench, seen)


def test_a_link_that_was_there_before_is_not_followed(bench: Bench) -> None:
    victim = bench.folder / "victim"
    victim.write_text("content")
    (bench.folder / ".xops-fsync-probe").symlink_to(victim)

    assert was_timed(bench, facts_of(bench, probes=3))
    assert victim.read_text() == "content"


def test_a_probe_that_is_ended_leaves_nothing(bench: Bench) -> None:
    started = subprocess.Popen(
        [*bench.shell, "-c", facts_script_of(bench, 100_000)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        look_until_found(lambda: list(bench.folder.glob(".xops-fsync-probe.*")))
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(20)
    assert list(bench.folder.glob(".xops-fsync-probe*")) == []


def test_a_configuration_that_is_no_file_is_not_waited_for(bench: Bench) -> None:
    os.mkfifo(bench.folder / "config.yaml")
    assert facts_of(bench).contents == {}


def test_a_host_that_does_not_say_its_name_is_read_all_the_same(bench: Bench) -> None:
    """`.` of a file that is not there ends a POSIX shell."""
    seen = facts_of(bench, moved={"/etc/os-release": str(bench.folder / "none")})

    assert seen.os == "unknown"


# wait_ready.sh

NODE = "server-1 Ready={ready} EtcdIsVoter={voter} {{node-role.kubernetes.io/control-plane:true}}\n"
UP = NODE.format(ready="True", voter="True")


EARLIER, LATER = "2026-01-05T10:00:00.123456Z", "2999-01-05T10:00:00.123456Z"
"""When a kubelet has renewed the lease of its node: before K3S was told to restart, and since."""


@dataclass(frozen=True)
class Waited:
    code: int
    lines: list[str]


type RunWait = Callable[..., Waited]


@pytest.fixture
def wait_ready(bench: Bench) -> RunWait:
    """Runs the readiness wait of server-1 on the bench, a server whose CA is known."""
    (bench.folder / "server/tls").mkdir(parents=True)
    (bench.folder / "server/tls/server-ca.crt").write_text("a certificate")

    def run(
        role: str = "server",
        members: int = 1,
        limit: int = 20,
        systemd: bool = True,
        leases: Sequence[str] = (LATER,),
    ) -> Waited:
        bench.answer("k3s", "get lease -n kube-node-lease server-1", *leases)
        values = {
            "SERVICE": "k3s",
            "BINARY": str(bench.programs / "k3s"),
            "NODE": "server-1",
            "ROLE": role,
            "MEMBERS": str(members),
            "LIMIT": str(limit),
            "DATA": str(bench.folder),
        }
        ran = bench.run("wait_ready", values, systemd=systemd)
        return Waited(ran.returncode, ran.stdout.splitlines())

    return run


def be_up(bench: Bench) -> None:
    """The service runs, the API answers, and the node is Ready and votes."""
    bench.answer("systemctl", "is-active", "active\n")
    bench.answer("k3s", "/readyz", "ok")
    bench.answer("k3s", "get nodes", UP)


def test_a_server_is_ready_step_by_step(bench: Bench, wait_ready: RunWait) -> None:
    waiting = [NODE.format(ready="False", voter="True"), NODE.format(ready="True", voter="False")]
    bench.answer("systemctl", "is-active", "activating\n", "active\n")
    bench.answer("k3s", "/readyz", "", "ok")
    bench.answer("k3s", "get nodes", "", *waiting, UP)

    found = wait_ready()
    identity = hashlib.sha256(b"a certificate").hexdigest()
    assert found == Waited(0, ["@@active", "@@readyz", "@@node", f"@@cluster={identity}"])
    assert len([call for call in bench.calls("k3s") if "get nodes" in call]) == 4


@pytest.mark.parametrize("lease", [EARLIER, ""], ids=["earlier", "none"])
def test_a_server_whose_kubelet_has_yet_to_report_is_not_ready(
    bench: Bench, wait_ready: RunWait, lease: str
) -> None:
    """It counts as Ready for most of a minute after its kubelet has ended."""
    be_up(bench)

    assert wait_ready(limit=0, leases=(lease,)) == Waited(21, ["@@active", "@@readyz"])


def test_a_server_is_ready_once_its_kubelet_has_reported(bench: Bench, wait_ready: RunWait) -> None:
    be_up(bench)

    assert wait_ready(leases=("", EARLIER, LATER)).code == 0
    assert len([call for call in bench.calls("k3s") if "get nodes" in call]) == 1


def test_what_a_kubelet_reported_since_the_process_began_counts(
    bench: Bench, wait_ready: RunWait
) -> None:
    """The next report would be ten seconds away, on each server of a new cluster."""
    be_up(bench)
    bench.answer("systemctl", "MainPID", f"MainPID={os.getpid()}\n")
    began = Path(f"/proc/{os.getpid()}").stat().st_mtime
    before, after = (
        datetime.fromtimestamp(began + seconds, UTC).isoformat() for seconds in (-1, 1)
    )

    assert wait_ready(limit=0, leases=(before, after)).code == 21
    assert wait_ready(limit=0, leases=(before, after)).code == 0


def test_it_waits_for_all_members(bench: Bench, wait_ready: RunWait) -> None:
    other = UP.replace("server-1", "server-2")
    bench.answer("systemctl", "is-active", "active\n")
    bench.answer("k3s", "/readyz", "ok")
    bench.answer("k3s", "get nodes", UP, UP + other)

    assert wait_ready(members=2).code == 0
    assert len([call for call in bench.calls("k3s") if "get nodes" in call]) == 2


@pytest.mark.parametrize(
    "nodes",
    [
        "",
        UP.replace("server-1", "server-10"),
        NODE.format(ready="True", voter="False"),
        NODE.format(ready="Unknown", voter="True"),
        UP.replace("control-plane", "worker"),
    ],
)
def test_a_node_that_is_not_as_it_should_be_is_no_success(
    bench: Bench, wait_ready: RunWait, nodes: str
) -> None:
    bench.answer("systemctl", "is-active", "active\n")
    bench.answer("k3s", "/readyz", "ok")
    bench.answer("k3s", "get nodes", nodes)

    assert wait_ready(limit=0) == Waited(21, ["@@active", "@@readyz"])


def test_an_api_that_never_answers_is_given_up(bench: Bench, wait_ready: RunWait) -> None:
    bench.answer("systemctl", "is-active", "active\n")
    bench.answer("k3s", "/readyz", "", code=1)

    assert wait_ready(limit=0) == Waited(21, ["@@active"])


def test_a_service_that_ends_again_and_again_is_not_waited_for(
    bench: Bench, wait_ready: RunWait
) -> None:
    bench.answer("systemctl", "NRestarts", *(f"NRestarts={count}\n" for count in (7, 8, 9, 11)))
    bench.answer("systemctl", "is-active", "activating\n")

    assert wait_ready(limit=60) == Waited(20, [])


@pytest.mark.parametrize("systemd", [True, False])
def test_an_agent_is_through_when_its_service_is_active(
    bench: Bench, wait_ready: RunWait, systemd: bool
) -> None:
    bench.answer("systemctl", "is-active", "active\n")

    earliest = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    found = wait_ready("agent", systemd=systemd)
    active, at = found.lines
    assert (found.code, active) == (0, "@@active")
    assert earliest <= at.removeprefix("@@at=") <= time.strftime("%Y%m%d%H%M%S", time.gmtime())
    assert bench.calls("rc-service") == ([] if systemd else ["k3s status"])


# start.sh, prepare.sh, roll_back.sh


def start(bench: Bench, systemd: bool = True, **values: str) -> subprocess.CompletedProcess[str]:
    given = {
        "SERVICE": "k3s",
        "BINARY": str(bench.folder / "k3s"),
        "STAGED": "",
        "SYSCTL": str(bench.folder / "90.conf"),
        "REMOVED": "",
        "VERB": "restart",
        "UNREAD": str(bench.folder / "unread"),
    }
    return bench.run("start", given | values, systemd=systemd)


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_the_service_is_told_once_everything_is_in_place(bench: Bench, verb: str) -> None:
    for name in ("staged", "old", "unread", "90.conf"):
        (bench.folder / name).write_text(name)
    ran = start(
        bench, VERB=verb, STAGED=f"{bench.folder}/staged", REMOVED=f"{bench.folder}/old\n/no/such"
    )

    assert ran.returncode == 0
    assert (bench.folder / "k3s").read_text() == "staged"
    assert (bench.folder / "k3s").stat().st_mode & 0o777 == 0o755
    assert not (bench.folder / "staged").exists()
    assert not (bench.folder / "old").exists()
    assert not (bench.folder / "unread").exists()
    assert bench.calls("sysctl") == [f"-q -p {bench.folder}/90.conf"]
    assert bench.calls("systemctl") == [
        "daemon-reload",
        "enable --quiet k3s",
        "reset-failed --quiet k3s",
        f"--no-block {verb} k3s",
    ]


def test_a_service_of_openrc_is_told(bench: Bench) -> None:
    assert start(bench, systemd=False).returncode == 0
    assert bench.calls("rc-update") == ["add k3s default"]
    assert bench.calls("rc-service") == ["--quiet k3s restart"]


def test_what_needs_no_restart_gets_none(bench: Bench) -> None:
    (bench.folder / "old").write_text("")

    assert start(bench, VERB="keep", REMOVED=f"{bench.folder}/old").returncode == 0
    assert bench.calls("systemctl") == []
    assert not (bench.folder / "old").exists()


@pytest.mark.parametrize("what", ["daemon-reload", "--no-block restart"])
def test_while_the_service_was_not_told_the_note_stays(bench: Bench, what: str) -> None:
    (bench.folder / "unread").write_text("")
    bench.answer("systemctl", what, code=1)

    assert start(bench).returncode == 1
    assert (bench.folder / "unread").exists()


def test_folders_are_made_with_their_modes(bench: Bench) -> None:
    data, folder = bench.folder / "data", bench.folder / "etc"
    for _ in range(2):
        values = {"DATA": str(data), "FOLDER": str(folder), "ROLE": "server"}
        assert bench.run("prepare", values).returncode == 0

    modes = {
        str(path.relative_to(bench.folder)): path.stat().st_mode & 0o777
        for path in (folder, data / "server", data / "server/manifests", data / "server/logs")
    }
    assert modes == {"etc": 0o755} | dict.fromkeys(
        ["data/server", "data/server/manifests", "data/server/logs"], 0o700
    )
    assert (data / "agent/images").is_dir()


def test_an_agent_gets_no_server_s_folders(bench: Bench) -> None:
    values = {"DATA": f"{bench.folder}/d", "FOLDER": f"{bench.folder}/e", "ROLE": "agent"}
    bench.run("prepare", values)

    assert [path.name for path in (bench.folder / "d").iterdir()] == ["agent"]


@pytest.mark.parametrize("systemd", [True, False])
def test_rolled_back_is_all_but_what_was_brought(bench: Bench, systemd: bool) -> None:
    data, folder = bench.folder / "data", bench.folder / "etc"
    kept = [data / "agent/images/images.tar", folder / "registries.yaml"]
    gone = [
        data / "server/db/etcd/member/wal", data / "agent/containerd/state",
        data / "agent/client-ca.crt", folder / "config.yaml", folder / "token",
        folder / "agent-token", folder / "k3s.yaml", bench.folder / "node/password",
        bench.folder / "k3s.service", bench.folder / "unread",
    ]  # fmt: skip
    for file in (*kept, *gone):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    values = {
        "SERVICE": "k3s",
        "OTHER": "k3s-agent",
        "DATA": str(data),
        "FOLDER": str(folder),
        "UNIT": str(bench.folder / "k3s.service"),
        "UNREAD": str(bench.folder / "unread"),
    }
    for _ in range(2):
        assert bench.run("roll_back", values, systemd=systemd).returncode == 0

    assert [file for file in gone if file.exists()] == []
    assert all(file.exists() for file in kept)
    told = bench.calls("systemctl" if systemd else "rc-service")
    assert told[0] == ("disable --quiet --now k3s" if systemd else "--quiet k3s stop")


# forget.sh, members.sh, stop.sh, nodes_ready.sh

STUB = '{"apiVersion":"v1","kind":"Node","metadata":{"name":"xops-removes-member-b"}}'
TWO = '{"members":[{"ID":10,"name":"server-1-aa"},{"ID":11,"name":"server-3-bb"}]}\n'
ONE = '{"members":[{"ID":10,"name":"server-1-aa"}]}\n'
NO_QUORUM = '{"members":[{"name":"server-1-aa"}]}\n'


def forget(bench: Bench, limit: int, members: str = "") -> subprocess.CompletedProcess[str]:
    values = {"BINARY": str(bench.programs / "k3s"), "NODE": "server-3", "LIMIT": str(limit)}
    return bench.run("forget", {**values, "MEMBERS": members})


def test_a_node_is_forgotten_with_its_password_and_its_going_is_seen(bench: Bench) -> None:
    bench.answer("k3s", "get node server-3", "node/server-3\n", "")

    assert forget(bench, 9).returncode == 0
    deleted = [call for call in bench.calls("k3s") if "delete" in call]
    assert deleted[0].startswith("kubectl delete node server-3 --ignore-not-found")
    assert deleted[1].startswith("kubectl delete secret server-3.node-password.k3s -n kube-system")
    assert len([call for call in bench.calls("k3s") if "get node" in call]) == 2


@pytest.mark.parametrize(
    ("given", "text", "code"),
    [
        ("delete node", "", 1),
        ("get node ", "node/server-3", 0),
        ("get node ", "", 1),  # the API refuses: that says of no node that it is gone
        ("delete secret", "", 1),
    ],
)
def test_a_node_that_cannot_be_forgotten_is_no_success(
    bench: Bench, given: str, text: str, code: int
) -> None:
    bench.answer("k3s", given, text, code=code)

    assert forget(bench, 0).returncode == 21


def test_a_member_without_a_node_is_removed_by_a_node_that_is_made_for_it(bench: Bench) -> None:
    """K3S's controller must have seen the node before it is deleted."""
    finalizers = 'xops-removes-member-b ["wrangler.cattle.io/managed-etcd-controller"]'
    bench.answer("k3s", "get --raw /db/info", *[TWO] * 3, ONE)
    bench.answer(
        "k3s", "get node xops-removes-member-b --ignore-not-found -o jsonpath",
        "", "xops-removes-member-b ", finalizers,
    )  # fmt: skip
    ran = forget(bench, 20, f"11 xops-removes-member-b {STUB}")

    assert ran.returncode == 0, ran.stderr
    told = [call for call in bench.calls("k3s") if "create" in call or "delete node xops" in call]
    assert told[0] == "kubectl create --validate=false -f -"
    assert told[1].startswith("kubectl delete node xops-removes-member-b --ignore-not-found")
    assert [call for call in told if "create" in call] == told[:1]


@pytest.mark.parametrize("answer", [TWO, NO_QUORUM, ""])
def test_a_member_is_gone_only_when_a_quorum_says_so(bench: Bench, answer: str) -> None:
    bench.answer("k3s", "get --raw /db/info", answer, code=0 if answer else 1)
    bench.answer("k3s", "jsonpath", "xops-removes-member-b ")
    ran = forget(bench, 0, f"11 xops-removes-member-b {STUB}")

    assert ran.returncode == 21
    # What was asked is taken back: a host that is left as it is must not be removed later.
    assert "kubectl label node xops-removes-member-b node-role.kubernetes.io/etcd-" in (
        bench.calls("k3s")
    )


def test_the_live_members_come_with_the_nodes(bench: Bench) -> None:
    bench.answer("k3s", "get --raw /db/info", NO_QUORUM, TWO)
    bench.answer("k3s", "get nodes", '{"items": []}')
    ran = bench.run("members", {"BINARY": str(bench.programs / "k3s"), "LIMIT": "9"})

    view = facts.parse_live_view(ran.stdout)
    assert ran.returncode == 0
    assert view is not None
    assert [member.name for member in view[0]] == ["server-1-aa", "server-3-bb"]


@pytest.mark.parametrize("given", ["get --raw /db/info", "get nodes"])
def test_without_an_answer_there_are_no_live_members(bench: Bench, given: str) -> None:
    bench.answer("k3s", given, '{"items": []}', code=1)
    bench.answer("k3s", "get", TWO)
    ran = bench.run("members", {"BINARY": str(bench.programs / "k3s"), "LIMIT": "0"})

    assert (ran.returncode, ran.stdout) == (21, "")


@pytest.mark.parametrize("systemd", [True, False])
def test_a_service_is_stopped(bench: Bench, systemd: bool) -> None:
    bench.run("stop", {"SERVICE": "k3s"}, systemd=systemd)

    told = bench.calls("systemctl" if systemd else "rc-service")
    assert told == ["stop k3s" if systemd else "--quiet k3s stop"]


def test_etcd_s_data_is_moved_aside_and_kept(bench: Bench) -> None:
    etcd = bench.folder / "db" / "etcd"
    (etcd / "member").mkdir(parents=True)
    for _ in range(2):
        assert bench.run("discard", {"ETCD": str(etcd)}).returncode == 0

    (kept,) = (bench.folder / "db").iterdir()
    assert kept.name.startswith("etcd-removed-")
    assert (kept / "member").is_dir()


@pytest.mark.parametrize("planted", ["folder", "link"])
def test_etcd_s_data_is_not_moved_into_what_is_there(bench: Bench, planted: str) -> None:
    etcd, elsewhere = bench.folder / "db" / "etcd", bench.folder / "elsewhere"
    (etcd / "member").mkdir(parents=True)
    elsewhere.mkdir()
    now = int(time.time())
    for second in range(now - 1, now + 30):
        place = bench.folder / "db" / f"etcd-removed-{second}"
        place.mkdir() if planted == "folder" else place.symlink_to(elsewhere)
    ran = bench.run("discard", {"ETCD": str(etcd)})

    assert ran.returncode == 1
    assert "is there already" in ran.stderr
    assert (etcd / "member").is_dir()
    assert list(elsewhere.iterdir()) == []


def test_nodes_are_told_as_they_become_ready(bench: Bench) -> None:
    bench.answer("k3s", "get nodes", "", "a True\nb False\nab True\n", "a True\nb True\n")
    values = {"BINARY": str(bench.programs / "k3s"), "NODES": "a= b=", "LIMIT": "9"}
    ran = bench.run("nodes_ready", values)

    assert (ran.returncode, ran.stdout.split()) == (0, ["@@a", "@@b"])


def test_a_node_is_ready_once_its_kubelet_has_reported_since(bench: Bench) -> None:
    """Until then it may count as Ready from before."""
    bench.answer("k3s", "get nodes", "a True\nb True\nc True\n")
    second = "20260105100000"
    late = "a 2026-01-05T10:00:00.9Z\nb 2026-01-05T10:00:01.000001Z\n"
    bench.answer("k3s", "get leases", f"{late}bc 2999-01-05T10:00:00Z\n")
    nodes = f"a={second} b={second} c={second}"
    values = {"BINARY": str(bench.programs / "k3s"), "NODES": nodes, "LIMIT": "0"}
    ran = bench.run("nodes_ready", values)

    assert (ran.returncode, ran.stdout.split()) == (21, ["@@b"])


def test_a_node_that_does_not_become_ready_is_not_told(bench: Bench) -> None:
    bench.answer("k3s", "get nodes", "a True\nb Unknown\n")
    values = {"BINARY": str(bench.programs / "k3s"), "NODES": "a= b=", "LIMIT": "0"}
    ran = bench.run("nodes_ready", values)

    assert (ran.returncode, ran.stdout.split()) == (21, ["@@a"])


# label_nodes.sh


def labelled(bench: Bench, *lines: str) -> subprocess.CompletedProcess[str]:
    values = {"BINARY": str(bench.programs / "k3s"), "CHANGES": "\n".join(lines)}
    return bench.run("label_nodes", values)


def changing(bench: Bench) -> list[str]:
    """What kubectl was told to change."""
    return [call for call in bench.calls("k3s") if "--overwrite" in call]


def test_labels_and_taints_are_set_on_all_nodes_at_once(bench: Bench) -> None:
    ran = labelled(bench, "label a,b x/y=1 z= gone-", "taint a t=1:NoExecute u:NoSchedule")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert bench.calls("k3s") == [
        "kubectl label --overwrite nodes a b x/y=1 z= gone-",
        "kubectl taint --overwrite nodes a t=1:NoExecute u:NoSchedule",
    ]


def test_a_taint_is_taken_away_from_nodes_that_have_it(bench: Bench) -> None:
    """kubectl fails about one that is not there: run again, the script has to pass."""
    rows = "a t:NoExecute\nb\nc x:NoSchedule t:NoExecute\nd t:NoExecute\nab t:NoSchedule\n"
    bench.answer("k3s", "get nodes", rows, "a\nb\nc\nd\nab\n")
    for _ in range(2):
        assert labelled(bench, "untaint a,b,c,ab t:NoExecute").returncode == 0

    assert changing(bench) == ["kubectl taint --overwrite nodes a c t:NoExecute-"]


@pytest.mark.parametrize("code", [124, 143])
def test_an_api_that_hangs_is_not_asked_for_all_that_follows(bench: Bench, code: int) -> None:
    """Else each command would take its minute, with the hosts locked."""
    bench.answer("k3s", "label --overwrite nodes a x=1", code=code)
    assert labelled(bench, "label a x=1", "label b x=2").returncode == 1
    bench.answer("k3s", "get nodes", code=code)
    assert labelled(bench, "untaint a t:NoExecute", "label b x=2").returncode == 1

    assert changing(bench) == ["kubectl label --overwrite nodes a x=1"]


@pytest.mark.parametrize("verb", ["label b x=1", "taint b x=1:NoExecute"])
def test_what_the_api_refuses_is_an_error_and_the_rest_is_done(bench: Bench, verb: str) -> None:
    bench.answer("k3s", f"{verb.split()[0]} --overwrite nodes b", code=1)
    ran = labelled(bench, verb, "label a x=1")

    assert ran.returncode == 1
    assert changing(bench)[-1] == "kubectl label --overwrite nodes a x=1"


def test_nodes_that_nobody_tells_are_no_nodes_without_the_taint(bench: Bench) -> None:
    bench.answer("k3s", "get nodes", code=1)

    assert labelled(bench, "untaint a t:NoExecute").returncode == 1
    assert changing(bench) == []


def test_no_word_is_more_than_a_word(bench: Bench) -> None:
    (bench.folder / "x=1").touch()
    lines = ("label a $(touch${IFS}harm) `id` * ;reboot", "untaint a $(id)", "", "label a x='1'")

    assert labelled(bench, *lines).returncode == 0
    assert changing(bench) == [
        "kubectl label --overwrite nodes a $(touch${IFS}harm) `id` * ;reboot",
        "kubectl label --overwrite nodes a x='1'",
    ]


# peers.sh, diagnose.sh

PEERS_PATH = ":/usr/sbin:/usr/bin:/sbin:/bin"


@contextmanager
def answering() -> Iterator[int]:
    """The port of a server that says 400 to everybody."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(400)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_open_and_closed_ports_are_told_apart(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens: nobody else gets it meanwhile
        ports = (listening.getsockname()[1], closed.getsockname()[1])
        text = facts.peer_script({"127.0.0.1": ports})
        ran = subprocess.run([*bench.shell, "-c", text], capture_output=True, text=True, timeout=20)

    assert facts.parse_peers(ran.stdout) == {
        ("127.0.0.1", ports[0]): "open",
        ("127.0.0.1", ports[1]): "refused",
    }


def test_a_port_that_nobody_answers_is_silent(bench: Bench) -> None:
    """One whose queue is full; the others do not wait for it longer than they must."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        place = full.getsockname()
        for _ in range(3):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(place)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ports = (place[1], listening.getsockname()[1])
            text = facts.peer_script({"127.0.0.1": ports}, seconds=1)
            ran = subprocess.run(
                [*bench.shell, "-c", text], capture_output=True, text=True, timeout=20
            )

    assert facts.parse_peers(ran.stdout) == {
        ("127.0.0.1", ports[0]): "silent",
        ("127.0.0.1", ports[1]): "open",
    }


def test_an_address_of_ipv6_is_told_as_it_was_given(bench: Bench) -> None:
    text = facts.peer_script({"::1": (1,)}, seconds=5)
    ran = subprocess.run([*bench.shell, "-c", text], capture_output=True, text=True, timeout=20)

    (answer,) = facts.parse_peers(ran.stdout).items()
    assert answer in ((("::1", 1), "refused"), (("::1", 1), "unreachable"))  # that is without IPv6


def test_busybox_tells_a_port_that_refuses_from_one_that_is_silent(applets: Path) -> None:
    """Without bash; a server of HTTP answers as K3S does to who speaks no TLS."""
    listening = socket.create_server(("127.0.0.1", 0))
    with listening as mute, socket.socket() as closed, answering() as web:
        closed.bind(("127.0.0.1", 0))
        ports = (web, closed.getsockname()[1], mute.getsockname()[1])
        text = facts.peer_script({"127.0.0.1": ports}, seconds=1).replace(PEERS_PATH, "")
        ran = subprocess.run(
            [str(applets / "sh"), "-c", text],
            capture_output=True, text=True, timeout=20, env={"PATH": str(applets)},
        )  # fmt: skip

    answers = [facts.parse_peers(ran.stdout).get(("127.0.0.1", port)) for port in ports]
    assert answers[:2] == ["open", "refused"]
    # One that lets in and says nothing is not told from a silent one where nc cannot scan.
    assert answers[2] in ("open", "silent")


def test_without_a_program_for_it_no_port_is_said_to_be_closed(applets: Path) -> None:
    for name in ("wget", "nc"):
        (applets / name).unlink()
    dash = shutil.which("dash") or "sh"
    text = facts.peer_script({"127.0.0.1": (1,)}, seconds=1).replace(PEERS_PATH, "")
    ran = subprocess.run(
        [dash, "-c", text], capture_output=True, text=True, timeout=20, env={"PATH": str(applets)}
    )

    assert facts.parse_peers(ran.stdout) == {}


@pytest.mark.parametrize("service", ["k3s", "k3s-agent"])
def test_what_a_failing_host_says(bench: Bench, service: str) -> None:
    noise = "level=error msg=retrying\n" * 500
    ended = 'level=error msg="Shutdown request received: kubelet exited: why"\n'
    klog = "E1128 10:00:00.000000   12 server.go:1] a kubelet\n"
    bench.answer("journalctl", "--since -90s", f"level=fatal msg=early\n{ended}{klog}{noise}")
    bench.answer("journalctl", f"-u {service} -n 80", noise[:100])
    bench.answer("k3s", "get events", "kube-system Warning BackOff pod\n")
    values = {"SERVICE": service, "BINARY": str(bench.programs / "k3s"), "LINES": "80"}
    ran = bench.run("diagnose", {**values, "SECONDS_BACK": "90"})

    said = ran.stdout.splitlines()
    assert said[:4] == [*f"{klog}level=fatal msg=early\n{ended}".splitlines(), "@@last"]
    assert ("kube-system Warning BackOff pod" in said) == (service == "k3s")
    assert said[-1].endswith("/")  # how full the disk is


RUN = "0f" * 16


@pytest.mark.parametrize(
    ("run", "ended", "recent", "last"),
    [
        # It runs on since it was told to start: all before that is about what was mended.
        (RUN, "0", f"_SYSTEMD_INVOCATION_ID={RUN}", f"_SYSTEMD_INVOCATION_ID={RUN}"),
        # It ends again and again: the cause may stand in an earlier of its runs.
        (RUN, "3", "-u k3s --since -90s", f"_SYSTEMD_INVOCATION_ID={RUN}"),
        ("", "0", "-u k3s --since -90s", "-u k3s -n 80"),
    ],
)
def test_a_cause_that_was_mended_is_not_told_again(
    bench: Bench, run: str, ended: str, recent: str, last: str
) -> None:
    bench.answer("systemctl", "-p InvocationID", f"InvocationID={run}\n")
    bench.answer("systemctl", "-p NRestarts", f"NRestarts={ended}\n")
    bench.answer("journalctl", "", "level=fatal msg=now\n")
    values = {"SERVICE": "k3s", "BINARY": str(bench.programs / "k3s"), "LINES": "80"}
    bench.run("diagnose", {**values, "SECONDS_BACK": "90"})

    first, second = bench.calls("journalctl")
    assert first.startswith(recent)
    assert second.startswith(last)


# workloads.sh


def workload_values(bench: Bench, **values: str) -> dict[str, str]:
    return {
        "BINARY": str(bench.programs / "k3s"),
        "LIMIT": "20",
        "PATIENCE": "0",
        "POD_FORM": workloads.POD_FORM,
        "DNS": "yes",
        "VIP": "",
        "TUNNELS": "",
        **values,
    }


def deployment(available: str, present: str = "1") -> str:
    counts = ["2", "2", "1", present, "1", available]
    return "\t".join(["Deployment", "coredns", "", "", *counts, *[""] * 5]) + "\n"


def pod_row(name: str, node: str, ready: str, reason: str = "") -> str:
    # Without spaces, as Go writes it.
    state = json.dumps(
        [{"state": {"waiting": {"message": "it\nsays", "reason": reason}}}], separators=(",", ":")
    )
    row = ["Pod", name, node, "10.42.0.7", *[""] * 6, ready, "", state if reason else "", "", ""]
    return "\t".join(row) + "\n"


def looks(bench: Bench) -> int:
    """How often the API was asked. A call has the line breaks of its form."""
    return len([line for line in bench.calls("k3s") if line.startswith("kubectl get")])


def workloads_of(bench: Bench, asked: Sequence[str], **values: str) -> workloads.WorkloadFacts:
    ran = bench.run("workloads", workload_values(bench, **values))
    assert (ran.returncode, ran.stderr) == (0, "")
    return workloads.parse_workloads("server-1", ran.stdout, asked=asked)


def test_coredns_is_waited_for_until_it_is_up(bench: Bench) -> None:
    starting = deployment("") + pod_row("coredns-1", "server-1", "False", "ContainerCreating")
    old = deployment("1", present="2") + pod_row("coredns-0", "server-1", "True")
    up = deployment("1") + pod_row("coredns-1", "server-1", "True")
    bench.answer("k3s", "k8s-app=kube-dns", "", starting, old, up)
    found = workloads_of(bench, ["dns"])

    assert looks(bench) == 4
    assert found.dns == DnsFacts(
        1, 1, is_current=True, pods=(PodFacts("coredns-1", "server-1", "10.42.0.7", ready=True),)
    )


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "ErrImageNeverPull"])
def test_a_pod_in_trouble_is_not_waited_for_to_the_end(bench: Bench, reason: str) -> None:
    text = deployment("") + pod_row("coredns-1", "server-1", "False", reason)
    bench.answer("k3s", "k8s-app=kube-dns", text)
    found = workloads_of(bench, ["dns"], LIMIT="600")

    assert looks(bench) == 1
    assert found.dns is not None
    assert str(found.dns.pods[0]) == f"pod coredns-1 on server-1: {reason}: it says"


def test_trouble_that_passes_is_none(bench: Bench) -> None:
    trouble = deployment("") + pod_row("coredns-1", "server-1", "False", "ErrImagePull")
    up = deployment("1") + pod_row("coredns-1", "server-1", "True")
    bench.answer("k3s", "k8s-app=kube-dns", trouble, up)
    found = workloads_of(bench, ["dns"], PATIENCE="600")

    assert found.dns is not None
    assert found.dns.pods[0].ready


def test_one_look_waits_for_nothing(bench: Bench) -> None:
    bench.answer("k3s", "k8s-app=kube-dns", deployment(""))
    found = workloads_of(bench, ["dns"], LIMIT="0")

    assert looks(bench) == 1
    assert found.dns == DnsFacts(1, 0, is_current=True, pods=())


def test_who_wants_no_coredns_is_not_waited_for(bench: Bench) -> None:
    assert workloads_of(bench, [], DNS="").dns is None
    assert bench.calls("k3s") == []


def test_kube_vip_is_waited_for_on_each_server(bench: Bench) -> None:
    one = pod_row("kube-vip-a", "server-1", "True")
    both = one + pod_row("kube-vip-b", "server-2", "True")
    starting = one + pod_row("kube-vip-b", "server-2", "False", "ContainerCreating")
    bench.answer("k3s", "app.kubernetes.io/name=kube-vip", one, starting, both)
    found = workloads_of(bench, ["vip"], DNS="", VIP="server-1 server-2")

    assert [pod.ready for pod in found.vip_pods or ()] == [True, True]
    assert looks(bench) == 3


def test_flannel_s_address_of_each_node_is_waited_for(bench: Bench) -> None:
    bench.answer(
        "k3s",
        "get nodes",
        "server-1\t10.0.0.11\nagent-1\t\n",
        "server-1\t10.0.0.11\nagent-1\t10.0.0.21\nother\t\n",
    )
    found = workloads_of(bench, ["tunnels"], DNS="", TUNNELS="server-1 agent-1")

    assert found.tunnels == {"server-1": "10.0.0.11", "agent-1": "10.0.0.21", "other": ""}
    assert looks(bench) == 2


def test_an_api_that_refuses_is_no_cluster_without_pods(bench: Bench) -> None:
    bench.answer("k3s", "get", "", code=1)
    ran = bench.run("workloads", workload_values(bench, LIMIT="0"))

    assert ran.returncode == 21
    assert "@@" not in ran.stdout


# effects.sh


def effect_values(bench: Bench, ports: Sequence[int], **values: str) -> dict[str, str]:
    return {
        "BINARY": str(bench.programs / "k3s"),
        "PAIRS": "\n".join(f"127.0.0.1 {port}" for port in ports),
        "SECONDS_EACH": "5",
        "LIMIT": "0",
        "LOOK": scripts.text("peers"),
        **values,
    }


def local(*ports: int) -> list[tuple[str, int]]:
    return [("127.0.0.1", port) for port in ports]


def test_a_host_says_how_each_address_answered_and_its_api_s_version(bench: Bench) -> None:
    bench.answer("k3s", "get --raw /version", '{"gitVersion": "v1.36.4+k3s1"}')
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = (listening.getsockname()[1], closed.getsockname()[1])
        ran = bench.run("effects", effect_values(bench, ports))
    found = workloads.parse_effects("server-1", ran.stdout, local(*ports), has_api=True)

    assert found.api_version == "v1.36.4+k3s1"
    assert list(found.answers.values()) == ["open", "refused"]


def test_an_agent_has_no_api_to_ask(bench: Bench) -> None:
    ran = bench.run("effects", effect_values(bench, (), BINARY=""))

    assert workloads.parse_effects("agent-1", ran.stdout, [], has_api=False).answers == {}
    assert bench.calls("k3s") == []


def test_an_address_is_asked_until_it_answers(bench: Bench) -> None:
    """As kube-proxy refuses for a moment what it learns of then."""
    with socket.socket() as later, ThreadPoolExecutor(1) as pool:
        later.bind(("127.0.0.1", 0))
        port = later.getsockname()[1]
        values = effect_values(bench, (port,), LIMIT="20", LOOK=f"echo >>{bench.folder}/looks\n")
        values["LOOK"] += scripts.text("peers")
        ran = pool.submit(bench.run, "effects", values)
        look_until_found((bench.folder / "looks").exists, 20)
        later.listen()
        found = workloads.parse_effects("agent-1", ran.result().stdout, local(port), has_api=False)

    assert list(found.answers.values()) == ["open"]


def test_who_has_no_program_to_ask_with_says_so_at_once(bench: Bench, applets: Path) -> None:
    for name in ("wget", "nc"):
        (applets / name).unlink()
    dash = shutil.which("dash") or "sh"
    small = Bench(bench.folder, [dash])
    values = effect_values(small, (1,), LIMIT="600", LOOK=scripts.text("peers"))
    ran = small.run("effects", values, moved={PEERS_PATH: ""}, path=str(applets))
    found = workloads.parse_effects("agent-1", ran.stdout, local(1), has_api=False)

    assert list(found.answers.values()) == ["unknown"]


def test_a_service_of_dns_is_open_for_a_small_host_too(applets: Path, bench: Bench) -> None:
    """It says nothing to who speaks no DNS, and closes after a while, as CoreDNS does."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def close_unheard() -> None:
            for _ in range(2):  # `nc -z`, where it can scan; else wget alone
                with suppress(OSError):
                    listening.settimeout(20)
                    taken, _ = listening.accept()
                    taken.settimeout(1)
                    with suppress(TimeoutError):
                        while taken.recv(4096):
                            pass
                    taken.close()

        pool.submit(close_unheard)
        port = listening.getsockname()[1]
        small = Bench(bench.folder, [str(applets / "sh")])
        ran = small.run(
            "effects", effect_values(small, (port,)), moved={PEERS_PATH: ""}, path=str(applets)
        )
        listening.shutdown(socket.SHUT_RDWR)
    found = workloads.parse_effects("agent-1", ran.stdout, local(port), has_api=False)

    assert list(found.answers.values()) == ["open"]


# withdraw.sh


CRD = "get crd addons.k3s.cattle.io"


def withdraw(bench: Bench, *paths: Path | str) -> subprocess.CompletedProcess[str]:
    values = {"BINARY": str(bench.programs / "k3s"), "MANIFESTS": "\n".join(map(str, paths))}
    return bench.run("withdraw", values)


def manifest(bench: Bench, name: str = "xops-kube-vip.yaml") -> Path:
    file = bench.folder / name
    file.write_text("kind: DaemonSet\n")
    return file


def test_what_a_manifest_made_is_deleted_by_the_file_and_k3s_forgets_its_hash(bench: Bench) -> None:
    file = manifest(bench)
    bench.answer("k3s", CRD, "customresourcedefinition.apiextensions.k8s.io/addons\n")
    ran = withdraw(bench, file)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert bench.calls("k3s") == [
        f"kubectl delete --ignore-not-found --timeout=60s -f {file}",
        f"kubectl {CRD} --ignore-not-found -o name",
        "kubectl delete addons.k3s.cattle.io -n kube-system xops-kube-vip --ignore-not-found"
        " --timeout=60s",
    ]
    assert not file.exists()


def test_a_manifest_that_is_gone_was_withdrawn_before(bench: Bench) -> None:
    ran = withdraw(bench, bench.folder / "xops-gone.yaml", "")

    assert ran.returncode == 0
    assert bench.calls("k3s") == []


def test_where_k3s_keeps_no_addons_there_is_none_to_forget(bench: Bench) -> None:
    assert withdraw(bench, manifest(bench)).returncode == 0
    assert [call for call in bench.calls("k3s") if "delete addons" in call] == []


@pytest.mark.parametrize("refused", ["delete --ignore-not-found", CRD, "delete addons"])
def test_what_the_api_does_not_delete_is_no_success(bench: Bench, refused: str) -> None:
    bench.answer("k3s", refused, "", code=1)
    if refused != CRD:
        bench.answer("k3s", CRD, "there\n")
    files = [manifest(bench), manifest(bench, "xops-etcd-s3.yaml")]

    assert withdraw(bench, *files).returncode == 1
    assert all(file.exists() for file in files)
    assert not [call for call in bench.calls("k3s") if "etcd-s3" in call]


def test_withdrawing_again_after_it_was_cut_short_ends_the_same(bench: Bench) -> None:
    """Killed before the file was removed: it is still there, what it made is not."""
    file = manifest(bench, "xops with a space.yaml")
    bench.answer("k3s", CRD, "there\n")
    # The file is still there when its objects go, so that whoever is cut off here begins anew.
    asks_for_it = f'case "$*" in *"-f "*) [ -f "{file}" ] || exit 9 ;; esac'
    program = bench.programs / "k3s"
    program.write_text(STAND_IN.replace("here=", f"{asks_for_it}\nhere=", 1))

    assert withdraw(bench, file).returncode == 0
    file.write_text("kind: DaemonSet\n")
    assert withdraw(bench, file).returncode == 0
    assert not file.exists()
    assert withdraw(bench, file).returncode == 0
    assert len([call for call in bench.calls("k3s") if "-f" in call.split()]) == 2
