"""The work pools' base job templates, through the workers that will read them."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.schema_tools.validation import ValidationError, validate
from prefect.workers.base import BaseJobConfiguration
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

from xops.core.errors import InputError
from xops.prefect_server.pools import FOLDER, Pool

ECS_VALUES = {
    "image": "registry.example.com/xops@sha256:" + 64 * "0",
    "cluster": "xops-runs",
    "vpc_id": "vpc-0",
    "network_configuration": {"subnets": ["subnet-0"], "securityGroups": ["sg-0"]},
    "task_role_arn": "arn:aws:iam::123456789012:role/xops-run",
    "execution_role_arn": "arn:aws:iam::123456789012:role/xops-execution",
    "prefect_api_auth_string_secret_arn": "arn:aws:secretsmanager:ap-southeast-2:123456789012:"
    "secret:xops/prefect",
}


KUBERNETES_VALUES = {
    "image": ECS_VALUES["image"],
    "namespace": "xops-runs",
    "service_account_name": "xops-run",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "process": {"root": "/opt/xops"},
    "ecs": ECS_VALUES,
    "kubernetes": KUBERNETES_VALUES,
}
WORKERS: dict[str, type[Any]] = {
    "process": ProcessWorker,
    "ecs": ECSWorker,
    "kubernetes": KubernetesWorker,
}
each_kind = pytest.mark.parametrize("kind", sorted(SETTINGS))


def file_of(kind: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text())
    return read


def template(kind: str, **changes: Any) -> dict[str, Any]:
    """As the server is told."""
    given = {**SETTINGS[kind], **changes}
    return Pool.model_validate({"name": "runs", "kind": kind, "settings": given}).template()


def test_every_kind_is_tried_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(SETTINGS)


@each_kind
def test_every_placeholder_has_a_value_and_every_value_a_use(kind: str) -> None:
    read = file_of(kind)
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(read["job_configuration"])))
    assert used == {*read["settings"]["properties"], *read["variables"]["properties"]}
    assert set(read["settings"]["required"]) <= used
    left = set(re.findall(r"{{ (\w+) }}", json.dumps(template(kind)["job_configuration"])))
    assert left == set(read["variables"]["properties"])


@each_kind
def test_a_template_names_only_what_its_worker_knows(kind: str) -> None:
    known = WORKERS[kind].get_default_base_job_template()["job_configuration"]
    assert set(file_of(kind)["job_configuration"]) <= {*known, "prefect_api_auth_string_secret_arn"}


# What whoever may press Run says of a run. Prefect's workers merge `env` into what a template has,
# also where no variable is called so: only the server's check keeps it out.

OFFERED = {"process": set(), "ecs": {"cpu", "memory"}, "kubernetes": {"cpu", "memory"}}
ORDERS: list[dict[str, Any]] = [
    *({name: "evil"} for name in (
        "command", "working_dir", "image", "task_role_arn", "execution_role_arn", "cluster",
        "service_account_name", "namespace", "family", "container_name", "name", "root",
        "job_manifest", "task_definition", "entrypoint", "cluster_config", "vpc_id",
    )),
    {"env": {"LD_PRELOAD": "evil"}},
    {"env.LD_PRELOAD": "evil"},
    {"labels": {"a": "b"}},
    {"network_configuration": {"subnets": ["subnet-evil"], "securityGroups": ["sg-evil"]}},
]  # fmt: skip


@each_kind
def test_a_run_is_offered_a_size_at_most(kind: str) -> None:
    variables = template(kind)["variables"]
    assert set(variables["properties"]) == OFFERED[kind]
    assert variables["additionalProperties"] is False


@each_kind
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: next(iter(order)))
def test_a_run_chooses_no_program_environment_folder_image_or_role(
    kind: str, order: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        validate(order, template(kind)["variables"], raise_on_error=True)


@each_kind
def test_no_secret_stands_in_a_template(kind: str) -> None:
    assert "auth_string" not in json.dumps(template(kind)).replace("auth_string_secret_arn", "")


def rendered[Configuration: BaseJobConfiguration](
    kind: type[Configuration], template: dict[str, Any], **values: Any
) -> Configuration:
    """As a worker renders it. No template refers to a block, so its client is never called."""
    client = PrefectClient("http://127.0.0.1:1/api")
    return asyncio.run(kind.from_template_and_values(template, values, client=client))


def test_the_ecs_template_makes_a_task_of_our_kind() -> None:
    made = rendered(ECSJobConfiguration, template("ecs"))
    container = made.task_definition["containerDefinitions"][0]
    assert made.task_definition["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    # Fargate's most: an interrupted Terraform needs it to write its state and give its lock back.
    assert container["stopTimeout"] == 120
    assert container["image"] == ECS_VALUES["image"]
    assert container["name"] == made.container_name == "prefect"
    assert made.task_run_request["overrides"]["taskRoleArn"] == ECS_VALUES["task_role_arn"]
    assert made.execution_role_arn == ECS_VALUES["execution_role_arn"]
    assert made.prefect_api_auth_string_secret_arn is not None
    assert made.network_configuration["subnets"] == ["subnet-0"]
    assert made.cloudwatch_logs_options["awslogs-group"] == "/xops/runs"
    assert made.configure_cloudwatch_logs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "registry.example.com/xops:latest"}, "latest moves"),
        ({"image": "registry.example.com/xops"}, "no version means latest"),
        ({"image": None}, "nothing to run"),
        ({"network_configuration": {"subnets": ["subnet-0"]}}, "no security group"),
        ({"network_configuration": {"subnet": []}}, "misspelt"),
        ({"task_role_arn": "xops-run"}, "not an ARN"),
        ({"task_role": "arn:aws:iam::123456789012:role/x"}, "misspelt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_setting_of_a_pool_is_refused_before_the_server_is_asked(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match="settings"):
        template("ecs", **changes)


def test_a_setting_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="'namespace' is a required property"):
        Pool(name="runs", kind="kubernetes", settings={"image": "x:1"}).template("pool.yaml")


@pytest.mark.parametrize("cpu", [3, "1024", 1 << 20])
def test_a_size_that_fargate_does_not_have_is_refused(cpu: Any) -> None:
    with pytest.raises(ValidationError):
        validate({"cpu": cpu}, template("ecs")["variables"], raise_on_error=True)


def test_the_kubernetes_template_makes_a_job_without_rights() -> None:
    made = rendered(KubernetesWorkerJobConfiguration, template("kubernetes"))
    made.prepare_for_flow_run(FlowRun(id=uuid4(), name="run", flow_id=uuid4()))
    spec = made.job_manifest["spec"]["template"]["spec"]
    container = spec["containers"][0]
    assert made.job_manifest["spec"]["backoffLimit"] == 0  # a repeat is ours to decide
    assert spec["serviceAccountName"] == "xops-run"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["image"] == ECS_VALUES["image"]
    assert container["resources"]["limits"]["memory"] == "3Gi"
    assert container["args"]


@pytest.mark.parametrize("version", ["1.2.3", "v0.1.0-rc.1", "latest-2"])
def test_a_fixed_version_is_let_through(version: str) -> None:
    image = f"localhost:5000/group/xops:{version}"
    assert image in json.dumps(template("ecs", image=image))


def test_the_process_template_tells_each_run_where_the_code_lies(tmp_path: Path) -> None:
    made = rendered(ProcessJobConfiguration, template("process", root=str(tmp_path)))
    assert made.env == {"XOPS_ROOT": str(tmp_path)}
    assert made.command is None
    assert made.working_dir is None
