"""What an API says of pods and hosts of what they were answered, and what is none of it."""

import json
from typing import Any

import pytest

from xops.core.errors import PermanentError
from xops.k3s.state import workloads
from xops.k3s.state.workloads import DnsFacts, PodFacts, WorkloadFacts

ASKED = ("dns", "vip", "tunnels")
DEPLOYMENT = "\t".join(["Deployment", "coredns", "", "", "2", "2", "1", "1", "1", "1", *[""] * 5])


def pod(
    name: str = "coredns-1",
    node: str = "server-1",
    address: str = "10.42.0.7",
    *,
    ready: str = "True",
    conditions: Any = "",
    containers: Any = "",
    init_containers: Any = "",
    deleted: str = "",
) -> str:
    texts = [json.dumps(each) if each else "" for each in (conditions, containers, init_containers)]
    return "\t".join(["Pod", name, node, address, *[""] * 6, ready, *texts, deleted])


def whole(*dns: str, vip: str = "", tunnels: str = "") -> str:
    return "\n".join(["@@dns", *dns, "@@vip", vip, "@@tunnels", tunnels, "@@end", ""])


def parsed(*dns: str, **more: str) -> WorkloadFacts:
    return workloads.parse_workloads("server-1", whole(*dns, **more), asked=ASKED)


def dns_of(*rows: str) -> DnsFacts:
    found = parsed(*rows).dns
    assert found is not None
    return found


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [{"name": "it", "state": {"waiting": {"reason": reason, "message": message}}}]


def test_all_of_it_is_read() -> None:
    found = parsed(
        DEPLOYMENT,
        pod(),
        vip=pod("kube-vip-1", "server-1", "10.0.0.11"),
        tunnels="server-1\t10.0.0.11\nagent-1\t",
    )

    assert found.dns == DnsFacts(
        1, 1, is_current=True, pods=(PodFacts("coredns-1", "server-1", "10.42.0.7", ready=True),)
    )
    assert found.vip_pods == (PodFacts("kube-vip-1", "server-1", "10.0.0.11", ready=True),)
    assert found.tunnels == {"server-1": "10.0.0.11", "agent-1": ""}


def test_what_was_not_asked_for_is_unknown_and_not_empty() -> None:
    found = workloads.parse_workloads("server-1", whole(), asked=())

    assert found == WorkloadFacts(None, None, None)


def test_without_a_deployment_nothing_is_wanted() -> None:
    assert dns_of() == DnsFacts(None, 0, is_current=False, pods=())
    other = DEPLOYMENT.replace("coredns", "node-local-dns")
    assert dns_of(other).wanted is None


@pytest.mark.parametrize(
    ("counts", "is_current"),
    [
        (("2", "2", "1", "1", "1", "1"), True),
        (("3", "2", "1", "1", "1", "1"), False),  # its newest form was not looked at yet
        (("2", "2", "1", "2", "1", "1"), False),  # one of the earlier form is left
        (("2", "2", "1", "1", "", "1"), False),
        (("1", "1", "0", "", "", ""), True),
    ],
)
def test_a_roll_out_has_ended_or_not(counts: tuple[str, ...], is_current: bool) -> None:
    row = "\t".join(["Deployment", "coredns", "", "", *counts, *[""] * 5])

    assert dns_of(row).is_current is is_current


def test_a_pod_that_is_taken_away_counts_no_more() -> None:
    assert dns_of(DEPLOYMENT, pod(deleted="2026-11-30T18:00:00Z")).pods == ()


