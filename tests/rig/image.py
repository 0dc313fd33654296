"""The image of a test host: this machine's own distribution with systemd and an SSH server.

It is made with debootstrap from the mirror that apt is configured for, so that it needs nothing
that the machine does not reach anyway. Made once for a recipe, then kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tests.rig import builds
from tests.rig.engine import Engine, RigError, as_root, cache_folder, find_program, run

ADMIN = "admin"
"""May do everything with sudo, without a password."""
ASKER = "asker"
"""Its sudo asks for `ASKER_PASSWORD`."""
ASKER_PASSWORD = "asked-for"
USERS = {ADMIN: 1000, ASKER: 1001}
"""Names and numbers of those who may log in, with a key."""
CLOSED = "/etc/network-is-closed"
"""A host with this file has no default route from its boot on."""
_ARCHIVE_LABEL = "xops.rig.archive"  # of an image in the engine: which archive it was made of
LOST_PATHS = "/etc/lost-paths"
"""Paths listed here are gone after the next boot: how a host loses its disk while it is off."""
REAL_PODS = "/etc/pods-are-real"
"""On a host with this file the test distribution runs the real kubelet on the host's containerd."""

PACKAGES = (
    "bash", "ca-certificates", "coreutils", "curl", "dbus", "iproute2", "iptables", "kmod",
    "openssh-server", "procps", "sudo", "systemd", "systemd-sysv", "util-linux",
    # For real pods: K3S brings its own, the test distribution takes these.
    "busybox-static", "conntrack", "containerd", "containernetworking-plugins", "ipset", "runc",
    "docker-registry",
)  # fmt: skip

_SSHD = """\
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
HostKey /etc/ssh/ssh_host_ed25519_key
UseDNS no
"""
_SUDOERS = f"{ADMIN} ALL=(ALL:ALL) NOPASSWD: ALL\n{ASKER} ALL=(ALL:ALL) ALL\n"
_LOSE_PATHS = f"""\
[Unit]
Description=Lose the paths that {LOST_PATHS} lists
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target systemd-journald.service
ConditionPathExists={LOST_PATHS}

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'xargs -d "\\\\n" rm -rf -- <{LOST_PATHS}; rm {LOST_PATHS}'

[Install]
WantedBy=sysinit.target
"""
# The engine gives a network without a way out a default route all the same.
_CLOSE_NETWORK = f"""\
[Unit]
Description=Have no default route
DefaultDependencies=no
Before=sysinit.target
ConditionPathExists={CLOSED}

[Service]
Type=oneshot
ExecStart=-/sbin/ip route del default

[Install]
WantedBy=sysinit.target
"""
# The kernel is the machine's own, and so are its modules: a host has none to load.
_MODPROBE = "#!/bin/sh\nexit 0\n"
FILES = {
    "usr/local/sbin/modprobe": _MODPROBE,
    "etc/ssh/sshd_config.d/rig.conf": _SSHD,
    "etc/sudoers.d/rig": _SUDOERS,
    "etc/systemd/system/close-network.service": _CLOSE_NETWORK,
    "etc/systemd/system/lose-paths.service": _LOSE_PATHS,
    "etc/machine-id": "",  # each host makes its own at its first boot
}

# Run in the new system. A host keeps its journal, as Debian's installer sets it up; host keys
# are made for each host; a container has no devices to manage; no host calls a package mirror.
_FINISH = f"""\
set -eu
useradd --create-home --shell /bin/bash --uid {USERS[ADMIN]} {ADMIN}
useradd --create-home --shell /bin/bash --uid {USERS[ASKER]} {ASKER}
echo '{ASKER}:{ASKER_PASSWORD}' | chpasswd
chmod 0440 /etc/sudoers.d/rig
chmod 0755 /usr/local/sbin/modprobe
mkdir -p /var/log/journal
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
systemctl enable --quiet ssh.service lose-paths.service close-network.service
systemctl mask --quiet systemd-udevd.service systemd-udev-trigger.service
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer
systemctl mask --quiet containerd.service docker-registry.service
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
"""


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in the image; `key` is its hash."""

    suite: str
    architecture: str
    packages: tuple[str, ...] = PACKAGES
    files: tuple[tuple[str, str], ...] = tuple(sorted(FILES.items()))
    finish: str = _FINISH

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that differ where two recipes differ."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]

    @property
    def tag(self) -> str:
        """The image's name in the engine."""
        return f"xops-rig-host:{self.key}"


