"""Access to AWS, as a profile's name or a role's ARN."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from xops.core.files import settings
from xops.core.files.private_file import write_private

_PROFILE = "xops"

# What would be taken before a profile is looked at.
_OUTRANKING = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
)  # fmt: skip


Profile = Annotated[str, Field(title="A profile", pattern=r"^[\w.@/-]+$")]
RoleArn = Annotated[str, Field(title="A role", pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$")]


class AwsAccess(Block):
    """How AWS is reached: a profile of the worker's own configuration, or a role to assume.

    boto3 and Terraform both assume the role themselves, from a configuration file that names it,
    and so renew it themselves when its hour is over.
    """

    _block_type_name = "xOps AWS access"
    _block_type_slug = "xops-aws-access"
    _description = (
        "How xOps reaches AWS: by a profile of the worker's own configuration, or by a role that is"
        " assumed. It holds no keys. Other blocks refer to it."
    )
    _code_example = """
        ```python
        from blocks import AwsAccess

        environ = AwsAccess.load("NAME").environ({})
        ```
    """

    profile: Annotated[
        Profile | None,
        Field(
            title="Profile",
            description="The name of a profile in the worker's own AWS configuration. Give this or"
            " a role, not both.",
        ),
    ] = None
    role_arn: Annotated[
        RoleArn | None,
        Field(
            title="Role ARN",
            description="The ARN of a role that is assumed and renewed. Give this or a profile, not"
            " both.",
        ),
    ] = None
    credential_source: Annotated[
        Literal["EcsContainer", "Ec2InstanceMetadata"],
        Field(
            title="Credential source",
            description="Whose credentials assume the role: those of the ECS task that the worker"
            " runs in, or those of its EC2 instance.",
        ),
    ] = "EcsContainer"
    session_name: Annotated[
        str,
        Field(
            title="Session name",
            pattern=r"^[\w+=,.@-]{2,64}$",
            description="The name under which CloudTrail shows what was done with the role.",
        ),
    ] = "xops"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.profile is None) == (self.role_arn is None):
            raise ValueError("give either profile or role_arn")
        return self

    def environ(self, base: Mapping[str, str], folder: Path | None = None) -> dict[str, str]:
        """`base` with this access in the place of whatever credentials it holds.

        Args:
            base: the environment of the process.
            folder: where the configuration file of a role is written; xOps' home if None.
        """
        kept = {name: value for name, value in base.items() if name not in _OUTRANKING}
        if self.profile is not None:
            return {**kept, "AWS_PROFILE": self.profile}
        file = self._write(folder or settings.home() / "aws")
        return {**kept, "AWS_PROFILE": _PROFILE, "AWS_CONFIG_FILE": str(file)}

    def _write(self, folder: Path) -> Path:
        """One file for each content, so that runs at the same time do not disturb each other."""
        text = (
            f"[profile {_PROFILE}]\n"
            f"role_arn = {self.role_arn}\n"
            f"credential_source = {self.credential_source}\n"
            f"role_session_name = {self.session_name}\n"
        )
        file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.config"
        write_private(file, text)
        return file
