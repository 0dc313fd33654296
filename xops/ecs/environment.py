"""An environment of Stream 1: one file in `deployments/environments/`.

The model is the file's schema: `deployments/environments/schema.json` is generated from it, and
the variables of `terraform/stacks/stream1` are its fields by the same names.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, field_validator

from xops.aws.target import Target
from xops.core.errors import Finding, InputError
from xops.core.evidence.settings import Evidence, FolderEvidence
from xops.core.files import settings
from xops.core.files.bounded_yaml import YamlText
from xops.core.files.provenance import Provenance, read_provenance
from xops.core.files.reading import read_text
from xops.core.files.validation import Model, TimeZone
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.lifecycle.gate import PolicyInForce
from xops.core.money import Amount, Money

FOLDER = settings.ROOT / "deployments" / "environments"
VARIABLE_PREFIX = "XOPS_ENVIRONMENT__"
NAME = r"^[a-z](-?[a-z0-9])*$"
"""What the name of an environment looks like: it becomes a part of the names of resources."""

REVIEWED = ("approval", "deletion_protection", "evidence", "promise", "state", "targets")
"""Keys that are policy: no variable, argument or block lies over them."""

POLICY = (*REVIEWED, "budget")
"""Keys of which a pull request is judged by what its base says. The budget is among them, since a
plan that is over it waits for an approval."""

PROTECTED = ("prod", "peak")
"""The stages whose data must survive a mistake."""

_NAME_LENGTH = 15  # after `xops-`, in a name of at most 20 characters

# Memory (MiB) that Fargate accepts for each CPU size (units of 1/1024 vCPU).
# Source: Amazon ECS developer guide, "Task CPU and memory".
_FARGATE_MEMORY: dict[int, Sequence[int]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
    8192: range(16384, 61440 + 1, 4096),
    16384: range(32768, 122880 + 1, 8192),
}

# What CloudWatch Logs accepts. Source: PutRetentionPolicy, API reference.
_LOG_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)  # fmt: skip

_WEEKDAY = "(MON|TUE|WED|THU|FRI|SAT|SUN)"
_DAYS = f"^{_WEEKDAY}(-{_WEEKDAY})?$"
_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"


class Budget(Model):
    """The month's budget; notifications go out at 50, 80 and 100 % and on the forecast."""

    amount: Annotated[Amount, Field(ge=0, description="A month, as a quoted decimal.")]
    currency: Literal["USD"] = "USD"
    notify: Annotated[list[str], Field(description="E-mail addresses.")] = []

    @field_validator("notify")
    @classmethod
    def _somebody_is_told(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if info.data.get("amount") and not value:
            raise ValueError("a budget above 0 needs at least one address to notify")
        wrong = [address for address in value if not re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", address)]
        if wrong:
            raise ValueError(f"not an e-mail address: {', '.join(wrong)}")
        return value

    @property
    def money(self) -> Money:
        """What may be spent in a month."""
        return Money(amount=self.amount, currency=self.currency)


class Promise(Model):
    """What people can count on, in numbers: a budget is proven for no less than this."""

    tasks: Annotated[
        int, Field(ge=0, le=100, description="Of each service at least, in business hours.")
    ] = 2
    on_demand: Annotated[
        int, Field(ge=0, le=100, description="Of each service at least, always, on demand.")
    ] = 1
    timezone: TimeZone = "Australia/Sydney"
    start: Annotated[str, Field(pattern=_TIME)] = "07:00"
    end: Annotated[str, Field(pattern=_TIME)] = "19:00"
    days: Annotated[str, Field(pattern=_DAYS)] = "MON-FRI"

    @field_validator("end")
    @classmethod
    def _after_start(cls, value: str, info: ValidationInfo) -> str:
        if value <= info.data.get("start", ""):
            raise ValueError(f"is not after start ({info.data['start']})")
        return value


class Network(Model):
    """The VPC: its addresses, how many zones it spans and how its tasks reach outside."""

    cidr: str
    zones: Annotated[int, Field(ge=2, le=3)] = 2
    egress: Annotated[
        Literal["public_ip", "nat", "endpoints"],
        Field(description="public_ip costs least; nat and endpoints keep tasks private."),
    ] = "public_ip"

    @field_validator("cidr")
    @classmethod
    def _holds_the_subnets(cls, value: str) -> str:
        network = ipaddress.IPv4Network(value)
        if not 16 <= network.prefixlen <= 22 or not network.is_private:
            raise ValueError("must be a private block between /16 and /22")
        return value


class Domain(Model):
    """The public name; without one CloudFront's own name is used."""

    name: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")]
    zone: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")]
    create_zone: bool = False

    @field_validator("zone")
    @classmethod
    def _contains_the_name(cls, value: str, info: ValidationInfo) -> str:
        name = info.data.get("name", value)
        if name != value and not name.endswith(f".{value}"):
            raise ValueError(f"{name} does not lie within this zone")
        return value


class Replicas(Model):
    """Bounds of the number of tasks."""

    min: Annotated[int, Field(ge=0, le=100)]
    max: Annotated[int, Field(ge=1, le=100)]

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min", 0):
            raise ValueError(f"lies below min ({info.data['min']})")
        return value


class Capacity(Model):
    """How tasks divide over FARGATE (on demand) and FARGATE_SPOT: a base, then weights."""

    on_demand_base: Annotated[int, Field(ge=0, le=100)] = 1
    on_demand_weight: Annotated[int, Field(ge=0, le=1000)] = 1
    spot_weight: Annotated[int, Field(ge=0, le=1000)] = 0

    @field_validator("spot_weight")
    @classmethod
    def _some_weight(cls, value: int, info: ValidationInfo) -> int:
        if value == 0 and info.data.get("on_demand_weight") == 0:
            raise ValueError("one of on_demand_weight and spot_weight must be above 0")
        return value


class BusinessHours(Model):
    """A weekly schedule of replica bounds: `min`-`max` inside the hours, `off_hours_*` outside."""

    timezone: TimeZone
    start: Annotated[str, Field(pattern=_TIME)] = "07:00"
    end: Annotated[str, Field(pattern=_TIME)] = "19:00"
    days: Annotated[str, Field(pattern=_DAYS)] = "MON-FRI"
    min: Annotated[int, Field(ge=0, le=100)]
    max: Annotated[int, Field(ge=1, le=100)]
    off_hours_min: Annotated[int, Field(ge=0, le=100)]
    off_hours_max: Annotated[int, Field(ge=1, le=100)]

    @field_validator("max", "off_hours_max")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        lower = str(info.field_name).replace("max", "min")
        if value < info.data.get(lower, 0):
            raise ValueError(f"lies below {lower} ({info.data[lower]})")
        return value


class EcsService(Model):
    """One ECS service on ARM64 Fargate."""

    image: Annotated[
        str, Field(min_length=1, pattern=r"^\S+:[^\s/]+$", description="With its tag.")
    ]
    cpu: Annotated[int, Field(description="1024 units are one vCPU.")]
    memory: Annotated[int, Field(description="MiB.")]
    port: Annotated[int, Field(ge=1, le=65535)]
    health_path: Annotated[str, Field(pattern="^/")] = "/health"
    replicas: Replicas
    cpu_target_percent: Annotated[int, Field(ge=10, le=90)]
    capacity: Capacity = Capacity()
    business_hours: BusinessHours | None = None
    environment: dict[str, str] = {}
    secrets: Annotated[
        dict[str, str], Field(description="Variable name to the secret's ARN, or to its name.")
    ] = {}

    @field_validator("image")
    @classmethod
    def _pinned(cls, value: str) -> str:
        if value.endswith(":latest"):
            raise ValueError("name a version: 'latest' changes without a plan")
        return value

    @field_validator("cpu")
    @classmethod
    def _fargate_cpu(cls, value: int) -> int:
        if value not in _FARGATE_MEMORY:
            raise ValueError(f"Fargate has {', '.join(map(str, _FARGATE_MEMORY))} CPU units")
        return value

    @field_validator("memory")
    @classmethod
    def _fargate_memory(cls, value: int, info: ValidationInfo) -> int:
        if (cpu := info.data.get("cpu")) is None:
            return value
        accepted = _FARGATE_MEMORY[cpu]
        if value not in accepted:
            raise ValueError(f"{cpu} CPU units go with {', '.join(map(str, accepted))} MiB")
        return value


class EcsServices(Model):
    """The two services of Stream 1."""

    open_webui: EcsService
    crew: EcsService


class Backup(Model):
    """The AWS Backup plan of the data."""

    schedule: Annotated[str, Field(pattern=r"^cron\(.+\)$")] = "cron(0 15 * * ? *)"
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 35


class Groups(Model):
    """Names of groups in Identity Center's identity store."""

    operator: str = "xops-operators"
    finops: str = "xops-finops"
    administrator: str = "xops-administrators"


class IdentityCenter(Model):
    """Whether permission sets and their assignments are managed here, and for whom."""

    enabled: bool = True
    groups: Groups = Groups()


class CiRepository(Model):
    """The repository whose workflows may assume the CI roles."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    plan_branches: list[str] = ["main"]
    apply_environment: str = "production"
    create_provider: Annotated[
        bool, Field(description="False where another environment of the account has made it.")
    ] = True


class FlowRuns(Model):
    """Where Prefect's ECS worker runs flow runs, so that it hears of those that crash.

    The cluster and the log group are the operator's, in this environment's account and region.
    """

    cluster: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_-]{1,255}$",
            description="Name of the existing ECS cluster, as the settings of the ECS work pool"
            " have it; not this environment's own.",
        ),
    ]
    log_group: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._/#-]{1,512}$",
            description="CloudWatch log group, as the settings of the work pool have it.",
        ),
    ] = "/xops/runs"


class TerraformState(Model):
    """Where Terraform's state lives."""

    bucket: Annotated[
        str | None, Field(description="Default: <name>-state-<account>-<region>.")
    ] = None
    key: str = "stream1/terraform.tfstate"


class Environment(Model):
    """One environment: a golden-path stage with its budget, shape and policies."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    name: Annotated[
        str,
        Field(pattern=NAME, max_length=_NAME_LENGTH, description="The file's name without .yaml."),
    ]
    target: Target = Target.EMBEDDED
    targets: Annotated[
        tuple[Target, ...],
        Field(description="Other targets that may be asked for; emulators always may."),
    ] = ()
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "ap-southeast-2"
    budget: Budget
    promise: Promise = Promise()
    network: Network
    domain: Domain | None = None
    services: EcsServices
    deletion_protection: bool = False
    log_retention_days: int = 30
    backup: Backup = Backup()
    identity_center: IdentityCenter = IdentityCenter()
    github: CiRepository | None = None
    flow_runs: Annotated[
        FlowRuns | None,
        Field(description="Makes the queue of events for Prefect's ECS worker; none makes none."),
    ] = None
    state: TerraformState = TerraformState()
    evidence: Evidence = FolderEvidence()
    approval: ApprovalPolicy = ApprovalPolicy()
    tags: Annotated[
        dict[str, str], Field(description="On every resource; FOCUS reports group by them.")
    ] = {}

    _file: Path | None = PrivateAttr(default=None)
    _of_a_branch: Provenance | None = PrivateAttr(default=None)

    @field_validator("deletion_protection")
    @classmethod
    def _protected_stages(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("name") in PROTECTED:
            raise ValueError(f"must be true in {info.data['name']}")
        return value

    @field_validator("services")
    @classmethod
    def _redundant_stages(cls, value: EcsServices, info: ValidationInfo) -> EcsServices:
        if info.data.get("name") not in PROTECTED:
            return value
        for name in EcsServices.model_fields:
            service: EcsService = getattr(value, name)
            if service.replicas.min < 2 or service.capacity.on_demand_base < 1:
                raise ValueError(
                    f"{name} needs replicas.min >= 2 and capacity.on_demand_base >= 1"
                    f" in {info.data['name']}"
                )
        return value

    @field_validator("flow_runs")
    @classmethod
    def _apart_from_the_services(
        cls, value: FlowRuns | None, info: ValidationInfo
    ) -> FlowRuns | None:
        if value and value.cluster == f"xops-{info.data.get('name')}":
            raise ValueError(
                f"{value.cluster} is the cluster that this environment serves from; name the one"
                " of the ECS work pool"
            )
        return value

    @field_validator("log_retention_days")
    @classmethod
    def _cloudwatch_retention(cls, value: int) -> int:
        if value not in _LOG_RETENTION_DAYS:
            raise ValueError(f"CloudWatch keeps logs {', '.join(map(str, _LOG_RETENTION_DAYS))}")
        return value

    @field_validator("tags")
    @classmethod
    def _cost_tags(cls, value: dict[str, str]) -> dict[str, str]:
        missing = {"owner", "cost_centre"} - value.keys()
        if missing:
            raise ValueError(f"cost reports need the tags {', '.join(sorted(missing))} as well")
        return value

    @property
    def prefix(self) -> str:
        """What the names of this environment's resources start with."""
        return f"xops-{self.name}"

    @property
    def subject(self) -> str:
        """The name of this environment's stack in plans, evidence and lock names."""
        return subject(self.name)

    def policy(self) -> PolicyInForce:
        """Which plans wait for a person, by the file as it was reviewed.

        An exemption holds on the embedded target alone, where nothing is at stake; of what a
        pull request changes nothing is exempted.
        """
        if self._of_a_branch:
            return PolicyInForce(self.approval.strict(), self._of_a_branch)
        file = self._file or FOLDER / f"{self.name}.yaml"
        lenient = self.target is Target.EMBEDDED
        rules = self.approval if lenient else self.approval.strict()
        return PolicyInForce(rules, read_provenance(file))

    def terraform_variables(self) -> dict[str, Any]:
        """The input of `terraform/stacks/stream1`, ready to be written as tfvars.json."""
        fields = {
            "target", "region", "budget", "network", "domain", "services", "deletion_protection",
            "log_retention_days", "backup", "identity_center", "github", "flow_runs",
        }  # fmt: skip
        values = self.model_dump(mode="json", include=fields)
        tags = {**self.tags, "environment": self.name, "managed_by": "xops"}
        return {**values, "environment": self.name, "name": self.prefix, "tags": tags}

    @classmethod
    def load(
        cls,
        name: str,
        *,
        folder: Path = FOLDER,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Self:
        """Read `<folder>/<name>.yaml`, overlaid by XOPS_ENVIRONMENT__* and by `arguments`.

        Raises:
            InputError: no such environment, or everything that is wrong with it.
        """
        file = folder / f"{name}.yaml"
        if not os.path.isfile(file):  # unlike Path.is_file it answers for a name that is too long
            raise _unknown(name, folder)
        environment = settings.load(
            cls,
            file,
            prefix=VARIABLE_PREFIX,
            environ=os.environ if environ is None else environ,
            arguments=arguments,
            reviewed=REVIEWED,
        )
        if environment.name != name:
            finding = Finding(
                file.name, "name", f"is {environment.name!r}, but the file says {name!r}"
            )
            raise InputError(f"reading environment {name}", [finding])
        _refuse_target(environment, settings.load(cls, file, prefix="", environ={}, arguments={}))
        environment._file = file
        return environment

    @classmethod
    def of_pull_request(
        cls, name: str, *, base: Path, head: Path, base_commit: str, target: str | None = None
    ) -> Self:
        """An environment as a pull request would have it, under the policy of its base.

        No variable of this process lies over it: it is what is reviewed, wherever it is planned.

        Args:
            name: of an environment that the base has a file of.
            base, head: folders with the environments' files of the base and of the branch.
            base_commit: of the policy.
            target: another one than the file's; the base must permit it, as it must the file's.

        Raises:
            InputError: no such environment in the base, or everything that is wrong with it.
        """
        reviewed = cls.load(name, folder=base, environ={})
        file = head / f"{name}.yaml"
        if not file.is_file():
            raise _unknown(name, head)
        values = reviewed.model_dump(mode="json", include=set(POLICY))
        arguments = {**values, "name": name, "target": target}
        environment = settings.load(cls, file, prefix="", environ={}, arguments=arguments)
        _refuse_target(environment, reviewed)
        environment._of_a_branch = Provenance(
            f"deployments/environments/{name}.yaml",
            hashlib.sha256((base / file.name).read_bytes()).hexdigest(),
            base_commit,
            dirty=False,
        )
        return environment


def policy_changes(name: str, *, base: Path, head: Path) -> tuple[str, ...]:
    """Keys of policy that a pull request changes in an environment's file: they hold once merged.

    Args:
        name: of an environment with a file in both folders.
        base, head: as of `Environment.of_pull_request`.
    """
    before, after = (YamlText(read_text(each / f"{name}.yaml")).values() for each in (base, head))
    return tuple(key for key in POLICY if before.get(key) != after.get(key))


def names(folder: Path = FOLDER) -> list[str]:
    """The environments that have a file, in alphabetical order."""
    stems = (file.stem for file in folder.glob("*.yaml"))
    return sorted(stem for stem in stems if re.match(NAME, stem) and len(stem) <= _NAME_LENGTH)


def _has_a_file(name: str) -> str:
    if name not in (known := names()):
        raise ValueError(f"no environment {name!r}; there are: {', '.join(known) or 'none'}")
    return name


def _offer_names(schema: dict[str, Any]) -> None:
    schema["enum"] = names()


EnvironmentName = Annotated[
    str,
    AfterValidator(_has_a_file),
    Field(json_schema_extra=_offer_names, description="One of deployments/environments/*.yaml."),
]
"""The name of an environment that has a file. Forms offer those there are."""


def subject(name: str) -> str:
    """The name of an environment's stack in plans, evidence and events."""
    return f"ecs/{name}"


def slot(name: str) -> str:
    """The concurrency limit that lets one change at a time at an environment's state."""
    return f"ecs-{name}"


def _refuse_target(environment: Environment, reviewed: Environment) -> None:
    """Where an environment may run is policy of its file; emulators change nothing that counts."""
    permitted = {Target.EMBEDDED, Target.LOCALSTACK, reviewed.target, *reviewed.targets}
    if environment.target not in permitted:
        message = f"is {environment.target}, which the file does not permit"
        raise InputError(
            f"reading environment {environment.name}",
            [Finding(f"{environment.name}.yaml", "target", message)],
            f"Write `target: {environment.target}` into the file, or add it to `targets`, and have"
            " that reviewed.",
        )


def _unknown(name: str, folder: Path) -> InputError:
    known = ", ".join(names(folder)) or "none"
    finding = Finding("argument environment", "", f"no environment {name!r}; there are: {known}")
    return InputError("reading the environment", [finding], "Name one of them, or add its file.")


def schema() -> str:
    """The JSON schema of the file, as `schema.json` holds it for editors."""
    return json.dumps(Environment.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
