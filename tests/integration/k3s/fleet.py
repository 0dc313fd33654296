"""Many hosts on one machine: a real sshd each, K3S played by a script.

A host is an sshd in a mount namespace of its own, where /etc, /usr/local, /var/lib and /run are its
own too. All share a network namespace that has no way out: each has an address on its loopback
interface, and a client enters it (`Fleet.inside`). The scripts that xOps brings run as they are,
with this machine's own shell and tools.

What it cannot show: K3S itself with its pods, and disks (a host's are in memory). What plays K3S
answers at once, where the real `kubectl` takes a tenth of a second to start; tests/rig has that.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.integration.k3s import sshd
from tests.integration.k3s.sshd import SEARCH, find, new_key
from xops.core.files.settings import ROOT
from xops.k3s.state.api_answers import NODE_FORM

__all__ = ["SERVERS", "VERSION", "Fleet", "running_fleet", "why_not"]

VERSION = "v1.34.1+k3s1"
SERVERS = 3
XOPS = str(Path(sys.executable).with_name("xops"))

_SECONDS = 60.0
_STAND_INS = Path(__file__).with_name("fleet_programs")
# Hosts share one machine, its disk and its kernel.
_PREFLIGHT = {"fsync_p99_ms": 5000, "min_cpus": 1, "min_memory_mib": 256, "min_disk_gib": 1}

_LAUNCH = """\
set -e
folder=$1
cd "$folder"
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth0 up
ip route add default dev eth0
for host in hosts/*; do ip addr add "$(cat "$host/address")/32" dev lo; done
for host in hosts/*; do
  unshare --mount --propagation private sh "$folder/host.sh" "$folder" "$host" &
done
wait
"""

_HOST = """\
set -e
folder=$1 host=$1/$2
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/sshd /run/systemd/system
# In memory: where /tmp is a layer itself, it cannot be one of another.
mkdir "$host/layers"
mount -t tmpfs none "$host/layers"
for place in etc usr/local var/lib; do
  own=$host/layers/$place/own work=$host/layers/$place/work
  mkdir -p "$own" "$work"
  mount -t overlay -o "lowerdir=/$place,upperdir=$own,workdir=$work" none "/$place"
done
cp "$host/passwd" "$host/machine-id" /etc
# The machine's kernel is not the host's to set.
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
exec "$(command -v sshd || echo /usr/sbin/sshd)" -D -f "$host/sshd_config" -E "$host/log"
"""


def _program(script: Path) -> bytes:
    """A program for amd64 that gives its arguments to a script: xOps brings no K3S that is none.

    Source of the layout: System V ABI, ELF-64; of the stack at the start and of the call: its AMD64
    supplement and execve(2).
    """
    base, head = 0x400000, 64 + 56
    texts = b"/bin/sh\0" + bytes(script) + b"\0"
    shell = base + head + len(_EXECUTE) + 16
    code = _EXECUTE.replace(b"SSSSSSSS", struct.pack("<Q", shell)).replace(
        b"TTTTTTTT", struct.pack("<Q", shell + 8)
    )
    size = head + len(code) + 16 + len(texts)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        2,
        62,
        1,
        base + head,
        64,
        0,
        0,
        64,
        56,
        1,
        0,
        0,
        0,
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code + bytes(16) + texts


_EXECUTE = (
    bytes.fromhex("488b0424 488d54c410 48bf")
    + b"SSSSSSSS"
    + bytes.fromhex("48893c24 48b9")
    + b"TTTTTTTT"
    + bytes.fromhex("48894c2408 4889e6 b83b000000 0f05")
)
"""execve("/bin/sh", [the same, script, arguments...], environment): the first two take the places
of the count of arguments and of the program's name, before which the stack already has the rest."""


def _certificate() -> tuple[bytes, bytes]:
    """A certificate that nobody checks, and its key; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleet")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM), key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@dataclass
class Fleet:
    """The hosts, a cluster file that names them, and the `xops` command on it.

    Args:
        folder: which the caller removes once the fleet is stopped.
        count: hosts; the first three are servers.
    """

    folder: Path
    count: int
    values: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.key = new_key(self.folder / "client")
        self.known_hosts = self.folder / "known_hosts"
        self.shared = self.folder / "shared"
        self.names = [f"host-{number:03}" for number in range(1, self.count + 1)]
        self._write_shared()
        self._write_release()
        for name in self.names:
            self._write_host(name)
        self._write_cluster()

    # What a caller does with it

    def start(self) -> None:
        """Start all; they are up once each listens."""
        (self.folder / "host.sh").write_text(_HOST)
        argv = [find("unshare"), "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            [*argv, "sh", "-c", _LAUNCH, "fleet", str(self.folder)], stdin=subprocess.DEVNULL
        )
        give_up = time.monotonic() + _SECONDS
        while not all("Server listening" in self.log(name) for name in self.names):
            assert self._process.poll() is None, "the fleet does not start"
            assert time.monotonic() < give_up, "not every sshd of the fleet listens"
            time.sleep(0.05)

    def stop(self) -> None:
        """End every process of it."""
        if self._process is not None:
            self._process.kill()  # which takes its process namespace along
            self._process.wait()

    def inside(self, *argv: str) -> list[str]:
        """A command line that runs where the hosts can be reached."""
        assert self._process is not None
        [child] = (
            Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        )
        return [find("nsenter"), f"--net=/proc/{child}/ns/net", "--", *argv]

    def command(self, verb: str, *options: str) -> list[str]:
        """The command line of `xops k3s VERB FILE`."""
        words = [XOPS, "k3s", verb, str(self.file), "--lock", str(self.lock), *options]
        return self.inside(*words)

    def environment(self) -> dict[str, str]:
        """Its environment: compiled modules are kept, as they are where xOps is installed."""
        given = {name: value for name, value in os.environ.items() if "BYTECODE" not in name}
        return {**given, "XOPS_HOME": str(self.folder / "home")}

    def run(
        self, verb: str, *options: str, accepted: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        """Run `xops k3s VERB` to its end; its exit code must be one of these."""
        done = subprocess.run(
            self.command(verb, *options), cwd=ROOT, env=self.environment(), capture_output=True,
            text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode in accepted, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def json(self, verb: str, accepted: Sequence[int] = (0,)) -> Mapping[str, Any]:
        """The JSON that a command prints."""
        found: Mapping[str, Any] = json.loads(self.run(verb, "--json", accepted=accepted).stdout)
        return found

    def log(self, name: str) -> str:
        """What a host's sshd has logged."""
        file = self.folder / "hosts" / name / "log"
        return file.read_text() if file.exists() else ""

    def connections(self) -> Counter[str]:
        """Connections that each host has let in so far."""
        return Counter({name: self.log(name).count("Accepted publickey") for name in self.names})

    def requests(self) -> Counter[str]:
        """Commands that each host was asked to run so far."""
        return Counter({name: self.log(name).count("Starting session:") for name in self.names})

    def address(self, name: str) -> str:
        """A host's address."""
        number = self.names.index(name) + 1
        return f"10.77.{number // 250}.{number % 250 + 1}"

    def has_k3s(self, name: str) -> bool:
        """Whether what plays K3S was started there."""
        return (self.shared / "nodes" / name).exists()

    # Making it

    def _write_shared(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        for source in _STAND_INS.iterdir():
            program = programs / source.name
            program.write_text(self._filled(source.read_text()))
            program.chmod(0o755)
        (self.shared / "nodes").mkdir(parents=True)
        authority, key = _certificate()
        (self.shared / "server-ca.crt").write_bytes(authority)
        told = {
            "clusters": [{"cluster": {"certificate-authority-data": _encoded(authority)}}],
            "users": [
                {
                    "user": {
                        "client-certificate-data": _encoded(authority),
                        "client-key-data": _encoded(key),
                    }
                }
            ],
        }
        (self.shared / "k3s.yaml").write_text(yaml.safe_dump(told))

    def _filled(self, text: str) -> str:
        form = NODE_FORM.partition("{range")[0]
        return (
            text.replace("@SHARED@", str(self.shared))
            .replace("@ROWS@", form)
            .replace("@VERSION@", VERSION)
        )

    def _write_release(self) -> None:
        release = self.folder / "release"
        release.mkdir()
        (release / "k3s").write_bytes(_program(self.folder / "bin" / "k3s"))
        archive = release / "k3s-airgap-images-amd64.tar"
        archive.write_bytes(bytes(1024))
        files = {"binary": release / "k3s", "images": archive}
        entry = {
            kind: {
                "name": file.name,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                "size": file.stat().st_size,
            }
            for kind, file in files.items()
        }
        self.lock = self.folder / "k3s.lock.yaml"
        self.lock.write_text(yaml.safe_dump({"versions": {VERSION: {"amd64": entry}}}))

    def _write_host(self, name: str) -> None:
        folder = self.folder / "hosts" / name
        (folder / "home").mkdir(parents=True)
        (folder / "address").write_text(self.address(name))
        lines = Path("/etc/passwd").read_text().splitlines()
        others = [line for line in lines if not line.startswith("root:")]
        root = f"root:x:0:0:root:{folder}/home:/bin/sh"
        (folder / "passwd").write_text("\n".join([root, *others, ""]))
        identity = hashlib.sha256(name.encode()).hexdigest()[:32]
        (folder / "machine-id").write_text(f"{identity}\n")
        key = new_key(folder / "host_key")
        public = key.with_name("host_key.pub").read_text()
        with self.known_hosts.open("a") as pins:
            pins.write(f"{self.address(name)} {public}")
        options = [
            f"ListenAddress {self.address(name)}", "Port 22", f"HostKey {key}", "StrictModes no",
            "UsePAM no", f"AuthorizedKeysFile {self.key}.pub", "PasswordAuthentication no",
            "PermitRootLogin prohibit-password", "PidFile none", "LogLevel VERBOSE",
            f"SetEnv PATH={self.folder}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
            f" FLEET_ADDRESS={self.address(name)}",
        ]  # fmt: skip
        (folder / "sshd_config").write_text("\n".join([*options, ""]))

    def _write_cluster(self) -> None:
        self.file = self.folder / "fleet.yaml"
        hosts = [
            {
                "name": name,
                "address": self.address(name),
                "role": "server" if number < SERVERS else "agent",
            }
            for number, name in enumerate(self.names)
        ]
        values = {
            "apiVersion": "xops/v1",
            "name": "fleet",
            "k3s": {"version": VERSION, "disable": ["coredns", "traefik", "servicelb"]},
            "artifacts": {"folder": str(self.folder / "release")},
            "ssh": {
                "user": "root",
                "identity_file": str(self.key),
                "known_hosts": str(self.known_hosts),
                "config": os.devnull,
            },
            "preflight": _PREFLIGHT,
            "approval": {"required_for": ["destroy"]},
            "hosts": hosts,
            **self.values,
        }
        self.file.write_text(yaml.safe_dump(values, sort_keys=False))


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def why_not() -> str | None:
    """What this machine lacks to run a fleet, or None."""
    if reason := sshd.why_not():
        return reason
    missing = [name for name in ("ip", "nsenter", "ssh") if not shutil.which(name, path=SEARCH)]
    if platform.machine() != "x86_64":
        return "a fleet's stand-in for K3S is a program for amd64"
    return f"a fleet needs {', '.join(missing)}" if missing else None


@contextmanager
def running_fleet(count: int) -> Iterator[Fleet]:
    """A fleet of so many hosts without K3S; nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="xops-fleet-"))
    try:
        fleet = Fleet(folder, count)
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.stop()
    finally:
        shutil.rmtree(folder)
