"""Sections of a cluster file: free settings of K3S."""

from tests.unit.k3s.cluster_file.conftest import Findings


def test_a_wrong_setting_is_one_finding_and_hides_no_other(findings: Findings) -> None:
    config = {"etcd-arg": {"a": 1}, "token": "x", "kubelet_arg": ["y"], "v": 1.5, "debug": [[1]]}
    found = findings({"k3s.config": config})
    kind = "should be a text, a whole number, true, false, or a list of texts"
    assert found == {
        "k3s.config.etcd-arg": kind,
        "k3s.config.token": "is xOps' own to set: use this file's own key for it",
        "k3s.config.kubelet_arg": "is no key of K3S: they are written like-this",
        "k3s.config.v": f"{kind} (found 1.5)",
        "k3s.config.debug": kind,
    }


def test_settings_of_agents_are_ones_that_agents_know(findings: Findings) -> None:
    good = {"flannel-iface": "eth1", "kubelet-arg+": ["max-pods=50"], "selinux": True, "v": 2}
    assert findings({"k3s.agent_config": good}) == {}
    wrong = {"flanel-iface": "eth1", "etcd-arg": ["a=b"], "node-ip": "10.0.0.1", "docker": 1.5}
    assert findings({"k3s.agent_config": wrong}) == {
        "k3s.agent_config.flanel-iface": "is no key of K3S' agents, which would skip it",
        "k3s.agent_config.etcd-arg": "is no key of K3S' agents, which would skip it",
        "k3s.agent_config.node-ip": "is xOps' own to set: use this file's own key for it",
        "k3s.agent_config.docker": (
            "should be a text, a whole number, true, false, or a list of texts (found 1.5)"
        ),
    }
