"""Real OpenSSH servers on the loopback address, in a mount namespace of their own.

There the login `operator` exists, `root` has a home of this test's, and /run is empty: nothing of
it is seen by, or left on, the machine. Everything is removed with the folder.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
OPERATOR = "operator"

_REAL_SUDO = shutil.which("sudo", path=SEARCH)
_SUDO_SAYS = {
    "asks": "sudo: a password is required",
    "wants a tty": "sudo: sorry, you must have a tty to run sudo",
}
_SUDOERS = {
    "allows": "root ALL=(ALL) ALL\noperator ALL=(ALL) NOPASSWD: ALL\n",
    "asks": "root ALL=(ALL) ALL\noperator ALL=(ALL) ALL\n",
    "wants a tty": "Defaults requiretty\noperator ALL=(ALL) NOPASSWD: ALL\n",
}
_SHADOW = "".join(f"{name}:*:19000:0:99999:7:::\n" for name in ("root", OPERATOR))
_LAUNCH = """\
set -e
mount -t tmpfs -o mode=755 none /run
mkdir /run/sshd
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
if [ -e /etc/sudoers ]; then mount --bind "$1/sudoers" /etc/sudoers; fi
mkdir -p "$1/small"
mount -t tmpfs -o size=2m none "$1/small"
exec "$2" -D -f "$1/sshd_config" -E "$1/log"
"""


def why_not() -> str | None:
    """What this machine lacks to run these servers, or None."""
    if os.geteuid() != 0:
        return "SSH tests need root: they start sshd, in a mount namespace"
    missing = [
        name for name in ("sshd", "ssh-keygen", "unshare") if not shutil.which(name, path=SEARCH)
    ]
    return f"SSH tests need {', '.join(missing)} (Debian: openssh-server)" if missing else None


def find(name: str) -> str:
    """Where a program is."""
    found = shutil.which(name, path=SEARCH)
    assert found is not None, name
    return found


def new_key(file: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A key pair, made by ssh-keygen; the path of its private half."""
    argv = [find("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(file)]
    subprocess.run(argv, check=True, capture_output=True)
    return file


def _signed(key: Path, authority: Path) -> Path:
    argv = [find("ssh-keygen"), "-q", "-s", str(authority), "-h", "-I", "host", "-n", "127.0.0.1"]
    subprocess.run([*argv, f"{key}.pub"], check=True, capture_output=True)
    return key.with_name(f"{key.name}-cert.pub")


class Sshd:
    """A server, its keys and its logins.

    Args:
        folder: which the login `operator` may enter; kept by the caller.
        sudo: how it answers `operator`: "allows", "asks", "wants a tty".
        host_keys: the types of its host keys.
        authority: the private key that signs them, if any does.
        options: further lines for its sshd_config.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sudo: str = "allows",
        host_keys: Sequence[str] = ("ed25519",),
        authority: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = _free_port()
        self.small = folder / "small"  # 2 MiB, within the namespace
        self.home = folder / "home"
        self.key = new_key(folder / "client")
        self.authorized = folder / "authorized_keys"
        self._host_keys = [new_key(folder / f"host_{kind}", kind) for kind in host_keys]
        self._process: subprocess.Popen[bytes] | None = None
        certificates = [_signed(key, authority) for key in self._host_keys if authority]
        self._options = [*options, *(f"HostCertificate {file}" for file in certificates)]
        self._write(sudo)

    @property
    def pins(self) -> str:
        """Its keys as lines for a file of pinned keys."""
        keys = (file.with_name(f"{file.name}.pub").read_text() for file in self._host_keys)
        return "".join(f"[127.0.0.1]:{self.port} {key.strip()}\n" for key in keys)

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    def authorize(self, line: str = "") -> None:
        """Let the client's key in, with options before it if given."""
        public = self.key.with_name("client.pub").read_text()
        self.authorized.write_text(f"{line} {public}".lstrip())

    def start(self) -> None:
        """Start it; on another port if somebody has taken its own in the meantime."""
        for _ in range(5):
            self._configure()
            if self._started():
                return
            self.port = _free_port()
        pytest.fail(f"sshd does not start: {self.log}")

    def _started(self) -> bool:
        launch = [find("unshare"), "--mount", "--propagation", "private", "sh", "-c", _LAUNCH]
        argv = [*launch, "sshd", str(self.folder), find("sshd")]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        give_up = time.monotonic() + 20
        while not self._listens():
            if self._process.poll() is not None:
                return False
            assert time.monotonic() < give_up, "sshd does not listen"
            time.sleep(0.01)
        return True

    def _listens(self) -> bool:
        assert self._process is not None
        try:
            sockets = psutil.Process(self._process.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        return any(opened.status == psutil.CONN_LISTEN for opened in sockets)

    def stop(self) -> None:
        """End it and all that it runs."""
        if self._process and self._process.poll() is None:
            self.cut()
            self._process.kill()
            self._process.wait()

    def sessions(self) -> list[psutil.Process]:
        """Its processes that each serve one connection."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [child for child in children if _name(child) == "sshd"]

    def cut(self) -> None:
        """Kill what serves the connections there are."""
        for session in self.sessions():
            _signal(session.pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Let the connections there are fall silent, as a host does whose power is gone."""
        for session in self.sessions():
            _signal(session.pid, signal.SIGSTOP)

    def inside(self, path: Path) -> Path:
        """A path of its namespace, seen from here."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/root") / path.relative_to("/")

    def _write(self, sudo: str) -> None:
        self.home.mkdir()
        self.home.joinpath(".bashrc").write_text("echo Welcome.; echo Take care. >&2\n")
        self.authorize()
        self.folder.joinpath("passwd").write_text(self._passwd())
        # sudo wants an account that is not locked, in a file that nobody else may write.
        for name, content in (("shadow", _SHADOW), ("sudoers", _SUDOERS[sudo])):
            self.folder.joinpath(name).write_text(content)
            self.folder.joinpath(name).chmod(0o440)
        programs = self.folder / "bin"
        programs.mkdir()
        if _REAL_SUDO is None:
            self._pretend_sudo(programs / "sudo", sudo)

    def _configure(self) -> None:
        keys = [f"HostKey {key}" for key in self._host_keys]
        lines = [
            "ListenAddress 127.0.0.1", f"Port {self.port}", *keys, "StrictModes no", "UsePAM no",
            f"AuthorizedKeysFile {self.authorized}", "PasswordAuthentication no",
            "PermitRootLogin prohibit-password", f"PidFile {self.folder}/pid", "LogLevel VERBOSE",
            f"SetEnv PATH={self.folder}/bin:/usr/local/bin:/usr/bin:/bin", *self._options,
        ]  # fmt: skip
        self.folder.joinpath("sshd_config").write_text("\n".join([*lines, ""]))

    def _passwd(self) -> str:
        lines = Path("/etc/passwd").read_text().splitlines()
        kept = [line for line in lines if line.split(":")[0] not in ("root", OPERATOR)]
        root = f"root:x:0:0:root:{self.home}:/bin/bash"
        return "\n".join([root, *kept, f"{OPERATOR}:x:4711:4711::{self.home}:/bin/bash", ""])

    @staticmethod
    def _pretend_sudo(file: Path, sudo: str) -> None:
        """Stands in where there is no sudo; it cannot make anybody root."""
        refuse = f"echo '{_SUDO_SAYS[sudo]}' >&2; exit 1" if sudo in _SUDO_SAYS else ""
        file.write_text(
            f'#!/bin/sh\n{refuse}\n[ "$1 $2" = \'-n --\' ] || exit 64\nshift 2\nexec "$@"\n'
        )
        file.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _name(process: psutil.Process) -> str:
    """Its name; none if it has ended since it was listed."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
