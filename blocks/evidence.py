"""Where the evidence of an environment is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator


class EvidenceStore(Block):
    """A folder or a bucket for records; takes the place of `evidence` in the environment's file."""

    _block_type_name = "xOps evidence store"
    _block_type_slug = "xops-evidence-store"
    _description = "Where records of what was changed are kept."

    store: Literal["folder", "bucket"] = "folder"
    folder: Annotated[
        str | None, Field(pattern="^/", description="Default: evidence in xOps' home folder.")
    ] = None
    bucket: Annotated[
        str | None,
        Field(pattern=r"^[a-z0-9.-]{3,63}$", description="Default: the bucket of the state."),
    ] = None
    prefix: Annotated[str, Field(pattern=r"^[\w./-]+$", description="Within the bucket.")] = (
        "evidence"
    )

    @model_validator(mode="after")
    def _what_fits_the_store(self) -> Self:
        if self.store == "folder" and self.bucket is not None:
            raise ValueError("bucket is given, but store is 'folder'")
        if self.store == "bucket" and self.folder is not None:
            raise ValueError("folder is given, but store is 'bucket'")
        return self

    def overrides(self) -> dict[str, Any]:
        """What it puts in the place of the environment's own values, by dotted path."""
        fields = self.model_dump(include={"store", "folder", "bucket", "prefix"})
        return {f"evidence.{name}": value for name, value in fields.items()}
