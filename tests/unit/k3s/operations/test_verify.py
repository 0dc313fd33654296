"""What is looked at after an apply, and how it is told."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.k3s_hosts import cluster, formed, node, row
from xops.core.errors import UnreachableError
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.operations import kubeconfig, verify
from xops.k3s.operations.verify import ClusterVerification, UnsteadyClusterError
from xops.k3s.ssh.transport_protocol import Transport
from xops.k3s.state import topology
from xops.k3s.state.ask import Patience
from xops.k3s.state.finding import Observation

OF = cluster(1, agents=1)


@dataclass
class Silent:
    """A way to hosts on which none answers; it notes who was called."""

    called: list[str] = field(default_factory=list)

    async def connect(self, host: Host) -> Transport:
        self.called.append(host.name)
        raise UnreachableError(f"connecting to {host.name}", "no answer", "See that it is up.")


NO_PATIENCE = Patience(0)


def test_a_host_that_answered_a_moment_ago_and_does_not_now_is_no_success() -> None:
    of, silent = cluster(3, agents=2), Silent()
    seen = Observation(formed(of), {}, {}, {}, dict.fromkeys((host.name for host in of.hosts), 1))

    with pytest.raises(UnreachableError, match="no answer"):
        asyncio.run(verify.verify_and_keep_kubeconfig(of, silent, NO_PATIENCE, observed=seen))
    assert silent.called == [host.name for host in of.hosts]


def test_without_it_all_hosts_are_looked_at() -> None:
    of, silent = cluster(3, agents=2), Silent()

    with pytest.raises(UnsteadyClusterError, match="no server's API answers"):
        asyncio.run(verify.verify_and_keep_kubeconfig(of, silent, NO_PATIENCE))
    assert silent.called == [host.name for host in of.hosts]


def test_a_node_without_its_labels_or_taints_is_no_success() -> None:
    hosts = [
        row("server", 1, labels={"a": "1"}),
        row("agent", 1, labels={"a": "1"}, taints=["t=1:NoExecute"]),
    ]
    of = cluster(1, hosts=hosts)
    seen = formed(of)
    verify._refuse_unsteady(of, topology.read(of, seen), seen, ())

    nodes = tuple(
        replace(each, labels={"theirs": "x"}, taints=frozenset({"t=0:NoExecute"}))
        if each.name == "agent-1"
        else each
        for each in seen["server-1"].nodes or ()
    )
    lacking = {**seen, "server-1": replace(seen["server-1"], nodes=nodes)}
    with pytest.raises(UnsteadyClusterError) as caught:
        verify._refuse_unsteady(of, topology.read(of, lacking), lacking, ())

    assert caught.value.found == (
        "agent-1 has not the label a=1; agent-1 has not the taint t=1:NoExecute"
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "Ready, etcd voter; "),
        ({"voter": False, "voter_reason": "MemberIsLearner"}, "Ready, etcd learner; "),
        ({"voter": False, "voter_reason": "Unhealthy"}, "etcd member that does not answer or has"),
        ({"voter": False, "voter_reason": "NotAMember"}, "etcd member that was removed; "),
        ({"voter": False}, "etcd learner or removed; "),
        ({"voter": None, "roles": frozenset()}, "Ready; agent; "),
    ],
)
def test_a_member_without_a_vote_says_why(values: dict[str, Any], says: str) -> None:
    assert says in verify.describe_node(node(OF.servers[0], **values))


@pytest.mark.parametrize(
    ("profile", "says"), [("none", "no profile"), ("cis", "every rule of the profile holds")]
)
def test_no_profile_is_not_one_that_holds(profile: str, says: str) -> None:
    answer = kubeconfig.Answer("https://10.0.0.11:6443", "answered")
    seen = ClusterVerification((), answer, "kubeconfig", profile=profile)

    assert seen.rows()["hardening"] == says
