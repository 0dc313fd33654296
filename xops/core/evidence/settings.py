"""Where records are kept, as the file of an environment or a cluster says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from xops.core.evidence.log import EvidenceLog, WaitingRecords
from xops.core.evidence.stores import EvidenceStore, FolderStore
from xops.core.evidence.waiting import WaitingFolder
from xops.core.files import settings
from xops.core.files.validation import LocalPath, Model, kind_check


class FolderEvidence(Model):
    """Records in a folder of this machine."""

    store: Literal["folder"] = "folder"
    folder: Annotated[LocalPath | None, Field(description="Default: evidence in xOps' home.")] = (
        None
    )

    def open(self) -> FolderStore:
        """The store; its folder is made by the first record."""
        return FolderStore(self.folder or settings.home() / "evidence")


class BucketEvidence(Model):
    """Records in a bucket, which outlives the stack."""

    store: Literal["bucket"]
    bucket: Annotated[str | None, Field(description="Default: the bucket of the state.")] = None
    prefix: Annotated[str, Field(description="Within the bucket.")] = "evidence"


# The names of the members are no keys: the path of a finding goes without them.
IN_A_FOLDER = "in a folder"
IN_A_BUCKET = "in a bucket"


def store_tag(value: Any) -> str:
    """Which member of the union a value is, by its `store`."""
    store = value["store"] if isinstance(value, dict) else getattr(value, "store", "")
    return IN_A_BUCKET if store == "bucket" else IN_A_FOLDER


Evidence = Annotated[
    Annotated[FolderEvidence, Tag(IN_A_FOLDER)] | Annotated[BucketEvidence, Tag(IN_A_BUCKET)],
    Discriminator(store_tag),
    kind_check("store", FolderEvidence, BucketEvidence),
]
"""Where records are kept; a folder unless a store is named."""


def open_evidence(
    store: EvidenceStore, subject: str, waiting: Sequence[WaitingRecords] = ()
) -> EvidenceLog:
    """The records about a subject; they wait in xOps' home, and in `waiting` besides."""
    folder = WaitingFolder(settings.home() / "evidence-waiting", subject)
    return EvidenceLog(store, subject, (folder, *waiting))
