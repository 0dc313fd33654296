"""ECS's backend with a scheduler: moto's clusters and task definitions, our services and tasks.

Requests only change what is wanted; `tick`, called by the driver, moves the tasks and then brings
network interfaces, target groups and counters in line with them. Callers hold the server's lock.

Tasks run on Fargate, through a launch type or the capacity providers FARGATE and FARGATE_SPOT. A
service of launch type EC2 has nowhere to run and says so in its events, as in AWS; RunTask on
container instances is left to moto.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any, cast

from moto.ec2.exceptions import InvalidSecurityGroupNotFoundError, InvalidSubnetIdError
from moto.ec2.models import ec2_backends
from moto.ecs.exceptions import (
    ClusterNotFoundException,
    ECSException,
    InvalidParameterException,
    ServiceNotFoundException,
)
from moto.ecs.models import Cluster, EC2ContainerServiceBackend, TaskDefinition
from moto.elbv2.models import elbv2_backends

from xops.local.aws.ecs import service as scheduler
from xops.local.aws.ecs.network import Interface, Target, attach, detach
from xops.local.aws.ecs.records import FARGATE_PLATFORM, ServiceRecord, Tags, TaskRecord
from xops.local.aws.ecs.service import CapacityShare, Rules, Service, Workload
from xops.local.aws.ecs.task import (
    Container,
    ContainerSpec,
    Pace,
    Status,
    StopCode,
    Task,
    advance,
    stop,
)

FARGATE_PROVIDERS = {"FARGATE", "FARGATE_SPOT"}
NO_INSTANCES = (
    "was unable to place a task because no container instance met all of its requirements. "
    "Reason: No Container Instances were found in your cluster. " + scheduler.TROUBLESHOOTING
)
DEPLOYING_OPTIONS = {
    "capacity_provider_strategy",
    "launch_type",
    "load_balancers",
    "network_configuration",
    "platform_version",
    "service_connect_configuration",
    "service_registries",
    "volume_configurations",
}

Options = dict[str, Any]


class ServiceNotActiveException(ECSException):
    """The service was deleted."""

    def __init__(self) -> None:
        super().__init__("ServiceNotActiveException", "Service was not ACTIVE.")


class ClusterContainsServicesException(ECSException):
    """The cluster cannot be deleted yet."""

    def __init__(self) -> None:
        super().__init__(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        )


class ClusterContainsTasksException(ECSException):
    """The cluster cannot be deleted yet."""

    def __init__(self) -> None:
        super().__init__(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        )


def new_id() -> str:
    """Answer an identifier as ECS forms them: 32 hexadecimal digits."""
    return uuid.uuid4().hex


class SchedulingBackend(EC2ContainerServiceBackend):
    """moto's ECS with services that run."""

    pace = Pace()

    # -- services ---------------------------------------------------------------------------

    def create_service(  # type: ignore[override]
        self,
        cluster_str: str,
        service_name: str,
        desired_count: int | None,
        task_definition_str: str | None = None,
        tags: Tags | None = None,
        **options: Any,
    ) -> ServiceRecord:
        """Create a service and start its first deployment."""
        cluster = self._get_cluster(cluster_str)
        self._refuse_existing(cluster, service_name)
        record = self._new_record(cluster, service_name, desired_count or 0, options, tags or [])
        if not task_definition_str:
            raise InvalidParameterException("TaskDefinition can not be blank.")
        self._deploy(record, self.describe_task_definition(task_definition_str))
        self.services[f"{cluster.name}:{service_name}"] = cast(Any, record)
        return record

    def update_service(self, service_properties: Options) -> ServiceRecord:  # type: ignore[override]
        """Change what a service wants; some changes start a new deployment."""
        options = dict(service_properties)
        record = self._record(options.pop("cluster", "default"), options.pop("service"))
        if record.state.status != "ACTIVE":
            raise ServiceNotActiveException
        definition = self._wanted_definition(record, options.pop("task_definition", None))
        redeploy = bool(options.pop("force_new_deployment", False))
        desired_count = options.pop("desired_count", None)
        self._validate_network(options)
        redeploy |= any(record.options.get(n) != options[n] for n in DEPLOYING_OPTIONS & {*options})
        self._apply_options(record, options)
        if desired_count is not None:
            scheduler.scale(record.state, desired_count)
        if redeploy or definition.arn != record.task_definition:
            self._deploy(record, definition)
        return record

    def delete_service(  # type: ignore[override]
        self, cluster_name: str, service_name: str, force: bool
    ) -> ServiceRecord:
        """Drain a service; it is INACTIVE once its tasks are gone."""
        record = self._record(cluster_name, service_name)
        if record.state.status == "INACTIVE":
            raise ServiceNotFoundException
        if record.desired_count > 0 and not force:
            raise InvalidParameterException(
                "The service cannot be stopped while it is scaled above 0."
            )
        scheduler.drain(record.state)
        return record

    def list_services(
        self,
        cluster_str: str,
        scheduling_strategy: str | None = None,
        launch_type: str | None = None,
    ) -> list[str]:
        """List as moto does, without services that are gone."""
        listed = super().list_services(cluster_str, scheduling_strategy, launch_type=launch_type)
        inactive = {r.arn for r in self._service_records() if r.state.status == "INACTIVE"}
        return [arn for arn in listed if arn not in inactive]

    def delete_cluster(self, cluster_str: str) -> Cluster:
        """Delete a cluster that has neither services nor tasks."""
        cluster = self._get_cluster(cluster_str)
        if any(
            r.cluster is cluster and r.state.status == "ACTIVE" for r in self._service_records()
        ):
            raise ClusterContainsServicesException
        if any(r.cluster is cluster and r.task.live for r in self._task_records()):
            raise ClusterContainsTasksException
        return super().delete_cluster(cluster_str)

    # -- tasks ------------------------------------------------------------------------------

    def run_fargate_tasks(
        self, cluster_str: str, task_definition_str: str, count: int, options: Options
    ) -> list[TaskRecord]:
        """Start one-off tasks. `options` are RunTask's other members, in snake case."""
        cluster = self._get_cluster(cluster_str)
        definition = self.describe_task_definition(task_definition_str)
        self._validate_network(options)
        strategy = options.get("capacity_provider_strategy")
        if not strategy and not options.get("launch_type"):
            strategy = cluster.default_capacity_provider_strategy
        workload = _workload(definition, strategy)
        tasks: list[Task] = []
        for _ in range(count):
            tasks.append(_one_off(workload, tasks))
        return [self._adopt(task, cluster, definition, options) for task in tasks]

    def runs_on_fargate(self, cluster_str: str, options: Options) -> bool:
        """Whether a RunTask request is for Fargate rather than for container instances."""
        cluster = self._get_cluster(cluster_str)
        strategy = options.get("capacity_provider_strategy")
        if options.get("launch_type"):
            return bool(options["launch_type"] == "FARGATE")
        strategy = strategy or cluster.default_capacity_provider_strategy or []
        return any(item["capacityProvider"] in FARGATE_PROVIDERS for item in strategy)

    def list_tasks(
        self,
        cluster_str: str | None = None,
        container_instance: str | None = None,
        family: str | None = None,
        started_by: str | None = None,
        service_name: str | None = None,
        desiredStatus: str | None = None,  # noqa: N803 - moto's name
    ) -> list[Any]:
        """List tasks; AWS lists those meant to run unless asked for the stopped ones."""
        cluster = self._get_cluster(cluster_str) if cluster_str else None
        found = [] if container_instance else list(self._task_records())
        if cluster:
            found = [r for r in found if r.cluster is cluster]
        if family:
            found = [r for r in found if r.definition.family == family]
        if started_by:
            found = [r for r in found if r.started_by == started_by]
        if service_name:
            found = [r for r in found if r.belongs_to(service_name.rsplit("/", 1)[-1])]
        if cluster_str:
            found = [r for r in found if r.task.desired.value == (desiredStatus or "RUNNING")]
        return found + self._tasks_of_moto(
            cluster_str, container_instance, family, started_by, service_name, desiredStatus
        )

    def find_tasks(self, cluster_str: str, names: list[str]) -> tuple[list[Any], list[Options]]:
        """Answer tasks by id or ARN, and a failure for each that is not there."""
        cluster = self._get_cluster(cluster_str)
        if not names:
            raise InvalidParameterException("Tasks cannot be empty.")
        by_id = {arn.rsplit("/", 1)[-1]: task for arn, task in self._tasks_in(cluster).items()}
        found = [by_id[i] for i in (n.rsplit("/", 1)[-1] for n in names) if i in by_id]
        missing = [n for n in names if n.rsplit("/", 1)[-1] not in by_id]
        prefix = cluster.arn.replace(":cluster/", ":task/")
        return found, [
            {"arn": n if n.startswith("arn:") else f"{prefix}/{n}", "reason": "MISSING"}
            for n in missing
        ]

    def stop_task(self, cluster_str: str, task_str: str, reason: str | None) -> Any:
        """Begin to stop a task; a service's task will be replaced."""
        found, _ = self.find_tasks(cluster_str, [task_str])
        if not found:
            raise InvalidParameterException("The referenced task was not found.")
        record = found[0]
        if not isinstance(record, TaskRecord):
            return super().stop_task(cluster_str, task_str, reason or "")
        text = reason or "Task stopped by user"
        stop(record.task, time.time(), StopCode.USER, text)
        return record

    # -- the scheduler ----------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Move every service and one-off task on."""
        for record in self._service_records():
            scheduler.tick(record.state, now, self.pace, new_id)
            self._adopt_new_tasks(record)
            record.registrations.become(self._targets(record), self._elbv2)
        for task in list(self._task_records()):
            if task.task.deployment is None:
                advance(task.task, now, self.pace)
        self._clean_up(now)
        self._count()

    def _adopt_new_tasks(self, record: ServiceRecord) -> None:
        known = self._tasks_in(record.cluster)
        for task in record.state.tasks:
            if self._task_arn(record.cluster, task) in known:
                continue
            definition = self.describe_task_definition(task.task_definition)
            options = record.launches[task.deployment or ""] | {
                "group": f"service:{record.name}",
                "started_by": task.deployment,
                "tags": self._propagated_tags(record, definition),
                "enable_execute_command": record.options.get("enable_execute_command", False),
            }
            self._adopt(task, record.cluster, definition, options)

    def _adopt(
        self, task: Task, cluster: Cluster, definition: TaskDefinition, options: Options
    ) -> TaskRecord:
        tasks = self._tasks_in(cluster)
        arn = self._task_arn(cluster, task)
        vpc = (options.get("network_configuration") or {}).get("awsvpcConfiguration")
        tasks[arn] = record = TaskRecord(
            task,
            arn,
            cluster,
            definition,
            group=options.get("group") or f"family:{definition.family}",
            started_by=options.get("started_by") or "",
            launch_type="FARGATE",
            platform_version=options.get("platform_version") or FARGATE_PLATFORM,
            overrides=options.get("overrides") or {},
            tags=options.get("tags") or [],
            interface=self._attach(vpc, len(tasks), arn),
            enable_execute_command=bool(options.get("enable_execute_command")),
        )
        return record

    def _attach(self, vpc: Options | None, turn: int, arn: str) -> Interface | None:
        try:
            return attach(self._ec2, vpc, turn, arn) if vpc else None
        except InvalidSubnetIdError:
            # The subnet was deleted under a service; the other services must go on.
            return None

    def _targets(self, record: ServiceRecord) -> set[Target]:
        targets = set()
        for task in record.state.tasks:
            interface = self._tasks_in(record.cluster)[
                self._task_arn(record.cluster, task)
            ].interface
            if not task.serving or interface is None:
                continue
            for balancer in record.load_balancers:
                if group := balancer.get("targetGroupArn"):
                    address, port = interface.private_address, balancer["containerPort"]
                    targets.add(Target(group, address, port, task.target_unhealthy))
        return targets

    def _clean_up(self, now: float) -> None:
        kept = {id(task) for record in self._service_records() for task in record.state.tasks}
        for record in list(self._task_records()):
            if record.task.status is not Status.STOPPED:
                continue
            if record.interface and record.interface.id in self._ec2.enis:
                detach(self._ec2, record.interface)
            age = now - (record.task.stopped_at or now)
            one_off = record.task.deployment is None
            if age > self.pace.stopped_retention or not (one_off or id(record.task) in kept):
                del self._tasks_in(record.cluster)[record.arn]

    def _count(self) -> None:
        for cluster in self.clusters.values():
            tasks = [r.task for r in self._task_records() if r.cluster is cluster]
            services = [r for r in self._service_records() if r.cluster is cluster]
            running = sum(t.status is Status.RUNNING for t in tasks)
            cluster.running_tasks_count = running
            cluster.pending_tasks_count = sum(t.live for t in tasks) - running
            cluster.active_services_count = sum(s.state.status == "ACTIVE" for s in services)

    # -- parts ------------------------------------------------------------------------------

    @property
    def _ec2(self) -> Any:
        return ec2_backends[self.account_id][self.region_name]

    @property
    def _elbv2(self) -> Any:
        return elbv2_backends[self.account_id][self.region_name]

    def _service_records(self) -> Iterator[ServiceRecord]:
        yield from cast(Iterator[ServiceRecord], iter(list(self.services.values())))

    def _task_records(self) -> Iterator[TaskRecord]:
        for tasks in self.tasks.values():
            yield from (t for t in cast(Any, tasks).values() if isinstance(t, TaskRecord))

    def _tasks_in(self, cluster: Cluster) -> dict[str, Any]:
        return cast(dict[str, Any], self.tasks.setdefault(cluster.name, {}))

    def _tasks_of_moto(self, *filters: str | None) -> list[Any]:
        ours, self.tasks = self.tasks, _without_records(self.tasks)
        try:
            return list(super().list_tasks(*filters))
        finally:
            self.tasks = ours

    def _task_arn(self, cluster: Cluster, task: Task) -> str:
        return f"{cluster.arn.replace(':cluster/', ':task/')}/{task.id}"

    def _record(self, cluster_str: str, service_str: str) -> ServiceRecord:
        cluster = self._get_cluster(cluster_str)
        record = self.services.get(f"{cluster.name}:{service_str.rsplit('/', 1)[-1]}")
        if record is None:
            raise ServiceNotFoundException
        return cast(ServiceRecord, record)

    def _get_cluster(self, name: str) -> Cluster:
        cluster = super()._get_cluster(name)
        if cluster.status == "INACTIVE" and not self._tasks_in(cluster):
            raise ClusterNotFoundException
        return cluster

    def _refuse_existing(self, cluster: Cluster, service_name: str) -> None:
        existing = cast(Any, self.services.get(f"{cluster.name}:{service_name}"))
        if existing is None or existing.state.status == "INACTIVE":
            return
        if existing.state.status == "DRAINING":
            raise InvalidParameterException("Unable to Start a service that is still Draining.")
        raise InvalidParameterException("Creation of service was not idempotent.")

    def _new_record(
        self, cluster: Cluster, name: str, desired_count: int, options: Options, tags: Tags
    ) -> ServiceRecord:
        record = ServiceRecord(
            state=Service(name, desired_count, Rules()),
            arn=f"{cluster.arn.replace(':cluster/', ':service/')}/{name}",
            cluster=cluster,
            role_arn=f"arn:aws:iam::{self.account_id}:role/aws-service-role/"
            "ecs.amazonaws.com/AWSServiceRoleForECS",
            created_at=time.time(),
            options={},
            tags=tags,
        )
        self._validate_network(options)
        self._apply_options(record, _with_defaults(cluster, options))
        return record

    def _apply_options(self, record: ServiceRecord, options: Options) -> None:
        if "deployment_configuration" in options:
            given = options["deployment_configuration"] or {}
            before = record.options.get("deployment_configuration") or {}
            options["deployment_configuration"] = _complete_configuration(before | given)
        record.options.update(options)
        if record.options.get("capacity_provider_strategy"):
            record.options["launch_type"] = None
        record.state.rules = _rules(record.options["deployment_configuration"])
        groups = (b.get("targetGroupArn") for b in record.load_balancers)
        record.state.target_groups = tuple(group for group in groups if group)
        record.state.unplaceable = NO_INSTANCES if record.launch_type == "EC2" else None

    def _deploy(self, record: ServiceRecord, definition: TaskDefinition) -> None:
        workload = _workload(definition, record.options.get("capacity_provider_strategy"))
        name = scheduler.deployment_id(new_id)
        deployment = scheduler.deploy(record.state, workload, name, time.time())
        record.launches = _Launches(record.launch_options(), record.launches)
        record.launches[deployment.id] = record.launch_options()

    def _wanted_definition(self, record: ServiceRecord, wanted: str | None) -> TaskDefinition:
        return self.describe_task_definition(wanted or record.task_definition)

    def _propagated_tags(self, record: ServiceRecord, definition: TaskDefinition) -> Tags:
        tags: Tags = []
        if record.propagate_tags == "SERVICE":
            tags = list(record.tags)
        elif record.propagate_tags == "TASK_DEFINITION":
            tags = list(definition.tags)
        if record.options.get("enable_ecs_managed_tags"):
            tags.append({"key": "aws:ecs:clusterName", "value": record.cluster_name})
            tags.append({"key": "aws:ecs:serviceName", "value": record.name})
        return tags

    def _validate_network(self, options: Options) -> None:
        vpc = (options.get("network_configuration") or {}).get("awsvpcConfiguration")
        if vpc is None:
            return
        if not vpc.get("subnets"):
            raise InvalidParameterException("subnets can not be empty.")
        try:
            self._ec2.describe_subnets(subnet_ids=vpc["subnets"])
            if vpc.get("securityGroups"):
                self._ec2.describe_security_groups(group_ids=vpc["securityGroups"])
        except InvalidSubnetIdError as error:
            raise _not_retrieved("subnet", vpc["subnets"], error) from error
        except InvalidSecurityGroupNotFoundError as error:
            raise _not_retrieved("security group", vpc["securityGroups"], error) from error


