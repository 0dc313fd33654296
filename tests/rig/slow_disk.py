"""A really slow disk for one container: the kernel admits so many writes a second from it.

Slow for everything on the host that waits for its writes, a probe and etcd alike; nothing is
wrapped or pretended. The limit is the block controller's (cgroup v1 blkio.throttle, v2 io.max).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig.engine import Engine, RigError, as_root, run

_GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def slow_writes(engine: Engine, container: str, writes_per_second: int) -> Iterator[None]:
    """Limit the container's writes as long as the context lasts.

    One fsync takes a few writes (data, journal, metadata). Under cgroup v1 the limit holds for
    the groups that exist now: start services with `Delegate=yes`, such as k3s, before.

    Raises:
        RigError: this machine's kernel has no such limit.
    """
    device = _device(engine)
    files = _limit_files(engine, container)
    try:
        for file in files:
            _write(file, _limit(file, device, writes_per_second))
        yield
    finally:
        # A group that is gone, because its service or host was stopped, has no limit to lift.
        for file in files:
            if file.exists():
                _write(file, _limit(file, device, None))


def _limit(file: Path, device: str, writes: int | None) -> str:
    if file.name == "io.max":
        return f"{device} wiops={'max' if writes is None else writes}"
    return f"{device} {writes or 0}"  # in version 1, 0 is no limit


def _write(file: Path, text: str) -> None:
    run(as_root(["tee", file]), given=text)


def _limit_files(engine: Engine, container: str) -> list[Path]:
    pid = json.loads(engine.docker("inspect", container).stdout)[0]["State"]["Pid"]
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    paths = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    if blkio := paths.get("blkio"):
        # Not inherited in version 1, so each group gets it.
        top, name = _GROUPS / "blkio" / blkio.lstrip("/"), "blkio.throttle.write_iops_device"
        found = list(top.rglob(name))
    else:
        top = _GROUPS / paths[""].removesuffix("/init.scope").lstrip("/")
        found = [file for file in [top / "io.max"] if file.exists()]
    if not found:
        raise RigError(f"{top} has no limit of writes: the block controller is not enabled there")
    return found


def _device(engine: Engine) -> str:
    """The numbers of the whole disk that the containers' layers are on."""
    root = engine.docker("info", "--format", "{{.DockerRootDir}}").stdout.strip()
    number = int(run(as_root(["stat", "--format", "%d", root])).stdout)
    sys_folder = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not sys_folder.exists():
        raise RigError(f"{root} is on no block device, so its writes cannot be limited")
    partition = (sys_folder / "partition").exists()
    disk = sys_folder.resolve().parent if partition else sys_folder
    return (disk / "dev").read_text().strip()
