"""From facts to a plan: what would be done on which host, and what a person reads of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.k3s_hosts import (
    CLUSTER_ID,
    TOKENS,
    all_bare,
    artifacts,
    bare,
    cluster,
    desired,
    file_facts,
    installed,
    node,
    rewritten,
)
from xops.core.plan.model import Action
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node.managed_file import SecretFiles
from xops.k3s.operations.plan import Desired, HostPlan, K3sPlan, Membership, plan_cluster
from xops.k3s.release.lock import Kind
from xops.k3s.state.facts import FileFacts, HostFacts

MANIFESTS = f"/var/lib/rancher/k3s/{paths.MANIFESTS}"
OF = cluster(3, agents=1, hardening={"profile": "none"})
CIS = cluster(1)
WHOLE = installed(OF)
WHOLE_CIS = installed(CIS)


def planned(
    seen: Mapping[str, HostFacts], of: Cluster = OF, wanted: Desired | None = None
) -> K3sPlan:
    return plan_cluster(of, seen, wanted or desired())


def part(seen: Mapping[str, HostFacts], name: str, wanted: Desired | None = None) -> HostPlan:
    return planned(seen, wanted=wanted).of(OF.host(name))


def lines(made: K3sPlan, host: str) -> list[tuple[str, str, str]]:
    """What a person reads of one host, without the host's name."""
    mine = [change for change in made.plan.changes if change.target.startswith(f"{host}: ")]
    return [(row.action.value, row.target.removeprefix(f"{host}: "), row.reason) for row in mine]


def with_node(seen: Mapping[str, HostFacts], host_name: str, **values: Any) -> dict[str, HostFacts]:
    """The same cluster; one of its nodes is otherwise."""
    nodes = tuple(
        replace(each, **values) if each.name == host_name else each
        for each in seen["server-1"].nodes or ()
    )
    return {
        host: replace(each, nodes=nodes) if each.nodes is not None else each
        for host, each in seen.items()
    }


def with_file(seen: HostFacts, path: str, content: str, mode: int = 0o600) -> HostFacts:
    return replace(seen, files={**seen.files, path: file_facts(content, mode)})


# Nothing to do


def test_a_cluster_as_it_should_be_is_left_alone() -> None:
    made = planned(WHOLE)

    assert made.plan.is_empty
    assert all(each.is_empty for each in made.hosts)


def test_what_the_plan_does_not_look_at_does_not_change_its_digest() -> None:
    other = {
        name: replace(each, clock=each.clock + 60, fsync_p99_ms=9.0, disk_free_gib=1.0)
        for name, each in all_bare(OF).items()
    }

    assert planned(other).plan.digest == planned(all_bare(OF)).plan.digest


# The first apply


def test_all_that_bare_hosts_get() -> None:
    made = planned(all_bare(OF))

    assert lines(made, "server-1") == [
        ("create", "/etc/rancher/k3s/agent-token", "mode 0600, content not shown"),
        ("create", "/etc/rancher/k3s/config.yaml", "missing"),
        ("create", "/etc/rancher/k3s/token", "mode 0600, content not shown"),
        ("create", "/etc/systemd/system/k3s.service", "missing"),
        ("create", "/usr/local/bin/k3s", "k3s of the lock file"),
        ("create", "k3s", "starts: initialises the cluster"),
    ]
    assert lines(made, "server-2")[-1] == ("create", "k3s", "starts: joins the cluster")
    assert lines(made, "agent-1")[-1] == ("create", "k3s-agent", "starts: joins the cluster")
    assert "/etc/rancher/k3s/agent-token" not in [target for _, target, _ in lines(made, "agent-1")]
    assert [each.joins for each in made.hosts] == [True] * 4
    assert (made.plan.subject, made.plan.target) == ("k3s/unit", "hosts")


