"""A rig to work on by hand: `python -m tests.rig [servers] [agents] [--internal] [--real-pods]`.

While it is up, deployments/clusters/rig.yaml is its cluster file.
"""

import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.rig import k3s_program
from tests.rig.access import Access, new_key
from tests.rig.clusters import TestCluster
from tests.rig.engine import running_engine, why_not
from tests.rig.hosts import Pods, Rig
from tests.rig.image import host_image
from xops.core.files.settings import ROOT

_FILE = ROOT / "deployments" / "clusters" / "rig.yaml"


def main() -> None:
    """Boot hosts, say how to reach them, and remove them at Ctrl-C."""
    if reason := why_not():
        sys.exit(reason)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has it ignored
        signal.signal(number, signal.default_int_handler)
    internal = "--internal" in sys.argv
    pods: Pods = "real" if "--real-pods" in sys.argv else "pretended"
    servers, agents = [*map(int, (n for n in sys.argv[1:] if n.isdigit())), 3, 1][:2]
    with (
        tempfile.TemporaryDirectory() as folder,
        running_engine() as engine,
        Rig(engine, host_image(engine), new_key("xops-rig"), internal=internal, pods=pods) as rig,
    ):
        names = [f"server-{n + 1}" for n in range(servers)]
        rig.add(*names, *(f"agent-{n + 1}" for n in range(agents)))
        access = rig.give_access(Path(folder))
        program = k3s_program.real_program(k3s_program.VERSION) or k3s_program.build(
            k3s_program.VERSION
        )
        cluster = TestCluster(Path(folder), rig, access, program)
        shutil.copy(cluster.file, _FILE)
        try:
            _say(rig, access, cluster)
            signal.pause()
        except KeyboardInterrupt:
            sys.stdout.write("removing them\n")
        finally:
            _FILE.unlink()


def _say(rig: Rig, access: Access, cluster: TestCluster) -> None:
    for host in rig.hosts:
        sys.stdout.write(f"{host.name}: {shlex.join(access.command(host))}\n")
    file = _FILE.relative_to(ROOT)
    sys.stdout.write(
        f"\nexport XOPS_K3S_LOCK={cluster.lock}\n"
        f".venv/bin/xops k3s preflight {file}\n"
        f".venv/bin/xops k3s apply {file}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
