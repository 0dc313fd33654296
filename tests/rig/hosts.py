"""Test hosts: containers that boot systemd, answer on SSH, and can be harmed like real machines."""

from __future__ import annotations

import io
import ipaddress
import json
import tarfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from tests.rig.access import Access, SshKey, new_key
from tests.rig.engine import LABEL, Engine, RigError, as_root, owner, run
from tests.rig.image import CLOSED, LOST_PATHS, REAL_PODS, USERS
from tests.rig.images import FOLDER
from tests.rig.slow_disk import slow_writes

SSH_PORT = 22
Pods = Literal["pretended", "real"]
"""What a host's node does with pods: say that they run, or run them with the real kubelet."""

K3S_PATHS = ("/var/lib/rancher", "/etc/rancher")
"""Where K3S keeps what a lost disk takes with it."""

_BOOT_SECONDS = 60.0
_STOP_SECONDS = 20
_SUBNET_ATTEMPTS = 5  # another session may take the free one between looking and asking
_FIRST_ADDRESS = 11  # the engine is at .1; the rest below is left for a virtual address

# The CIS profile sets these, and hosts have no kernel of their own: put back at the end.
_SHARED_SETTINGS = tuple(
    Path("/proc/sys") / name
    for name in ("vm/panic_on_oom", "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
)

# What systemd needs in a container, short of --privileged, which not every machine allows.
_SYSTEMD_OPTIONS = (
    "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined", "--env=container=docker",
    "--stop-signal=SIGRTMIN+3", "--tmpfs=/run", "--tmpfs=/run/lock",
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
)  # fmt: skip

# What the kubelet and containerd need besides: the kernel's messages, and a disk on which images
# can lie in layers, which overlayfs itself is not.
_POD_OPTIONS = ("--device=/dev/kmsg", "--cap-add=SYSLOG", "--volume=/var/lib/containerd")

# A copy of the path on a file system of its own that has `left` MiB free and no more.
_FILL = """\
set -eu
path=$1 left=$2 copy=$(mktemp -d)
mkdir -p "$path"
mount -t tmpfs -o mode=0755 small "$copy"
cp -a "$path/." "$copy/"
used=$(df -k --output=used "$copy" | tail -1)
mount -o "remount,size=$((used + left * 1024))k" "$copy"
mount --bind "$copy" "$path"
umount "$copy"
rmdir "$copy"
"""
# K3S's own advice for hosts without a way out (documentation, air-gap install). A bridge without
# ports leads nowhere as well, where the kernel has no dummy device.
_IDLE_ROUTE = """\
set -eu
ip link add dummy0 type dummy 2>/dev/null || ip link add dummy0 type bridge
ip link set dummy0 up
ip address add 203.0.113.254/31 dev dummy0
ip route add default via 203.0.113.255 dev dummy0 metric 1000
"""
# A date that was asked for is not the clock's.
_SKEWED_DATE = """\
#!/bin/sh
for argument; do
  case $argument in -d*|--date*|-f*|--file*|-r*|--reference*|-s*|--set*) exec /bin/date "$@" ;; esac
done
exec /bin/date --date='{seconds:+d} seconds' "$@"
"""
_DATE = "/usr/local/bin/date"


@dataclass(frozen=True)
class File:
    """A file to put on a host, or a folder if its path ends with a slash."""

    path: str
    text: str = field(repr=False)
    mode: int = 0o644
    user: int = 0

    def entry(self) -> tarfile.TarInfo:
        """Its entry in an archive that is unpacked at the root folder."""
        info = tarfile.TarInfo(self.path.strip("/"))
        info.type = tarfile.DIRTYPE if self.path.endswith("/") else tarfile.REGTYPE
        info.mode, info.uid, info.gid = self.mode, self.user, self.user
        info.size, info.mtime = len(self.text.encode()), int(time.time())
        return info


@dataclass(frozen=True)
class Host:
    """One test host.

    Attributes:
        name: its host name; the other hosts of the rig find it by this name.
        address: its address on the rig's network, the same for its whole life.
        host_key: the public half of its SSH host key, as known_hosts has it.
        container: its name in the engine.
        network: the rig's network.
        internal: whether that has no way out; then there is no default route.
    """

    engine: Engine = field(repr=False)
    name: str
    address: str
    host_key: str
    container: str
    network: str
    internal: bool = False
    port: int = SSH_PORT

    def exec(self, argv: Sequence[str], *, given: str | None = None, check: bool = True) -> str:
        """Run a command as root, past SSH: for a test's own looks, never for the product.

        Raises:
            RigError: the host is off, or the command failed and `check` is set.
        """
        options = [] if given is None else ["--interactive"]
        done = self.engine.docker("exec", *options, self.container, *argv, given=given, check=check)
        return done.stdout

    def shell(self, script: str, *arguments: str) -> str:
        """`exec` of a shell script with arguments."""
        return self.exec(["/bin/sh", "-c", script, "sh", *arguments])

    @property
    def on(self) -> bool:
        """Whether it is switched on."""
        return bool(self._inspect()["State"]["Running"])

    def stop(self) -> None:
        """Shut it down in good order."""
        self.engine.docker("stop", "--time", str(_STOP_SECONDS), self.container)

    def kill(self) -> None:
        """Take its power away. What a process has not written to disk is lost with it."""
        self.engine.docker("kill", self.container)

    def start(self) -> None:
        """Switch it on and wait until it has booted. Its disk is as it was; /run is new."""
        self.engine.docker("start", self.container)
        self.wait_until_running()

    def reboot(self) -> None:
        """Shut it down in good order and start it."""
        self.stop()
        self.start()

    def wait_until_running(self, seconds: float = _BOOT_SECONDS) -> None:
        """Wait for the end of its boot.

        Raises:
            RigError: a unit failed, or it took longer than `seconds`.
        """
        give_up = time.monotonic() + seconds
        while (state := self._state()) != "running":
            if state == "degraded":
                failed = self.exec(["systemctl", "--failed", "--no-legend", "--plain"])
                raise RigError(f"{self.name} booted with failed units:\n{failed}")
            if time.monotonic() > give_up:
                raise RigError(f"{self.name} has not booted after {seconds:.0f} s: {state!r}")
            time.sleep(0.05)

    def _state(self) -> str:
        """What systemd says of itself, once it can be asked."""
        return self.exec(["systemctl", "is-system-running", "--wait"], check=False).strip()

    def _inspect(self) -> Any:
        return json.loads(self.engine.docker("inspect", self.container).stdout)[0]

    def put(self, *files: File) -> None:
        """Put files on its disk, whether it is on or off."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for file in files:
                archive.addfile(file.entry(), io.BytesIO(file.text.encode()))
        self.engine.docker("cp", "-", f"{self.container}:/", given=packed.getvalue())

    def bring(self, archive: Path) -> None:
        """Put an archive of images where K3S looks for them, whether the host is on or off."""
        self.put(File(FOLDER, "", 0o755))
        self.engine.docker("cp", str(archive), f"{self.container}:{FOLDER}", deadline=600)

    def fetch(self, path: str, to: Path) -> Path:
        """Copy a file of its disk to this machine."""
        self.engine.docker("cp", f"{self.container}:{path}", str(to))
        return to

    def lose_disk(self, paths: Sequence[str] = K3S_PATHS) -> None:
        """Lose these paths, as with a disk that was replaced.

        A host that is on loses its power first and is on again afterwards; one that is off loses
        them before anything starts at its next boot.
        """
        if was_on := self.on:
            self.kill()
        self.put(File(LOST_PATHS, "\n".join(paths) + "\n"))
        if was_on:
            self.start()

    def block_port(self, port: int, sender: Host | None = None, protocol: str = "tcp") -> None:
        """Drop what comes in for a port, from one host or from anywhere, until `unblock_port`.

        Connections that are open stall, too. A reboot lifts it.
        """
        self.exec(["iptables", "-I", "INPUT", *_rule(port, sender, protocol)])

    def unblock_port(self, port: int, sender: Host | None = None, protocol: str = "tcp") -> None:
        """Lift `block_port` with the same arguments."""
        self.exec(["iptables", "-D", "INPUT", *_rule(port, sender, protocol)])

    def cut(self) -> None:
        """Pull its network cable."""
        self.engine.docker("network", "disconnect", self.network, self.container)

    def mend(self) -> None:
        """Put the network cable back; its address is as before."""
        options = ["--ip", self.address, "--alias", self.name]
        self.engine.docker("network", "connect", *options, self.network, self.container)
        if self.internal:
            self.exec(["ip", "route", "del", "default"], check=False)

    def skew_clock(self, seconds: int) -> None:
        """Make `date` be wrong by so many seconds; 0 puts it right.

        Containers share the machine's clock, so the kernel's time stays: TLS, logs and file times
        are right all the while.
        """
        if seconds:
            self.put(File(_DATE, _SKEWED_DATE.format(seconds=seconds), 0o755))
        else:
            self.exec(["rm", "-f", _DATE])

    def add_idle_route(self) -> None:
        """Add a default route that leads nowhere, which K3S wants to see, until the next stop."""
        self.shell(_IDLE_ROUTE)

    def slow_disk(self, writes_per_second: int = 20) -> AbstractContextManager[None]:
        """`with host.slow_disk():` its disk takes no more writes than that; see `slow_writes`."""
        return slow_writes(self.engine, self.container, writes_per_second)

    def fill_disk(self, path: str = "/var/lib/rancher", left: int = 0) -> None:
        """Make the file system of `path` full but for `left` MiB, until `free_disk`.

        A small file system with a copy of the content lies over the path, so that the machine's
        own disk stays free. Programs that have files open there keep the old ones: do it before
        they start. What is written there in the meantime is lost with `free_disk` or a stop.
        """
        self.shell(_FILL, path, str(left))

    def free_disk(self, path: str = "/var/lib/rancher") -> None:
        """Undo `fill_disk`."""
        self.exec(["umount", "--lazy", path])


def _rule(port: int, sender: Host | None, protocol: str) -> list[str]:
    source = ["--source", sender.address] if sender else []
    return ["--protocol", protocol, "--dport", str(port), *source, "--jump", "DROP"]


class Rig:
    """Some hosts on a network of their own. A context manager: at its end nothing of it is left.

    Attributes:
        hosts: all of them, in the order in which they were added.
        network: the network's name in the engine.
        key: the key pair that `admin` and `asker` log in with.
        internal: whether the network has no way out.
        pods: what the hosts' nodes do with pods.
    """

    def __init__(
        self,
        engine: Engine,
        image: str,
        key: SshKey,
        *,
        internal: bool = False,
        pods: Pods = "pretended",
    ) -> None:
        self.engine = engine
        self.image = image
        self.key = key
        self.internal = internal
        self.pods = pods
        self.hosts: list[Host] = []
        self.network = f"xops-rig-{uuid.uuid4().hex[:8]}"
        self._subnet: ipaddress.IPv4Network | None = None
        self._given = 0
        self._kernel = {path: path.read_text() for path in _SHARED_SETTINGS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def host(self, name: str) -> Host:
        """The host of this name."""
        return next(host for host in self.hosts if host.name == name)

    @property
    def servers(self) -> list[Host]:
        """The hosts that are meant to be servers."""
        return [host for host in self.hosts if host.name.startswith("server-")]

    @property
    def agents(self) -> list[Host]:
        """The hosts that are meant to be agents."""
        return [host for host in self.hosts if host.name.startswith("agent-")]

    def add(self, *names: str) -> list[Host]:
        """More hosts, booted; all at the same time."""
        subnet = self._subnet or self._make_network()
        addresses = [str(subnet[_FIRST_ADDRESS + self._given + n]) for n in range(len(names))]
        self._given += len(names)
        with ThreadPoolExecutor(max_workers=4) as pool:
            made = list(pool.map(self._make, names, addresses))
            self.hosts += made
            list(pool.map(Host.start, made))
        return made

    def remove(self, host: Host) -> None:
        """Take a host away for good, its disk included."""
        self.hosts.remove(host)
        self.engine.docker("rm", "--force", "--volumes", host.container)

    def close(self) -> None:
        """Remove all hosts and the network, those included that never came up."""
        chosen = ["--filter", f"network={self.network}"]
        named = ["--filter", f"name=^{self.network}-"]  # also those whose cable is pulled
        found = {
            container
            for by in (chosen, named)
            for container in self.engine.docker("ps", "--all", "--quiet", *by).stdout.split()
        }
        if found:
            self.engine.docker("rm", "--force", "--volumes", *found)
        self.hosts.clear()
        for path, value in self._kernel.items():
            if path.read_text() != value:
                run(as_root(["tee", path]), given=value)
        self.engine.docker("network", "rm", self.network, check=False)
        self._subnet = None

    def give_access(self, folder: Path) -> Access:
        """Write the private key and the known_hosts file of these hosts into a folder."""
        key_file, known_hosts = folder / "id_ed25519", folder / "known_hosts"
        key_file.touch(mode=0o600)
        key_file.write_text(self.key.private)
        lines = [f"{host.address},{host.name} {host.host_key}\n" for host in self.hosts]
        known_hosts.write_text("".join(lines))
        return Access(key_file, known_hosts)

    def _make_network(self) -> ipaddress.IPv4Network:
        """Fixed addresses need a subnet that was asked for: the one the engine finds free."""
        options = ["--internal"] if self.internal else []
        options += ["--label", f"{LABEL}={owner()}"]
        for _ in range(_SUBNET_ATTEMPTS):
            self.engine.docker("network", "create", *options, self.network)
            shown = self.engine.docker("network", "inspect", self.network).stdout
            subnet = str(json.loads(shown)[0]["IPAM"]["Config"][0]["Subnet"])
            self.engine.docker("network", "rm", self.network)
            asked = [*options, "--subnet", subnet, self.network]
            if not self.engine.docker("network", "create", *asked, check=False).returncode:
                self._subnet = ipaddress.IPv4Network(subnet)
                return self._subnet
        raise RigError(f"no free subnet for {self.network}: others took each one that was found")

    def _make(self, name: str, address: str) -> Host:
        """A host that is off, with keys on its disk."""
        container = f"{self.network}-{name}"
        self.engine.docker(
            "create", "--name", container, "--hostname", name, "--network", self.network,
            "--ip", address, "--network-alias", name, "--label", f"{LABEL}={owner()}",
            *_SYSTEMD_OPTIONS, *(_POD_OPTIONS if self.pods == "real" else ()),
            self.image, "/sbin/init",
        )  # fmt: skip
        host_key = new_key(name)
        public = " ".join(host_key.public.split()[:2])
        place = (container, self.network, self.internal)
        host = Host(self.engine, name, address, public, *place)
        marks = [File(CLOSED, "")] if self.internal else []
        marks += [File(REAL_PODS, "")] if self.pods == "real" else []
        host.put(*_keys(host_key, self.key), *marks)
        return host


def _keys(host_key: SshKey, key: SshKey) -> list[File]:
    files = [
        File("/etc/ssh/ssh_host_ed25519_key", host_key.private, 0o600),
        File("/etc/ssh/ssh_host_ed25519_key.pub", host_key.public + "\n"),
    ]
    for user, number in USERS.items():
        files.append(File(f"/home/{user}/.ssh/", "", 0o700, number))
        files.append(File(f"/home/{user}/.ssh/authorized_keys", key.public + "\n", 0o600, number))
    return files
