"""Rules between the hosts of a cluster file, whatever else is wrong with them; and who is left."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.absent import GONE
from tests.unit.k3s.cluster_file.conftest import Document, Findings
from xops.k3s.cluster_file.cluster import Cluster, Host

# Rules between hosts hold for what is right of a host that is wrong elsewhere


@pytest.mark.parametrize(
    "error",
    [
        {"hosts.0.rack": 7},
        {"hosts.0.labels": 5},
        {"hosts.0.labels": {"a/b/c": "x"}},
        {"hosts.0.storage": "slow"},
        {"hosts.0.arch": "sparc"},
        {"hosts.0.port": 0},
        {"hosts.0.role": "boss"},
        {"hosts.0.private_address": "nowhere"},
        {"ssh": 5},
        {"k3s": GONE},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"hosts.0.name": "worker-1"}, "hosts.3.name", "worker-1 is hosts.0 (worker-1)'s already"),
        ({"hosts.3.name": "server-1"}, "hosts.3.name", "server-1 is hosts.0 (server-1)'s already"),
        ({"endpoint.address": "10.0.0.11"}, "hosts.0.address", "is endpoint.address"),
        ({"hosts.0.address": "10.42.9.1"}, "hosts.0.address", "lies within networks.cluster"),
        ({"hosts.0.site": "north"}, "hosts.0.site", "no site 'north'"),
        ({"networks.cluster": "10.42.0.0/23"}, "hosts", "has 4 hosts, but"),
    ],
    ids=str,
)
def test_an_error_hides_no_rule_between_hosts(
    findings: Findings, error: Document, values: Document, path: str, message: str
) -> None:
    found = findings(values | error)
    assert message in found[path]
    assert all(any(row.startswith(key) for row in found) for key in error)


@pytest.mark.parametrize("key", ["address", "port", "name", "private_address"])
def test_what_is_wrong_is_no_ground_for_a_second_finding(findings: Findings, key: str) -> None:
    """Two hosts behind one router, of which one has an error in what tells them apart."""
    values = {
        "hosts.0.address": "203.0.113.7", "hosts.0.port": 2201,
        "hosts.0.private_address": "10.0.0.11",
        "hosts.1.address": "203.0.113.7", "hosts.1.port": 2202,
        "hosts.1.private_address": "10.0.0.12",
    }  # fmt: skip
    assert findings(values) == {}
    assert set(findings(values | {f"hosts.1.{key}": "!"})) == {f"hosts.1.{key}"}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.lists(
        JUNK | st.dictionaries(st.sampled_from(sorted(Host.model_fields)), JUNK, max_size=6),
        max_size=5,
    )
)
def test_whatever_hosts_are_each_error_is_a_finding(hosts: list[Any]) -> None:
    document = {"apiVersion": "xops/v1", "name": "x", "k3s": {"version": "v1.34.1+k3s1"}}
    places = set()
    try:
        read = Cluster.model_validate(document | {"hosts": hosts})
    except ValidationError as error:
        places = {row["loc"][0] for row in error.errors()}
    assert places == {"hosts"} or len(read.hosts) == len(hosts)
