"""Crash detection of Prefect's ECS worker, on the queue that Terraform makes.

Terraform applies modules/flow_runs to the embedded AWS; a worker of Prefect's, started as
deployments/server/worker.env says, reads the queue and marks a run on a real Prefect server.

What this does not show, because the embedded AWS has none of it:
- That ECS sends the event. The test sends it, in the form of AWS's ECS developer guide ("Amazon ECS
  task state change events"); AWS takes no event of source `aws.ecs` from anybody else.
- That AWS's matching takes it. moto has its own matching and no TestEventPattern.
- That the policies of queue and worker are enforced. The worker's is compared with the calls that
  its observer's source makes; the queue's is held by the module's own tests.
- That StopTask deletes a task's tags.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore import xform_name
from botocore.session import get_session
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Pending
from prefect_aws.observers import ecs as observer

from tests.embedded_aws import client, reaching
from tests.prefect_servers import home
from tests.processes import running
from tests.waiting import PATIENCE, Eventually
from xops.aws.access import Aws
from xops.aws.embedded_key import FILE_VARIABLE, load_or_create_embedded_key
from xops.aws.target import Target
from xops.core.errors import XopsError
from xops.core.files.settings import ROOT
from xops.core.plan.fingerprint import FingerprintKey
from xops.ecs.changes import from_terraform
from xops.ecs.stream1 import copy_source, use_local_backend
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import find_binary, find_mirror
from xops.local.stack import Stack
from xops.prefect_server import runs

__all__ = ["client"]

pytestmark = pytest.mark.xdist_group("prefect")

REGION = "ap-southeast-2"
ACCOUNT = "123456789012"
NAME = "xops-crash"
CLUSTER = "xops-runs"
QUEUE = f"{NAME}-flow-runs"
DEADLINE = 90.0 * PATIENCE
ROOT_MODULE = """
provider "aws" {
  region                      = "REGION"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
variable "cluster" { type = string }
module "flow_runs" {
  source    = "../../modules/flow_runs"
  name      = "NAME"
  account   = { id = "ACCOUNT", partition = "aws", region = "REGION" }
  cluster   = var.cluster
  log_group = "/xops/runs"
}
output "flow_runs" { value = module.flow_runs }
"""

Clients = Callable[..., Any]


def own_home(folder: Path) -> AbstractContextManager[None]:
    """A home of its own, in which the embedded AWS's key is still found."""
    return home(folder, **{FILE_VARIABLE: os.environ[FILE_VARIABLE]})


@pytest.fixture(scope="module")
def terraform(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """Terraform on a root that has the module alone, with Stream 1's lock."""
    folder = tmp_path_factory.mktemp("flow-runs")
    with own_home(folder / "home"):
        stacks = copy_source(folder) / "stacks"
        stack = stacks / "flow_runs"
        stack.mkdir()
        text = ROOT_MODULE.replace("NAME", NAME).replace("ACCOUNT", ACCOUNT)
        (stack / "main.tf").write_text(text.replace("REGION", REGION))
        for name in ("versions.tf", ".terraform.lock.hcl"):
            (stack / name).write_bytes((stacks / "stream1" / name).read_bytes())
        use_local_backend(stack)
        made = Terraform(
            binary=find_binary(os.environ),
            stack=stack,
            work=folder / "work",
            data=folder / "data",
            environ=Aws(Target.EMBEDDED, REGION, reaching(endpoint)).terraform_environ(),
            mirror=find_mirror(os.environ),
        )
        made.init({})
        yield made


def variables(terraform: Terraform, cluster: str) -> Path:
    file = terraform.work / f"{cluster}.json"
    file.write_text(json.dumps({"cluster": cluster}))
    return file


@pytest.fixture(scope="module")
def outputs(terraform: Terraform, client: Clients) -> dict[str, str]:
    """What the one apply of this module gave, in an account that has the cluster."""
    client("ecs").create_cluster(clusterName=CLUSTER)
    terraform.apply(terraform.plan(variables(terraform, CLUSTER)))
    found: dict[str, str] = terraform.output()["flow_runs"]
    return found


@dataclass(frozen=True)
class Queue:
    """The queue as its reader finds it."""

    sqs: Any
    url: str

    def attributes(self) -> dict[str, str]:
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        attributes: dict[str, str] = found["Attributes"]
        return attributes

    def is_empty(self) -> bool:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return {self.attributes()[name] for name in names} == {"0"}

    def take(self) -> list[dict[str, Any]]:
        """Every message that is there, which then is not."""
        taken = []
        while rows := self.sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=0).get(
            "Messages"
        ):
            for row in rows:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=row["ReceiptHandle"])
                taken.append(json.loads(row["Body"]))
        return taken


