"""Stream 1 of one environment: the steps that `xops.core.lifecycle.steps` puts in order.

Everything is read live, so running it again is how it resumes: what was done is found done.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from xops.aws.access import Aws
from xops.aws.evidence import S3Store
from xops.aws.target import Target
from xops.core.errors import PermanentError, StalePlanError
from xops.core.evidence import records
from xops.core.evidence.settings import FolderEvidence
from xops.core.evidence.stores import EvidenceStore
from xops.core.files import settings
from xops.core.lifecycle import watching
from xops.core.lifecycle.gate import Approval, who
from xops.core.plan.model import Change, Plan
from xops.ecs import changes as terraform_changes
from xops.ecs import terraform_discovery
from xops.ecs.environment import Environment
from xops.ecs.run_folder import RunFolder
from xops.ecs.services import DeployedServices, HealthCheck, ServiceState, check_health
from xops.ecs.state_bucket import StateBucket
from xops.ecs.terraform import SavedPlan, Terraform
from xops.ecs.terraform_errors import InitRequiredError
from xops.ecs.terraform_events import Progress

SOURCE = settings.ROOT / "terraform"

_OVERRIDE = "backend_override.tf"


class Stream1Watcher(watching.Watcher, Protocol):
    """Who is shown what happens while it happens."""

    def progress(self, progress: Progress) -> None:
        """Terraform has started or finished something."""

    def services(self, states: Sequence[ServiceState]) -> None:
        """The services were looked at."""


@dataclass(frozen=True)
class EcsPlan:
    """A plan with the file Terraform will apply; `bucket` is what comes before Terraform."""

    plan: Plan
    saved: SavedPlan
    bucket: tuple[Change, ...] = ()

    @property
    def terraform_only(self) -> Plan:
        """What is left of the plan once the state's bucket is as it should be."""
        left = tuple(change for change in self.plan.changes if change not in self.bucket)
        return self.plan.model_copy(update={"changes": left})


@dataclass(frozen=True)
class EcsVerification:
    """What was seen from outside after the apply."""

    services: tuple[ServiceState, ...]
    health: HealthCheck

    def rows(self) -> dict[str, str]:
        """As a person reads it."""
        services = {f"service {state.name}": str(state) for state in self.services}
        return {"health": self.health.status, **services}


