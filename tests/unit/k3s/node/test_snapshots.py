"""Etcd's snapshots: K3S's settings, and the Secret with the keys of their bucket."""

from typing import Any

import pytest
import yaml

from xops.core.errors import PermanentError
from xops.k3s.cluster_file.sections import Snapshots
from xops.k3s.node import snapshots
from xops.k3s.node.managed_file import HEADER

KEYS = {
    "bucket": "kept",
    "config_secret": "etcd-s3",
    "access_key": {"variable": "XOPS_SECRET_ACCESS"},
    "secret_key": {"variable": "XOPS_SECRET_KEY"},
}
NEW, OLD = "v1.35.0+k3s1", "v1.33.3+k3s1"
ENVIRON = {"XOPS_SECRET_ACCESS": "AKIA", "XOPS_SECRET_KEY": "canary:#'\""}


def of(**s3: Any) -> Snapshots:
    return Snapshots.model_validate({"s3": s3})


def test_on_the_servers_disks_only() -> None:
    assert snapshots.config(Snapshots(), NEW) == {
        "etcd-snapshot-schedule-cron": "0 */12 * * *",
        "etcd-snapshot-retention": 5,
    }
    assert snapshots.secret(Snapshots(), NEW, {}) is None


def test_the_secret_is_all_that_k3s_is_told_about_the_bucket() -> None:
    made = snapshots.secret(of(**KEYS, folder="unit"), OLD, ENVIRON)

    assert made is not None
    assert made.content.startswith(HEADER)
    assert made.secrets == ("AKIA", "canary:#'\"")
    assert yaml.safe_load(made.content) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "etcd-s3", "namespace": "kube-system"},
        "type": "etcd.k3s.cattle.io/s3-config-secret",
        "stringData": {
            "etcd-s3-bucket": "kept",
            "etcd-s3-region": "ap-southeast-2",
            "etcd-s3-folder": "unit",
            "etcd-s3-access-key": "AKIA",
            "etcd-s3-secret-key": "canary:#'\"",
        },
    }
    config = snapshots.config(of(**KEYS), NEW)
    assert {key: value for key, value in config.items() if "s3" in key} == {
        "etcd-s3": True,
        "etcd-s3-config-secret": "etcd-s3",
    }


def test_a_secret_that_a_person_makes_is_left_to_them() -> None:
    assert snapshots.secret(of(bucket="kept", config_secret="etcd-s3"), NEW, {}) is None


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(PermanentError, match="variable XOPS_SECRET_KEY: it is unset"):
        snapshots.secret(of(**KEYS), NEW, {"XOPS_SECRET_ACCESS": "AKIA"})


@pytest.mark.parametrize(("version", "kept"), [(NEW, 14), (OLD, None)])
def test_the_bucket_keeps_as_many_as_the_servers(version: str, kept: int | None) -> None:
    """Where K3S has a key of its own for it, which would be 5."""
    wanted = Snapshots.model_validate({"retention": 14, "s3": KEYS})
    open_bucket = Snapshots.model_validate({"retention": 14, "s3": {"bucket": "kept"}})
    made = snapshots.secret(wanted, version, ENVIRON)

    assert made is not None
    data = yaml.safe_load(made.content)["stringData"]
    assert data.get("etcd-s3-retention") == (str(kept) if kept else None)
    assert snapshots.config(open_bucket, version).get("etcd-s3-retention") == kept
    # Beside the Secret K3S takes no other key of S3.
    assert "etcd-s3-retention" not in snapshots.config(wanted, version)
