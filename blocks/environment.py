"""An environment of Stream 1, as Prefect knows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from blocks.aws import AwsAccess
from blocks.documents import find
from xops.ecs.environment import Environment, EnvironmentName

TargetName = Annotated[Literal["embedded", "localstack", "aws"], Field(title="A target")]


class EcsEnvironment(Block):
    """Which file describes an environment, and what this installation adds to it.

    The file stays the description; a document of this type named like the environment only says
    where it runs here and how AWS is reached. Policy stands in the file alone.
    """

    _block_type_name = "xOps environment"
    _block_type_slug = "xops-environment"
    _description = (
        "What this installation adds to the file of an environment of Stream 1: where it runs, and"
        " how AWS is reached. A document of the environment's name is used by its runs; without one"
        " the file says all."
    )
    _code_example = """
        ```python
        from blocks import EcsEnvironment

        environment = EcsEnvironment.named("prod").load_environment()
        ```
    """

    environment: Annotated[
        EnvironmentName,
        Field(
            title="Environment",
            description="Which environment: one that has a file in deployments/environments. Give"
            " the document the same name.",
        ),
    ]
    target: Annotated[
        TargetName | None,
        Field(
            title="Target",
            description="Where it runs: an emulator, or a target that its file permits. None leaves"
            " it to the file.",
        ),
    ] = None
    aws_access: Annotated[
        AwsAccess | None,
        Field(
            title="AWS access",
            description="How AWS is reached. Without one the worker's own credentials are taken.",
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _without_policy(cls, values: Any) -> Any:
        """Documents of earlier releases may say where evidence goes, which is policy."""
        if not isinstance(values, dict) or "evidence" not in values:
            return values
        if values["evidence"] is not None:
            raise ValueError(
                "evidence is policy now: write it into the environment's file, and save this"
                " document without it"
            )
        return {name: value for name, value in values.items() if name != "evidence"}

    @classmethod
    def named(cls, name: str) -> Self:
        """The document of this name; without one, the file alone."""
        return find(cls, name) or cls.model_validate({"environment": name})

    def load_environment(self, target: str | None = None) -> Environment:
        """The environment as its file says; where it runs may be another target that it permits.

        Raises:
            InputError: everything that is wrong with it.
        """
        return Environment.load(self.environment, target=target or self.target)

    def environ(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment variables through which AWS is reached."""
        base = os.environ if base is None else base
        return self.aws_access.environ(base) if self.aws_access else dict(base)