class _Launches(dict[str, Options]):
    """Options by deployment; a rollback, which the scheduler makes, takes the newest."""

    def __init__(self, newest: Options, known: dict[str, Options]) -> None:
        super().__init__(known)
        self._newest = newest

    def __missing__(self, _: str) -> Options:
        return self._newest


def _not_retrieved(what: str, names: list[str], error: Any) -> InvalidParameterException:
    return InvalidParameterException(
        f"Error retrieving {what} information for [{', '.join(names)}]: {error.message} "
        f"(ErrorCode: {error.code})"
    )


def _without_records(tasks: Any) -> Any:
    return {
        cluster: {arn: t for arn, t in members.items() if not isinstance(t, TaskRecord)}
        for cluster, members in tasks.items()
    }


def _with_defaults(cluster: Cluster, options: Options) -> Options:
    """Fill in what AWS answers for members that CreateService was not given."""
    options = {name: value for name, value in options.items() if value is not None}
    if not options.get("launch_type") and not options.get("capacity_provider_strategy"):
        default = cluster.default_capacity_provider_strategy
        options |= {"capacity_provider_strategy": default} if default else {"launch_type": "EC2"}
    if options.get("launch_type") != "EC2":
        options.setdefault("platform_version", FARGATE_PLATFORM)
        options.setdefault("platform_family", "Linux")
    if options.get("load_balancers"):
        options.setdefault("health_check_grace_period_seconds", 0)
    options.setdefault("deployment_configuration", {})
    options.setdefault("deployment_controller", {"type": "ECS"})
    options.setdefault("scheduling_strategy", "REPLICA")
    options.setdefault("propagate_tags", "NONE")
    options.setdefault("availability_zone_rebalancing", "DISABLED")
    return options


