"""Etcd's snapshots: K3S's settings for them, and the Secret that opens their bucket.

Source: K3S documentation, "k3s etcd-snapshot" (S3 Configuration Secret, since v1.30.4); of the
retention in a bucket `behaviour.separates_s3_retention`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xops.k3s.cluster_file.sections import S3, Snapshots
from xops.k3s.node.managed_file import SecretContent, managed
from xops.k3s.release import behaviour


def config(snapshots: Snapshots, version: str) -> dict[str, Any]:
    """Keys of a server's config.yaml; None for what K3S decides."""
    values: dict[str, Any] = {
        "etcd-snapshot-schedule-cron": snapshots.schedule,
        "etcd-snapshot-retention": snapshots.retention,
    }
    s3 = snapshots.s3
    if s3 is None:
        return values
    if s3.config_secret:  # K3S takes no other S3 key beside the Secret
        return values | {"etcd-s3": True, "etcd-s3-config-secret": s3.config_secret}
    return values | {"etcd-s3": True, **_bucket(s3), **_retention(snapshots, version)}


def secret(
    snapshots: Snapshots, version: str, environ: Mapping[str, str] | None = None
) -> SecretContent | None:
    """The manifest of `config_secret` with its keys, which are read now; None without keys.

    Raises:
        PermanentError: a key is not where it is said to be.
    """
    s3 = snapshots.s3
    if s3 is None or s3.access_key is None or s3.secret_key is None:
        return None
    keys = {
        "etcd-s3-access-key": s3.access_key.read(environ),
        "etcd-s3-secret-key": s3.secret_key.read(environ),
    }
    retention = {key: str(kept) for key, kept in _retention(snapshots, version).items()}
    values = {**_bucket(s3), **retention, **keys}
    manifest = managed(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": s3.config_secret, "namespace": "kube-system"},
            "type": "etcd.k3s.cattle.io/s3-config-secret",
            "stringData": {key: value for key, value in values.items() if value},
        }
    )
    return SecretContent(manifest, tuple(keys.values()))


def _retention(snapshots: Snapshots, version: str) -> dict[str, int]:
    """How many are kept in the bucket; a key that K3S does not know everywhere."""
    kept = snapshots.retention
    return {"etcd-s3-retention": kept} if behaviour.separates_s3_retention(version) else {}


def _bucket(s3: S3) -> dict[str, str | None]:
    return {
        "etcd-s3-bucket": s3.bucket,
        "etcd-s3-region": s3.region,
        "etcd-s3-endpoint": s3.endpoint,
        "etcd-s3-folder": s3.folder,
    }
