"""A working copy with mandates, and people who sign with real keys: OpenPGP's and SSH's."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from xops.triggers.facts import Mandate
from xops.triggers.measure.git_log import open_log
from xops.triggers.measure.mandates import read_mandates
from xops.triggers.policy import Mandates

OWNER, MALLORY = "platform@example.com", "mallory@evil.com"
AZURE = """\
apiVersion: xops/v1
cloud: azure
who: Example Bank
what: A second region outside AWS.
jurisdiction: AU
evidence: https://example.com/contract
effective_from: 2026-07-01
expires: 2027-07-01
"""
GITHUB = "noreply@github.com"

GIT = shutil.which("git") or "git"
GPG = shutil.which("gpg") or "gpg"
GPGCONF = shutil.which("gpgconf") or "gpgconf"
KEYGEN = shutil.which("ssh-keygen") or "ssh-keygen"


def call(*argv: str, environ: Mapping[str, str], cwd: Path | None = None) -> str:
    """What a program prints; its own words where it fails."""
    done = subprocess.run(
        argv, cwd=cwd, env=dict(environ), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass
class WorkingCopy:
    """A working copy at `folder`, and the home of who evaluates it.

    Attributes:
        home: of who evaluates: their Git's settings are in it, and their keyring.
    """

    folder: Path
    home: Path
    mandates: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir()
        (self.home / ".gnupg").mkdir(mode=0o700)
        # Public keys need no agent, and one that is started is left behind.
        (self.home / ".gnupg" / "gpg.conf").write_text("no-autostart\n")
        self.mandates = self.folder / "deployments" / "mandates"
        self.mandates.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    @property
    def environ(self) -> dict[str, str]:
        """Of who evaluates."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home)}

    @property
    def file(self) -> Path:
        """The record."""
        return self.mandates / "azure.yaml"

    def git(
        self, *arguments: str, author: str = OWNER, committer: str = "", signer: str = ""
    ) -> str:
        """Run Git here; `signer` is the GnuPG home of who signs."""
        who = {
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": author,
            "GIT_COMMITTER_NAME": "C",
            "GIT_COMMITTER_EMAIL": committer or author,
        }
        keys = {"GNUPGHOME": signer} if signer else {}
        return call(GIT, *arguments, environ=self.environ | who | keys, cwd=self.folder).strip()

    def configure(self, name: str, value: str) -> None:
        """A setting of who evaluates, for all repositories."""
        self.git("config", "--global", name, value)

    def commit(
        self,
        text: str | None = AZURE,
        *options: str,
        author: str = OWNER,
        committer: str = "",
        key: "Key | SSHKey | None" = None,
    ) -> str:
        """Commit the record with that text, or its deletion."""
        if text is None:
            self.file.unlink()
        else:
            self.file.write_text(text)
        self.git("add", "-A")
        return self.record(
            "commit", "-qm", "Declare", *options, author=author, committer=committer, key=key
        )

    def record(
        self,
        *arguments: str,
        author: str = OWNER,
        committer: str = "",
        key: "Key | SSHKey | None" = None,
    ) -> str:
        """Run a Git command that makes a commit, signed with a key; the commit's name."""
        settings = key.settings() if key else []
        verb, *rest = arguments
        signed = ["-S"] if key else []
        home = str(key.home) if isinstance(key, Key) else ""
        self.git(*settings, verb, *signed, *rest, author=author, committer=committer, signer=home)
        return self.git("rev-parse", "HEAD")

    def policy(self, **rules: object) -> Mandates:
        """Rules for this folder."""
        return Mandates.model_validate({"folder": self.mandates, "owners": [OWNER], **rules})

    def read(self, **rules: object) -> tuple[Mandate, ...]:
        """The mandates, as who evaluates finds them."""
        with open_log(self.mandates, environ=self.environ) as log:
            return read_mandates(self.policy(**rules), log)

    def reason(self, **rules: object) -> str:
        """Why the only mandate does not count; empty if it does."""
        (found,) = self.read(**rules)
        assert found.valid == (not found.reason)
        return found.reason

    def trust(self, *keys: "Key") -> None:
        """Put keys into the keyring of who evaluates, as they are now."""
        for key in keys:
            exported = self.home / "exported.asc"
            exported.write_text(key.gpg("--armor", "--export", key.fingerprint))
            call(GPG, "--batch", "--import", str(exported), environ=self.environ)


@dataclass(frozen=True)
class Key:
    """Somebody's OpenPGP key, in a keyring of their own."""

    home: Path
    fingerprint: str
    faked: tuple[str, ...] = ()

    def gpg(self, *arguments: str) -> str:
        """Run GnuPG as they."""
        options = ["--batch", "--pinentry-mode", "loopback", "--passphrase", "", *self.faked]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        return call(GPG, "--homedir", str(self.home), *options, *arguments, environ=environ)

    def settings(self) -> list[str]:
        """Git's, by which they sign."""
        return ["-c", f"user.signingkey={self.fingerprint}!", "-c", "gpg.format=openpgp"]

    def revocation(self) -> str:
        """The certificate that GnuPG made beside the key; a colon keeps it from being used."""
        file = self.home / "openpgp-revocs.d" / f"{self.fingerprint}.rev"
        return file.read_text().replace(":-----BEGIN", "-----BEGIN")


@dataclass(frozen=True)
class SSHKey:
    """Somebody's SSH key."""

    file: Path

    @classmethod
    def make(cls, file: Path) -> "SSHKey":
        """A new one."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(file.parent)}
        call(KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(file), environ=environ)
        return cls(file)

    @property
    def public(self) -> str:
        """Its public half, as a file of allowed signers has it."""
        return " ".join(self.file.with_suffix(".pub").read_text().split()[:2])

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        environ = {"PATH": os.environ["PATH"]}
        return call(KEYGEN, "-lf", str(self.file.with_suffix(".pub")), environ=environ).split()[1]

    def settings(self) -> list[str]:
        """Git's, by which they sign."""
        return ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.file}"]


@dataclass
class KeyMaker:
    """Makes OpenPGP keys, each in a home of its own, and ends the agents that hold them."""

    made: ExitStack

    def __call__(self, *user_ids: str, at: str = "", lasts: str = "never") -> Key:
        """A key with these user ids; `at` (like 20200101T000000) is the day of all it does."""
        # A path short enough for the agent's socket.
        home = Path(self.made.enter_context(TemporaryDirectory(prefix="k")))
        self.made.callback(self._end_agents, home)
        key = Key(home, "", ("--faked-system-time", at) if at else ())
        if at:
            (home / "gpg.conf").write_text(f"faked-system-time {at}\n")
        key.gpg("--quick-generate-key", user_ids[0], "ed25519", "sign", lasts)
        listed = key.gpg("--with-colons", "--list-keys")
        rows = [line.split(":") for line in listed.splitlines()]
        fingerprint = next(row[9] for row in rows if row[0] == "fpr")
        for user_id in user_ids[1:]:
            key.gpg("--quick-add-uid", fingerprint, user_id)
        return Key(home, fingerprint, key.faked)

    @staticmethod
    def _end_agents(home: Path) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
        call(GPGCONF, "--homedir", str(home), "--kill", "all", environ=environ)


@contextmanager
def key_maker() -> Iterator[KeyMaker]:
    """Nothing of it is left after the block."""
    with ExitStack() as made:
        yield KeyMaker(made)
