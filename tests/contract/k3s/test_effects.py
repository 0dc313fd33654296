"""An apply is no success before what it wrote is seen at work, on hosts in memory."""

import pytest

from tests.contract.k3s.hosts_in_memory import World
from tests.contract.k3s.lab import Lab, MakeLab
from tests.k3s_release import VERSION
from xops.core.errors import PermanentError
from xops.core.lifecycle.steps import OutcomeStatus
from xops.k3s.operations.status import EffectsNow
from xops.k3s.operations.verify import UnsteadyClusterError

VIP = "192.0.2.100"
SERVICE = "10.43.0.10"
PULL = ("ImagePullBackOff", 'Back-off pulling image "rancher/mirrored-coredns-coredns:1.12.3"')


def unsteady(here: Lab) -> UnsteadyClusterError:
    with pytest.raises(UnsteadyClusterError) as caught:
        here.apply()
    return caught.value


def seen(here: Lab) -> dict[str, str]:
    """What a verification tells."""
    outcome = here.apply()
    assert outcome.verification is not None
    return outcome.verification.rows()


def pod_address(world: World, name: str) -> str:
    return world.machines[name].pod_address


def test_a_cluster_at_work_says_what_was_seen(lab: MakeLab) -> None:
    here = lab(3, 1)
    told = seen(here)
    address = pod_address(here.world, "server-1")

    assert told["version"] == f"{here.cluster.k3s.version} runs on every host"
    assert told["pod network"] == "flannel has the right address of every host"
    assert told["cluster DNS"] == (
        f"1 of 1 pods available; CoreDNS answers every host at {address} on server-1 and at"
        f" {SERVICE}; server-1 asked its own pod only"
    )
    assert "VIP" not in told
    assert here.record["verification"]["effects"] == {
        name: told[name] for name in ("version", "pod network", "cluster DNS")
    }


def test_each_host_is_asked_once_and_one_server_about_pods(lab: MakeLab) -> None:
    here = lab(3, 2)
    here.apply()
    here.world.forget_events()
    here.apply()

    assert here.world.seen("workloads") == ["server-1: workloads"]
    assert sorted(here.world.seen("effects")) == [
        f"{name}: effects" for name in sorted(here.world.machines)
    ]


def test_of_one_host_nothing_is_said_about_the_network_between_nodes(lab: MakeLab) -> None:
    assert "nothing shows the way between nodes" in seen(lab(1))["cluster DNS"]


def test_a_host_that_pods_of_another_node_do_not_answer_is_named(lab: MakeLab) -> None:
    here = lab(3, 2)
    address = pod_address(here.world, "server-1")
    here.machine("agent-2").hears_nothing_of.add(address)

    error = unsteady(here)
    assert error.found == (
        f"CoreDNS: its pod on server-1 ({address} port 53) does not answer agent-2 (silent)"
    )
    assert "UDP port 8472" in error.remedy
    assert here.record["status"] == "failed"

    here.machine("agent-2").hears_nothing_of.clear()
    assert here.apply().status is OutcomeStatus.UNCHANGED