@dataclass(frozen=True)
class Stream1:
    """One environment's stack on its target, with a working folder for one run.

    Attributes:
        environment: its file, as read.
        aws: access to its target.
        terraform: the stack in this run's folder.
        account: the account's id.
        caller: the caller's ARN.
        folder: this run's own.
        watcher: who is shown what happens.
        destroy: whether the stack is to be removed, instead of brought to what its file says.
    """

    environment: Environment
    aws: Aws
    terraform: Terraform
    account: str
    caller: str
    folder: RunFolder
    watcher: Stream1Watcher
    destroy: bool = False

    @classmethod
    def open(
        cls,
        environment: Environment,
        watcher: Stream1Watcher,
        environ: Mapping[str, str] | None = None,
        *,
        destroy: bool = False,
    ) -> Self:
        """Read the facts that every step needs; changes nothing but a working folder.

        Raises:
            CredentialsError, UnreachableError: the target does not let us in.
            PermanentError: no usable Terraform or provider.
        """
        environ = os.environ if environ is None else environ
        aws = Aws(environment.target, environment.region, dict(environ))
        account, caller = aws.identity()
        folder = RunFolder.create(settings.home() / "runs" / environment.name)
        work = folder.path
        source = copy_source(work)
        terraform = Terraform(
            binary=terraform_discovery.find_binary(environ),
            stack=source / "stacks" / "stream1",
            work=work,
            data=work / "data",
            environ=aws.terraform_environ(),
            mirror=terraform_discovery.find_mirror(environ),
            lock_timeout=int(environ.get("XOPS_LOCK_TIMEOUT", "60")),
            unlock=f"xops ecs unlock --environment {environment.name}",
        )
        stream = cls(environment, aws, terraform, account, caller, folder, watcher, destroy)
        return replace(stream, terraform=replace(terraform, data=stream._data_folder()))

    @property
    def bucket(self) -> StateBucket:
        """Where Terraform's state lives."""
        region = self.environment.region
        name = self.environment.state.bucket
        name = name or f"{self.environment.prefix}-state-{self.account}-{region}"
        return StateBucket(name, region, self.aws.client("s3"))

    @property
    def kind(self) -> str:
        """What a record of it is called."""
        return "destroy" if self.destroy else "apply"

    def plan(self) -> EcsPlan:
        """Plan against the live facts. Nothing is written but the plan file.

        Raises:
            PermanentError: a protected environment is not destroyed.
        """
        if self.destroy:
            _refuse_protected(self.environment)
        exists = self.bucket.exists()
        bucket = [] if self.destroy and not exists else self.bucket.changes()
        terraform, backend = self._select_backend(exists)
        variables = self._write_variables()

        def run_plan() -> SavedPlan:
            return terraform.plan(
                variables, destroy=self.destroy, on_progress=self.watcher.progress
            )

        try:
            saved = run_plan()
        except InitRequiredError:
            terraform.init(backend)
            saved = run_plan()
        document = terraform.show(saved) if saved.has_changes else {}
        plan = terraform_changes.from_terraform(
            document, self.environment.subject, str(self.environment.target), bucket
        )
        return EcsPlan(plan, saved, tuple(bucket))

    def policy(self, plan: Plan) -> Approval | None:
        """Approved by the environment's file, where it does not name these changes."""
        if self.environment.approval.needed(plan):
            return None
        by = f"policy of deployments/environments/{self.environment.name}.yaml"
        return Approval(by, "approval.required_for does not name these changes", plan.digest)

    def unlock(self, lock_id: str) -> None:
        """Clear a lock that a person has named."""
        terraform, backend = self._select_backend(self.bucket.exists())
        terraform.init(backend)
        terraform.force_unlock(lock_id)

    def _select_backend(self, bucket_exists: bool) -> tuple[Terraform, dict[str, str]]:
        """Terraform on the state's bucket; while there is none there can be no state either.

        The data folder is kept per backend, so that an unchanged environment needs no `init`.
        """
        override = self.terraform.stack / _OVERRIDE
        if bucket_exists:
            override.unlink(missing_ok=True)
            return self.terraform, self._backend()
        use_local_backend(self.terraform.stack)
        return replace(self.terraform, data=self.terraform.work / "data"), {}

    def apply(self, planned: EcsPlan) -> dict[str, Any]:
        """Apply exactly the plan that was approved and return the stack's outputs.

        Where the state's bucket had to be made first, Terraform's part is planned again on it
        and must come out the same.

        Raises:
            StalePlanError: the facts have changed since the plan was made.
        """
        saved = planned.saved
        if planned.bucket:
            self.bucket.apply(list(planned.bucket))
            again = self.plan()
            if again.plan.digest != planned.terraform_only.digest:
                raise StalePlanError(
                    f"applying plan {planned.plan.label}",
                    "the facts changed while the state's bucket was made",
                    "Look at the new plan and approve it.",
                    retry_after=0,
                )
            saved = again.saved
        self.terraform.apply(saved, self.watcher.progress)
        saved.path.unlink()
        return self.terraform.output()

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as they are now."""
        return self.terraform.output()

    def verify(self, outputs: Mapping[str, Any]) -> EcsVerification | None:
        """Services steady on the planned revision, targets healthy, health address answered.

        None after a destroy: nothing is left to look at.
        """
        if self.destroy:
            return None
        services = DeployedServices.of(self.aws, outputs)
        states = services.wait_until_steady(on_progress=self.watcher.services)
        reachable = self.environment.target is Target.AWS
        health = check_health(outputs["health_url"], reachable=reachable)
        return EcsVerification(tuple(states), health)

    def record(self, kind: str, digest: str, facts: Mapping[str, Any]) -> str:
        """Keep one record in the environment's evidence store; its address."""
        kept = self.environment.evidence
        store: EvidenceStore
        if isinstance(kept, FolderEvidence):
            store = kept.open()
        else:
            store = S3Store(self.aws.client("s3"), kept.bucket or self.bucket.name, kept.prefix)
        known = {"account": self.account, "caller": self.caller, "who": who()}
        return records.record(store, self.environment.subject, kind, digest, {**known, **facts})

    def _backend(self) -> dict[str, str]:
        options = {
            "bucket": self.bucket.name,
            "key": self.environment.state.key,
            "region": self.environment.region,
            "use_lockfile": "true",
            "encrypt": "true",
        }
        if self.environment.target is Target.AWS:
            return options
        emulator = (
            "use_path_style", "skip_credentials_validation", "skip_metadata_api_check",
            "skip_requesting_account_id", "skip_region_validation",
        )  # fmt: skip
        return {**options, **dict.fromkeys(emulator, "true")}

    def _data_folder(self) -> Path:
        backend = json.dumps([self._backend(), self.terraform.binary.version], sort_keys=True)
        name = f"{self.environment.name}-{hashlib.sha256(backend.encode()).hexdigest()[:12]}"
        return settings.home() / "terraform" / name

    def _write_variables(self) -> Path:
        path = self.terraform.work / "environment.tfvars.json"
        values = self.environment.terraform_variables()
        if values["github"] is not None:  # CI reads the state and takes its lock
            values["github"]["state_bucket"] = self.bucket.name
        path.write_text(json.dumps(values, indent=2), encoding="utf-8")
        return path


def _refuse_protected(environment: Environment) -> None:
    if environment.deletion_protection:
        raise PermanentError(
            f"destroying {environment.subject}",
            "deletion_protection is true in its environment file",
            "If its data may really go, set it to false there, apply that, then destroy;"
            " in prod and peak it cannot be set to false: see docs/runbooks/destroy-protected.md.",
        )


def use_local_backend(stack: Path) -> None:
    """Put a copy of a stack on a local backend: there is no bucket, or none is wanted."""
    (stack / _OVERRIDE).write_text('terraform {\n  backend "local" {}\n}\n', encoding="utf-8")


def copy_source(work: Path) -> Path:
    """A copy of terraform/ for one run, so that nobody changes it half-way; the copy's folder."""
    ignored = shutil.ignore_patterns(".terraform", "*.tfstate*", "tests")
    return Path(shutil.copytree(SOURCE, work / "terraform", ignore=ignored))
