"""The work pools' base job templates, through the workers that will read them."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.utilities.schema_tools.validation import ValidationError, validate
from prefect.workers.base import BaseJobConfiguration
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker

from xops.core.files import settings
from xops.prefect_server.setup import base_job_template

FOLDER = settings.ROOT / "deployments" / "pools"
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


def template(kind: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text())
    return read


@pytest.mark.parametrize("kind", [path.stem for path in sorted(FOLDER.glob("*.json"))])
def test_every_placeholder_has_a_variable_and_every_variable_a_use(kind: str) -> None:
    read = template(kind)
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(read["job_configuration"])))
    assert used == set(read["variables"]["properties"])
    assert set(read["variables"].get("required", [])) <= used


@pytest.mark.parametrize(
    ("kind", "worker"), [("process", ProcessWorker), ("ecs", ECSWorker)], ids=["process", "ecs"]
)
def test_a_template_names_only_what_its_worker_knows(kind: str, worker: type[Any]) -> None:
    known = worker.get_default_base_job_template()["job_configuration"]
    assert set(template(kind)["job_configuration"]) <= set(known)


def rendered[Configuration: BaseJobConfiguration](
    kind: type[Configuration], template: dict[str, Any], **values: Any
) -> Configuration:
    """As a worker renders it. No template refers to a block, so its client is never called."""
    client = PrefectClient("http://127.0.0.1:1/api")
    return asyncio.run(kind.from_template_and_values(template, values, client=client))


def test_the_ecs_template_makes_a_task_of_our_kind() -> None:
    made = rendered(ECSJobConfiguration, template("ecs"), **ECS_VALUES)
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
        ({"cpu": 3}, "no size of Fargate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_job_variable_is_refused_by_the_schema(
    changes: dict[str, Any], reason: str
) -> None:
    schema = template("ecs")["variables"]
    validate(ECS_VALUES, schema, raise_on_error=True)
    with pytest.raises(ValidationError):
        validate({**ECS_VALUES, **changes}, schema, raise_on_error=True)


@pytest.mark.parametrize("version", ["1.2.3", "v0.1.0-rc.1", "latest-2"])
def test_a_fixed_version_is_let_through(version: str) -> None:
    image = f"localhost:5000/group/xops:{version}"
    validate({**ECS_VALUES, "image": image}, template("ecs")["variables"], raise_on_error=True)


def test_the_process_template_tells_each_run_where_the_code_lies(tmp_path: Path) -> None:
    made = rendered(ProcessJobConfiguration, base_job_template(root=tmp_path))
    assert made.env["XOPS_ROOT"] == str(tmp_path)
