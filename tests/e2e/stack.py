"""An embedded stack of a test's own, and the `xops` command on it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.embedded_aws import free_port
from xops.aws.embedded_key import FILE_VARIABLE, NAME, load_or_create_embedded_key
from xops.local.stack import SIGN_IN_FILE
from xops.local.webhooks import KEY_FILE

__all__ = [
    "CANARY",
    "OUTPUT",
    "ROOT",
    "SEVERAL_APPLIES",
    "XOPS",
    "Embedded",
    "FirstRun",
    "free_port",
]

ROOT = Path(__file__).resolve().parents[2]
XOPS = str(Path(sys.executable).with_name("xops"))
CANARY = "canary-2b9f41c07d5e"
"""The value of every secret in these commands' environment; nothing may write it down."""
SEVERAL_APPLIES = 600
"""Seconds for a test that makes or removes a stack of 120 resources, or applies it several times.

The provider's own waits for a new stack come to two minutes on an idle machine.
"""
OUTPUT = ROOT / "test-output"
"""Screenshots and logs that a person may want to look at after a run."""


@dataclass(frozen=True)
class Embedded:
    """An xOps home with ports of its own, the command on it, and what its operator sets."""

    home: Path
    aws_port: int
    prefect_port: int
    github_port: int
    operator: dict[str, str] = field(default_factory=dict)

    @classmethod
    def found(cls, home: Path) -> "Embedded":
        """The stack that runs in this home."""
        ports = [
            json.loads((home / "services" / f"{name}.json").read_text())["port"]
            for name in ("aws", "prefect", "receiver")
        ]
        return cls(home, *ports)

    @property
    def aws(self) -> str:
        """The embedded AWS's address."""
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def ui(self) -> str:
        """The Prefect UI's address."""
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def webhook(self) -> str:
        """Where its receiver takes GitHub's deliveries."""
        return f"http://127.0.0.1:{self.github_port}/github"

    @property
    def webhook_secret(self) -> str:
        """What those deliveries are signed with."""
        return (self.home / KEY_FILE).read_text().strip()

    @property
    def secret(self) -> str:
        """What its Prefect server asks for, as `user:password`."""
        return (self.home / SIGN_IN_FILE).read_text().strip()

    def key_file(self) -> dict[str, str]:
        """Where this installation's key for its embedded AWS is found."""
        return {FILE_VARIABLE: str(self.home / NAME)}

    def aws_credentials(self) -> dict[str, str]:
        """What boto3 signs with."""
        key = load_or_create_embedded_key(self.key_file())
        return {name.lower(): value for name, value in key.variables.items()}

    def environ(self, **extra: str) -> dict[str, str]:
        """The environment of a command: this home, these ports, nothing of the person's own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "XOPS_"))}
        mirror = os.environ.get("XOPS_TERRAFORM_MIRROR")
        return {
            **kept,
            "AWS_SECRET_ACCESS_KEY": CANARY,
            "AWS_SESSION_TOKEN": CANARY,
            "GITHUB_TOKEN": CANARY,
            **({"XOPS_TERRAFORM_MIRROR": mirror} if mirror else {}),
            "XOPS_HOME": str(self.home),
            "XOPS_AWS_PORT": str(self.aws_port),
            "XOPS_PREFECT_PORT": str(self.prefect_port),
            "XOPS_GITHUB_PORT": str(self.github_port),
            "XOPS_LOCK_TIMEOUT": "2",
            **self.operator,
            **extra,
        }

    def xops(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [XOPS, *arguments],
            env=self.environ(**environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def json(self, *arguments: str, **environ: str) -> Any:
        """What the command prints with --json."""
        done = self.xops(*arguments, "--json", **environ)
        try:
            return json.loads(done.stdout)
        except ValueError:
            pytest.fail(f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")

    def evidence(self, environment: str = "local") -> list[dict[str, Any]]:
        """All records about one environment, oldest first."""
        files = sorted((self.home / "evidence" / "ecs" / environment).glob("*.json"))
        return [json.loads(file.read_text()) for file in files]


@dataclass(frozen=True)
class FirstRun:
    """The stack after `xops up --once`, and what that printed."""

    stack: Embedded
    output: str