def test_a_service_that_leads_nowhere_is_kube_proxy_s(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.machine("agent-1").hears_nothing_of.add(SERVICE)

    error = unsteady(here)
    assert (
        error.found == f"CoreDNS: its Service ({SERVICE} port 53) does not answer agent-1 (silent)"
    )
    assert "kube-proxy" in error.remedy


def test_a_host_that_cannot_ask_is_unknown_and_said_so(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.machine("agent-1").cannot_ask = True

    told = seen(here)["cluster DNS"]
    assert "CoreDNS answers server-1 only at" in told
    assert "unknown from agent-1: no program to ask with" in told


def test_coredns_without_its_image_is_a_finding_with_kubernetes_words(lab: MakeLab) -> None:
    here = lab(1)
    here.world.dns_trouble = PULL

    error = unsteady(here)
    assert error.found == (
        f"CoreDNS: 0 of 1 pods are available; pod coredns-0 on server-1: {PULL[0]}: {PULL[1]}"
    )
    assert "bundle" in error.remedy
    # Nobody is asked at the address of a pod that is not there.
    (asked,) = [text for text in here.world.scripts if "what its API says of itself" in text]
    assert "PAIRS=''" in asked


def test_coredns_that_was_never_made_is_told(lab: MakeLab) -> None:
    here = lab(1)
    here.world.dns_deployed = False

    assert unsteady(here).found == "CoreDNS: kube-system has no Deployment coredns"


def test_a_cluster_without_coredns_is_not_asked_for_it(lab: MakeLab) -> None:
    here = lab(1, 1, k3s={"version": VERSION, "disable": ["coredns"]})
    here.world.dns_deployed = False

    assert seen(here)["cluster DNS"] == "left out by k3s.disable"


def test_a_process_that_is_older_than_its_program_is_told(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.apply()
    here.machine("server-1").runs = "v1.33.9+k3s1"

    found = unsteady(here).found
    assert f"server-1 runs v1.33.9+k3s1, not {here.cluster.k3s.version}" in found


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        ("", "agent-1 has no address of flannel's: nobody sends packets to its pods"),
        ("203.0.113.9", None),  # an address that is on none of its interfaces: nobody can tell
    ],
)
def test_a_node_that_flannel_has_not_reached_is_told(
    lab: MakeLab, taken: str, says: str | None
) -> None:
    here = lab(1, 1)
    here.machine("agent-1").flannel_address = taken

    if says is None:
        here.apply()
    else:
        assert unsteady(here).found == says


def vip(lab: MakeLab) -> Lab:
    """A cluster at work that has a VIP; only a status is asked of it, which asks nothing itself."""
    here = lab(3, 1)
    here.apply()
    here.change(endpoint={"kind": "vip", "address": VIP})
    return here


def effects_now(here: Lab) -> EffectsNow:
    found = here.steps.status().effects
    assert found is not None
    return found


def test_the_vip_answers_every_host(lab: MakeLab) -> None:
    found = effects_now(vip(lab))

    assert found.seen["VIP"] == f"{VIP} answers every host; kube-vip is Ready on every server"
    assert (found.wrong, found.failed) == ((), {})


def test_a_vip_that_is_silent_names_who_got_no_answer(lab: MakeLab) -> None:
    here = vip(lab)
    for name in ("server-2", "agent-1"):
        here.machine(name).hears_nothing_of.add(VIP)

    (wrong,) = effects_now(here).wrong
    assert wrong.found == (
        f"the VIP {VIP} port 6443 does not answer server-2 (silent), agent-1 (silent)"
    )


def test_kube_vip_that_is_not_ready_is_told_with_its_server(lab: MakeLab) -> None:
    here = vip(lab)
    here.world.vip_trouble["server-3"] = ("ErrImagePull", "no such host")

    (wrong,) = effects_now(here).wrong
    assert wrong.found == (
        "kube-vip on server-3: pod kube-vip-server-3 on server-3: ErrImagePull: no such host"
    )
    assert "image" in wrong.remedy


def test_an_answer_about_pods_that_is_cut_off_is_an_error(lab: MakeLab) -> None:
    here = lab(1)
    here.world.pods_cut_off = True

    with pytest.raises(PermanentError, match="its answer ends after"):
        here.apply()


def test_a_status_shows_it_and_waits_for_nothing(lab: MakeLab) -> None:
    here = lab(1, 1)
    here.apply()
    here.world.dns_trouble = PULL
    here.world.forget_events()
    status = here.steps.status().to_json()["effects"]

    assert "ImagePullBackOff" in status["seen"]["cluster DNS"]
    assert [row["found"] for row in status["wrong"]] == [status["seen"]["cluster DNS"]]
    assert status["failed"] == {}
    (script,) = [text for text in here.world.scripts if text.startswith("# On a server: what")]
    assert "LIMIT=0\n" in script


def test_a_status_tells_a_server_that_says_nonsense_about_pods(lab: MakeLab) -> None:
    here = lab(1)
    here.apply()
    here.world.pods_cut_off = True
    status = here.steps.status()

    assert status.has_quorum is True
    assert status.effects is not None
    assert "its answer ends after" in status.effects.failed["server-1"]


def test_a_status_speaks_for_no_host_that_is_down(lab: MakeLab) -> None:
    here = lab(1, 2)
    here.apply()
    here.world.unreachable.add("agent-2")
    found = effects_now(here).seen

    assert found["version"] == f"{here.cluster.k3s.version} runs on server-1, agent-1 only"
    assert "CoreDNS answers server-1, agent-1 only at" in found["cluster DNS"]


def test_a_status_of_a_cluster_whose_api_is_down_knows_of_no_effects(lab: MakeLab) -> None:
    here = lab(1)
    here.apply()
    here.machine("server-1").active = "failed"

    assert here.steps.status().to_json()["effects"] is None
