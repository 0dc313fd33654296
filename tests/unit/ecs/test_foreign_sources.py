"""What a branch brings from elsewhere, by what Terraform notes of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from xops.core.errors import PermanentError
from xops.ecs.foreign_sources import LOCAL_STATE, refuse_foreign

BUCKET = {"bucket": "ours", "key": "state", "region": "ap-southeast-2", "encrypt": "true"}
S3 = {"type": "s3", "config": {**BUCKET, "encrypt": True, "profile": None, "assume_role": []}}
ROOT = {"Key": "", "Source": "", "Dir": "."}


def refuse(
    work: Path,
    *modules: dict[str, str],
    used: dict[str, Any] | None = S3,
    backend: dict[str, str] = BUCKET,
) -> None:
    stack, data = work / "terraform" / "stacks" / "stream1", work / "data"
    stack.mkdir(parents=True)
    (data / "modules").mkdir(parents=True)
    (data / "modules" / "modules.json").write_text(json.dumps({"Modules": [ROOT, *modules]}))
    (data / "terraform.tfstate").write_text(json.dumps({"backend": used}))
    refuse_foreign(data, stack, backend)


def test_modules_of_the_branch_and_our_backend_are_taken(tmp_path: Path) -> None:
    refuse(tmp_path, {"Key": "net", "Source": "../../modules/net", "Dir": "../../modules/net"})


def test_a_local_backend_is_taken_while_there_is_no_bucket(tmp_path: Path) -> None:
    refuse(tmp_path, used={"type": "local", "config": {"path": LOCAL_STATE}}, backend={})


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("git::https://example.com/net.git?ref=v1", "../../../data/modules/net"),
        ("registry.terraform.io/acme/net/aws", "../../../data/modules/net"),
        ("../../../home/net", "../../../home/net"),
        ("../../../../../../tmp/net", "/tmp/net"),
    ],
)
def test_a_module_from_elsewhere_is_refused(tmp_path: Path, source: str, folder: str) -> None:
    with pytest.raises(PermanentError, match="module net is from") as caught:
        refuse(tmp_path, {"Key": "net", "Source": source, "Dir": folder})

    assert source in caught.value.found


@pytest.mark.parametrize(
    ("used", "backend", "found"),
    [
        ({"type": "http", "config": {"address": "https://example.com"}}, BUCKET, "is http"),
        (None, BUCKET, "is none"),
        (S3, {}, "is s3 instead of local"),
        ({"type": "local", "config": {"path": "../x"}}, {}, "sets path"),
        (
            {"type": "s3", "config": {**BUCKET, "endpoints": [{"s3": "https://example.com"}]}},
            BUCKET,
            "sets endpoints",
        ),
        ({"type": "s3", "config": {**BUCKET, "key": "prod"}}, BUCKET, "sets key"),
        ({"type": "s3", "config": {**BUCKET, "encrypt": False}}, BUCKET, "sets encrypt"),
    ],
)
def test_another_backend_is_refused(
    tmp_path: Path, used: dict[str, Any], backend: dict[str, str], found: str
) -> None:
    with pytest.raises(PermanentError, match=found):
        refuse(tmp_path, used=used, backend=backend)


def test_a_note_that_never_ends_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "data" / "modules").mkdir(parents=True)
    os.mkfifo(tmp_path / "data" / "modules" / "modules.json")

    with pytest.raises(PermanentError, match="cannot be read"):
        refuse_foreign(tmp_path / "data", tmp_path / "terraform" / "stacks" / "stream1", BUCKET)
