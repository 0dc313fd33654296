"""Terraform on a branch that nobody has reviewed: what its code may reach.

A plan runs code of the branch: providers, data sources that run programs, functions that read
files. So it runs with a read-only role and no other secret in its environment, with folders of its
own, and where there is bubblewrap in a sandbox: the system, the providers and the run's folder are
there to be read, three folders and one file in it to be written, and there is no home, no xOps, and
no process but its own. Of what may be written the host opens that one file, whose name stays what
it is since it is a mount point: where a branch can make names, a link of its making would lead the
host's own writing to any file of the worker.

The network is shared: providers ask the cloud. So is what a machine's network gives to whoever asks
(a metadata service): see SECURITY.md.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from xops.aws.access import Aws
from xops.aws.errors import translate_aws_errors
from xops.aws.target import Target
from xops.core import process
from xops.core.errors import PermanentError
from xops.core.files import settings

SandboxRule = Literal["required", "where_available", "off"]

SESSION_SECONDS = 3600
"""How long the credentials of a plan last: the least that every role permits at the most."""

_PROGRAM = "bwrap"
_DEADLINE = 30.0

# Of these a program finds its libraries, certificates and names; either folders or links to /usr.
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = (
    "/etc/alternatives", "/etc/ca-certificates", "/etc/host.conf", "/etc/hosts", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/nsswitch.conf",
    "/etc/pki/ca-trust", "/etc/pki/tls/cert.pem", "/etc/pki/tls/certs", "/etc/resolv.conf",
    "/etc/ssl/cert.pem", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
)  # fmt: skip
"""Not /etc/ssl and /etc/pki as a whole: private keys lie in them."""

PLAN_FILES = ("apply.tfplan", "destroy.tfplan")
"""Where Terraform puts a plan, in a run's folder."""

_WRITABLE = ("data", "home", "local")
"""Folders in a run's folder for Terraform's data, a home, and the lock of a local backend."""

_NAMESPACES = (
    "--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
)  # fmt: skip


@dataclass(frozen=True)
class Isolation:
    """What policy asks for.

    Attributes:
        sandbox: whether it must be in one, is where there is one (on AWS it must), or never is.
        role_arn: the read-only role that is assumed for it; required on AWS.
    """

    sandbox: SandboxRule = "where_available"
    role_arn: str | None = None

    def find_sandbox(self, environ: Mapping[str, str], target: Target) -> Path | None:
        """Bubblewrap, if it is to be used.

        On AWS a plan outside of one could read the worker's own credentials, so that the read-only
        role would hold nobody back: there it goes without one only where policy says `off`.

        Raises:
            PermanentError: it is required, and there is none that works here.
        """
        if self.sandbox == "off":
            return None
        program, problem = find_bubblewrap(environ)
        if problem and (self.sandbox == "required" or target is Target.AWS):
            raise PermanentError(
                "planning a branch that nobody has reviewed",
                f"it needs a sandbox, and {problem}",
                "Install bubblewrap on the worker and let it make user namespaces, or change"
                " pull_requests.isolation.sandbox in deployments/github.yaml on the base branch.",
            )
        return None if problem else program

    def prepare(
        self, environ: Mapping[str, str], target: Target, mirror: Path | None
    ) -> Callable[[Path], Confinement]:
        """How a tool is started in a run's folder, once there is one.

        Raises:
            As `find_sandbox`.
        """
        sandbox = self.find_sandbox(environ, target)
        readable = (mirror,) if mirror else ()
        return lambda work: Confinement(sandbox, work, readable)

    def terraform_environ(self, aws: Aws, name: str) -> dict[str, str]:
        """The variables with which Terraform reaches the target: those of the read-only role.

        Args:
            aws: access that may assume the role.
            name: of the session, as CloudTrail shows it.

        Raises:
            PermanentError: on AWS, without a role.
            CredentialsError: the role may not be assumed.
        """
        if self.role_arn is None and aws.target is Target.AWS:
            raise PermanentError(
                "planning a branch that nobody has reviewed",
                "it would run with credentials that may change the account: policy names no"
                " read-only role",
                "Set pull_requests.isolation.role_arn in deployments/github.yaml on the base"
                " branch; the plan role of modules/identity fits.",
            )
        return assume_role(aws, self.role_arn, name) if self.role_arn else aws.terraform_environ()


