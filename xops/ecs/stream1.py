"""Stream 1 of one environment: the steps that `xops.core.lifecycle.steps` puts in order.

Everything is read live, so running it again is how it resumes: what was done is found done.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from xops.aws.access import Aws
from xops.aws.evidence import S3Store
from xops.aws.target import Target
from xops.core.errors import PermanentError, StalePlanError, XopsError
from xops.core.evidence.log import EvidenceLog, RecordKind, WaitingRecords
from xops.core.evidence.settings import FolderEvidence, open_evidence
from xops.core.evidence.stores import EvidenceStore
from xops.core.files import settings
from xops.core.files.tree import hash_file, hash_tree
from xops.core.lifecycle.gate import PolicyInForce, account
from xops.core.lifecycle.probes import Probe
from xops.core.lifecycle.steps import ATTEMPTS
from xops.core.lifecycle.watching import Progress, Watcher
from xops.core.plan.cost import CostEffect, Pricer
from xops.core.plan.fingerprint import FingerprintKey, load_or_create_key
from xops.core.plan.model import Change, Plan
from xops.core.plan.values import Json
from xops.ecs import changes as terraform_changes
from xops.ecs import orphaned_terraform, run_folder, terraform_discovery
from xops.ecs.distribution import Distribution
from xops.ecs.environment import Environment
from xops.ecs.foreign_sources import LOCAL_STATE, refuse_foreign
from xops.ecs.isolation import Isolation
from xops.ecs.references import References
from xops.ecs.run_folder import RunFolder
from xops.ecs.services import (
    DeployedServices,
    HealthCheck,
    ServiceState,
    check_health,
    look_at_health,
)
from xops.ecs.state_bucket import StateBucket
from xops.ecs.terraform import SavedPlan, Terraform
from xops.ecs.terraform_errors import COMMAND, InitRequiredError
from xops.ecs.terraform_events import TerraformStep
from xops.ecs.unsaved_state import UnsavedStates

SOURCE = settings.ROOT / "terraform"

_OVERRIDE = "backend_override.tf"
_VARIABLES = "environment.tfvars.json"


BUCKET_STAGE = "state bucket"


@dataclass(frozen=True)
class EcsPlan:
    """A plan with the file Terraform will apply.

    Attributes:
        plan: what a person sees: what comes before Terraform, then Terraform's changes.
        saved: Terraform's file.
        bucket: what is done to the state's bucket before.
        makes_bucket: whether there is none yet.
        references: what the plan's values are made from.
    """

    plan: Plan
    saved: SavedPlan
    bucket: tuple[Change, ...] = ()
    makes_bucket: bool = False
    references: References = field(default_factory=lambda: References({}))

    def explains(self, references: tuple[str, ...], value: Json) -> bool:
        """As `References.explains`."""
        return self.references.explains(references, value)


@dataclass(frozen=True)
class EcsVerification:
    """What was seen from outside after the apply."""

    services: tuple[ServiceState, ...]
    health: HealthCheck
    distribution: str

    def rows(self) -> dict[str, str]:
        """As a person reads it."""
        services = {f"service {state.name}": str(state) for state in self.services}
        return {"health": self.health.status, "distribution": self.distribution, **services}


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
        key: marks in plans what is not shown.
        destroy: whether the stack is to be removed, instead of brought to what its file says.
        waiting: where else records wait while their store takes none.
        patience: seconds that a Terraform is waited for whose run was killed.
        pricer: says what a plan costs; without one nothing is said of that.
    """

    attempts: ClassVar[int] = ATTEMPTS
    settles: ClassVar[bool] = False

    environment: Environment
    aws: Aws
    terraform: Terraform
    account: str
    caller: str
    folder: RunFolder
    watcher: Watcher
    key: FingerprintKey
    destroy: bool = False
    waiting: tuple[WaitingRecords, ...] = ()
    patience: float = orphaned_terraform.PATIENCE
    pricer: Pricer | None = None

    @classmethod
    def open(
        cls,
        environment: Environment,
        watcher: Watcher,
        environ: Mapping[str, str] | None = None,
        *,
        destroy: bool = False,
        waiting: tuple[WaitingRecords, ...] = (),
        pricer: Pricer | None = None,
        source: Path = SOURCE,
        isolation: Isolation | None = None,
    ) -> Self:
        """Read the facts that every step needs; changes nothing but a working folder.

        Args:
            environment: its file, as read.
            watcher: is shown what happens.
            environ: where credentials and settings are looked up.
            destroy, waiting, pricer: as the attributes.
            source: the folder in the place of terraform/: that of a branch.
            isolation: what Terraform may reach there, for a plan of what nobody has reviewed.

        Raises:
            CredentialsError, UnreachableError: the target does not let us in.
            PermanentError: no usable Terraform or provider, or no isolation as it is asked for.
        """
        if not (source / "stacks" / "stream1").is_dir():
            raise _no_stack(environment)
        environ = os.environ if environ is None else environ
        aws = Aws(environment.target, environment.region, dict(environ))
        account_id, caller = aws.identity()
        # What may be wrong here is found before there is a folder for the run.
        key = load_or_create_key(settings.home(), environ)
        prepared = _prepare_terraform(environment, aws, environ, isolation)
        patience = settings.seconds(environ, "XOPS_TERRAFORM_WAIT", orphaned_terraform.PATIENCE)
        runs = settings.home() / "runs" / environment.name
        folder = RunFolder.create(runs)
        run_folder.prune(runs, watcher.note)
        copy_source(folder.path, source)
        terraform = prepared(folder.path)
        stream = cls(
            environment,
            aws,
            terraform,
            account_id,
            caller,
            folder,
            watcher,
            key,
            destroy,
            waiting,
            patience,
            pricer,
        )
        stream.write_facts()
        if isolation:  # providers and modules of a branch are of no other run
            return stream
        return replace(stream, terraform=replace(terraform, data=stream._data_folder()))

    @property
    def bucket(self) -> StateBucket:
        """Where Terraform's state lives."""
        return state_bucket(self.environment, self.aws, self.account)

    @property
    def unsaved(self) -> UnsavedStates:
        """The states that earlier runs could not write."""
        return UnsavedStates(
            bucket=self.bucket,
            key=self.environment.state.key,
            own=self.folder.path,
            command=self.terraform.command.format(verb="state {verb}"),
        )

    @property
    def kind(self) -> RecordKind:
        """What the record of its outcome is."""
        return RecordKind.DESTROY if self.destroy else RecordKind.APPLY

    @cached_property
    def policy(self) -> PolicyInForce:
        """As `Environment.policy`."""
        return self.environment.policy()

    @cached_property
    def log(self) -> EvidenceLog:
        """The records about the environment, in the store that its file names."""
        return open_log(self.environment, self.aws, self.account, self.waiting)

    def facts(self) -> dict[str, Any]:
        """Whose account it is in, who we are there and here."""
        return {"account": self.account, "caller": self.caller, "who": account()}

    def plan(self) -> EcsPlan:
        """Plan against the live facts. Nothing is written but the plan file.

        Raises:
            PermanentError: a protected environment is not destroyed.
            TerraformAtWorkError: the Terraform of a run that was killed does not end.
            UnsavedStateError: an earlier run could not write its state.
        """
        if self.destroy:
            _refuse_protected(self.environment)
        orphaned_terraform.wait(self.folder.path, self.watcher.note, self.patience)
        exists = self.bucket.exists()
        self.unsaved.refuse(self.environment.subject, bucket_exists=exists)
        found = [] if self.destroy and not exists else self.bucket.changes(exists=exists)
        terraform, backend = self._select_backend(exists)
        variables = self._write_variables()

        def run_plan() -> SavedPlan:
            return terraform.plan(variables, destroy=self.destroy, on_progress=self._report)

        if terraform.confinement:  # of a branch nothing is prepared yet, and nothing is trusted
            terraform.init(backend)
            refuse_foreign(terraform.data, terraform.stack, backend)
        try:
            saved = run_plan()
        except InitRequiredError:
            terraform.init(backend)
            saved = run_plan()
        document = terraform.show(saved) if saved.has_changes else {}
        saved = saved.with_checks(document)
        # The facts were read live and the plan was made of them: this run has taken over.
        run_folder.close_killed_runs(self.folder.path, self.watcher.note)
        bucket = tuple(row.model_copy(update={"stage": BUCKET_STAGE}) for row in found)
        plan = terraform_changes.from_terraform(
            document,
            self.environment.subject,
            str(self.environment.target),
            self.key,
            before=bucket,
            inputs=self._inputs(variables),
            warnings=[str(warning) for warning in saved.warnings],
        )
        plan = plan.model_copy(update={"cost": self._price(document)})
        return EcsPlan(plan, saved, bucket, not exists, References(document, self.key))

    def _price(self, document: Mapping[str, Any]) -> CostEffect | None:
        """What the plan costs; None where there is none, or nobody to ask."""
        if self.pricer is None or not document:
            return None
        return self.pricer.price(
            document,
            region=self.environment.region,
            budget=self.environment.budget.money,
            is_emulated=self.environment.target is not Target.AWS,
        )

    def write_facts(self) -> None:
        """Say in this run's folder which state it works on."""
        state = f"s3://{self.bucket.name}/{self.environment.state.key}"
        facts = {"target": str(self.environment.target), "state": state}
        file = self.folder.path / run_folder.FACTS
        file.write_text(json.dumps(facts), encoding="utf-8")

    def _inputs(self, variables: Path) -> dict[str, str]:
        """All that an apply would use beyond the changes: whose state, which program and sources.

        The lock file among the sources binds the providers. The override of the backend is none:
        the state is named instead.
        """
        sources = hash_tree(self._source(), lambda path: path.name in (_OVERRIDE, ".terraform"))
        return {
            "account": self.account,
            "region": self.environment.region,
            "state": f"s3://{self.bucket.name}/{self.environment.state.key}",
            "terraform": self.terraform.binary.version,
            "variables": hash_file(variables),
            **{f"terraform/{name}": value for name, value in sources.items()},
        }

    def _source(self) -> Path:
        """This run's copy of terraform/."""
        return self.terraform.stack.parents[1]

    def is_provisioned(self, planned: EcsPlan) -> bool:
        """Whether anything was ever applied: without that there is nothing to compare."""
        planned.saved.path.unlink(missing_ok=True)
        return bool(self.terraform.state_list())

    def makes_evidence_store(self, planned: EcsPlan) -> bool:
        """Whether records must wait: the bucket that this plan makes is the one that holds them."""
        kept = self.environment.evidence
        if isinstance(kept, FolderEvidence):
            return False
        return planned.makes_bucket and kept.bucket in (None, self.bucket.name)

    def unlock(self, lock_id: str) -> None:
        """Clear a lock that a person has named.

        Raises:
            TerraformAtWorkError: whoever holds it may be at work still.
        """
        orphaned_terraform.wait(self.folder.path, self.watcher.note, patience=0)
        terraform, backend = self._select_backend(self.bucket.exists())
        terraform.init(backend)
        terraform.force_unlock(lock_id)

    def push_state(self, file: Path) -> None:
        """Write this file over the state in its bucket, which exists; never by force."""
        terraform, backend = self._select_backend(bucket_exists=True)
        terraform.init(backend)
        terraform.state_push(file)

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

    def apply(self, planned: EcsPlan, stage: str) -> dict[str, Any]:
        """Apply one stage of exactly this plan: the state's bucket, or Terraform's part.

        Raises:
            StalePlanError: the facts, or the files of this run, have changed since it was made.
        """
        if stage == BUCKET_STAGE:
            self.bucket.apply(list(planned.bucket))
            return {}
        self._refuse_other_sources(planned)
        try:
            self.terraform.apply(planned.saved, self._report)
        except XopsError:
            self.unsaved.keep(self.folder.path, self.watcher.note)
            raise
        planned.saved.path.unlink()
        return self.terraform.output()

    def _refuse_other_sources(self, planned: EcsPlan) -> None:
        """What Terraform reads while it applies (a script, a template) is what was planned with."""
        now = self._inputs(planned.saved.path.with_name(_VARIABLES))
        changed = [name for name, value in planned.plan.inputs.items() if now.get(name) != value]
        if changed:
            raise StalePlanError(
                f"applying plan {planned.plan.label}",
                f"changed since it was made: {', '.join(changed)}",
                "Find out who writes into the folder of a run, then plan again.",
                retry_after=0,
            )

    def _report(self, step: TerraformStep) -> None:
        """Each step of an apply; what a plan reads is told to nobody."""
        if step.event.startswith("apply_") and step.total:
            self.watcher.progress(Progress(step.message, step.done, step.total, "resources"))

    def probes(self) -> Sequence[Probe]:
        """The load balancer, on AWS, where there is one already."""
        if self.environment.target is not Target.AWS or self.destroy:
            return ()
        address = self.terraform.output().get("health_url")
        if address is None:
            return ()
        return (Probe("load balancer", lambda: look_at_health(address)),)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as they are now; of one that is to be removed nobody needs any."""
        return {} if self.destroy else self.terraform.output()

    def verify(self, outputs: Mapping[str, Any]) -> EcsVerification | None:
        """Services steady on the planned revision, targets healthy, the distribution deployed,
        the health address answered.

        None after a destroy: nothing is left to look at.
        """
        if self.destroy:
            return None
        services = DeployedServices.of(self.aws, outputs)
        states = services.wait_until_steady(on_progress=self._report_services)
        distribution = Distribution(self.aws, outputs["cloudfront_distribution_id"])
        deployed = distribution.wait_until_deployed(self.watcher.note)
        reachable = self.environment.target is Target.AWS
        health = check_health(outputs["health_url"], reachable=reachable)
        return EcsVerification(tuple(states), health, deployed)

    def _report_services(self, states: Sequence[ServiceState], steady: int) -> None:
        seen = f"services: {'; '.join(map(str, states))}"
        self.watcher.progress(Progress(seen, steady, len(states), "services"))

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
        path = self.terraform.work / _VARIABLES
        values = self.environment.terraform_variables()
        if values["github"] is not None:  # CI reads the state and takes its lock
            values["github"]["state_bucket"] = self.bucket.name
        path.write_text(json.dumps(values, indent=2), encoding="utf-8")
        return path


def _prepare_terraform(
    environment: Environment, aws: Aws, environ: Mapping[str, str], isolation: Isolation | None
) -> Callable[[Path], Terraform]:
    """Terraform for a run's folder; what may be wrong with it here is found at once."""
    binary = terraform_discovery.find_binary(environ)
    mirror = terraform_discovery.find_mirror(environ)
    lock_timeout = settings.seconds(environ, "XOPS_LOCK_TIMEOUT", 60)
    confine = isolation.prepare(environ, aws.target, mirror) if isolation else None
    session = f"xops-plan-{environment.name}"
    access = isolation.terraform_environ(aws, session) if isolation else aws.terraform_environ()

    def of(work: Path) -> Terraform:
        return Terraform(
            binary=binary,
            stack=work / "terraform" / "stacks" / "stream1",
            work=work,
            data=work / "data",
            environ=access,
            mirror=mirror,
            lock_timeout=lock_timeout,
            command=COMMAND.replace("NAME", environment.name),
            confinement=confine(work) if confine else None,
        )

    return of


