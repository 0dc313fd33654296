"""What is looked at after an apply, and how it is told."""

from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import cluster, formed, node, row
from xops.k3s.operations import kubeconfig, verify
from xops.k3s.operations.verify import ClusterVerification, UnsteadyClusterError
from xops.k3s.state import topology

OF = cluster(1, agents=1)


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
