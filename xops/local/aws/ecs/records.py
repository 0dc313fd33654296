"""Services and tasks as moto's dictionaries hold them and as AWS shows them.

The scheduler's own objects know nothing of ARNs, interfaces or tags; a record adds those and
renders the whole in the shape of the API. Members are named in snake case: moto's serializer finds
`capacityProviderStrategy` under `capacity_provider_strategy`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ecs.models import Cluster, TaskDefinition

from xops.local.aws.ecs.network import Interface, Registrations
from xops.local.aws.ecs.service import Deployment, Event, Service
from xops.local.aws.ecs.task import Container, Status, Task

Tags = list[dict[str, str]]
View = dict[str, Any]

FARGATE_PLATFORM = "1.4.0"
DEPLOYMENT_OPTIONS = (
    "capacity_provider_strategy",
    "launch_type",
    "network_configuration",
    "platform_version",
    "service_connect_configuration",
    "volume_configurations",
)


def moment(seconds: float | None) -> datetime | None:
    """Turn seconds since the epoch into a time for the serializer."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def present(view: View) -> View:
    """Leave out what is not set: AWS omits such members."""
    return {name: value for name, value in view.items() if value is not None}


@dataclass
class TaskRecord:
    """A task with what it has outside the scheduler."""

    task: Task
    arn: str
    cluster: Cluster
    definition: TaskDefinition
    group: str
    started_by: str = ""
    launch_type: str | None = "FARGATE"
    platform_version: str | None = FARGATE_PLATFORM
    overrides: dict[str, Any] = field(default_factory=dict)
    tags: Tags = field(default_factory=list)
    interface: Interface | None = None
    enable_execute_command: bool = False

    # The names under which moto's own code asks a task for these.
    @property
    def task_arn(self) -> str:
        """The task's ARN."""
        return self.arn

    def belongs_to(self, service_name: str | None) -> bool:
        """Whether the task was started for this service."""
        return self.group == f"service:{service_name}"

    def view(self, with_tags: bool) -> View:
        """Answer the task as DescribeTasks shows it."""
        task = self.task
        return present(
            {
                "task_arn": self.arn,
                "cluster_arn": self.cluster.arn,
                "task_definition_arn": task.task_definition,
                "group": self.group,
                "started_by": self.started_by or None,
                "last_status": task.status.value,
                "desired_status": task.desired.value,
                "health_status": task.health.value,
                "launch_type": self.launch_type,
                "capacity_provider_name": task.capacity_provider,
                "platform_version": self.platform_version,
                "platform_family": "Linux",
                "cpu": self.definition.cpu,
                "memory": self.definition.memory,
                "ephemeral_storage": self.definition.ephemeral_storage or {"sizeInGiB": 20},
                "enable_execute_command": self.enable_execute_command,
                "overrides": {"containerOverrides": [], **self.overrides},
                "attributes": self._attributes(),
                "attachments": self._attachments(),
                "availability_zone": None,
                "containers": [self._container(c) for c in task.containers],
                "version": list(Status).index(task.status) + 1,
                "tags": self.tags if with_tags else [],
                **self._times(),
            }
        )

    def _times(self) -> View:
        task = self.task
        connected = None if task.status is Status.PROVISIONING else task.created_at
        return {
            "created_at": moment(task.created_at),
            "connectivity": None if connected is None else "CONNECTED",
            "connectivity_at": moment(connected),
            "started_at": moment(task.started_at),
            "stopping_at": moment(task.stopping_at),
            "stopped_at": moment(task.stopped_at),
            "execution_stopped_at": moment(task.stopped_at),
            "stop_code": task.stop_code.value if task.stop_code else None,
            "stopped_reason": task.stopped_reason,
        }

    def _attributes(self) -> list[dict[str, str]]:
        platform: dict[str, str] = self.definition.runtime_platform or {}
        architecture = platform.get("cpuArchitecture", "X86_64").lower()
        return [{"name": "ecs.cpu-architecture", "value": architecture}]

    def _attachments(self) -> list[View]:
        if self.interface is None:
            return []
        status = "DELETED" if self.task.status is Status.STOPPED else "ATTACHED"
        details = self.interface.details()
        identity = self.interface.id.removeprefix("eni-")
        kind = "ElasticNetworkInterface"
        return [{"id": identity, "type": kind, "status": status, "details": details}]

    def _container(self, container: Container) -> View:
        names = {c["name"]: c for c in self.definition.container_definitions}
        definition = names.get(container.spec.name, {})
        interfaces = []
        if self.interface:
            address = self.interface.private_address
            interfaces = [{"attachmentId": self.interface.id, "privateIpv4Address": address}]
        return present(
            {
                "container_arn": f"{self.arn.replace(':task/', ':container/')}"
                f"/{container.spec.name}",
                "task_arn": self.arn,
                "name": container.spec.name,
                "image": container.spec.image,
                "last_status": container.status.value,
                "health_status": container.health.value,
                "exit_code": container.exit_code,
                "reason": container.reason,
                "network_interfaces": interfaces,
                "network_bindings": [],
                "cpu": str(definition.get("cpu", 0)),
                "memory": str(definition["memory"]) if "memory" in definition else None,
            }
        )


