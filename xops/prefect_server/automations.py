"""The automations of `deployments/automations/`, kept in step with a Prefect server.

Prefect drops a key that it does not know without a word; here it is refused. A deployment is
named `flow/deployment` in the files and becomes its id on the server when they are applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import ActionTypesOrUnknown, ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.exceptions import ObjectNotFound
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from xops.core.errors import PermanentError
from xops.core.files import settings
from xops.core.plan.values import Json
from xops.prefect_server.plan import State

FOLDER = settings.ROOT / "deployments" / "automations"
TAG = "xops-managed"
"""Marks what comes from the files; an automation that a person made is never touched."""


def lost_keys(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """The paths of keys in `given` of which `kept`, its parsed form, knows nothing."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            inner = f"{path}.{key}" if path else str(key)
            if key not in kept:
                yield inner
            else:
                yield from lost_keys(value, kept[key], inner)
    elif isinstance(given, list) and isinstance(kept, list):
        for index, value in enumerate(given[: len(kept)]):
            yield from lost_keys(value, kept[index], f"{path}.{index}" if path else str(index))


def _whole(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    parsed = parse(value)
    lost = ", ".join(lost_keys(value, parsed.model_dump()))
    if lost:
        raise ValueError(f"has keys that Prefect does not know: {lost}")
    return parsed


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunNamedDeployment(_Strict):
    """Run a deployment, named `flow/deployment`; parameters may hold Jinja templates."""

    type: Literal["run-deployment"]
    deployment: Annotated[str, Field(pattern="^[^/]+/[^/]+$")]
    parameters: dict[str, Any] = {}

    def resolve(self, prefect: SyncPrefectClient) -> RunDeployment:
        """With the deployment's id on this server.

        Raises:
            PermanentError: it is not deployed there.
        """
        try:
            found = prefect.read_deployment_by_name(self.deployment)
        except ObjectNotFound:
            raise PermanentError(
                f"applying the automations of {FOLDER}",
                f"the deployment {self.deployment!r} does not exist on the server",
                "Correct its name in the file, or add it to prefect.yaml.",
            ) from None
        return RunDeployment(
            source="selected",
            deployment_id=found.id,
            parameters=self.parameters,
            job_variables=None,
        )


class AutomationFile(_Strict):
    """One automation as its file says."""

    name: Annotated[str, Field(pattern="^xops: ")]
    description: Annotated[str, Field(min_length=1)]
    enabled: bool = True
    trigger: Annotated[EventTrigger, WrapValidator(_whole)]
    actions: Annotated[
        list[RunNamedDeployment | Annotated[ChangeFlowRunState, WrapValidator(_whole)]],
        Field(min_length=1),
    ]

    @field_validator("trigger")
    @classmethod
    def _names_its_resource(cls, trigger: EventTrigger) -> EventTrigger:
        if "prefect.resource.id" not in trigger.match.model_dump():  # type: ignore[union-attr]
            raise ValueError("match must name prefect.resource.id, or any resource would fire it")
        return trigger

    def resolve(self, prefect: SyncPrefectClient) -> AutomationCore:
        """As the server is told."""
        actions: list[ActionTypesOrUnknown] = [
            action.resolve(prefect) if isinstance(action, RunNamedDeployment) else action
            for action in self.actions
        ]
        return AutomationCore(
            name=self.name,
            description=self.description,
            enabled=self.enabled,
            tags=[TAG],
            trigger=self.trigger,
            actions=actions,
        )


def read(folder: Path = FOLDER) -> list[AutomationFile]:
    """The automations of a folder, in the order of their files' names.

    Raises:
        InputError: everything that is wrong with one of them.
    """
    return [
        settings.load(AutomationFile, file, prefix="XOPS_AUTOMATION__", environ={}, arguments={})
        for file in sorted(folder.glob("*.yaml"))
    ]


def apply(prefect: SyncPrefectClient, files: list[AutomationFile]) -> dict[str, list[str]]:
    """Create, update and delete until the server has what the files say, told by name.

    One that is as it should be is left alone: an update would forget what its trigger has counted.
    """
    wanted = {file.name: file.resolve(prefect) for file in files}
    present = _present(prefect)
    done: dict[str, list[str]] = {"created": [], "updated": [], "deleted": []}
    for name, automation in wanted.items():
        if name not in present:
            prefect.create_automation(automation)
            done["created"].append(name)
        elif _values(present[name]) != _values(automation):
            prefect.update_automation(present[name].id, automation)
            done["updated"].append(name)
    for name in present.keys() - wanted.keys():
        prefect.delete_automation(present[name].id)
        done["deleted"].append(name)
    return done


def wanted(files: list[AutomationFile]) -> State:
    """What the server is to have."""
    return {f"automation {file.name}": file.model_dump(mode="json") for file in files}


def found(prefect: SyncPrefectClient, files: list[AutomationFile]) -> State:
    """What the server has of ours: one that is as its file says in the words of that."""
    by_name = {file.name: file for file in files}
    return {
        f"automation {name}": _as_found(row, by_name.get(name), prefect)
        for name, row in _present(prefect).items()
    }


def _as_found(row: Automation, file: AutomationFile | None, prefect: SyncPrefectClient) -> Json:
    if file is not None and _is_as(row, file, prefect):
        return file.model_dump(mode="json")
    return _values(row, mode="json")


def _is_as(found: Automation, file: AutomationFile, prefect: SyncPrefectClient) -> bool:
    try:
        return bool(_values(found) == _values(file.resolve(prefect)))
    except PermanentError:  # its deployment comes first
        return False


def _present(prefect: SyncPrefectClient) -> dict[str, Automation]:
    return {found.name: found for found in prefect.read_automations() if TAG in found.tags}


def _values(automation: AutomationCore, mode: Literal["python", "json"] = "python") -> Any:
    fields = {"description", "enabled", "trigger", "actions"}
    return automation.model_dump(mode=mode, include=fields)
