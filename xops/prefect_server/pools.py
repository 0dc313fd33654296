"""Work pools: where runs are carried out, and what whoever may start one may say of it.

A template in `deployments/pools/` has settings, which the operator gives once in a file of their
own, and variables, which a run may be given. Program, environment, folder, image and roles are
settings: a job variable that names one is refused by the server, since the template knows no others
(`additionalProperties: false`; without it Prefect's workers merge `env` all the same).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.utilities.schema_tools.validation import validate
from prefect.utilities.templating import apply_values
from pydantic import Field

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.core.files.validation import Model
from xops.prefect_server.plan import State

FOLDER = settings.ROOT / "deployments" / "pools"
Kind = Literal["process", "ecs", "kubernetes"]

_DESCRIPTIONS = {
    "process": "Flow runs as processes on the worker's machine.",
    "ecs": "Flow runs as ECS tasks on Fargate.",
    "kubernetes": "Flow runs as jobs of a Kubernetes cluster.",
}


class Pool(Model):
    """A work pool as its operator's file says."""

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    kind: Kind
    settings: dict[str, Any] = {}

    @classmethod
    def of_this_machine(cls, name: str) -> Pool:
        """Runs as processes, of the code that this very program is of."""
        return cls(name=name, kind="process", settings={"root": str(settings.ROOT)})

    @classmethod
    def read(cls, file: Path) -> Pool:
        """The pool of a file.

        Raises:
            InputError: everything that is wrong with it, its settings included.
        """
        pool = settings.load(cls, file, prefix="XOPS_POOL__", environ={}, arguments={})
        pool.template(settings.display(file))
        return pool

    @property
    def description(self) -> str:
        """What people read beside its name."""
        return _DESCRIPTIONS[self.kind]

    def template(self, source: str = "") -> dict[str, Any]:
        """The base job template, with the settings in their places.

        Args:
            source: the file that the settings are from, for messages.

        Raises:
            InputError: a setting is missing, unknown or wrong.
        """
        read = json.loads((FOLDER / f"{self.kind}.json").read_text(encoding="utf-8"))
        errors = validate(self.settings, read["settings"])
        if errors:
            raise InputError(
                f"reading the settings of the pool {self.name}",
                [Finding(source, _path(error), error.message) for error in errors],
            )
        filled = apply_values(read["job_configuration"], self._given(read), remove_notset=False)
        return {"job_configuration": filled, "variables": read["variables"]}

    def _given(self, read: dict[str, Any]) -> dict[str, Any]:
        usual = {
            name: rule["default"]
            for name, rule in read["settings"]["properties"].items()
            if "default" in rule
        }
        return {**usual, **self.settings}

    def wanted(self) -> State:
        """What the server is to have."""
        return {f"work pool {self.name}": self._as_told()}

    def found(self, prefect: SyncPrefectClient) -> State:
        """What the server has under its name."""
        there = self._find(prefect)
        return {} if there is None else {f"work pool {self.name}": _told(there)}

    def apply(self, prefect: SyncPrefectClient) -> None:
        """Create or update it. Whether it is paused, and its limit, is a person's to say."""
        if self._find(prefect) is None:
            prefect.create_work_pool(WorkPoolCreate(name=self.name, **self._as_told()))
            return
        told = self._as_told()
        del told["type"]  # fixed when it is made
        prefect.update_work_pool(self.name, WorkPoolUpdate(**told))

    def _find(self, prefect: SyncPrefectClient) -> WorkPool | None:
        try:
            return prefect.read_work_pool(self.name)
        except ObjectNotFound:
            return None

    def _as_told(self) -> dict[str, Any]:
        return {
            "type": self.kind,
            "description": self.description,
            "base_job_template": self.template(),
        }


def _told(found: WorkPool) -> dict[str, Any]:
    return {
        "type": found.type,
        "description": found.description,
        "base_job_template": found.base_job_template,
    }


def _path(error: Any) -> str:
    return ".".join(["settings", *map(str, error.absolute_path)])
