"""Where records are kept, as the file of an environment or a cluster says it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from xops.core.evidence.stores import FolderStore
from xops.core.files import settings
from xops.core.files.validation import Model, raise_if_any


class FolderEvidence(Model):
    """Records in a folder of this machine."""

    store: Literal["folder"] = "folder"
    folder: Annotated[Path | None, Field(description="Default: evidence in xOps' home.")] = None

    def open(self) -> FolderStore:
        """The store; its folder is made by the first record."""
        return FolderStore(self.folder or settings.home() / "evidence")


class BucketEvidence(Model):
    """Records in a bucket, which outlives the stack."""

    store: Literal["bucket"]
    bucket: Annotated[str | None, Field(description="Default: the bucket of the state.")] = None
    prefix: Annotated[str, Field(description="Within the bucket.")] = "evidence"


def _given(value: Any) -> Any:
    """A folder unless a store is named; a key that is null counts as left out."""
    if not isinstance(value, dict):
        return value
    given = {name: part for name, part in value.items() if part is not None}
    if given.setdefault("store", "folder") not in _TAGS:
        raise_if_any([(("store",), f"should be 'folder' or 'bucket' (found {given['store']!r})")])
    return given


def _tag(value: Any) -> str | None:
    store = value["store"] if isinstance(value, dict) else getattr(value, "store", "")
    return _TAGS.get(store)


# Named as no key is: the path of a finding goes without them.
_TAGS = {"folder": "in a folder", "bucket": "in a bucket"}

Evidence = Annotated[
    Annotated[FolderEvidence, Tag("in a folder")] | Annotated[BucketEvidence, Tag("in a bucket")],
    Discriminator(_tag),
    BeforeValidator(_given),
]
"""Where records are kept; a folder unless a store is named."""