def test_a_person_reads_all_that_an_apply_writes_and_removes() -> None:
    of = cluster(1, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    seen = with_file(bare(of.host("server-1")), paths.SYSCTL, "old")
    (mine,) = planned({"server-1": seen}, of, desired(images=artifacts(Kind.IMAGES))).hosts
    read = {row.target.removeprefix("server-1: "): row.after for row in mine.changes}

    for file in mine.files:
        assert read.pop(file.path) == {"content": file.content, "mode": f"{file.mode:04o}"}
    for path in mine.tokens:
        assert read.pop(path) == {"content": "a token"}
    assert mine.binary is not None
    assert mine.images is not None
    assert read.pop(paths.BINARY)["sha256"] == mine.binary.sha256
    assert read.pop(mine.images.name) == {"sha256": mine.images.sha256}
    assert mine.removed == (paths.SYSCTL,)
    assert read.pop(paths.SYSCTL) is None
    assert read == {"k3s": {"state": "active"}}


def test_no_token_stands_in_a_plan() -> None:
    shown = planned(all_bare(OF)).plan.model_dump_json()

    assert TOKENS.server not in shown
    assert TOKENS.agent not in shown


@pytest.mark.parametrize(
    ("secrets", "path"),
    [
        (SecretFiles(registries="password: canary\n"), paths.REGISTRIES),
        (SecretFiles(snapshot_keys="key: canary\n"), f"{MANIFESTS}/xops-etcd-s3.yaml"),
    ],
)
def test_no_password_stands_in_a_plan(secrets: SecretFiles, path: str) -> None:
    wanted = desired(secrets=secrets)
    made = planned(all_bare(OF), wanted=wanted)
    again = {name: with_file(each, path, "other") for name, each in WHOLE.items()}

    assert "canary" not in made.plan.model_dump_json()
    assert "canary" not in planned(again, wanted=wanted).plan.model_dump_json()


# What differs


@pytest.mark.parametrize("host", ["server-2", "agent-1"])
@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        (lambda each: rewritten(each, v=4), True),
        (lambda each: rewritten(each, server="https://10.0.0.99:6443"), False),
        (
            lambda each: replace(
                each, contents={}, files={**each.files, paths.CONFIG: file_facts("!")}
            ),
            True,
        ),
    ],
)
def test_a_configuration_that_was_changed_by_hand_is_put_back(
    host: str, change: object, restarts: bool
) -> None:
    assert callable(change)
    seen = {**WHOLE, host: change(WHOLE[host])}
    mine = part(seen, host)

    assert [file.path for file in mine.files] == [paths.CONFIG]
    assert (mine.restarts, mine.starts, mine.joins) == (restarts, False, False)
    assert [each.host.name for each in planned(seen).hosts if not each.is_empty] == [host]


@pytest.mark.parametrize(
    "wrong",
    [file_facts("x", 0o600), file_facts("x", 0o755)],
)
def test_another_binary_is_replaced_and_read(wrong: FileFacts) -> None:
    files = {**WHOLE["server-3"].files, paths.BINARY: wrong}
    seen = {**WHOLE, "server-3": replace(WHOLE["server-3"], files=files, version="v1.36.0+k3s1")}
    made = planned(seen)

    assert lines(made, "server-3") == [
        ("update", "/usr/local/bin/k3s", "k3s of the lock file"),
        ("update", "k3s", "restarts: reads the new binary"),
    ]
    (binary, _) = made.plan.changes
    assert binary.before["version"] == "v1.36.0+k3s1"
    assert binary.after["version"] == "v1.36.4+k3s1"


def test_a_mode_or_an_owner_is_put_right() -> None:
    unit = "/etc/systemd/system/k3s.service"
    right = WHOLE["server-1"].files[unit]
    for wrong in (replace(right, mode="666"), replace(right, owner="admin:admin")):
        files = {**WHOLE["server-1"].files, unit: wrong}
        mine = part({**WHOLE, "server-1": replace(WHOLE["server-1"], files=files)}, "server-1")
        assert [file.path for file in mine.files] == [unit]


