"""In which order all is done, and what etcd's quorum forbids."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.k3s_hosts import (
    all_bare,
    bare,
    cluster,
    desired,
    installed,
    member,
    node,
    rewritten,
    with_members,
)
from xops.k3s.operations.operation import AwaitNode, Stage, SwapBinary, WriteFile
from xops.k3s.operations.plan import K3sPlan, plan_cluster
from xops.k3s.operations.quorum import QuorumError
from xops.k3s.operations.sequence import batches
from xops.k3s.state.facts import HostFacts


@pytest.mark.parametrize(
    ("agents", "sizes"),
    [
        (0, []),
        (1, [1]),
        (2, [1, 1]),
        (4, [1, 1, 1, 1]),
        (19, [1] * 19),
        (20, [1, *[2] * 9, 1]),
        (21, [1, *[2] * 10]),
        (100, [1, *[10] * 9, 9]),
        (256, [1, *[25] * 10, 5]),
    ],
)
def test_one_alone_then_at_most_a_tenth_at_a_time(agents: int, sizes: list[int]) -> None:
    names = [f"agent-{number}" for number in range(agents)]
    found = list(batches(names))

    assert [len(batch) for batch in found] == sizes
    assert [name for batch in found for name in batch] == names


# The turns of a plan


OF = cluster(3, agents=3, hardening={"profile": "none"})
WHOLE = installed(OF)


def planned(seen: Mapping[str, HostFacts], **values: Any) -> K3sPlan:
    return plan_cluster(OF, seen, desired(**values))


def works(made: K3sPlan) -> list[tuple[str, list[str]]]:
    """What interrupts something, or makes a member or takes one away: turn by turn."""
    found = []
    for turn in made.turns:
        rows = [
            f"{each.host.name if each.host else 'etcd'}: {each.change.effect}"
            for each in turn.operations
            if each.change.effect not in ("in place", "wait")
            and not isinstance(each.work, WriteFile | SwapBinary)
        ]
        if rows:
            found.append((turn.stage.value, rows))
    return found


def changed(seen: Mapping[str, HostFacts], *names: str) -> dict[str, HostFacts]:
    """The same hosts; K3S of these was told otherwise by hand."""
    return {name: rewritten(each, v=4) if name in names else each for name, each in seen.items()}


def test_rows_and_operations_are_one_to_one_and_in_their_order() -> None:
    made = planned(all_bare(OF))

    assert [each.change for each in made.operations()] == list(made.plan.changes)
    assert {change.turn for change in made.plan.changes} > {1, 2}
    assert all(change.turn and change.effect for change in made.plan.changes)
    places = [(list(Stage).index(Stage(row.stage)), row.turn) for row in made.plan.changes]
    assert places == sorted(places)


def test_bare_hosts_join_one_server_at_a_time_then_all_agents() -> None:
    assert works(planned(all_bare(OF))) == [
        ("servers", ["server-1: initialise"]),
        ("servers", ["server-2: join"]),
        ("servers", ["server-3: join"]),
        ("agents", ["agent-1: join", "agent-2: join", "agent-3: join"]),
    ]


def test_each_server_waits_for_the_voters_that_there_are_by_then() -> None:
    made = planned(all_bare(OF))
    awaited = [each.work for each in made.operations() if isinstance(each.work, AwaitNode)]

    assert [each.voters for each in awaited] == [1, 2, 3, 0, 0, 0]


def test_who_joins_comes_before_who_restarts_and_who_is_down_before_both() -> None:
    seen = changed(WHOLE, "server-1")
    service = seen["server-2"].service
    assert service is not None
    seen["server-2"] = replace(seen["server-2"], service=replace(service, active="failed"))
    seen = with_members({**seen, "server-3": bare(OF.host("server-3"))}, *map(member, OF.servers))

    assert works(planned(seen)) == [
        ("servers", ["server-3: remove"]),
        ("servers", ["server-2: start"]),
        ("servers", ["server-3: join"]),
        ("servers", ["server-1: restart"]),
    ]


def test_the_effect_of_a_file_is_that_of_its_strongest_key() -> None:
    made = planned(changed(WHOLE, "agent-2"))
    effects = {row.target: row.effect for row in made.plan.changes}

    assert effects == {
        "agent-2: /etc/rancher/k3s/config.yaml": "restart",
        "agent-2: k3s-agent": "restart",
        "agent-2: node": "wait",
    }
    elsewhere = {**WHOLE, "agent-2": rewritten(WHOLE["agent-2"], server="https://10.0.0.99:6443")}
    assert [row.effect for row in planned(elsewhere).plan.changes] == ["in place"]


# The quorum


def unready(seen: Mapping[str, HostFacts], *names: str) -> dict[str, HostFacts]:
    """The same cluster; the nodes of these servers are not Ready."""
    nodes = tuple(
        replace(each, ready=False) if each.name in names else each
        for each in seen["server-1"].nodes or ()
    )
    return {
        name: replace(each, nodes=nodes) if each.nodes is not None else each
        for name, each in seen.items()
    }


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (
            with_members(
                unready({**WHOLE, "server-3": bare(OF.host("server-3"))}, "server-2"),
                *map(member, OF.servers),
            ),
            "removing server-3: node: of the 2 voters that stay only server-1 is ready",
        ),
        (
            {
                name: replace(each, nodes=None, members=None)
                for name, each in changed(WHOLE, "agent-1").items()
            },
            "planning agent-1: node: it takes a server whose API answers",
        ),
    ],
    ids=["removal", "no-api"],
)
def test_what_the_quorum_forbids_is_no_plan(seen: dict[str, HostFacts], said: str) -> None:
    with pytest.raises(QuorumError) as caught:
        planned(seen)
    assert said in str(caught.value)
    assert caught.value.is_refusal


def test_no_server_restarts_that_the_others_cannot_do_without() -> None:
    """Of three members the file names one; one of the others is not Ready."""
    one = cluster(1, hardening={"profile": "none"})
    (seen,) = installed(one).values()
    nodes = tuple(replace(node(host), ready=host.name != "server-3") for host in OF.servers)
    seen = replace(rewritten(seen, v=4), nodes=nodes, members=tuple(map(member, OF.servers)))

    with pytest.raises(QuorumError) as caught:
        plan_cluster(one, {"server-1": seen}, desired())
    assert caught.value.attempted == "restarting K3S on server-1"
    assert "only server-2 is ready then, and etcd needs 2 of 3" in caught.value.found


def test_who_is_not_ready_restarts_first() -> None:
    seen = changed(unready(WHOLE, "server-3"), "server-1", "server-3")

    assert works(planned(seen)) == [
        ("servers", ["server-3: restart"]),
        ("servers", ["server-1: restart"]),
    ]


def test_with_the_quorum_whole_the_same_is_a_plan() -> None:
    assert works(planned(changed(WHOLE, "server-1"))) == [("servers", ["server-1: restart"])]
    lost = {**WHOLE, "server-3": bare(OF.host("server-3"))}
    assert works(planned(with_members(lost, *map(member, OF.servers)))) == [
        ("servers", ["server-3: remove"]),
        ("servers", ["server-3: join"]),
    ]