@pytest.fixture
def queue(outputs: dict[str, str], client: Clients) -> Queue:
    sqs = client("sqs")
    return Queue(sqs, sqs.get_queue_url(QueueName=outputs["queue_name"])["QueueUrl"])


KEY = FingerprintKey("k" * 32)


def test_a_second_plan_is_empty(terraform: Terraform, outputs: dict[str, str]) -> None:
    again = terraform.plan(variables(terraform, CLUSTER))

    plan = from_terraform(terraform.show(again), "ecs/test", "embedded", KEY)
    assert plan.changes == ()
    assert not again.has_changes


def test_a_cluster_that_is_not_there_stops_the_plan(
    terraform: Terraform, outputs: dict[str, str]
) -> None:
    with pytest.raises(XopsError, match="xops-nuns"):
        terraform.plan(variables(terraform, "xops-nuns"))


def test_the_queue_is_encrypted_and_sets_aside_what_nobody_could_use(
    queue: Queue, client: Clients
) -> None:
    attributes = queue.attributes()
    aside = json.loads(attributes["RedrivePolicy"])

    assert queue.url.endswith(f"/{QUEUE}")
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert int(attributes["VisibilityTimeout"]) == observer.SQS_MESSAGE_VISIBILITY_TIMEOUT_SECONDS
    assert int(aside["maxReceiveCount"]) * int(attributes["VisibilityTimeout"]) == 3600
    name = aside["deadLetterTargetArn"].rpartition(":")[2]
    assert client("sqs").get_queue_url(QueueName=name)["QueueUrl"].endswith(f"/{name}")


def put(events: Any, detail: dict[str, Any], **changes: Any) -> None:
    entry = {
        "Source": "aws.ecs",
        "DetailType": "ECS Task State Change",
        "Detail": json.dumps(detail),
        **changes,
    }
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0


def test_the_rule_takes_the_tasks_of_the_cluster_alone(queue: Queue, client: Clients) -> None:
    events = client("events")
    here, there = (f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}" for name in (CLUSTER, NAME))

    put(events, {"clusterArn": there})
    put(events, {"clusterArn": here}, DetailType="ECS Deployment State Change")
    put(events, {"clusterArn": here}, Source="crew")
    put(events, {"clusterArn": here, "lastStatus": "RUNNING"})

    assert [message["detail"]["lastStatus"] for message in queue.take()] == ["RUNNING"]


# The worker's rights

CALL = {"sqs_client": "sqs", "ecs_client": "ecs", "logs_client": "logs"}
"""The service of each client, by the name that the observer's source has for it."""

NEVER_CALLED = {"ecs:DeregisterTaskDefinition"}
"""Only of a pool with auto_deregister_task_definition, which deployments/pools/ecs.json has not."""


def observer_actions() -> set[str]:
    """IAM's name of every call to AWS in the observer's source."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(observer))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            service = CALL.get(ast.unparse(node.func.value).removeprefix("self."))
            if service and not node.func.attr.startswith("__"):
                model = get_session().get_service_model(service)
                names = {xform_name(name): name for name in model.operation_names}
                found.add(f"{service}:{names[node.func.attr]}")
    return found


def test_the_clients_of_the_observer_are_those_whose_calls_are_looked_for() -> None:
    clients = [
        ast.literal_eval(node.args[0])
        for node in ast.walk(ast.parse(inspect.getsource(observer)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "create_client"
    ]

    assert set(clients) == set(CALL.values())
    pool = json.loads((ROOT / "deployments" / "pools" / "ecs.json").read_text())
    assert pool["job_configuration"]["auto_deregister_task_definition"] is False


def test_the_worker_may_do_what_its_observer_does_and_nothing_else(
    outputs: dict[str, str], client: Clients
) -> None:
    iam = client("iam")
    version = iam.get_policy(PolicyArn=outputs["worker_policy_arn"])["Policy"]["DefaultVersionId"]
    policy = iam.get_policy_version(PolicyArn=outputs["worker_policy_arn"], VersionId=version)

    granted = set()
    for statement in policy["PolicyVersion"]["Document"]["Statement"]:
        actions = statement["Action"]
        granted |= {actions} if isinstance(actions, str) else set(actions)

    assert granted == observer_actions() - NEVER_CALLED


# The worker itself


@flow
def crashing() -> None:
    """Its runs are never carried out: their tasks are told to have stopped."""


@pytest.fixture
def prefect(prefect_stack: Stack) -> Iterator[SyncPrefectClient]:
    with own_home(prefect_stack.home), runs.client(prefect_stack.profile) as connected:
        yield connected


def commented_lines() -> dict[str, str]:
    """What an operator of an ECS pool uncomments in worker.env."""
    lines = (ROOT / "deployments" / "server" / "worker.env").read_text().splitlines()
    rows = [line[1:].partition("=") for line in lines if line[:1] == "#" and line[1:2].isupper()]
    return {name: value for name, _, value in rows}


@pytest.fixture
def worker(
    prefect_stack: Stack, endpoint: str, outputs: dict[str, str], tmp_path: Path
) -> Iterator[Path]:
    """Prefect's ECS worker, which hears of crashes by the lines in worker.env; its log."""
    lines = commented_lines()
    assert lines["AWS_DEFAULT_REGION"] == REGION
    queue_names = [name for name, value in lines.items() if value == "xops-prod-flow-runs"]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        **prefect_stack.profile.environ,
        **load_or_create_embedded_key(os.environ).variables,
        "AWS_ENDPOINT_URL": endpoint,
        **lines,
        **dict.fromkeys(queue_names, outputs["queue_name"]),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    }
    start = ["prefect", "worker", "start", "--pool", f"crash-{uuid4()}", "--type", "ecs"]
    log = tmp_path / "worker.log"
    with (
        log.open("wb") as output,
        running(
            [sys.executable, "-m", *start], env=environ, cwd=tmp_path, stdout=output, stderr=output
        ) as process,
    ):
        yield log
        process.terminate()
        process.wait(timeout=60)
    sys.stdout.write(log.read_text())  # shown with a failure


