"""What a plan says of labels and taints of nodes that exist, and of keys that change in place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import all_bare, cluster, desired, installed, rewritten, row
from tests.k3s_release import VERSION
from xops.core.plan.coverage import find_uncovered
from xops.core.plan.model import Action, Change
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.k3s_keys import KEYS
from xops.k3s.operations.operation import ServiceStep, Stage
from xops.k3s.operations.plan import K3sPlan, plan_cluster
from xops.k3s.state.facts import HostFacts


def clustered(agent: Mapping[str, Any], **values: Any) -> Cluster:
    """A server and an agent, which has these values in the file."""
    hosts = [row("server", 1), row("agent", 1, **agent)]
    return cluster(1, hosts=hosts, **{"hardening": {"profile": "none"}, **values})


GIVEN = {"labels": {"a": "1", "b": "1"}, "taints": ["t=1:NoExecute", "u:NoSchedule"]}
BEFORE = clustered(GIVEN)
SEEN = installed(BEFORE)


def planned(of: Cluster, seen: Mapping[str, HostFacts] = SEEN) -> K3sPlan:
    return plan_cluster(of, seen, desired())


def with_node(seen: Mapping[str, HostFacts], **values: Any) -> dict[str, HostFacts]:
    """The same cluster; the agent's node is otherwise."""
    nodes = tuple(
        replace(each, **values) if each.name == "agent-1" else each
        for each in seen["server-1"].nodes or ()
    )
    return {**seen, "server-1": replace(seen["server-1"], nodes=nodes)}


def rows(made: K3sPlan) -> dict[str, Change]:
    return {change.target: change for change in made.plan.changes}


def test_what_a_node_has_as_the_file_says_is_in_no_plan() -> None:
    assert planned(BEFORE).plan.is_empty


@pytest.mark.parametrize(
    ("values", "what", "changes"),
    [
        (
            {**GIVEN, "labels": {"a": "2", "b": "1"}},
            "labels", [(Stage.LABEL, {"a": "1"}, {"a": "2"})],
        ),
        ({**GIVEN, "labels": {"a": "1"}}, "labels", [(Stage.UNLABEL, {"b": "1"}, {})]),
        (
            {**GIVEN, "labels": {"a": "1", "b": "1", "c": ""}},
            "labels", [(Stage.LABEL, {}, {"c": ""})],
        ),
        (
            {**GIVEN, "taints": ["t=2:NoExecute", "u:NoSchedule"]},
            "taints", [(Stage.LABEL, {"t:NoExecute": "1"}, {"t:NoExecute": "2"})],
        ),
        (
            {**GIVEN, "taints": ["t=1:NoExecute"]},
            "taints", [(Stage.UNLABEL, {"u:NoSchedule": ""}, {})],
        ),
        (
            {**GIVEN, "taints": ["t=1:NoSchedule", "u:NoSchedule"]},
            "taints",
            [
                (Stage.UNLABEL, {"t:NoExecute": "1"}, {}),
                (Stage.LABEL, {}, {"t:NoSchedule": "1"}),
            ],
        ),
    ],
    ids=["label-changed", "label-gone", "label-new", "taint-changed", "taint-gone", "taint-effect"],
)  # fmt: skip
def test_a_change_is_set_through_the_api_and_restarts_nothing(
    values: dict[str, Any], what: str, changes: list[tuple[Stage, Any, Any]]
) -> None:
    of = clustered(values)
    made = planned(of)
    marks = [row for row in made.plan.changes if row.target == f"agent-1: node {what}"]
    (file,) = (row for row in made.plan.changes if row not in marks)
    key = f"node-{what.removesuffix('s')}"

    assert [(row.stage, row.before, row.after) for row in marks] == changes
    assert {row.action for row in marks} == {Action.UPDATE}
    assert all("through the API" in row.reason for row in marks)
    assert (file.target, file.stage) == (f"agent-1: {paths.CONFIG}", Stage.FILES)
    assert file.reason == f"differs; {key}: in place ({KEYS[key].reason})"
    assert not made.plan.destroys
    part = made.of(of.host("agent-1"))
    assert part.service is ServiceStep.KEEP
    assert getattr(part, what) is not None


def test_the_api_is_told_before_the_file_forgets_what_was_given() -> None:
    """Killed between the two, the next plan would not know that the label was xOps' own."""
    made = planned(clustered({}))

    assert list(made.plan.stages) == [Stage.UNLABEL, Stage.FILES]
    order = list(Stage)
    assert all(order.index(Stage.UNLABEL) < order.index(stage) for stage in (
        Stage.SERVERS, Stage.AGENTS, Stage.FILES,
    ))  # fmt: skip


def test_the_file_tells_what_a_node_is_given_before_the_api_is_told() -> None:
    """Put back half-way, the file would else not tell that xOps has given it; and a taint drives
    pods out, which need the hosts that join."""
    added = {"labels": {**GIVEN["labels"], "c": "3"}, "taints": [*GIVEN["taints"], "n:NoExecute"]}  # type: ignore[dict-item]

    assert list(planned(clustered(added)).plan.stages) == [Stage.FILES, Stage.LABEL]
    order = list(Stage)
    assert all(order.index(stage) < order.index(Stage.LABEL) for stage in (
        Stage.SERVERS, Stage.AGENTS, Stage.FILES,
    ))  # fmt: skip