def assume_role(aws: Aws, role_arn: str, name: str) -> dict[str, str]:
    """The variables of Terraform for a session of that role, which ends within an hour."""
    with translate_aws_errors(f"assuming {role_arn} for a plan"):
        answer = aws.client("sts").assume_role(
            RoleArn=role_arn, RoleSessionName=name[:64], DurationSeconds=SESSION_SECONDS
        )
    found = answer["Credentials"]
    own = aws.terraform_environ()
    kept = (
        "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    )  # fmt: skip
    return {
        **{variable: own[variable] for variable in kept if variable in own},
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def find_bubblewrap(environ: Mapping[str, str]) -> tuple[Path, str]:
    """Where it is, and why it cannot be used; an empty text if it can."""
    found = shutil.which(_PROGRAM, path=environ.get("PATH"))
    if found is None:
        return Path(_PROGRAM), "there is no bwrap on PATH"
    tried = ["--ro-bind", "/", "/", *_NAMESPACES, "--proc", "/proc", "--", "/bin/sh", "-c", ":"]
    command = process.Command(
        [found, *tried], cwd=Path("/"), env={"PATH": os.defpath}, deadline=_DEADLINE
    )
    finished = process.run(command)
    failed = finished.returncode != 0
    return Path(found), f"bwrap does not work here: {finished.text}" if failed else ""


@dataclass(frozen=True)
class Confinement:
    """How a tool on a branch is started: with an environment of its own, in a sandbox or not.

    Attributes:
        bubblewrap: the program; None: no sandbox.
        work: the run's folder.
        readable: what else it reads: the provider mirror, Terraform itself.
    """

    bubblewrap: Path | None
    work: Path
    readable: tuple[Path, ...] = ()

    def argv(self, argv: Sequence[str], cwd: Path) -> list[str]:
        """The command line, within the sandbox if there is one."""
        if self.bubblewrap is None:
            return list(argv)
        self._make_writable()
        return [
            sys.executable, "-I", str(Path(__file__).with_name("sandboxed.py")),
            str(self.bubblewrap), *self._options(argv[0]), "--chdir", str(cwd), "--", *argv,
        ]  # fmt: skip

    def environ(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Without what points at secrets: the home, and a proxy's address with a password in it."""
        (self.work / "home").mkdir(exist_ok=True, mode=0o700)
        kept = {name: value for name, value in inherited.items() if not _has_password(name, value)}
        # The sandbox's own; providers make sockets in it, whose paths the kernel keeps short.
        temporary = {"TMPDIR": "/tmp"} if self.bubblewrap else {}  # noqa: S108
        return {**kept, **temporary, "HOME": str(self.work / "home")}

    def _make_writable(self) -> None:
        """Make what the sandbox will mount: only what is there can be."""
        for name in _WRITABLE:
            (self.work / name).mkdir(exist_ok=True, mode=0o700)
        for name in PLAN_FILES:
            (self.work / name).touch(mode=0o600)

    def _options(self, program: str) -> Iterator[str]:
        yield from _NAMESPACES
        yield from ("--cap-drop", "ALL", "--as-pid-1", "--proc", "/proc", "--dev", "/dev")
        yield from ("--tmpfs", "/tmp", "--ro-bind", "/usr", "/usr")  # noqa: S108 - its own
        for folder in map(Path, _SYSTEM):
            if folder.is_symlink():
                yield from ("--symlink", os.readlink(folder), str(folder))
            elif folder.is_dir():
                yield from ("--ro-bind", str(folder), str(folder))
        for each in (*_CONFIGURATION, *map(str, self._programs(program)), *_certificates()):
            yield from ("--ro-bind-try", each, each)
        yield from ("--ro-bind", str(self.work), str(self.work))
        for name in (*_WRITABLE, *PLAN_FILES):
            yield from ("--bind", str(self.work / name), str(self.work / name))

    def _programs(self, program: str) -> Iterator[Path]:
        """Terraform, or the interpreter and the wheel that carry it; never the project's folder."""
        yield from self.readable
        if program == sys.executable:
            yield from map(Path, (sys.prefix, sys.base_prefix))
            yield settings.ROOT / "xops"
        else:
            found = Path(shutil.which(program) or program)
            yield from {found, found.resolve()}


def _certificates() -> Iterator[str]:
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE")
    yield from (os.environ[name] for name in names if os.environ.get(name))


def _has_password(name: str, value: str) -> bool:
    return name.lower().endswith("_proxy") and "@" in urlsplit(value).netloc
