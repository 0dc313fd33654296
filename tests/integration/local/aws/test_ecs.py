"""Services that run, roll, fail and go, through boto3's own calls and waiters."""

import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws import until

SUBNETS = ("10.77.1.0/24", "10.77.2.0/24")
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@dataclass
class Platform:
    """A cluster with its network, and one service at a time."""

    ecs: Any
    elbv2: Any
    ec2: Any
    cluster: str
    subnets: list[str]
    target_group: str

    def define(self, tag: str) -> str:
        container = {
            "name": "web",
            "image": f"registry.example/web:{tag}",
            "memory": 512,
            "portMappings": [{"containerPort": 8080}],
            "healthCheck": {"command": ["CMD", "true"]},
        }
        definition = self.ecs.register_task_definition(
            family="web",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container],
            tags=[{"key": "from", "value": "definition"}],
        )
        return str(definition["taskDefinition"]["taskDefinitionArn"])

    @property
    def network(self) -> dict[str, Any]:
        return {"awsvpcConfiguration": {"subnets": self.subnets}}

    def create(self, tag: str = "1", **options: Any) -> str:
        name = f"web-{uuid.uuid4().hex[:8]}"
        options.setdefault("launchType", "FARGATE")
        options.setdefault("deploymentConfiguration", BREAKER)
        if options["launchType"] is None:
            del options["launchType"]
        self.ecs.create_service(
            cluster=self.cluster,
            serviceName=name,
            taskDefinition=self.define(tag),
            networkConfiguration=self.network,
            **{"desiredCount": 2, **options},
        )
        return name

    def behind_load_balancer(self) -> list[dict[str, Any]]:
        balancer = {"targetGroupArn": self.target_group, "containerName": "web"}
        return [{**balancer, "containerPort": 8080}]

    def service(self, name: str) -> dict[str, Any]:
        answer = self.ecs.describe_services(cluster=self.cluster, services=[name], include=["TAGS"])
        found: dict[str, Any] = answer["services"][0]
        return found

    def tasks(self, name: str, status: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=name, desiredStatus=status)
        if not arns["taskArns"]:
            return []
        found: list[dict[str, Any]] = self.ecs.describe_tasks(
            cluster=self.cluster, tasks=arns["taskArns"], include=["TAGS"]
        )["tasks"]
        return found

    def stable(self, name: str) -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            service = self.service(name)
            done = [d["rolloutState"] for d in service["deployments"]] == ["COMPLETED"]
            return service if done and "steady state" in service["events"][0]["message"] else None

        found: dict[str, Any] = until(settled, f"{name} is steady")
        return found

    def messages(self, name: str) -> list[str]:
        return [event["message"] for event in self.service(name)["events"]]

    def health(self) -> dict[str, str]:
        answer = self.elbv2.describe_target_health(TargetGroupArn=self.target_group)
        states = answer["TargetHealthDescriptions"]
        return {s["Target"]["Id"]: s["TargetHealth"].get("Reason", "healthy") for s in states}


