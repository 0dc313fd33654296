"""What K3S does otherwise from one release to the next, where that matters here. Pure.

A change comes with the next patch of each line that is kept up, so that every line has a patch of
its own from which it counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:\+k3s(\d+))?")

_PINS_AGAIN = {33: 14, 34: 10, 35: 7, 36: 3}
_SEPARATE_RETENTION = {31: 12, 32: 8, 33: 4, 34: 0}
_CGROUP_V1_REFUSED = {35: 0}


def order(version: str) -> tuple[int, ...]:
    """Major, minor, patch, and K3S's own number; empty for what is no release."""
    numbers = _RELEASE.match(version)
    return tuple(int(number) for number in numbers.groups("0")) if numbers else ()


def pins_images_again(version: str) -> bool:
    """Whether K3S pins images at a start that it does not import because its cache knows them.

    Other releases take the pins off at every start, and the kubelet may then delete images that
    nothing brings back in an air gap.

    Source: k3s-io/k3s, issue 14265 and its backports 14270 to 14273 (2026-07).
    """
    return _is_since(version, _PINS_AGAIN)


def separates_s3_retention(version: str) -> bool:
    """Whether K3S keeps snapshots in a bucket by `etcd-s3-retention`.

    Where it is not set some of these releases keep five, whatever `etcd-snapshot-retention` says.

    Source: k3s-io/k3s, pull requests 12669 (2025-07) and 13770 (2026-03), issue 13769.
    """
    return _is_since(version, _SEPARATE_RETENTION)


def refuses_cgroup_v1(version: str) -> bool:
    """Whether the release's kubelet ends on a host with cgroup v1.

    Source: kubernetes/kubernetes, pull request 134298 (v1.35); K3S sets no `failCgroupV1`.
    """
    return _is_since(version, _CGROUP_V1_REFUSED)


def _is_since(version: str, first_patches: Mapping[int, int]) -> bool:
    """Whether a release is one of those lines' from its patch on, or of a later line."""
    numbers = order(version)
    if not numbers:
        return False
    major, minor, patch = numbers[:3]
    if major > 1 or minor > max(first_patches):
        return True
    return minor in first_patches and patch >= first_patches[minor]
