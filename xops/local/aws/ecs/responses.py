"""The response methods of the ECS calls that the scheduler answers."""

from typing import Any, cast

from botocore import xform_name
from moto.core.responses import ActionResult
from moto.ecs.responses import EC2ContainerServiceResponse

from xops.local.aws.ecs.backend import SchedulingBackend
from xops.local.aws.ecs.records import TaskRecord, View


class SchedulingResponse(EC2ContainerServiceResponse):
    """moto's ECS with services that run."""

    @property
    def ecs_backend(self) -> SchedulingBackend:
        """The backend of the request's account and region."""
        return cast(SchedulingBackend, super().ecs_backend)

    def create_service(self) -> ActionResult:
        """Answer CreateService."""
        options = self._options()
        service = self.ecs_backend.create_service(
            options.pop("cluster", "default"),
            options.pop("service_name"),
            options.pop("desired_count", None),
            options.pop("task_definition", None),
            **options,
        )
        return ActionResult({"service": service.view(with_tags=True)})

    def update_service(self) -> ActionResult:
        """Answer UpdateService."""
        service = self.ecs_backend.update_service(self._options())
        return ActionResult({"service": service.view(with_tags=True)})

    def delete_service(self) -> ActionResult:
        """Answer DeleteService."""
        service = self.ecs_backend.delete_service(
            self._get_param("cluster", "default"),
            self._get_param("service"),
            bool(self._get_param("force", False)),
        )
        return ActionResult({"service": service.view(with_tags=False)})

    def describe_services(self) -> ActionResult:
        """Answer DescribeServices."""
        services, failures = self.ecs_backend.describe_services(
            self._get_param("cluster", "default"), self._get_param("services", [])
        )
        views = [cast(Any, service).view(self._with_tags()) for service in services]
        return ActionResult({"services": views, "failures": failures})

    def run_task(self) -> ActionResult:
        """Answer RunTask, for Fargate; container instances are moto's."""
        options = self._options()
        cluster = options.pop("cluster", "default")
        if not self.ecs_backend.runs_on_fargate(cluster, options):
            return super().run_task()
        tasks = self.ecs_backend.run_fargate_tasks(
            cluster, options.pop("task_definition"), int(options.pop("count", 1)), options
        )
        return ActionResult({"tasks": [t.view(with_tags=True) for t in tasks], "failures": []})

    def list_tasks(self) -> ActionResult:
        """Answer ListTasks."""
        tasks = self.ecs_backend.list_tasks(
            self._get_param("cluster", "default"),
            self._get_param("containerInstance"),
            self._get_param("family"),
            self._get_param("startedBy"),
            self._get_param("serviceName"),
            self._get_param("desiredStatus"),
        )
        return ActionResult({"taskArns": [task.task_arn for task in tasks]})

    def describe_tasks(self) -> ActionResult:
        """Answer DescribeTasks."""
        tasks, failures = self.ecs_backend.find_tasks(
            self._get_param("cluster", "default"), self._get_param("tasks", [])
        )
        views = [_task_view(task, self._with_tags()) for task in tasks]
        return ActionResult({"tasks": views, "failures": failures})

    def stop_task(self) -> ActionResult:
        """Answer StopTask."""
        task = self.ecs_backend.stop_task(
            self._get_param("cluster", "default"),
            self._get_param("task"),
            self._get_param("reason"),
        )
        return ActionResult({"task": _task_view(task, with_tags=True)})

    def _options(self) -> dict[str, Any]:
        return {xform_name(name): value for name, value in self._get_params().items()}

    def _with_tags(self) -> bool:
        return "TAGS" in (self._get_param("include") or [])


def _task_view(task: Any, with_tags: bool) -> View | Any:
    return task.view(with_tags) if isinstance(task, TaskRecord) else task
