"""The test hosts themselves: what tests of K3S rely on holds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.rig.access import Access
from tests.rig.conftest import MakeRig
from tests.rig.engine import LABEL, ROOT, Engine, RigError, interruptible
from tests.rig.hosts import Host, Rig
from tests.rig.image import ASKER, ASKER_PASSWORD

pytestmark = [pytest.mark.xdist_group("rig"), pytest.mark.timeout(120)]

GiveAccess = Callable[[Rig], Access]

# A probe like the product's: small writes, each waited for until it is on the disk.
_FSYNC = "dd if=/dev/zero of=/var/tmp/probe bs=2300 count=10 oflag=dsync 2>/dev/null"


@pytest.fixture(scope="module")
def rig(make_shared_rig: MakeRig) -> Rig:
    return make_shared_rig(servers=2, agents=1)


@pytest.fixture
def access(rig: Rig, give_access: GiveAccess) -> Access:
    return give_access(rig)


@pytest.fixture
def pair(rig: Rig) -> tuple[Host, Host]:
    return rig.servers[0], rig.servers[1]


def answers(host: Host, at: str, seconds: int = 20) -> bool:
    """Whether an SSH server answers `host` there, within so many seconds."""
    knock = f"read -r line </dev/tcp/{at}/22 && echo $line"
    argv = ["timeout", str(seconds), "bash", "-c", knock]
    return host.exec(argv, check=False).startswith("SSH-")


def is_silent(host: Host, at: str) -> bool:
    return not answers(host, at, seconds=2)


def fsync_seconds(host: Host) -> float:
    started = time.monotonic()
    host.shell(_FSYNC)
    return time.monotonic() - started


def test_three_hosts_boot_to_the_end(rig: Rig) -> None:
    states = [host.exec(["systemctl", "is-system-running"]).strip() for host in rig.hosts]
    assert states == ["running"] * 3


def test_the_admin_logs_in_with_the_key_and_is_root_with_sudo(rig: Rig, access: Access) -> None:
    for host in rig.hosts:
        assert access.ssh(host, "hostname").stdout.strip() == host.name
        assert access.ssh(host, "sudo", "-n", "id", "-u").stdout.strip() == "0"


def test_the_key_file_is_for_its_owner_only(access: Access) -> None:
    assert access.key_file.stat().st_mode & 0o777 == 0o600


def test_hosts_come_before_what_else_the_machine_runs(rig: Rig) -> None:
    """All of them are below one group, which the kernel weighs against each other session."""
    if rig.engine.folder is None:
        pytest.skip("the machine's own engine: how it weighs containers is its operator's")
    groups = Path("/sys/fs/cgroup")
    version_1, version_2 = groups / "cpu/xops-rig", groups / "xops-rig"
    file, usual = (
        (version_1 / "cpu.shares", 1024) if version_1.is_dir() else (version_2 / "cpu.weight", 100)
    )
    assert int(file.read_text()) > 10 * usual
    for host in rig.hosts:
        assert "xops-rig" in host.exec(["cat", "/proc/1/cgroup"])


def test_root_does_not_log_in(rig: Rig, access: Access) -> None:
    refused = access.ssh(rig.hosts[0], "true", user="root")
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_the_asker_needs_a_password_for_sudo(rig: Rig, access: Access) -> None:
    host = rig.hosts[0]
    assert access.ssh(host, "sudo", "-n", "true", user=ASKER).returncode == 1
    typed = access.ssh(host, "sudo", "-S", "id", "-u", user=ASKER, given=ASKER_PASSWORD + "\n")
    assert typed.stdout.strip() == "0"


def test_a_host_with_another_key_is_not_trusted(pair: tuple[Host, Host], access: Access) -> None:
    first, second = pair
    assert first.host_key != second.host_key
    access.known_hosts.write_text(f"{first.address} {second.host_key}\n")
    assert access.ssh(first, "true").returncode == 255


def test_each_host_is_a_machine_of_its_own(rig: Rig) -> None:
    assert len({host.shell("cat /etc/machine-id") for host in rig.hosts}) == len(rig.hosts)


def test_hosts_reach_each_other_by_name_and_by_address(pair: tuple[Host, Host]) -> None:
    first, second = pair
    assert answers(first, second.address)
    assert answers(first, second.name)


@pytest.fixture(scope="module")
def closed(make_shared_rig: MakeRig) -> Rig:
    return make_shared_rig(servers=2, agents=0, internal=True)


def test_an_internal_network_has_no_way_out(rig: Rig, closed: Rig) -> None:
    inside, neighbour = closed.hosts
    assert inside.shell("ip route show default") == ""
    assert rig.hosts[0].shell("ip route show default") != ""
    assert answers(inside, neighbour.name)
    assert is_silent(inside, rig.hosts[0].address)
    inside.cut()
    inside.mend()
    assert inside.shell("ip route show default") == ""


def test_an_internal_network_can_have_a_route_that_leads_nowhere(closed: Rig) -> None:
    host = closed.servers[1]
    host.add_idle_route()
    assert "203.0.113.255" in host.shell("ip route show default")


def test_a_reboot_keeps_the_disk_and_the_address(rig: Rig, access: Access) -> None:
    host = rig.agents[0]
    host.shell("mkdir -p /var/lib/rancher && echo kept >/var/lib/rancher/file && touch /run/gone")
    machine = host.shell("cat /etc/machine-id")
    host.reboot()
    assert host.shell("cat /var/lib/rancher/file /etc/machine-id") == f"kept\n{machine}"
    assert host.exec(["ls", "/run/gone"], check=False) == ""
    assert access.ssh(host, "hostname").stdout.strip() == host.name


def test_a_host_that_lost_power_is_off_until_it_is_started(rig: Rig) -> None:
    host = rig.agents[0]
    host.shell("mkdir -p /var/lib/rancher && echo kept >/var/lib/rancher/file && sync")
    host.kill()
    assert not host.on
    with pytest.raises(RigError):
        host.exec(["true"])
    host.start()
    assert host.shell("cat /var/lib/rancher/file") == "kept\n"


@pytest.mark.parametrize("on", [True, False])
def test_a_lost_disk_is_empty_after_the_next_boot(rig: Rig, on: bool) -> None:
    host = rig.agents[0]
    host.shell("mkdir -p /etc/rancher/k3s && touch /etc/rancher/k3s/config.yaml /etc/other")
    if not on:
        host.kill()
    host.lose_disk()
    assert host.on == on
    if not on:
        host.start()
    assert host.exec(["ls", "-d", "/etc/rancher", "/etc/lost-paths"], check=False) == ""
    assert host.shell("ls /etc/other") == "/etc/other\n"


def test_a_blocked_port_is_blocked_for_that_sender_only(rig: Rig) -> None:
    first, second, third = rig.hosts
    first.block_port(22, second)
    assert is_silent(second, first.address)
    assert answers(third, first.address)
    first.unblock_port(22, second)
    assert answers(second, first.address)


def test_a_cut_host_is_alone_until_it_is_mended(rig: Rig, access: Access) -> None:
    first, second, _ = rig.hosts
    first.cut()
    assert is_silent(second, first.address)
    assert access.ssh(first, "true").returncode == 255
    first.mend()
    assert answers(second, first.address)
    assert answers(second, first.name)
    assert answers(first, second.name)
    assert access.ssh(first, "hostname").stdout.strip() == first.name


def test_a_slow_disk_makes_fsync_slow(rig: Rig) -> None:
    host = rig.agents[0]
    with host.slow_disk(writes_per_second=5):
        slow = fsync_seconds(host)
    assert slow > 1
    assert fsync_seconds(host) < slow / 2


def test_a_skewed_clock_is_wrong_by_that_much(rig: Rig, access: Access) -> None:
    host = rig.agents[0]
    for skew in (-90, 3600, 0):
        host.skew_clock(skew)
        before = time.time()
        told = float(access.ssh(host, "date", "-u", "+%s.%N").stdout)
        assert before + skew - 1 < told < time.time() + skew + 1
    host.skew_clock(-90)
    assert access.ssh(host, "date", "-d", "@7", "+%s").stdout == "7\n"
    host.skew_clock(0)


def test_a_full_disk_takes_no_more(rig: Rig) -> None:
    host = rig.agents[0]
    host.shell("mkdir -p /var/lib/rancher/k3s && echo kept >/var/lib/rancher/k3s/file")
    host.fill_disk(left=1)
    assert host.shell("cat /var/lib/rancher/k3s/file") == "kept\n"
    with pytest.raises(RigError, match="No space left on device"):
        host.shell("head -c 2000000 /dev/zero >/var/lib/rancher/large")
    host.free_disk()
    host.shell("head -c 2000000 /dev/zero >/var/lib/rancher/large")


def test_a_rig_leaves_nothing(engine: Engine, make_rig: MakeRig) -> None:
    rig = make_rig(servers=2, agents=0)
    rig.hosts[0].cut()
    rig.hosts[1].stop()
    rig.close()
    assert left_of(engine, rig.network) == []


_KILLED_SESSION = """\
import sys, time
from tests.rig.access import new_key
from tests.rig.engine import running_engine
from tests.rig.hosts import Rig
with running_engine() as engine, Rig(engine, sys.argv[1], new_key("killed")) as rig:
    rig.add("server-1")
    print(rig.network, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def session(host_image: str) -> Iterator[subprocess.Popen[str]]:
    argv = interruptible([sys.executable, "-c", _KILLED_SESSION, host_image])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_what_an_ended_session_left_is_removed(
    engine: Engine, session: subprocess.Popen[str], end: signal.Signals
) -> None:
    assert session.stdout
    network = session.stdout.readline().strip()
    assert left_of(engine, network)
    session.send_signal(end)
    session.communicate(timeout=60)
    engine.reap()
    assert left_of(engine, network) == []


_HANGS = """\
import pytest

@pytest.mark.timeout({limit})
def test_hangs(make_rig):
    rig = make_rig(servers=1, agents=0)
    rig.hosts[0].exec(["sleep", "{number}"])
"""


def test_a_test_that_hangs_is_ended_with_its_stack_and_leaves_nothing(
    engine: Engine, rig: Rig, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    """Its limit ends it, and its fixtures take away what it has started."""
    number = f"{os.getpid()}00000"  # of seconds; no other process has this word
    (tmp_path / "test_hangs.py").write_text(_HANGS.format(limit=10, number=number))
    argv = [sys.executable, "-m", "pytest", "-p", "tests.rig.conftest", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        [*argv, "--rootdir", tmp_path, tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XOPS_REQUIRE_ALL": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        said, _ = session.communicate(timeout=100)
    assert "Failed: Timeout (>10.0s) from pytest-timeout" in said
    assert 'rig.hosts[0].exec(["sleep"' in said
    for kind in ("container", "network", "volume"):
        assert not [by for by in engine.labelled(kind).values() if by.startswith(f"{session.pid}-")]
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", number] not in commands
    # Hosts of other sessions may be starting or ending just now.
    eventually(lambda: not namespaces_without_a_host(engine), 30)
    assert all(host.on for host in rig.hosts)


def namespaces_without_a_host(engine: Engine) -> set[str]:
    """Network namespaces that the engine still holds for containers that are gone.

    It keeps the empty file of one that it has let go of for a minute; the mount is what counts.
    """
    held = engine.docker("ps", "--quiet", "--no-trunc").stdout.split()
    keys = engine.docker("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", *held).stdout
    folder = engine.folder / "run" if engine.folder else Path("/run/docker")
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    made = {Path(mount).name for mount in mounts if mount.startswith(f"{folder}/netns/")}
    return made - {Path(key).name for key in keys.split()} - {"default"}


def left_of(engine: Engine, network: str) -> list[str]:
    """Containers, volumes and networks of a rig."""
    containers = engine.docker("ps", "--all", "--format", "{{.Names}}").stdout.split()
    networks = engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    volumes = engine.docker("volume", "ls", "--quiet", "--filter", f"label={LABEL}").stdout.split()
    return [name for name in (*containers, *networks, *volumes) if name.startswith(network)]


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("1", "failed")])
def test_a_machine_that_lacks_something_says_what(required: str, outcome: str) -> None:
    one = f"{__file__}::test_a_reboot_keeps_the_disk_and_the_address"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nowhere", "XOPS_REQUIRE_ALL": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "test hosts need docker, ssh, ssh-keygen" in done.stdout
    assert f"1 {outcome}" in done.stdout.replace("error", "failed")


def test_the_reaper_leaves_a_living_session_alone(engine: Engine, rig: Rig) -> None:
    engine.reap()
    assert all(host.on for host in rig.hosts)
