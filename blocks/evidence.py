"""Where the evidence of an environment is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, GetJsonSchemaHandler, TypeAdapter, model_validator
from pydantic_core import CoreSchema

from blocks.forms import one_of
from xops.core.evidence.settings import BucketEvidence, Evidence, FolderEvidence

_EVIDENCE: TypeAdapter[Evidence] = TypeAdapter(Evidence)


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
    prefix: Annotated[
        str | None,
        Field(pattern=r"^[\w./-]+$", description="Within the bucket. Default: evidence."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _as_saved_earlier(cls, values: Any) -> Any:
        """A prefix once had a default, which documents of a folder carry as well."""
        if isinstance(values, dict) and values.get("store", "folder") == "folder":
            return {name: value for name, value in values.items() if name != "prefix"}
        return values

    @model_validator(mode="after")
    def _what_fits_the_store(self) -> Self:
        _ = self.evidence
        return self

    @property
    def evidence(self) -> Evidence:
        """The same as a model."""
        names = ("store", "folder", "bucket", "prefix")
        return _EVIDENCE.validate_python({name: getattr(self, name) for name in names})

    def overrides(self) -> dict[str, Any]:
        """What it puts in the place of the environment's own, by dotted path."""
        return {"evidence": self.evidence.model_dump(mode="json")}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        """The fields, and which of them go together."""
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema)["oneOf"] = one_of([FolderEvidence, BucketEvidence])
        return schema