def test_a_file_of_the_kernel_s_is_written_without_a_restart() -> None:
    files = {path: f for path, f in WHOLE_CIS["server-1"].files.items() if path != paths.SYSCTL}
    (mine,) = planned({"server-1": replace(WHOLE_CIS["server-1"], files=files)}, CIS).hosts

    assert [file.path for file in mine.files] == [paths.SYSCTL]
    assert not mine.restarts


def test_what_was_written_and_not_read_is_still_a_restart() -> None:
    """An apply was killed between writing the files and telling the service."""
    seen = {**WHOLE, "server-2": with_file(WHOLE["server-2"], paths.UNREAD, "")}
    made = planned(seen)

    assert lines(made, "server-2") == [("update", "k3s", "restarts: reads its configuration anew")]


@pytest.mark.parametrize(
    ("path", "restarts"),
    [
        (paths.REGISTRIES, True),
        (paths.SYSCTL, False),
        ("/var/lib/rancher/k3s/server/manifests/xops-kube-vip.yaml", False),
    ],
)
def test_what_is_no_longer_wanted_is_removed(path: str, restarts: bool) -> None:
    mine = part({**WHOLE, "server-1": with_file(WHOLE["server-1"], path, "old")}, "server-1")

    assert mine.removed == (path,)
    assert mine.restarts is restarts


def test_a_removal_is_a_destroy_and_waits_for_a_person() -> None:
    made = planned({**WHOLE, "server-1": with_file(WHOLE["server-1"], paths.SYSCTL, "old")})

    assert [change.action for change in made.plan.destroys] == [Action.DELETE]


# Services


@pytest.mark.parametrize(
    ("active", "starts"),
    [("active", False), ("activating", True), ("failed", True), ("inactive", True)],
)
def test_a_service_that_does_not_run_is_started(active: str, starts: bool) -> None:
    service = WHOLE["server-2"].service
    assert service is not None
    down = replace(WHOLE["server-2"], service=replace(service, active=active))
    mine = part({**WHOLE, "server-2": down}, "server-2")

    assert (mine.starts, mine.restarts, mine.joins) == (starts, False, False)


def test_a_service_that_is_gone_is_started() -> None:
    mine = part({**WHOLE, "server-2": replace(WHOLE["server-2"], service=None)}, "server-2")

    assert mine.starts


@pytest.mark.parametrize(
    ("name", "values", "waits"),
    [
        ("server-2", {"ready": False}, True),
        ("server-2", {"voter": False}, True),
        ("server-2", {"voter": None}, True),
        ("server-2", {"name": "stranger"}, True),
        ("agent-1", {"ready": False}, True),
        ("agent-1", {"voter": None}, False),
    ],
)
def test_a_node_that_is_not_as_it_should_be_is_waited_for(
    name: str, values: dict[str, Any], waits: bool
) -> None:
    made = planned(with_node(WHOLE, name, **values))
    mine = made.of(OF.host(name))

    assert (mine.membership is Membership.UNREADY) is waits
    assert (mine.starts, mine.restarts) == (False, False)
    expected = [("update", "node", "is waited for")] if waits else []
    assert lines(made, name) == expected


# Tokens


@pytest.mark.parametrize(
    ("content", "differs"),
    [
        (TOKENS.server, False),
        (f"K10{CLUSTER_ID}::server:{TOKENS.server}", False),
        (f"K10{'0' * 64}::server:{TOKENS.server}", True),
        ("another", True),
    ],
)
def test_a_server_s_token_is_right_with_and_without_the_ca_s_hash(
    content: str, differs: bool
) -> None:
    seen = {**WHOLE, "server-2": with_file(WHOLE["server-2"], paths.TOKEN, f"{content}\n")}

    assert part(seen, "server-2").tokens == ((paths.TOKEN,) if differs else ())


@pytest.mark.parametrize("host", ["server-1", "agent-1"])
def test_a_token_that_others_may_read_is_written_anew(host: str) -> None:
    token = f"{TOKENS.server}\n"
    seen = {**WHOLE, host: with_file(WHOLE[host], paths.TOKEN, token, 0o644)}

    assert part(seen, host).tokens == (paths.TOKEN,)


