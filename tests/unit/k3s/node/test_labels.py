"""Labels and taints: which are xOps' own, what of them a node has not, what is told to kubectl."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import yaml

from tests.k3s_hosts import bare, cluster, formed, node, row
from xops.k3s import paths
from xops.k3s.node import config, labels
from xops.k3s.node.labels import Marks, MarksChange
from xops.k3s.node.managed_file import HEADER
from xops.k3s.state import topology

OF = cluster(
    1,
    hosts=[
        row("server", 1, labels={"a": "1"}),
        row(
            "agent",
            1,
            labels={"a": "1", "b.example/c": ""},
            taints=["t=1:NoExecute", "u:NoSchedule"],
        ),
    ],
)  # fmt: skip
AGENT = OF.host("agent-1")


def with_config(text: str) -> Marks:
    return labels.given(bare(AGENT, contents={paths.CONFIG: text}))


def test_what_the_file_gives_now() -> None:
    assert labels.wanted(OF, AGENT) == Marks(
        {"a": "1", "b.example/c": ""}, {"t:NoExecute": "1", "u:NoSchedule": ""}
    )


def test_of_two_taints_that_are_one_to_kubernetes_the_last_counts() -> None:
    of = cluster(1, hosts=[row("server", 1, taints=["a=1:NoExecute", "a=2:NoExecute"])])

    assert labels.wanted(of, of.hosts[0]).taints == {"a:NoExecute": "2"}


def test_what_was_given_until_now_is_what_xops_wrote() -> None:
    text = "node-label: [a=1, b.example/c=]\nnode-taint: ['t=1:NoExecute', 'u:NoSchedule']\n"

    assert with_config(HEADER + text) == labels.wanted(OF, AGENT)
    assert with_config(text) == Marks()  # by another hand
    assert with_config("") == Marks()
    assert with_config(f"{HEADER}node-label: a=1\n").labels == {"a": "1"}


@pytest.mark.parametrize(
    "text",
    ["node-role.kubernetes.io/control-plane=true", "x.node-restriction.kubernetes.io/a=1",
     "a b=1", "-a=1", "a=$(reboot)", "a", "=1", "a=1,b=2", "kubernetes.io/hostname=x",
     "kubernetes.io/arch=arm64", "--all=1"],
)  # fmt: skip
def test_a_host_can_not_have_others_labels_taken_away(text: str) -> None:
    """Whoever rules over a host may write what he likes into its config.yaml."""
    given = with_config(HEADER + yaml.safe_dump({"node-label": [text, "mine=1", 5, {"a": "b"}]}))
    expected = {"mine": "1"} | ({"a": ""} if text == "a" else {})

    assert given.labels == expected


@pytest.mark.parametrize(
    "text",
    ["a", "a=1", "a:NoRun", "a;b:NoExecute", ":NoExecute", "-a=1:NoExecute", "a=1:NoExecute-"],
)
def test_what_is_no_taint_was_not_given(text: str) -> None:
    given = with_config(HEADER + yaml.safe_dump({"node-taint": [text, "mine:NoExecute"]}))

    assert given.taints == {"mine:NoExecute": ""}


@pytest.mark.parametrize(
    ("wanted", "given", "found", "change"),
    [
        ({}, {}, {}, None),
        ({"a": "1"}, {"a": "1"}, {"a": "1", "theirs": "x"}, None),
        ({"a": "1"}, {}, {"theirs": "x"}, MarksChange({}, {"a": "1"})),
        ({"a": "2"}, {"a": "1"}, {"a": "1"}, MarksChange({"a": "1"}, {"a": "2"})),
        ({}, {"a": "1"}, {"a": "1", "theirs": "x"}, MarksChange({"a": "1"}, {})),
        ({}, {"a": "1"}, {"a": "by hand"}, MarksChange({"a": "by hand"}, {})),
        ({}, {"a": "1"}, {}, None),  # somebody has taken it away already
        ({}, {}, {"a": "1"}, None),  # nobody here gave it
        ({"a": ""}, {}, {}, MarksChange({}, {"a": ""})),
        ({"a": ""}, {}, {"a": ""}, None),
        (
            {"a": "1", "b": "2"}, {"c": "3"}, {"b": "2", "c": "3"},
            MarksChange({"c": "3"}, {"a": "1"}),
        ),
    ],
)  # fmt: skip
def test_only_what_is_xops_own_and_not_right_differs(
    wanted: Mapping[str, str],
    given: Mapping[str, str],
    found: Mapping[str, str],
    change: MarksChange | None,
) -> None:
    assert labels.differing(wanted, given, found) == change


def test_what_a_node_has_not_is_said() -> None:
    seen = bare(AGENT, contents={paths.CONFIG: f"{HEADER}node-label: [old=1]\n"})
    found = node(
        AGENT, labels={"a": "2", "old": "1", "theirs": "x"}, taints=frozenset({"t=0:NoExecute"})
    )

    assert list(labels.missing(OF, AGENT, seen, found)) == [
        "has not the label a=1",
        "has not the label b.example/c=",
        "still has the label old",
        "has not the taint t=1:NoExecute",
        "has not the taint u:NoSchedule",
    ]


# config.yaml


@pytest.mark.parametrize("name", ["server-1", "agent-1"])
@pytest.mark.parametrize("answers", [True, False])
def test_while_no_api_answers_the_host_goes_on_telling_what_it_was_given(
    name: str, answers: bool
) -> None:
    """What nobody could take away would else stay for ever: no file would tell of it any more."""
    host = OF.host(name)
    seen = formed(OF)
    if not answers:
        seen["server-1"] = bare(OF.hosts[0], etcd_member=True, cluster_id="0" * 64)
    text = f"{HEADER}node-label: [old=1, a=0]\nnode-taint: ['gone:NoExecute']\n"
    seen[name] = replace(seen[name], contents={paths.CONFIG: text})
    values = config.config(OF, host, seen[name], topology.read(OF, seen))

    assert ("old=1" in values["node-label"]) is not answers
    assert ("gone:NoExecute" in values.get("node-taint", [])) is not answers
    assert "a=0" not in values["node-label"]
    assert "a=1" in values["node-label"]


def test_a_host_that_joins_tells_nothing_of_an_earlier_life() -> None:
    seen = {host.name: bare(host) for host in OF.hosts}
    seen["agent-1"] = replace(
        seen["agent-1"], contents={paths.CONFIG: f"{HEADER}node-label: [old=1]\n"}
    )
    values = config.config(OF, AGENT, seen["agent-1"], topology.read(OF, seen))

    assert values["node-label"] == ["a=1", "b.example/c="]


# What is told to kubectl


def test_nodes_that_are_alike_stand_in_one_line() -> None:
    change = MarksChange({"b": "1"}, {"a": "1"})
    taint = MarksChange(
        {"t:NoExecute": "1", "u:NoSchedule": ""}, {"t:NoExecute": "2", "v:NoSchedule": ""}
    )
    lines = labels.changing_lines(
        [("one", change, None), ("two", change, taint), ("three", None, None)]
    )

    assert list(lines) == [
        "label one,two a=1 b-",
        "taint two t=2:NoExecute v:NoSchedule",
        "untaint two u:NoSchedule",
    ]


def test_no_line_has_more_nodes_than_a_command_has_time_for() -> None:
    names = [f"agent-{number}" for number in range(250)]
    lines = list(labels.changing_lines((name, MarksChange({}, {"a": "1"}), None) for name in names))

    assert [len(line.split()[1].split(",")) for line in lines] == [100, 100, 50]
    assert ",".join(line.split()[1] for line in lines) == ",".join(names)