@pytest.fixture
def platform(client: Callable[..., Any]) -> Platform:
    ec2, ecs, elbv2 = client("ec2"), client("ecs"), client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=c)["Subnet"]["SubnetId"] for c in SUBNETS]
    name = f"t-{uuid.uuid4().hex[:8]}"
    group = elbv2.create_target_group(
        Name=name, Port=8080, Protocol="HTTP", VpcId=vpc, TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    ecs.create_cluster(clusterName=name, capacityProviders=["FARGATE", "FARGATE_SPOT"])
    return Platform(ecs, elbv2, ec2, name, subnets, group)


def address(task: dict[str, Any]) -> str:
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    return str(details["privateIPv4Address"])


def test_a_service_becomes_stable_and_is_reachable(platform: Platform) -> None:
    name = platform.create(loadBalancers=platform.behind_load_balancer())
    waiter = platform.ecs.get_waiter("services_stable")
    waiter.wait(cluster=platform.cluster, services=[name], WaiterConfig={"Delay": 1})
    service = platform.stable(name)
    assert (service["runningCount"], service["pendingCount"], service["desiredCount"]) == (2, 0, 2)
    tasks = platform.tasks(name)
    assert {t["lastStatus"] for t in tasks} == {"RUNNING"}
    assert {t["healthStatus"] for t in tasks} == {"HEALTHY"}
    assert {t["group"] for t in tasks} == {f"service:{name}"}
    assert {t["startedBy"] for t in tasks} == {service["deployments"][0]["id"]}
    networks = [ipaddress.ip_network(cidr) for cidr in SUBNETS]
    assert all(any(ipaddress.ip_address(address(t)) in n for n in networks) for t in tasks)
    assert platform.health() == {address(t): "healthy" for t in tasks}
    running = platform.ecs.get_waiter("tasks_running")
    running.wait(cluster=platform.cluster, tasks=[t["taskArn"] for t in tasks])
    cluster = platform.ecs.describe_clusters(clusters=[platform.cluster])["clusters"][0]
    assert (cluster["runningTasksCount"], cluster["activeServicesCount"]) == (2, 1)


def test_a_new_task_definition_rolls_and_moves_the_targets(platform: Platform) -> None:
    name = platform.create(loadBalancers=platform.behind_load_balancer())
    platform.stable(name)
    before = {address(t) for t in platform.tasks(name)}
    wanted = platform.define("2")
    platform.ecs.update_service(cluster=platform.cluster, service=name, taskDefinition=wanted)
    assert {d["status"] for d in platform.service(name)["deployments"]} == {"PRIMARY", "ACTIVE"}
    assert platform.stable(name)["taskDefinition"] == wanted
    after = {address(t) for t in platform.tasks(name)}
    assert platform.health() == dict.fromkeys(after, "healthy")
    assert not before & after
    stopped = platform.tasks(name, "STOPPED")
    assert {t["stopCode"] for t in stopped} == {"ServiceSchedulerInitiated"}


@pytest.mark.parametrize(
    ("tag", "stop_code", "reason"),
    [
        ("xops-cannot-pull", "TaskFailedToStart", "CannotPullContainerError: "),
        ("xops-exit-7", "EssentialContainerExited", "Essential container in task exited"),
        ("xops-unhealthy", "ServiceSchedulerInitiated", "Task failed container health checks"),
        ("xops-target-unhealthy", "ServiceSchedulerInitiated", "Task failed ELB health checks in"),
    ],
)
def test_a_bad_image_fails_for_its_reason_and_is_rolled_back(
    platform: Platform, tag: str, stop_code: str, reason: str
) -> None:
    name = platform.create(loadBalancers=platform.behind_load_balancer())
    good = platform.stable(name)
    bad = platform.define(tag)
    platform.ecs.update_service(cluster=platform.cluster, service=name, taskDefinition=bad)
    until(lambda: any("rolling back" in m for m in platform.messages(name)), "a rollback")
    assert platform.stable(name)["taskDefinition"] == good["taskDefinition"]
    stopped = [t for t in platform.tasks(name, "STOPPED") if t["taskDefinitionArn"] == bad]
    failed = [t for t in stopped if not t["stoppedReason"].startswith("Scaling activity")]
    assert len(failed) >= 3
    assert {t["stopCode"] for t in failed} == {stop_code}
    assert all(t["stoppedReason"].startswith(reason) for t in failed)
    if tag == "xops-exit-7":
        assert {t["containers"][0]["exitCode"] for t in failed} == {7}


def test_an_unhealthy_target_is_seen_as_such(platform: Platform) -> None:
    platform.create("xops-target-unhealthy", loadBalancers=platform.behind_load_balancer())
    until(lambda: "Target.FailedHealthChecks" in platform.health().values(), "unhealthy targets")


def test_scaling_stopping_and_forcing(platform: Platform) -> None:
    name = platform.create(desiredCount=1)
    first = platform.stable(name)["deployments"][0]["id"]
    platform.ecs.update_service(cluster=platform.cluster, service=name, desiredCount=3)
    until(lambda: platform.service(name)["runningCount"] == 3, "3 tasks")
    assert platform.stable(name)["deployments"][0]["id"] == first
    victim = platform.tasks(name)[0]["taskArn"]
    platform.ecs.stop_task(cluster=platform.cluster, task=victim, reason="a test")
    gone = until(lambda: platform.tasks(name, "STOPPED"), "a stopped task")[0]
    assert (gone["taskArn"], gone["stoppedReason"], gone["stopCode"]) == (
        victim,
        "a test",
        "UserInitiated",
    )
    until(lambda: platform.service(name)["runningCount"] == 3, "the task is replaced")
    platform.ecs.update_service(cluster=platform.cluster, service=name, forceNewDeployment=True)
    assert platform.stable(name)["deployments"][0]["id"] != first


def test_capacity_providers_share_the_tasks(platform: Platform) -> None:
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    name = platform.create(desiredCount=5, launchType=None, capacityProviderStrategy=strategy)
    service = platform.stable(name)
    assert "launchType" not in service
    providers = sorted(t["capacityProviderName"] for t in platform.tasks(name))
    assert providers == ["FARGATE"] * 2 + ["FARGATE_SPOT"] * 3


@pytest.mark.parametrize(
    ("propagate", "expected"), [("SERVICE", "service"), ("TASK_DEFINITION", "definition")]
)
def test_tags_are_propagated(platform: Platform, propagate: str, expected: str) -> None:
    name = platform.create(
        tags=[{"key": "from", "value": "service"}],
        propagateTags=propagate,
        enableECSManagedTags=True,
    )
    platform.stable(name)
    tags = {t["key"]: t["value"] for t in platform.tasks(name)[0]["tags"]}
    assert tags == {
        "from": expected,
        "aws:ecs:clusterName": platform.cluster,
        "aws:ecs:serviceName": name,
    }


def test_a_one_off_task_runs_and_ends(platform: Platform) -> None:
    task = platform.ecs.run_task(
        cluster=platform.cluster,
        taskDefinition=platform.define("1"),
        launchType="FARGATE",
        networkConfiguration=platform.network,
        startedBy="a test",
    )["tasks"][0]["taskArn"]

    def described() -> dict[str, Any]:
        answer = platform.ecs.describe_tasks(cluster=platform.cluster, tasks=[task])
        found: dict[str, Any] = answer["tasks"][0]
        return found

    until(lambda: described()["lastStatus"] == "RUNNING", "the task runs")
    until(lambda: described()["lastStatus"] == "STOPPED", "the task ends")
    assert described()["containers"][0]["exitCode"] == 0
    assert described()["stopCode"] == "EssentialContainerExited"


def test_a_deleted_service_leaves_nothing_behind(platform: Platform) -> None:
    name = platform.create(loadBalancers=platform.behind_load_balancer())
    platform.stable(name)
    with pytest.raises(ClientError, match="scaled above 0"):
        platform.ecs.delete_service(cluster=platform.cluster, service=name)
    with pytest.raises(ClientError, match="ClusterContainsServicesException"):
        platform.ecs.delete_cluster(cluster=platform.cluster)
    platform.ecs.delete_service(cluster=platform.cluster, service=name, force=True)
    until(lambda: platform.service(name)["status"] == "INACTIVE", "the service is gone")
    assert platform.health() == {}
    interfaces = platform.ec2.describe_network_interfaces(
        Filters=[{"Name": "subnet-id", "Values": platform.subnets}]
    )
    assert interfaces["NetworkInterfaces"] == []
    assert platform.ecs.list_services(cluster=platform.cluster)["serviceArns"] == []
    platform.ecs.delete_cluster(cluster=platform.cluster)


def test_a_service_without_container_instances_says_so(platform: Platform) -> None:
    name = platform.create(launchType="EC2")
    until(lambda: platform.messages(name), "an event")
    assert "was unable to place a task" in platform.messages(name)[0]
    assert platform.service(name)["runningCount"] == 0


def test_requests_that_aws_refuses(platform: Platform) -> None:
    name = platform.create()
    wrong = {"awsvpcConfiguration": {"subnets": ["subnet-00000000"]}}
    with pytest.raises(ClientError, match="Error retrieving subnet information"):
        platform.ecs.update_service(
            cluster=platform.cluster, service=name, networkConfiguration=wrong
        )
    with pytest.raises(ClientError, match="not idempotent"):
        platform.ecs.create_service(
            cluster=platform.cluster,
            serviceName=name,
            taskDefinition=platform.define("1"),
            desiredCount=1,
        )
    with pytest.raises(ClientError, match="ServiceNotFoundException"):
        platform.ecs.update_service(cluster=platform.cluster, service="nope", desiredCount=1)
    missing = platform.ecs.describe_tasks(cluster=platform.cluster, tasks=["f" * 32])
    assert [f["reason"] for f in missing["failures"]] == ["MISSING"]