def test_without_tokens_here_those_of_the_hosts_count() -> None:
    """They are taken over at the apply."""
    seen = {**WHOLE, "server-2": with_file(WHOLE["server-2"], paths.TOKEN, "another\n")}

    assert planned(seen, wanted=desired(tokens=None)).plan.is_empty


def test_an_agent_that_has_joined_needs_no_token_any_more() -> None:
    seen = {**WHOLE, "agent-1": with_file(WHOLE["agent-1"], paths.TOKEN, "long over\n")}

    assert planned(seen).plan.is_empty


def test_an_agent_that_never_joined_gets_a_fresh_token() -> None:
    """One that a killed apply left may be over by now."""
    left = with_file(bare(OF.host("agent-1")), paths.TOKEN, "from an hour ago\n")

    assert part({**WHOLE, "agent-1": left}, "agent-1").tokens == (paths.TOKEN,)


# Images


@pytest.mark.parametrize(
    ("found", "brought"),
    [("right", False), ("cut off", True), ("older", True), ("none", True)],
)
def test_images_are_known_by_name_and_size(found: str, brought: bool) -> None:
    of = cluster(1, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    wanted = desired(images=artifacts(Kind.IMAGES))
    seen = installed(of, wanted)["server-1"]
    ((path, size),) = seen.images.items()
    images = {
        "right": {path: size},
        "cut off": {path: size - 1},
        "older": {path.replace("xops-", "xops-0"): size},
        "none": {},
    }[found]
    (mine,) = planned({"server-1": replace(seen, images=images)}, of, wanted).hosts

    assert (mine.images is not None) is brought
    assert (mine.starts, mine.restarts) == (False, False)  # K3S takes them in while it runs


def test_each_architecture_gets_its_own_files() -> None:
    hosts = [
        {"name": "a", "address": "10.0.0.1", "role": "server"},
        {"name": "b", "address": "10.0.0.2", "role": "agent", "arch": "arm64"},
    ]
    of = cluster(hosts=hosts, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    made = planned(all_bare(of), of, desired(images=artifacts(Kind.IMAGES)))

    assert "k3s-airgap-images-amd64.tar.gz" in [target for _, target, _ in lines(made, "a")]
    assert "k3s-airgap-images-arm64.tar.gz" in [target for _, target, _ in lines(made, "b")]
    reasons = {reason for _, target, reason in lines(made, "b") if target == paths.BINARY}
    assert reasons == {"k3s-arm64 of the lock file"}


# Disks that were lost


@pytest.mark.parametrize("name", ["server-1", "server-3", "agent-1"])
def test_an_earlier_life_of_a_host_is_forgotten_first(name: str) -> None:
    made = planned({**WHOLE, name: bare(OF.host(name))})
    mine = made.of(OF.host(name))

    assert (mine.joins, mine.rejoins) == (True, True)
    assert made.topology.initialising_server is None
    assert lines(made, name)[0] == (
        "delete",
        "node",
        "its disk was lost: the cluster must forget its earlier member before it joins anew",
    )
    assert [each.host.name for each in made.hosts if each.rejoins] == [name]


def test_a_new_host_is_no_earlier_one() -> None:
    seen = installed(OF, without=["server-3", "agent-1"])

    for name in ("server-3", "agent-1"):
        assert (part(seen, name).joins, part(seen, name).rejoins) == (True, False)


def test_an_unknown_node_is_no_stale_one() -> None:
    """With no API nobody can say what the cluster knows."""
    seen = {name: replace(each, nodes=None) for name, each in WHOLE.items()}
    seen["server-3"] = bare(OF.host("server-3"))

    assert not part(seen, "server-3").rejoins


def test_the_node_of_a_host_that_joins_is_not_waited_for_twice() -> None:
    nodes = (node(OF.host("server-1")),)
    seen = {**WHOLE, "server-1": replace(WHOLE["server-1"], nodes=nodes)}
    seen = {**seen, "server-2": bare(OF.host("server-2"))}

    assert part(seen, "server-2").membership is Membership.JOINS