def state_bucket(environment: Environment, aws: Aws, account_id: str) -> StateBucket:
    """The bucket of an environment's state: the file's, or one named after the account."""
    name = environment.state.bucket
    name = name or f"{environment.prefix}-state-{account_id}-{environment.region}"
    return StateBucket(name, environment.region, aws.client("s3"))


def open_log(
    environment: Environment,
    aws: Aws,
    account_id: str | None = None,
    waiting: Sequence[WaitingRecords] = (),
) -> EvidenceLog:
    """The records about an environment.

    Args:
        account_id: None: AWS is asked, if they are in a bucket.
        waiting: where records wait besides xOps' home.
    """
    kept = environment.evidence
    store: EvidenceStore
    if isinstance(kept, FolderEvidence):
        store = kept.open()
    else:
        account_id = aws.identity()[0] if account_id is None else account_id
        name = kept.bucket or state_bucket(environment, aws, account_id).name
        store = S3Store(aws.client("s3"), name, kept.prefix)
    return open_evidence(store, environment.subject, waiting)


def _no_stack(environment: Environment) -> PermanentError:
    return PermanentError(
        f"planning {environment.subject}",
        "the branch has no terraform/stacks/stream1",
        "Put it back, or destroy the environment first.",
    )


def _refuse_protected(environment: Environment) -> None:
    if environment.deletion_protection:
        raise PermanentError(
            f"destroying {environment.subject}",
            "deletion_protection is true in its environment file",
            "If its data may really go, set it to false there, apply that, then destroy;"
            " in prod and peak it cannot be set to false: see docs/runbooks/destroy-protected.md.",
        )


def use_local_backend(stack: Path) -> None:
    """Put a copy of a stack on a local backend: there is no bucket, or none is wanted.

    Its lock lies in a folder of its own: to the rest a branch's Terraform may not write.
    """
    stack.parents[2].joinpath("local").mkdir(exist_ok=True, mode=0o700)
    backend = f'backend "local" {{\n    path = "{LOCAL_STATE}"\n  }}'
    (stack / _OVERRIDE).write_text(f"terraform {{\n  {backend}\n}}\n", encoding="utf-8")


def copy_source(work: Path, source: Path = SOURCE) -> Path:
    """A copy of terraform/ for one run, so that nobody changes it half-way; the copy's folder.

    What no digest covers is not copied: a branch may hold anything.
    """
    ignored = shutil.ignore_patterns(".terraform", "*.tfstate*", "tests", _OVERRIDE)
    return Path(shutil.copytree(source, work / "terraform", ignore=ignored))
