"""What looking at many hosts costs each of them: counted by their own sshd."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.k3s.fleet import SERVERS, Fleet, running_fleet, why_not


def cost(fleet: Fleet, verb: str) -> tuple[Counter[str], Counter[str]]:
    """Connections and requests that a command made, by host."""
    connections, requests = fleet.connections(), fleet.requests()
    fleet.run(verb)
    return fleet.connections() - connections, fleet.requests() - requests


@pytest.fixture(scope="module", params=[SERVERS, 9], ids=lambda count: f"{count} hosts")
def bare(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    if reason := why_not():
        pytest.skip(reason)
    with running_fleet(request.param) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def formed(bare: Fleet) -> Fleet:
    """The same hosts as an apply leaves them."""
    bare.run("apply")
    return bare


def each(fleet: Fleet, count: int) -> Counter[str]:
    return Counter(dict.fromkeys(fleet.names, count))


def test_preflight_asks_each_host_for_its_facts_and_for_its_peers(bare: Fleet) -> None:
    assert cost(bare, "preflight") == (each(bare, 1), each(bare, 2))


def test_a_plan_with_nothing_to_do_is_one_request_of_each_host(formed: Fleet) -> None:
    assert cost(formed, "plan") == (each(formed, 1), each(formed, 1))


def test_an_apply_with_nothing_to_do_reads_the_facts_once(formed: Fleet) -> None:
    """What the plan has seen is what is verified; then each host is asked what has taken effect,
    and one server for the kubeconfig and about pods."""
    twice = each(formed, 2)
    asked = twice + Counter({formed.names[0]: 2})

    assert cost(formed, "apply") == (twice, asked)
    assert formed.json("apply")["verification"]["ssh_requests"] == asked


def test_what_was_changed_in_between_is_seen(formed: Fleet) -> None:
    """Nothing is kept from one command to the next."""
    node = formed.shared / "nodes" / formed.names[1]
    content = node.read_text()
    node.unlink()
    try:
        assert formed.json("status")["quorum"] is True
        assert formed.run("plan", accepted=(10,)).returncode == 10
    finally:
        node.write_text(content)
    assert formed.run("plan").returncode == 0
