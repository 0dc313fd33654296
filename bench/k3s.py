"""Stream 2: from bare hosts to a cluster, on test hosts, against plain ssh and scp.

The baseline is what a person types: for one server after the other, copy the binary, write the
configuration and the unit, start it, and look until it is up. Both end at the same conditions, seen
by the same looks (xops/k3s/scripts/wait_ready.sh): each server is a voter of etcd whose node is
Ready and whose kubelet has reported, and so are those before it. The baseline checks nothing else.
"""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from pathlib import Path

from bench.rows import ROUNDS, Row, say
from tests.rig import k3s_program
from tests.rig.access import Access, new_key
from tests.rig.clusters import TestCluster
from tests.rig.engine import Engine, run, running_engine, why_not
from tests.rig.hosts import Host, Rig
from tests.rig.image import host_image
from xops.k3s import paths, scripts
from xops.k3s.operations.apply import READY_SECONDS

_UNIT = "[Service]\nType=notify\nExecStart=/usr/local/bin/k3s server\nKillMode=process\n"
_DATA = "/var/lib/rancher/k3s"
_TOKEN = "a-token-of-the-benchmark"  # noqa: S105 - of hosts that are gone in a minute


def measure() -> list[Row]:
    """Bootstrap, no-op and preflight of three servers; the bootstrap's steps one by one."""
    if reason := why_not():
        say(f"left out: {reason}")
        return []
    program = k3s_program.build(k3s_program.VERSION)
    with running_engine() as engine, tempfile.TemporaryDirectory() as folder:
        image = host_image(engine)
        by_hand = _by_hand(engine, image, Path(folder) / "hand", program)
        return _ours(engine, image, Path(folder) / "ours", program, by_hand)


def _servers(rig: Rig) -> list[Host]:
    return rig.add("server-1", "server-2", "server-3")


def _by_hand(engine: Engine, image: str, folder: Path, program: Path) -> float:
    """Seconds of plain ssh and scp, the copies left out."""
    folder.mkdir()
    with Rig(engine, image, new_key("bench")) as rig:
        hosts = _servers(rig)
        access = rig.give_access(folder)
        for host in hosts:
            _copy(access, host, program)
        started = time.monotonic()
        for number, host in enumerate(hosts):
            _install(access, host, hosts[0] if number else None, members=number + 1)
        taken = time.monotonic() - started
    say(f"plain ssh: {taken:.1f} s")
    return taken


def _copy(access: Access, host: Host, program: Path) -> None:
    command = access.command(host)
    target = "sudo tee /usr/local/bin/k3s >/dev/null && sudo chmod 755 /usr/local/bin/k3s"
    run([*command, target], given=program.read_bytes())


def _install(access: Access, host: Host, first: Host | None, members: int) -> None:
    join = f"server: https://{first.address}:6443" if first else "cluster-init: true"
    config = f"{join}\ntoken: {_TOKEN}\nnode-name: {host.name}\nnode-ip: {host.address}\n"
    access.ssh(host, "sudo", "mkdir", "-p", "/etc/rancher/k3s")
    access.ssh(host, "sudo", "tee", "/etc/rancher/k3s/config.yaml", given=config)
    access.ssh(host, "sudo", "tee", "/etc/systemd/system/k3s.service", given=_UNIT)
    access.ssh(host, "sudo", "systemctl", "enable", "--quiet", "--no-block", "--now", "k3s")
    started = time.monotonic()
    _wait_ready(access, host, members)
    say(f"plain ssh: {host.name} is up {time.monotonic() - started:.1f} s after it was started")


def _wait_ready(access: Access, host: Host, members: int) -> None:
    """Look as xOps does, until the host is the last of so many voters."""
    values = {
        "SERVICE": "k3s", "BINARY": paths.BINARY, "NODE": host.name, "ROLE": "server",
        "MEMBERS": str(members), "LIMIT": str(READY_SECONDS), "DATA": _DATA,
    }  # fmt: skip
    look = shlex.join(["sudo", "sh", "-c", scripts.script("wait_ready", values)])
    run([*access.command(host), look], deadline=READY_SECONDS + 30)


def _ours(engine: Engine, image: str, folder: Path, program: Path, by_hand: float) -> list[Row]:
    folder.mkdir()
    with Rig(engine, image, new_key("bench")) as rig:
        _servers(rig)
        cluster = TestCluster(folder, rig, rig.give_access(folder), program)
        preflight = Row("xops k3s preflight, 3 servers", "target 5 s")
        preflight.ours = [_timed(cluster, "preflight") for _ in range(ROUNDS)]
        apply = Row(
            "xops k3s apply, 3 servers, upload left out", "plain ssh, same end", target=1.05
        )
        started = time.monotonic()
        done = cluster.run("apply")
        total = time.monotonic() - started
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        steps = re.findall(r"✔ (\S+): (\S.*?) +(\d+\.\d) s", done.stderr)
        upload = max(float(seconds) for _, step, seconds in steps if step.endswith("brought"))
        apply.ours, apply.theirs = [total - upload], [by_hand]
        for host, step, seconds in steps:
            say(f"{host}: {step} {seconds} s")
        plan = Row("xops k3s plan, nothing to do, 3 servers", "target 1.5 s")
        plan.ours = [_timed(cluster, "plan") for _ in range(ROUNDS)]
        no_op = Row("xops k3s apply, nothing to do, 3 servers", "target 1.5 s")
        no_op.ours = [_timed(cluster, "apply") for _ in range(ROUNDS)]
        requests = cluster.json("apply")["verification"]["ssh_requests"]
        say(f"SSH requests of a look at the cluster: {dict(requests)}")
    return [apply, plan, no_op, preflight]


def _timed(cluster: TestCluster, *words: str) -> float:
    started = time.monotonic()
    done = cluster.run(*words)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - started