@dataclass
class ServiceRecord:
    """A service with what it has outside the scheduler.

    `options` holds the members of CreateService and UpdateService that are only kept and shown,
    `launches` those of each deployment when it was made.
    """

    state: Service
    arn: str
    cluster: Cluster
    role_arn: str
    created_at: float
    options: dict[str, Any]
    tags: Tags = field(default_factory=list)
    launches: dict[str, dict[str, Any]] = field(default_factory=dict)
    registrations: Registrations = field(default_factory=Registrations)
    task_sets: list[Any] = field(default_factory=list)

    # The names under which moto's own code asks a service for these.
    @property
    def name(self) -> str:
        """The service's name."""
        return self.state.name

    @property
    def cluster_name(self) -> str:
        """The name of the service's cluster."""
        return str(self.cluster.name)

    @property
    def physical_resource_id(self) -> str:
        """The service's ARN, as CloudFormation and the tagging API ask for it."""
        return self.arn

    @property
    def scheduling_strategy(self) -> str:
        """REPLICA, unless the request said otherwise."""
        return str(self.options.get("scheduling_strategy", "REPLICA"))

    @property
    def launch_type(self) -> str | None:
        """The launch type, None when a capacity provider strategy decides."""
        value: str | None = self.options.get("launch_type")
        return value

    @property
    def desired_count(self) -> int:
        """The number of tasks wanted."""
        return self.state.desired_count

    @property
    def task_definition(self) -> str:
        """The task definition of the PRIMARY deployment."""
        return self.state.primary.workload.task_definition

    @property
    def propagate_tags(self) -> str:
        """Where tasks take their tags from."""
        return str(self.options.get("propagate_tags", "NONE"))

    @property
    def awsvpc(self) -> dict[str, Any] | None:
        """The network of the service's tasks, None for other network modes."""
        value: dict[str, Any] | None = (self.options.get("network_configuration") or {}).get(
            "awsvpcConfiguration"
        )
        return value

    @property
    def load_balancers(self) -> list[dict[str, Any]]:
        """The target groups of the service, each with a container and its port."""
        return list(self.options.get("load_balancers") or [])

    def launch_options(self) -> dict[str, Any]:
        """Answer the options that a deployment is made with."""
        return {name: self.options.get(name) for name in DEPLOYMENT_OPTIONS}

    def view(self, with_tags: bool) -> View:
        """Answer the service as DescribeServices shows it."""
        state = self.state
        return present(
            {
                "placement_constraints": [],
                "placement_strategy": [],
                "service_registries": [],
                "enable_ecs_managed_tags": False,
                "enable_execute_command": False,
                **self.options,
                "load_balancers": self.load_balancers,
                "service_connect_configuration": None,
                "service_name": state.name,
                "service_arn": self.arn,
                "cluster_arn": self.cluster.arn,
                "status": state.status,
                "task_definition": self.task_definition,
                "desired_count": state.desired_count,
                "running_count": state.running(),
                "pending_count": state.pending(),
                "deployments": [self._deployment(d) for d in state.deployments],
                "events": [_event(e) for e in state.events],
                "role_arn": self.role_arn,
                "created_at": moment(self.created_at),
                "created_by": self.role_arn.rsplit(":role", 1)[0] + ":root",
                "tags": self.tags if with_tags else [],
            }
        )

    def _deployment(self, deployment: Deployment) -> View:
        state = self.state
        primary = deployment is state.primary
        live = len(state.live(deployment))
        return present(
            {
                "id": deployment.id,
                "status": "PRIMARY" if primary else "ACTIVE",
                "task_definition": deployment.workload.task_definition,
                "desired_count": state.desired_count if primary else live,
                "running_count": state.running(deployment),
                "pending_count": state.pending(deployment),
                "failed_tasks": deployment.failed_tasks,
                "rollout_state": deployment.rollout.value,
                "rollout_state_reason": deployment.reason,
                "created_at": moment(deployment.created_at),
                "updated_at": moment(deployment.updated_at),
                "platform_family": self.options.get("platform_family"),
                **self.launches.get(deployment.id, {}),
            }
        )


def _event(event: Event) -> View:
    created_at = moment(event.created_at)
    return {"id": event.id, "created_at": created_at, "message": event.message}