def test_what_others_gave_a_node_is_no_difference() -> None:
    taints = frozenset({*BEFORE.taints(BEFORE.host("agent-1")), "theirs=1:NoSchedule"})
    seen = with_node(SEEN, labels={**GIVEN["labels"], "theirs": "x"}, taints=taints)  # type: ignore[dict-item]

    assert planned(BEFORE, seen).plan.is_empty
    found = rows(planned(clustered({}), seen))
    assert found["agent-1: node labels"].before == {"a": "1", "b": "1"}
    assert found["agent-1: node taints"].before == {"t:NoExecute": "1", "u:NoSchedule": ""}


def test_what_was_taken_away_by_hand_is_given_back() -> None:
    seen = with_node(SEEN, labels={"b": "1"}, taints=frozenset({"u:NoSchedule"}))
    found = rows(planned(BEFORE, seen))

    assert {target: change.after for target, change in found.items()} == {
        "agent-1: node labels": {"a": "1"},
        "agent-1: node taints": {"t:NoExecute": "1"},
    }


@pytest.mark.parametrize("without", [["agent-1"], ["server-1", "agent-1"]])
def test_to_a_node_that_joins_k3s_gives_them(without: list[str]) -> None:
    seen = installed(BEFORE, without=without) if len(without) == 1 else all_bare(BEFORE)

    assert not [row for row in rows(planned(BEFORE, seen)) if " node " in row]


def test_a_node_that_is_made_anew_is_not_labelled_before() -> None:
    """Its disk was lost: the node of its earlier life goes."""
    lost = {**SEEN, "agent-1": all_bare(BEFORE)["agent-1"]}
    found = rows(planned(BEFORE, with_node(lost, labels={}, taints=frozenset())))

    assert "agent-1: node" in found
    assert not [target for target in found if target.startswith("agent-1: node ")]


def test_while_no_api_answers_nothing_is_said_to_be_equal() -> None:
    silent = {**SEEN, "server-1": replace(SEEN["server-1"], nodes=None, members=None)}
    made = planned(clustered({}), silent)

    assert [
        text for text in made.plan.warnings if "labels and taints the nodes have is unknown" in text
    ]
    assert not [target for target in rows(made) if target.startswith("agent-1: node ")]
    assert planned(BEFORE).plan.warnings == ()
    assert planned(BEFORE, all_bare(BEFORE)).plan.warnings == ()  # there is no node yet
    # The host goes on telling what it was given, so that the plan after this one takes it away.
    assert f"agent-1: {paths.CONFIG}" not in rows(made)


def test_what_is_left_of_a_change_was_approved() -> None:
    approved = planned(clustered({"labels": {"a": "2", "c": "3"}})).plan
    now = planned(
        clustered({"labels": {"a": "2", "c": "3"}}), with_node(SEEN, labels={"a": "2", "b": "1"})
    ).plan

    assert find_uncovered(approved, now, lambda *_: False) == ()
    assert find_uncovered(now, approved, lambda *_: False)


# Keys of each class


@pytest.mark.parametrize(
    ("key", "value", "service", "says"),
    [
        ("node-label", ["a=9"], ServiceStep.KEEP, "in place"),
        ("node-taint", ["x:NoExecute"], ServiceStep.KEEP, "in place"),
        ("server", "https://10.0.0.99:6443", ServiceStep.KEEP, "in place"),
        ("kubelet-arg", ["v=9"], ServiceStep.RESTART, "restart"),
        ("node-ip", "10.0.0.99", ServiceStep.RESTART, "restart"),
        ("node-name", "other", ServiceStep.RESTART, "rejoin"),
        ("data-dir", "/other", ServiceStep.RESTART, "fixed at birth"),
    ],
)
def test_a_changed_key_says_what_it_takes(
    key: str, value: Any, service: ServiceStep, says: str
) -> None:
    """What is fixed at birth, or takes a rejoin, is refused by preflight before there is a plan."""
    seen = {**SEEN, "agent-1": rewritten(SEEN["agent-1"], **{key: value})}
    made = planned(BEFORE, seen)

    assert made.of(BEFORE.host("agent-1")).service is service
    reason = rows(made)[f"agent-1: {paths.CONFIG}"].reason
    assert reason == f"differs; {key}: {says} ({KEYS[key].reason})"


def test_several_keys_are_told_the_strongest_first() -> None:
    of = clustered(
        {**GIVEN, "labels": {"a": "2"}}, k3s={"version": VERSION, "agent_config": {"v": 4}}
    )
    found = rows(planned(of))

    assert found[f"agent-1: {paths.CONFIG}"].reason == (
        f"differs; v: restart ({KEYS['v'].reason}); node-label: in place"
        f" ({KEYS['node-label'].reason})"
    )
    assert found["agent-1: k3s-agent"].reason == "restarts: reads its configuration anew"
