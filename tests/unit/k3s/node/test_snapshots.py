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
ENVIRON = {"XOPS_SECRET_ACCESS": "AKIA", "XOPS_SECRET_KEY": "canary:#'\""}


def of(**s3: Any) -> Snapshots:
    return Snapshots.model_validate({"s3": s3})


def test_on_the_servers_disks_only() -> None:
    assert snapshots.config(Snapshots()) == {
        "etcd-snapshot-schedule-cron": "0 */12 * * *",
        "etcd-snapshot-retention": 5,
    }
    assert snapshots.secret(Snapshots(), {}) is None


def test_the_secret_is_all_that_k3s_is_told_about_the_bucket() -> None:
    made = snapshots.secret(of(**KEYS, folder="unit"), ENVIRON)

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
    config = snapshots.config(of(**KEYS))
    assert {key: value for key, value in config.items() if "s3" in key} == {
        "etcd-s3": True,
        "etcd-s3-config-secret": "etcd-s3",
    }


def test_a_secret_that_a_person_makes_is_left_to_them() -> None:
    assert snapshots.secret(of(bucket="kept", config_secret="etcd-s3"), {}) is None


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(PermanentError, match="variable XOPS_SECRET_KEY: it is unset"):
        snapshots.secret(of(**KEYS), {"XOPS_SECRET_ACCESS": "AKIA"})