def _complete_configuration(given: Options) -> Options:
    defaults = {
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    }
    return defaults | {name: value for name, value in given.items() if value is not None}


def _rules(configuration: Options) -> Rules:
    breaker = configuration["deploymentCircuitBreaker"]
    return Rules(
        minimum_healthy_percent=int(configuration["minimumHealthyPercent"]),
        maximum_percent=int(configuration["maximumPercent"]),
        breaker=bool(breaker.get("enable")),
        rollback=bool(breaker.get("rollback")),
    )


def _workload(definition: TaskDefinition, strategy: list[Options] | None) -> Workload:
    definitions: list[Options] = definition.container_definitions
    containers = tuple(
        ContainerSpec(
            name=container["name"],
            image=container["image"],
            essential=bool(container.get("essential", True)),
            has_health_check=bool(container.get("healthCheck")),
        )
        for container in definitions
    )
    shares = (
        CapacityShare(i["capacityProvider"], int(i.get("weight") or 0), int(i.get("base") or 0))
        for i in strategy or []
    )
    return Workload(definition.arn, containers, tuple(shares))


def _one_off(workload: Workload, earlier: list[Task]) -> Task:
    now = time.time()
    return Task(
        id=new_id(),
        task_definition=workload.task_definition,
        containers=[Container(spec) for spec in workload.containers],
        created_at=now,
        since=now,
        capacity_provider=scheduler.choose_provider(workload.capacity, earlier),
    )
