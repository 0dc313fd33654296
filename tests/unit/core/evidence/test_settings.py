"""Where records are kept, as files have it: a folder or a bucket, never a mixture."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from xops.core.evidence.settings import BucketEvidence, Evidence, FolderEvidence
from xops.core.files.validation import Model

BUCKETS, FOLDERS = "goes with store bucket,", "goes with store folder,"
BUCKET = BucketEvidence(store="bucket", bucket="records", prefix="a")


class File(Model):
    evidence: Evidence = FolderEvidence()


SCHEMA = Draft202012Validator(File.model_json_schema())


@pytest.mark.parametrize(
    ("values", "evidence"),
    [
        ({}, FolderEvidence()),
        ({"store": "folder"}, FolderEvidence()),
        ({"folder": "/records"}, FolderEvidence(folder=Path("/records"))),
        ({"store": "bucket"}, BucketEvidence(store="bucket")),
        ({"store": "bucket", "bucket": "records", "prefix": "a"}, BUCKET),
    ],
    ids=str,
)
def test_a_folder_unless_a_store_is_named(values: dict[str, Any], evidence: Evidence) -> None:
    assert File.model_validate({"evidence": values}).evidence == evidence
    SCHEMA.validate({"evidence": values})


def test_a_key_that_is_null_counts_as_left_out() -> None:
    values = {"store": "bucket", "folder": None, "bucket": "records", "prefix": None}
    assert File.model_validate({"evidence": values}).evidence == BucketEvidence(
        store="bucket", bucket="records"
    )


def test_it_is_kept_as_it_was_read() -> None:
    assert File(evidence=BUCKET).evidence is BUCKET
    assert File().evidence == FolderEvidence()
    assert File.model_validate(File(evidence=BUCKET).model_dump(mode="json")).evidence == BUCKET


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"store": "folder", "bucket": "records"}, "bucket", f"{BUCKETS} and store is folder"),
        ({"prefix": "a"}, "prefix", f"{BUCKETS} and store is folder"),
        ({"store": "bucket", "folder": "/a"}, "folder", f"{FOLDERS} and store is bucket"),
        ({"store": "disk"}, "store", "should be 'folder' or 'bucket' (found 'disk')"),
    ],
    ids=str,
)
def test_what_does_not_go_with_the_store_is_named(
    values: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        File.model_validate({"evidence": values})
    (error,) = caught.value.errors()
    assert (error["loc"][-1], error["msg"]) == (key, message)
    assert not SCHEMA.is_valid({"evidence": values})


@pytest.mark.parametrize("wrong", ["folder", ["folder"], 1])
def test_what_is_no_mapping_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        File.model_validate({"evidence": wrong})


def test_the_folder_is_xops_own_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    assert FolderEvidence().open().folder == tmp_path / "evidence"
    assert FolderEvidence(folder=Path("/records")).open().folder == Path("/records")