def own_recipe() -> Recipe:
    """The recipe for this machine's distribution and architecture."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if not suite:
        raise RigError("/etc/os-release names no release (VERSION_CODENAME) to make hosts of")
    return Recipe(suite, run(["dpkg", "--print-architecture"]).stdout.strip())


def host_image(engine: Engine) -> str:
    """The name of the image in that engine; it is made first, once for a recipe.

    Raises:
        RigError: debootstrap or the import failed; what they said is in it.
    """
    recipe = own_recipe()
    with builds.locked(cache_folder() / "image.lock"):
        archive = builds.kept(cache_folder() / f"host-{recipe.key}.tar", partial(_build, recipe))
        sha256 = builds.noted_sha256(archive)
        if _imported(engine, recipe.tag) != sha256:
            _forget_old(engine)
            label = f"LABEL {_ARCHIVE_LABEL}={sha256}"
            engine.docker("import", "--change", label, str(archive), recipe.tag, deadline=600)
    return recipe.tag


def _imported(engine: Engine, tag: str) -> str:
    """The SHA-256 of the archive that this image in the engine is of; empty if it has none."""
    form = f'{{{{index .Config.Labels "{_ARCHIVE_LABEL}"}}}}'
    return engine.docker("image", "inspect", "--format", form, tag, check=False).stdout.strip()


def _forget_old(engine: Engine) -> None:
    """Images of earlier recipes; one that a host still uses stays."""
    repository = own_recipe().tag.partition(":")[0]
    old = engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository).stdout
    if old:
        engine.docker("image", "rm", *old.split(), check=False)


def _build(recipe: Recipe, archive: Path) -> None:
    """Make the archive, and forget those of earlier recipes."""
    # Not below /tmp, which may be mounted without devices or programs.
    folder = Path(tempfile.mkdtemp(dir=cache_folder(), prefix="debootstrap-"))
    try:
        system = folder / "system"
        _debootstrap(recipe, system)
        _add_files(recipe, system)
        _run(["chroot", system, "/bin/sh", "-c", recipe.finish])
        _run(["tar", "-C", system, "--one-file-system", "-cf", archive, "."])
        for old in set(cache_folder().glob("host-*.tar*")) - {archive}:
            run(as_root(["rm", "-f", old]))
    finally:
        _unmount_below(folder)
        run(as_root(["rm", "-rf", "--one-file-system", folder]), deadline=600)


def _run(argv: Sequence[str | Path]) -> None:
    builds.run_build(as_root(argv), cache_folder() / "host-image.log")


def _unmount_below(folder: Path) -> None:
    """What debootstrap has mounted in the new system, should it have been ended half-way."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounted = [line.split()[4] for line in lines if line.split()[4].startswith(f"{folder}/")]
    for path in reversed(mounted):
        run(as_root(["umount", "--lazy", path]), check=False)


def _debootstrap(recipe: Recipe, system: Path) -> None:
    packages = ",".join(recipe.packages)
    command: list[str | Path] = [
        find_program("debootstrap") or "debootstrap", "--variant=minbase",
        f"--arch={recipe.architecture}", f"--include={packages}",
        recipe.suite, system, _mirror(recipe.suite),
    ]  # fmt: skip
    _run(["env", *_proxies(), "nice", "-n", "10", *command])


def _add_files(recipe: Recipe, system: Path) -> None:
    """Unpacked by tar, since the system belongs to root and the tests may not."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in recipe.files:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(text.encode()), 0o644, int(time.time())
            archive.addfile(info, io.BytesIO(text.encode()))
    run(as_root(["tar", "-C", system, "-xf", "-"]), given=packed.getvalue())


def _mirror(suite: str) -> str:
    """Where this machine's apt gets its own release from.

    Raises:
        RigError: apt has no source for it.
    """
    shown = run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)",
         "Identifier: Packages"]
    ).stdout  # fmt: skip
    for line in shown.splitlines():
        codename, component, address = line.split(" ", 2)
        if (codename, component) == (suite, "main"):
            return _first_of(address)
    raise RigError(f"apt has no source for {suite} main: run apt-get update, or add one")


def _first_of(address: str) -> str:
    """An address, or the first one of the list that apt's mirror method points to."""
    scheme, _, path = address.partition(":")
    if not scheme.startswith("mirror"):
        return address
    lines = Path(path).read_text().splitlines()
    return next(line.split()[0] for line in lines if line and not line.startswith("#"))


def _proxies() -> list[str]:
    """The proxy that apt uses, for debootstrap, which looks in the environment only."""
    shown = run(["apt-config", "shell", "p", "Acquire::http::Proxy"]).stdout
    proxy = shown.strip().removeprefix("p=").strip("'\"")
    known = [f"{key}={value}" for key, value in os.environ.items() if key.endswith("_proxy")]
    return [*known, f"http_proxy={proxy}"] if proxy else known
