"""A flow through the real gate, on steps that take no time: its facts are a list in a file.

`folder/left.json` holds the changes that are left; an apply does them all, unless `folder/fails`
says how it fails first.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from prefect import flow
from prefect.client.schemas.objects import State

from flows import gate, lifecycle_tasks
from flows.progress import RunWatcher
from xops.core.errors import PermanentError
from xops.core.evidence.log import EvidenceLog, RecordKind
from xops.core.evidence.stores import FolderStore
from xops.core.files.provenance import Provenance
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.lifecycle.gate import PolicyInForce
from xops.core.lifecycle.probes import Probe
from xops.core.plan.model import Action, Change, Plan


@dataclass(frozen=True)
class Seen:
    left: int

    def rows(self) -> dict[str, str]:
        return {"left": str(self.left)}


@dataclass(frozen=True)
class Made:
    plan: Plan

    def explains(self, references: tuple[str, ...], value: Any) -> bool:
        return False


@dataclass(frozen=True)
class FileSteps:
    """Changes in a file."""

    attempts: ClassVar[int] = 1
    settles: ClassVar[bool] = False
    kind: ClassVar[RecordKind] = RecordKind.APPLY

    folder: Path
    subject: str

    @property
    def policy(self) -> PolicyInForce:
        return PolicyInForce(ApprovalPolicy(), Provenance("policy.yaml", "f" * 64))

    @cached_property
    def log(self) -> EvidenceLog:
        return EvidenceLog(FolderStore(self.folder / "evidence"), self.subject)

    def facts(self) -> dict[str, Any]:
        return {}

    def plan(self) -> Made:
        targets = json.loads((self.folder / "left.json").read_text())
        changes = tuple(Change(action=Action.CREATE, target=target) for target in targets)
        return Made(Plan(subject=self.subject, target="a file", changes=changes))

    def makes_evidence_store(self, planned: Made) -> bool:
        return False

    def apply(self, planned: Made, stage: str) -> dict[str, Any]:
        fails = self.folder / "fails"
        how = fails.read_text() if fails.exists() else ""
        fails.unlink(missing_ok=True)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        while how == "slow" and not (self.folder / "release").exists():
            (self.folder / "applying").touch()
            time.sleep(0.1)
        done, *left = [change.target for change in planned.plan.changes]
        if how == "half":
            (self.folder / "left.json").write_text(json.dumps(left))
            raise PermanentError("applying", f"only {done} was done", "Run it again.")
        (self.folder / "left.json").write_text("[]")
        return {}

    def outputs(self) -> dict[str, Any]:
        return {}

    def probes(self) -> Sequence[Probe]:
        return ()

    def verify(self, outputs: Mapping[str, Any]) -> Seen:
        return Seen(len(json.loads((self.folder / "left.json").read_text())))


@flow(name="gated", flow_run_name="gated")
def gated(folder: str, subject: str, wait_seconds: int = 600, apply: bool = True) -> State[Any]:
    """One lifecycle through the gate."""
    steps = FileSteps(Path(folder), subject)
    return lifecycle_tasks.run_lifecycle(
        steps,
        "gated",
        RunWatcher(subject),
        apply=apply,
        approve=partial(gate.ask, wait_seconds=wait_seconds),
    )