_TASKS = itertools.count(1)


def start_task(client: Clients, run: FlowRun) -> dict[str, Any]:
    """A task of Fargate's with two of the tags that Prefect's worker gives it."""
    ecs = client("ecs")
    family = f"crash-{next(_TASKS)}"
    ecs.register_task_definition(
        family=family,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="512",
        memory="1024",
        containerDefinitions=[{"name": "prefect", "image": "images.example.com/xops:1"}],
    )
    subnet = client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    [task] = ecs.run_task(
        cluster=CLUSTER,
        taskDefinition=family,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        tags=[
            {"key": "prefect.io/flow-run-id", "value": str(run.id)},
            {"key": "prefect.io/flow-run-name", "value": run.name},
        ],
    )["tasks"]
    found: dict[str, Any] = task
    return found


def stopped(task: dict[str, Any], exit_code: int) -> dict[str, Any]:
    """The detail of ECS's event; AWS's ECS developer guide, "Task state change events"."""
    container = {
        "containerArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:container/{uuid4()}",
        "lastStatus": "STOPPED",
        "name": "prefect",
        "image": "images.example.com/xops:1",
        "runtimeId": f"{uuid4().hex}-1",
        "taskArn": task["taskArn"],
        "networkInterfaces": [],
        "cpu": "0",
        "exitCode": exit_code,
    }
    return {
        "attachments": [],
        "availabilityZone": f"{REGION}a",
        "clusterArn": task["clusterArn"],
        "containers": [container],
        "createdAt": "2026-01-23T17:57:34.402Z",
        "launchType": "FARGATE",
        "cpu": "512",
        "memory": "1024",
        "desiredStatus": "STOPPED",
        "group": "family:crash",
        "lastStatus": "STOPPED",
        "overrides": {"containerOverrides": [{"name": "prefect"}]},
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "stoppedAt": "2026-01-23T18:00:00.000Z",
        "taskArn": task["taskArn"],
        "taskDefinitionArn": task["taskDefinitionArn"],
        "version": 5,
        "platformVersion": "1.4.0",
    }


def test_a_run_whose_task_failed_is_marked_as_crashed(
    prefect: SyncPrefectClient,
    worker: Path,
    queue: Queue,
    client: Clients,
    eventually: Eventually,
) -> None:
    ended, failed = (prefect.create_flow_run(crashing, state=Pending()) for _ in range(2))

    put(client("events"), stopped(start_task(client, ended), 0))
    put(client("events"), stopped(start_task(client, failed), 137))

    def state(run: FlowRun) -> State:
        found = prefect.read_flow_run(run.id).state
        assert found is not None
        return found

    eventually(lambda: state(failed).is_crashed(), DEADLINE)
    eventually(queue.is_empty, DEADLINE)
    assert "non-zero exit code: ['prefect']" in (state(failed).message or "")
    assert state(ended).is_pending()
    assert "Failed to process" not in worker.read_text()
