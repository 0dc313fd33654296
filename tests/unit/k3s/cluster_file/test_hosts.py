"""Rules between the hosts of a cluster file, whatever else is wrong with them; and who is left."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.absent import GONE
from tests.unit.k3s.cluster_file.conftest import Document, Findings, host
from xops.core.errors import InputError
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


# Hosts that shall go


def test_absent_hosts_are_none_to_work_on(load: Callable[..., Cluster]) -> None:
    cluster = load({"hosts.2.absent": True, "hosts.3.absent": True})

    def named(hosts: Iterable[Host]) -> list[str]:
        return [one.name for one in hosts]

    assert named(cluster.hosts) == ["server-1", "server-2", "server-3", "worker-1"]
    assert named(cluster.present_hosts) == named(cluster.servers) == ["server-1", "server-2"]
    assert named(cluster.absent_hosts) == ["server-3", "worker-1"]
    assert cluster.agents == ()
    assert cluster.host("server-3").absent
    assert "10.0.0.13" not in cluster.tls_sans


def test_the_api_is_never_looked_for_at_an_absent_server(load: Callable[..., Cluster]) -> None:
    assert load({"endpoint": GONE, "hosts.0.absent": True}).endpoint_address() == "10.0.0.12"


@pytest.mark.parametrize(
    ("present", "absent", "message"),
    [
        (3, 0, None),
        (2, 1, None),  # one of three is dead, and nothing is in its place yet
        (3, 1, None),  # and now another is
        (1, 2, None),  # three become one
        (1, 1, None),
        (3, 2, None),
        (5, 1, None),
        (0, 1, "has absent servers only"),
        (0, 3, "has absent servers only"),
        (2, 0, "has 2 servers; must be 1, 3 or 5"),
        (2, 2, "has 2 servers that are not absent, and 2 that are; must be 1, 3 or 5"),
        (4, 0, "has 4 servers"),
        (6, 1, "has 6 servers"),
    ],
)
def test_servers_may_be_absent_while_their_number_was_or_will_be_right(
    findings: Findings, present: int, absent: int, message: str | None
) -> None:
    hosts = [
        host(f"s{n}", f"10.0.0.{n + 20}", "server", absent=n >= present)
        for n in range(present + absent)
    ]
    found = findings({"hosts": hosts})
    assert found == {} if message is None else message in found["hosts"]


def test_an_absent_host_still_has_its_name_and_address(findings: Findings) -> None:
    more = host("worker-1", "10.0.0.31", absent=True)
    assert "worker-1 is hosts.3" in findings({"hosts.4": more})["hosts.4.name"]


@pytest.mark.parametrize(
    ("names", "scope"),
    [
        ([], ["server-1", "server-2", "server-3", "worker-1"]),
        (["worker-1", "server-1", "worker-1"], ["server-1", "worker-1"]),
        (["server-3"], ["server-3"]),
    ],
    ids=str,
)
def test_hosts_in_scope_are_in_the_file_s_order(
    load: Callable[..., Cluster], names: list[str], scope: list[str]
) -> None:
    cluster = load({"hosts.2.absent": True})
    assert [one.name for one in cluster.hosts_in_scope(names)] == scope


def test_every_unknown_host_of_a_scope_is_named_at_once(load: Callable[..., Cluster]) -> None:
    with pytest.raises(InputError) as error:
        load().hosts_in_scope(["server-1", "x", "y", "x"])
    assert [row.message.split(";")[0] for row in error.value.findings] == [
        "no host 'x' in onprem", "no host 'y' in onprem",
    ]  # fmt: skip
