"""An export in S3, as the embedded AWS has it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cost_exports import charges, deliver
from tests.embedded_aws import Clients, reaching
from xops.aws.target import Target
from xops.core.errors import CredentialsError, InputError, PermanentError, TemporaryError
from xops.finops.configuration import CostConfiguration, Export
from xops.finops.store.cost_store import CostStore
from xops.finops.store.ingest_run import any_folder, open_source
from xops.finops.store.sources import Bucket, Listed, Source

NOW = datetime.now(UTC) + timedelta(days=1)
BUCKET = f"costs-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def s3(client: Clients) -> Iterator[Any]:
    made = client("s3")
    place = {"LocationConstraint": "ap-southeast-2"}
    made.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    yield made
    for one in made.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        made.delete_object(Bucket=BUCKET, Key=one["Key"])
    made.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def prefix() -> str:
    return f"exports/{uuid4().hex[:8]}"


def upload(s3: Any, top: Path, prefix: str, *, only: str = "") -> None:
    """As AWS delivers it: the data first, then the manifest."""
    files = sorted(path for path in top.rglob("*") if path.is_file() and only in path.name)
    for file in files:
        key = f"{prefix}/{file.relative_to(top).as_posix()}"
        s3.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())


def source(endpoint: str, prefix: str, bucket: str = BUCKET) -> Source:
    """As a person names it in the file."""
    configuration = CostConfiguration(api_version="xops/v1", target=Target.EMBEDDED)
    export = Export(name="aws", location=f"s3://{bucket}/{prefix}")
    return open_source(export, configuration, any_folder, {**os.environ, **reaching(endpoint)})


@pytest.mark.parametrize("suffix", [".snappy.parquet", ".csv.gz"])
def test_an_export_is_taken_in_and_again_changes_nothing(
    s3: Any, endpoint: str, prefix: str, store: CostStore, tmp_path: Path, suffix: str
) -> None:
    months = {"2026-04": charges("2026-04"), "2026-05": charges(count=4)}
    upload(s3, deliver(tmp_path, months, suffix=suffix, files=2), prefix)
    done = store.ingest(source(endpoint, prefix), "aws", now=NOW)
    assert done.address == f"s3://{BUCKET}/{prefix}/"
    assert [one.after[0].billed for one in done.changes] == [Decimal(3), Decimal(4)]
    again = store.ingest(source(endpoint, prefix), "aws", now=NOW)
    assert (again.changes, again.unchanged) == ((), ("2026-04", "2026-05"))
    assert not list((store.folder / ".incoming").iterdir())


def test_a_neighbour_with_a_longer_name_is_another_export(
    s3: Any, endpoint: str, prefix: str, store: CostStore, tmp_path: Path
) -> None:
    upload(s3, deliver(tmp_path / "a", {"2026-05": charges()}), prefix)
    upload(s3, deliver(tmp_path / "b", {"2026-04": charges("2026-04")}), f"{prefix}-2")
    store.ingest(source(endpoint, prefix), "aws", now=NOW)
    assert store.months() == ["2026-05"]


def test_data_that_is_newer_than_its_manifest_is_a_refresh_under_way(
    s3: Any, endpoint: str, prefix: str, store: CostStore, tmp_path: Path
) -> None:
    upload(s3, deliver(tmp_path, {"2026-05": charges()}, files=2), prefix)

    class Later(Bucket):
        """The first file was written again, a minute after the manifest."""

        def list(self) -> list[Listed]:
            first, *others = super().list()
            later = first.changed_at + timedelta(minutes=1)
            return [Listed(first.name, first.size, later, first.version), *others]

    with pytest.raises(TemporaryError, match="1 of its 2 files are newer than it"):
        store.ingest(Later(s3, BUCKET, prefix), "aws", now=NOW)
    assert store.months() == []


def test_a_file_that_is_replaced_while_it_is_read_is_a_refresh_under_way(
    s3: Any, endpoint: str, prefix: str, store: CostStore, tmp_path: Path
) -> None:
    upload(s3, deliver(tmp_path, {"2026-05": charges()}, files=2), prefix)
    other = deliver(tmp_path / "other", {"2026-05": charges(count=9)}, files=2)

    def meanwhile(message: str, percent: float | None) -> None:
        upload(s3, other, prefix, only="00002")

    with pytest.raises(TemporaryError, match="replaced or removed since it was listed"):
        store.ingest(source(endpoint, prefix), "aws", now=NOW, told=meanwhile)
    assert store.months() == []


def test_a_bucket_that_is_not_there_is_no_empty_export(endpoint: str, store: CostStore) -> None:
    with pytest.raises(PermanentError, match="NoSuchBucket"):
        store.ingest(source(endpoint, "exports/focus", "no-such-bucket"), "aws", now=NOW)


def test_a_prefix_that_is_empty_is_said(
    s3: Any, endpoint: str, prefix: str, store: CostStore
) -> None:
    with pytest.raises(InputError, match="has no file that ends with"):
        store.ingest(source(endpoint, prefix), "aws", now=NOW)


def test_credentials_that_are_refused_are_no_empty_export(
    client: Clients, s3: Any, prefix: str, store: CostStore
) -> None:
    stranger = client("s3", aws_access_key_id="AKIASTRANGER", aws_secret_access_key="x")
    with pytest.raises(CredentialsError):
        store.ingest(Bucket(stranger, BUCKET, prefix), "aws", now=NOW)