UNSCHEDULABLE = [
    {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
]


@pytest.mark.parametrize(
    ("values", "says", "is_starting"),
    [
        ({}, "pod coredns-1 on server-1: not Ready", True),
        ({"containers": waiting("ContainerCreating")}, "server-1: ContainerCreating", True),
        (
            {"containers": waiting("ImagePullBackOff", "Back-off\n\tpulling")},
            "server-1: ImagePullBackOff: Back-off pulling",
            False,
        ),
        (
            {"containers": waiting("PodInitializing"), "init_containers": waiting("ErrImagePull")},
            "server-1: ErrImagePull",
            False,
        ),
        (
            {"node": "", "conditions": UNSCHEDULABLE},
            "pod coredns-1 on no node: Unschedulable: 0/1 nodes",
            False,
        ),
        (
            {"containers": [{"state": {"terminated": {"reason": "Error", "exitCode": 1}}}]},
            "server-1: Error",
            False,
        ),
        ({"containers": [{"state": {"running": {"startedAt": "now"}}}]}, "not Ready", True),
    ],
)
def test_why_a_pod_is_not_ready(values: dict[str, Any], says: str, is_starting: bool) -> None:
    (found,) = dns_of(DEPLOYMENT, pod(ready="False", **values)).pods

    assert str(found).endswith(says)
    assert found.is_starting is is_starting


def test_a_long_message_is_shortened() -> None:
    (found,) = dns_of(
        DEPLOYMENT, pod(ready="False", containers=waiting("ErrImagePull", "x" * 5000))
    ).pods

    assert len(str(found)) < 300


NONSENSE = {
    "a row that is short": "Pod\tcoredns-1\tserver-1",
    "words": "no resources found",
    "an address that is none": pod(address="10.42.0.7; reboot"),
    "a name without end": pod(name="x" * 10_000),
    "no JSON": pod(ready="False").replace("False\t\t", "False\t{\t"),
    "JSON of another kind": pod(ready="False", containers={"it": 1}),
    "a state of another kind": pod(ready="False", containers=[{"state": {"waiting": "long"}}]),
    "a count that is none": DEPLOYMENT.replace("\t1\t1\t1\t1", "\t1\t1\t1\tmany"),
    "a count without end": DEPLOYMENT.replace("\t1\t1\t1\t1", "\t1\t1\t1\t" + "9" * 5000),
    "rows without end": "\n".join([pod()] * 1000),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_about_pods_is_an_error_that_can_be_read(kind: str) -> None:
    with pytest.raises(PermanentError, match="reading what server-1 says of pods") as caught:
        parsed(NONSENSE[kind], DEPLOYMENT)

    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("cut", ["@@dns", "@@vip", "@@tunnels", "@@end", "@@"])
def test_an_answer_that_is_cut_off_is_an_error(cut: str) -> None:
    text = whole(DEPLOYMENT, pod()).partition(cut)[0]

    with pytest.raises(PermanentError, match="its answer ends after"):
        workloads.parse_workloads("server-1", text, asked=ASKED)


def test_a_section_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(PermanentError):
        workloads.parse_workloads("server-1", "@@vip\n@@end\n", asked=("dns",))


# What a host was answered

PAIRS = [("10.42.0.7", 53), ("fd00::a", 6443)]
ANSWERS = "@@version\n{}\n@@answers\n10.42.0.7 53 silent\nfd00::a 6443 unknown\n@@end\n"


def test_each_answer_and_the_version_are_read() -> None:
    text = ANSWERS.format('{"major": "1", "gitVersion": "v1.36.4+k3s1"}')
    found = workloads.parse_effects("server-1", text, PAIRS, has_api=True)

    assert found.api_version == "v1.36.4+k3s1"
    assert found.answers == {PAIRS[0]: "silent", PAIRS[1]: "unknown"}


def test_an_api_that_did_not_answer_has_no_version() -> None:
    assert (
        workloads.parse_effects("server-1", ANSWERS.format(""), PAIRS, has_api=True).api_version
        is None
    )


def test_a_version_of_an_agent_s_is_not_believed() -> None:
    text = ANSWERS.format('{"gitVersion": "v9"}')

    assert workloads.parse_effects("agent-1", text, PAIRS, has_api=False).api_version is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ANSWERS.format("").replace("@@end\n", ""),
        ANSWERS.format("").replace("10.42.0.7 53 silent\n", ""),
        ANSWERS.format("").replace("silent", "splendid"),
        ANSWERS.format("{"),
        ANSWERS.format("[]"),
        ANSWERS.format('{"gitVersion": "' + "v" * 5000 + '"}'),
        "@@answers\n10.42.0.7 53 open\nfd00::a 6443 open\n@@end\n",
    ],
)
def test_what_is_not_a_whole_answer_is_an_error(text: str) -> None:
    with pytest.raises(PermanentError, match="reading what server-1 says of answers") as caught:
        workloads.parse_effects("server-1", text, PAIRS, has_api=True)

    assert len(str(caught.value)) < 1500
