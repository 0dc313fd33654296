"""From facts to a plan: what would be done on which host, and what a person reads of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    member,
    node,
    rewritten,
    row,
    with_members,
)
from tests.plans import KEY
from xops.core.plan.coverage import find_uncovered
from xops.core.plan.model import Action, Change
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.k3s_keys import KEYS
from xops.k3s.node.managed_file import SecretContent, SecretFiles
from xops.k3s.operations.compare import (
    Desired,
    HostDifference,
    Membership,
    images_path,
)
from xops.k3s.operations.host_operations import staged_path
from xops.k3s.operations.operation import ServiceStep, Stage
from xops.k3s.operations.plan import K3sPlan, plan_cluster
from xops.k3s.release.lock import Kind
from xops.k3s.state.facts import FileFacts, HostFacts

MANIFESTS = f"/var/lib/rancher/k3s/{paths.MANIFESTS}"
OF = cluster(3, agents=1, hardening={"profile": "none"})
CIS = cluster(1)
ONCE_JOINED = (
    f"once the others have joined; cluster-init: in place ({KEYS['cluster-init'].reason});"
    f" server: in place ({KEYS['server'].reason})"
)
WHOLE = installed(OF)
STAGED = staged_path(artifacts(Kind.BINARY)["amd64"])
WHOLE_CIS = installed(CIS)


def planned(
    seen: Mapping[str, HostFacts], of: Cluster = OF, wanted: Desired | None = None
) -> K3sPlan:
    return plan_cluster(of, seen, wanted or desired())


def part(seen: Mapping[str, HostFacts], name: str, wanted: Desired | None = None) -> HostDifference:
    return planned(seen, wanted=wanted).of(OF.host(name))


def rows(made: K3sPlan, host: str) -> list[Change]:
    """The rows of one host."""
    return [each for each in made.plan.changes if each.target.startswith(f"{host}: ")]


def touched(made: K3sPlan) -> list[str]:
    """Hosts that operations are about."""
    found = (each.host.name for each in made.operations() if each.host)
    return list(dict.fromkeys(found))


def lines(made: K3sPlan, host: str) -> list[tuple[str, str, str]]:
    """What a person reads of one host, without the host's name."""
    return [
        (row.action.value, row.target.removeprefix(f"{host}: "), row.reason)
        for row in rows(made, host)
    ]


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
    assert made.turns == ()


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
        ("create", STAGED, "brought beside the one that runs"),
        ("create", "/etc/rancher/k3s/config.yaml", "missing"),
        ("create", "/etc/systemd/system/k3s.service", "missing"),
        ("create", "/etc/rancher/k3s/token", "a token, whose content is not shown"),
        ("create", "/etc/rancher/k3s/agent-token", "a token, whose content is not shown"),
        ("create", "/usr/local/bin/k3s", "k3s of the lock file"),
        ("create", "k3s", "starts: initialises the cluster"),
        ("create", "node", "is waited for"),
        ("update", "/etc/rancher/k3s/config.yaml", ONCE_JOINED),
    ]
    assert lines(made, "server-2")[-2] == ("create", "k3s", "starts: joins the cluster")
    assert lines(made, "agent-1")[-2] == ("create", "k3s-agent", "starts: joins the cluster")
    assert "/etc/rancher/k3s/agent-token" not in [target for _, target, _ in lines(made, "agent-1")]
    assert [each.joins for each in made.hosts] == [True] * 4
    assert (made.plan.subject, made.plan.target) == ("k3s/unit", "hosts")
    assert made.plan.stages == (Stage.SERVERS, Stage.AGENTS, Stage.FILES)
    assert made.plan.key == KEY.id


def test_once_the_others_have_joined_the_first_server_knows_one_of_them() -> None:
    made = planned(all_bare(OF))
    (written,) = [row for row in made.plan.changes if row.reason == ONCE_JOINED]
    before, after = (yaml.safe_load(side["content"]) for side in (written.before, written.after))

    assert written.target == f"server-1: {paths.CONFIG}"
    assert before.pop("cluster-init") is True
    assert after.pop("server") == "https://10.0.0.12:6443"
    assert before == after
    for side in (written.before, written.after):
        keys = list(yaml.safe_load(side["content"]))
        assert keys == sorted(keys)


def test_what_a_bare_disk_says_of_an_earlier_cluster_is_not_written_again() -> None:
    """Another installation has left a config.yaml there, but no data."""
    old = "server: https://10.0.0.13:6443\n"
    left = replace(with_file(bare(OF.host("server-1")), paths.CONFIG, old), contents={
        paths.CONFIG: old
    })  # fmt: skip
    rows = planned({**all_bare(OF), "server-1": left}).plan.changes

    assert rows[-1] == planned(all_bare(OF)).plan.changes[-1]


@pytest.mark.parametrize(
    ("init", "unit"),
    [("systemd", "/etc/systemd/system/k3s.service"), ("openrc", "/etc/init.d/k3s")],
)
def test_what_an_apply_needs_to_know_of_a_host(init: str, unit: str) -> None:
    seen = replace(bare(OF.host("server-1")), init=init, addresses=frozenset({"10.0.0.99"}))
    mine = part({**all_bare(OF), "server-1": seen}, "server-1")

    assert (mine.unit, mine.addresses) == (unit, frozenset({"10.0.0.99"}))


CACHE = "/var/lib/rancher/k3s/agent/images/.cache.json"


@pytest.mark.parametrize(("content", "mode"), [("{}\n", 0o644), ('{"a": {"size": 1}}', 0o600)])
def test_what_k3s_notes_of_its_images_is_left_to_it(content: str, mode: int) -> None:
    of = cluster(1, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    wanted = desired(images=artifacts(Kind.IMAGES))
    whole = installed(of, wanted)["server-1"]
    rewritten_by_k3s = replace(whole, files={**whole.files, CACHE: file_facts(content, mode)})
    missing = {path: file for path, file in whole.files.items() if path != CACHE}

    assert planned({"server-1": rewritten_by_k3s}, of, wanted).plan.changes == ()
    (change,) = planned({"server-1": replace(whole, files=missing)}, of, wanted).plan.changes
    assert (change.target, change.reason) == (f"server-1: {CACHE}", "missing")


def test_a_note_of_images_is_not_begun_with_a_release_that_takes_their_pins_off() -> None:
    of = cluster(
        1,
        hardening={"profile": "none"},
        air_gap={"bundle": Path("b.tar")},
        k3s={"version": "v1.36.2+k3s1"},
    )
    (mine,) = planned({"server-1": bare(of.hosts[0])}, of, desired()).hosts

    assert CACHE not in {file.path for file in mine.files}


def test_a_person_reads_all_that_an_apply_writes_and_removes() -> None:
    of = cluster(1, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    seen = with_file(bare(of.host("server-1")), paths.SYSCTL, "old")
    made = planned({"server-1": seen}, of, desired(images=artifacts(Kind.IMAGES)))
    (mine,) = made.hosts
    read = {row.target.removeprefix("server-1: "): row.after for row in made.plan.changes}

    for file in mine.files:
        assert read.pop(file.path) == {
            "content": file.content,
            "mode": f"{file.mode:04o}",
            "owner": "root:root",
        }
    for path, token in zip(mine.tokens, (TOKENS.server, TOKENS.agent), strict=True):
        assert read.pop(path) == {"content": KEY.hide(token), "mode": "0600", "owner": "root:root"}
    assert mine.binary is not None
    assert mine.images is not None
    assert read.pop(staged_path(mine.binary)) == {"sha256": mine.binary.sha256, "mode": "0755"}
    assert read.pop(paths.BINARY) == {
        "version": of.k3s.version,
        "sha256": mine.binary.sha256,
        "mode": "0755",
    }
    assert read.pop(images_path(of, mine.images)) == {
        "sha256": mine.images.sha256,
        "mode": "0644",
    }
    assert mine.removed == (paths.SYSCTL,)
    assert read.pop(paths.SYSCTL) is None
    assert read == {"k3s": {"state": "active"}, "node": {"ready": True, "voter": True}}


def test_no_token_stands_in_a_plan() -> None:
    shown = planned(all_bare(OF)).plan.model_dump_json()

    assert TOKENS.server not in shown
    assert TOKENS.agent not in shown


@pytest.mark.parametrize(
    ("secrets", "path"),
    [
        (
            SecretFiles(registries=SecretContent("password: canary\n", ("canary",))),
            paths.REGISTRIES,
        ),
        (
            SecretFiles(snapshot_keys=SecretContent("key: canary\n", ("canary",))),
            f"{MANIFESTS}/xops-etcd-s3.yaml",
        ),
    ],
)
def test_no_password_stands_in_a_plan(secrets: SecretFiles, path: str) -> None:
    wanted = desired(secrets=secrets)
    made = planned(all_bare(OF), wanted=wanted)
    (shown,) = {str(row.after) for row in made.plan.changes if row.target.endswith(path)} - {""}
    assert str(KEY.hide("canary")) in shown
    again = {name: with_file(each, path, "other") for name, each in WHOLE.items()}

    assert "canary" not in made.plan.model_dump_json()
    assert "canary" not in planned(again, wanted=wanted).plan.model_dump_json()


# In which stage


def stopped(name: str) -> HostFacts:
    """The host, whose service has failed."""
    service = WHOLE[name].service
    assert service is not None
    return replace(WHOLE[name], service=replace(service, active="failed"))


def stage_of(made: K3sPlan, name: str) -> Stage:
    """The stage of the host, which is that of all its changes."""
    (stage,) = {row.stage for row in rows(made, name)}
    return Stage(stage)


def test_a_host_has_its_turn_in_one_stage() -> None:
    unready = with_node(WHOLE, "server-2", ready=False)
    agent_too = with_node(unready, "agent-1", ready=False)
    waiting = planned(agent_too)
    assert [stage_of(waiting, name) for name in ("server-2", "agent-1")] == [Stage.NODES] * 2

    file = with_file(agent_too["server-1"], paths.SYSCTL, "old")
    busy = planned({**agent_too, "server-1": file, "server-3": stopped("server-3")})
    assert [stage_of(busy, host.name) for host in OF.hosts] == [
        Stage.FILES, Stage.SERVERS, Stage.SERVERS, Stage.NODES,
    ]  # fmt: skip
    agent_busy = planned({**unready, "agent-1": stopped("agent-1")})
    assert [stage_of(agent_busy, name) for name in ("server-2", "agent-1")] == [
        Stage.NODES, Stage.AGENTS,
    ]  # fmt: skip


def test_images_come_before_all_else_whatever_else_is_done() -> None:
    of = cluster(1, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    made = planned(all_bare(of), of, desired(images=artifacts(Kind.IMAGES)))
    first, *others = made.plan.changes

    assert (first.stage, first.turn) == (Stage.IMAGES, 1)
    assert first.reason == "brought before K3S changes anywhere"
    assert first.target.startswith("server-1: /var/lib/rancher/k3s/agent/images/xops-")
    assert {row.stage for row in others} == {Stage.SERVERS}


# What differs


@pytest.mark.parametrize("host", ["server-2", "agent-1"])
@pytest.mark.parametrize(
    ("change", "restarts", "why"),
    [
        (lambda each: rewritten(each, v=4), True, f"v: restart ({KEYS['v'].reason})"),
        (
            lambda each: rewritten(each, server="https://10.0.0.99:6443"),
            False,
            f"server: in place ({KEYS['server'].reason})",
        ),
        (
            lambda each: replace(
                each, contents={}, files={**each.files, paths.CONFIG: file_facts("!")}
            ),
            True,
            "restart: what it says now cannot be read",
        ),
    ],
    ids=["read-at-a-start", "in-place", "unreadable"],
)
def test_a_configuration_that_was_changed_by_hand_is_put_back(
    host: str, change: object, restarts: bool, why: str
) -> None:
    assert callable(change)
    seen = {**WHOLE, host: change(WHOLE[host])}
    mine = part(seen, host)
    row = one(planned(seen), host, paths.CONFIG)
    known = seen[host].contents.get(paths.CONFIG)
    sha256 = seen[host].files[paths.CONFIG].sha256

    assert row.before == ({"sha256": sha256} if known is None else {"content": known})
    assert (row.after, row.reason) == ({"content": mine.files[0].content}, f"differs; {why}")
    assert [file.path for file in mine.files] == [paths.CONFIG]
    assert (mine.restarts, mine.starts, mine.joins) == (restarts, False, False)
    assert touched(planned(seen)) == [host]


@pytest.mark.parametrize(
    "wrong",
    [file_facts("x", 0o600), file_facts("x", 0o755)],
)
def test_another_binary_is_replaced_and_read(wrong: FileFacts) -> None:
    files = {**WHOLE["server-3"].files, paths.BINARY: wrong}
    seen = {**WHOLE, "server-3": replace(WHOLE["server-3"], files=files, version="v1.36.0+k3s1")}
    made = planned(seen)

    assert lines(made, "server-3") == [
        ("create", STAGED, "brought beside the one that runs"),
        ("update", "/usr/local/bin/k3s", "k3s of the lock file"),
        ("update", "k3s", "restarts: reads the new binary"),
        ("create", "node", "is waited for"),
    ]
    (_, binary, service, _) = made.plan.changes
    assert binary.before == {"version": "v1.36.0+k3s1", "sha256": wrong.sha256}
    assert binary.after["version"] == "v1.36.4+k3s1"
    assert service.before == {"state": "active"}
    assert service.after == {"state": "active, started anew"}
    unsaid = planned({**seen, "server-3": replace(seen["server-3"], version=None)})
    assert unsaid.plan.changes[1].before["version"] == "unknown"


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

    assert lines(made, "server-2") == [
        ("update", "k3s", "restarts: reads its configuration anew"),
        ("create", "node", "is waited for"),
    ]


@pytest.mark.parametrize(
    ("path", "restarts"),
    [
        (paths.REGISTRIES, True),
        (paths.SYSCTL, False),
        ("/var/lib/rancher/k3s/server/manifests/xops-kube-vip.yaml", False),
    ],
)
def test_what_is_no_longer_wanted_is_removed(path: str, restarts: bool) -> None:
    made = planned({**WHOLE, "server-1": with_file(WHOLE["server-1"], path, "old")})
    mine = made.of(OF.host("server-1"))

    assert mine.removed == (path,)
    assert mine.restarts is restarts
    (action, target, reason), *_ = lines(made, "server-1")
    assert (action, target, reason.partition(":")[0]) == ("delete", path, "no longer wanted")


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
    made = planned({**WHOLE, "server-2": down})
    mine = made.of(OF.host("server-2"))

    assert (mine.starts, mine.restarts, mine.joins) == (starts, False, False)
    assert lines(made, "server-2")[:1] == ([("create", "k3s", "starts: does not run")] * starts)


@pytest.mark.parametrize(
    ("active", "step"),
    [
        ("activating", ServiceStep.RELAUNCH),
        ("failed", ServiceStep.START),
        ("inactive", ServiceStep.START),
    ],
)
@pytest.mark.parametrize(
    ("path", "content"),
    [
        (paths.BINARY, "another"), (paths.CONFIG, "another"), (paths.TOKEN, "another\n"),
        (paths.UNREAD, ""), (None, ""),
    ],
)  # fmt: skip
def test_a_service_that_is_starting_with_what_it_read_before_starts_over(
    active: str, step: ServiceStep, path: str | None, content: str
) -> None:
    service = WHOLE["server-2"].service
    assert service is not None
    seen = replace(WHOLE["server-2"], service=replace(service, active=active))
    if path is None:
        step = ServiceStep.START  # `start` leaves one that is starting at that
    else:
        seen = with_file(seen, path, content)

    assert part({**WHOLE, "server-2": seen}, "server-2").service is step


def test_the_init_system_knows_three_of_the_steps_of_a_service() -> None:
    assert {step: step.verb for step in ServiceStep} == {
        ServiceStep.KEEP: "keep",
        ServiceStep.START: "start",
        ServiceStep.RESTART: "restart",
        ServiceStep.RELAUNCH: "restart",
    }


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
    expected = [("create", "node", "is waited for")] if waits else []
    assert lines(made, name) == expected
    voter = {"voter": True} if name.startswith("server") else {}
    assert [row.after for row in rows(made, name)] == [{"ready": True, **voter}] * waits


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


def test_archives_that_no_release_has_come_to_the_hosts_that_lack_them() -> None:
    of = cluster(1, agents=1, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    extra = artifacts(Kind.IMAGES)["amd64"].model_copy(
        update={"name": "kube-vip.tar", "sha256": "5" * 64, "size": 9}
    )
    wanted = desired(images=artifacts(Kind.IMAGES), extra_images={"amd64": (extra,)})
    path = images_path(of, extra)
    made = planned(all_bare(of), of, wanted)

    for host in ("server-1", "agent-1"):
        rows = [row for row in made.plan.changes if row.target == f"{host}: {path}"]
        assert [(row.after, row.stage) for row in rows] == [
            ({"sha256": extra.sha256, "mode": "0644"}, Stage.IMAGES)
        ]
    seen = installed(of, wanted)
    for size, brought in ((9, ()), (8, (extra,))):
        images = {**seen["server-1"].images, path: size}
        there = {**seen, "server-1": replace(seen["server-1"], images=images)}
        (mine, _) = planned(there, of, wanted).hosts
        assert (mine.archives, mine.restarts) == (brought, False)


def test_each_architecture_gets_its_own_files() -> None:
    hosts = [
        {"name": "a", "address": "10.0.0.1", "role": "server"},
        {"name": "b", "address": "10.0.0.2", "role": "agent", "arch": "arm64"},
    ]
    of = cluster(hosts=hosts, hardening={"profile": "none"}, air_gap={"bundle": Path("b.tar")})
    made = planned(all_bare(of), of, desired(images=artifacts(Kind.IMAGES)))

    for host, arch in (("a", "amd64"), ("b", "arm64")):
        (images,) = [target for _, target, _ in lines(made, host) if "k3s-airgap-images" in target]
        assert images.endswith(f"-k3s-airgap-images-{arch}.tar.gz")
    reasons = {reason for _, target, reason in lines(made, "b") if target == paths.BINARY}
    assert reasons == {"k3s-arm64 of the lock file"}


# Disks that were lost


@pytest.mark.parametrize("name", ["server-1", "server-3", "agent-1"])
def test_an_earlier_life_of_a_host_is_forgotten_first(name: str) -> None:
    made = planned({**WHOLE, name: bare(OF.host(name))})
    mine = made.of(OF.host(name))

    assert (mine.joins, mine.rejoins) == (True, True)
    assert made.topology.initialising_server is None
    staged, forgotten, *_ = lines(made, name)
    assert staged[1] == STAGED  # before anything is taken away
    assert forgotten == (
        "delete",
        "node",
        "its disk was lost: the cluster must forget its earlier member before it joins anew",
    )
    assert rows(made, name)[1].before == {"name": name}
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


# What an approval binds: each of these once went unnoticed


def one(made: K3sPlan, host: str, what: str) -> Change:
    (found,) = [row for row in made.plan.changes if row.target == f"{host}: {what}"]
    return found


def test_the_binary_s_sha256_is_in_the_plan() -> None:
    binaries = artifacts(Kind.BINARY)
    others = {arch: row.model_copy(update={"sha256": "0" * 64}) for arch, row in binaries.items()}
    made, other = planned(all_bare(OF)), planned(all_bare(OF), wanted=desired(binaries=others))

    assert one(made, "agent-1", paths.BINARY).after["sha256"] == binaries["amd64"].sha256
    assert one(other, "agent-1", paths.BINARY).after["sha256"] == "0" * 64
    assert made.plan.digest != other.plan.digest


def test_the_images_sha256_is_in_the_plan() -> None:
    images = artifacts(Kind.IMAGES)
    wanted = desired(images=images)
    made = planned(all_bare(OF), wanted=wanted)
    # Its first characters are in the name: two archives may have those in common.
    sha256 = images["amd64"].sha256[:12] + "0" * 52
    others = {arch: row.model_copy(update={"sha256": sha256}) for arch, row in images.items()}
    other = planned(all_bare(OF), wanted=desired(images=others))

    path = images_path(OF, images["amd64"])
    assert one(made, "agent-1", path).after["sha256"] == images["amd64"].sha256
    assert one(other, "agent-1", path).after["sha256"] == sha256
    assert made.plan.digest != other.plan.digest


@pytest.mark.parametrize("host", ["server-1", "server-2", "agent-1"])
def test_every_file_s_content_is_in_the_plan(host: str) -> None:
    for file in part(all_bare(OF), host).files:
        rows = [row for row in planned(all_bare(OF)).plan.changes if row.target.endswith(file.path)]
        mine = next(row for row in rows if row.target == f"{host}: {file.path}")
        assert mine.after["content"] == file.content != ""


def test_a_secret_file_shows_what_is_no_secret_and_binds_all_of_it() -> None:
    """F1: once it was `not shown` as a whole, and two mirrors had one digest."""

    def made(mirror: str, password: str) -> Change:
        content = f"mirrors:\n  docker.io:\n    endpoint: [{mirror}]\nauth: {password}\n"
        secrets = SecretFiles(registries=SecretContent(content, (password,)))
        found = planned(all_bare(OF), wanted=desired(secrets=secrets))
        return one(found, "server-1", paths.REGISTRIES)

    here, there = (made(f"https://{name}.example", "canary") for name in ("mirror", "evil"))

    assert here.after["content"] == {
        "mirrors": {"docker.io": {"endpoint": ["https://mirror.example"]}},
        "auth": KEY.hide("canary"),
    }
    assert here.after["content"] != there.after["content"]
    assert here.after["whole"] != there.after["whole"]
    other = made("https://mirror.example", "canary-2")
    assert other.after["content"]["auth"] == KEY.hide("canary-2") != KEY.hide("canary")


def test_a_secret_in_a_list_is_hidden_and_its_neighbours_are_not() -> None:
    secrets = SecretFiles(registries=SecretContent("auth: [[canary, a], b]\n", ("canary",)))
    made = planned(all_bare(OF), wanted=desired(secrets=secrets))

    assert one(made, "server-1", paths.REGISTRIES).after["content"] == {
        "auth": [[KEY.hide("canary"), "a"], "b"]
    }


@pytest.mark.parametrize("is_told", [False, True])
def test_the_new_content_of_a_secret_file_is_shown_and_not_the_old_one(is_told: bool) -> None:
    content = SecretContent("auth: canary\n", ("canary",))
    seen = {name: with_file(each, paths.REGISTRIES, "auth: old\n") for name, each in WHOLE.items()}
    if is_told:
        told = {**seen["server-1"].contents, paths.REGISTRIES: "auth: old\n"}
        seen["server-1"] = replace(seen["server-1"], contents=told)
    made = planned(seen, wanted=desired(secrets=SecretFiles(registries=content)))
    changed = one(made, "server-1", paths.REGISTRIES)

    assert changed.action is Action.UPDATE
    assert changed.before == {"sha256": KEY.hide(hashlib.sha256(b"auth: old\n").hexdigest())}
    assert changed.after == {
        "content": {"auth": KEY.hide("canary")},
        "whole": KEY.hide("auth: canary\n"),
    }


def test_a_removed_file_is_named_with_its_host_and_its_content() -> None:
    path = f"{MANIFESTS}/xops-kube-vip.yaml"
    made = planned({**WHOLE, "server-2": with_file(WHOLE["server-2"], path, "old")})

    removed = one(made, "server-2", path)
    assert (removed.action, removed.after) == (Action.DELETE, None)
    assert removed.before == {"sha256": hashlib.sha256(b"old").hexdigest()}
    assert part({**WHOLE, "server-2": with_file(WHOLE["server-2"], path, "old")}, "server-2"
                ).removed == (path,)  # fmt: skip


@pytest.mark.parametrize(("path", "secret"), [
    (paths.TOKEN, TOKENS.server), (paths.AGENT_TOKEN, TOKENS.agent)
])  # fmt: skip
def test_a_token_that_is_replaced_is_an_update(path: str, secret: str) -> None:
    """As a create it would pass a policy that asks for updates and destroys only."""
    made = planned({**WHOLE, "server-2": with_file(WHOLE["server-2"], path, "another\n")})
    replaced = one(made, "server-2", path)

    assert replaced.action is Action.UPDATE
    assert replaced.before == {"sha256": KEY.hide(hashlib.sha256(b"another\n").hexdigest())}
    assert replaced.after["content"] == KEY.hide(secret)
    missing = one(planned(all_bare(OF)), "server-2", path)
    assert (missing.action, missing.before) == (Action.CREATE, None)


def test_where_each_host_is_reached_is_in_the_plan() -> None:
    hosts = [row("server", 1), row("server", 2, port=2222), row("agent", 3, bastion="me@b.example")]
    of = cluster(hosts=[*hosts, row("server", 4)], hardening={"profile": "none"})

    inputs = planned(all_bare(of), of).plan.inputs

    assert {name: inputs[name] for name in inputs if name.startswith("address")} == {
        "address of server-1": "10.0.0.11",
        "address of server-2": "10.0.0.12 port 2222",
        "address of agent-3": f"10.0.0.23 through {of.host('agent-3').bastion}",
        "address of server-4": "10.0.0.14",
    }
    assert planned(installed(of), of).plan.inputs == {}


def test_tokens_that_an_apply_has_made_were_approved() -> None:
    """The first apply makes them: of what is left they are known."""
    before = planned(all_bare(OF), wanted=desired(tokens=None))
    after = planned(all_bare(OF))

    assert find_uncovered(before.plan, after.plan, after.explains) == ()
    other = replace(after, made={})
    uncovered = find_uncovered(before.plan, after.plan, other.explains)
    assert {row.target for row in uncovered} == {
        f"server-{number}: {path}"
        for number in (1, 2, 3)
        for path in (paths.TOKEN, paths.AGENT_TOKEN)
    }


# Etcd's members


def test_the_node_s_line_stands_for_the_member_that_it_names() -> None:
    members = [member(host) for host in OF.servers]
    gone = node(OF.host("server-3"))
    seen = with_members(
        {
            name: replace(each, nodes=(*each.nodes, gone)) if each.nodes is not None else each
            for name, each in installed(OF, without=["server-3"]).items()
        },
        *members,
    )
    made = planned(seen)

    assert made.of(OF.host("server-3")).earlier == (members[2],)
    assert [row.target for row in made.plan.changes if row.destroys] == ["server-3: node"]


def test_a_member_without_a_node_is_a_destroy_that_names_it() -> None:
    members = [member(host) for host in OF.servers]
    seen = with_members(installed(OF, without=["server-3"]), *members)
    made = planned(seen)
    mine = made.of(OF.host("server-3"))

    assert mine.rejoins
    (line,) = [row for row in made.plan.changes if row.destroys]
    assert line.target == f"server-3: etcd member {members[2].name}"
    assert line.before == {
        "name": members[2].name, "id": members[2].id, "peer_urls": ["https://10.0.0.13:2380"],
    }  # fmt: skip
    assert "no node" in line.reason
    assert OF.approval.grounds(made.plan)


def test_a_learner_that_becomes_a_voter_asks_nobody_again() -> None:
    first = [*map(member, OF.servers[:2]), member(OF.servers[2], is_learner=True)]
    later = [*first[:2], replace(first[2], is_learner=False)]
    seen = installed(OF, without=["server-3"])

    digests = {planned(with_members(seen, *rows)).plan.digest for rows in (first, later)}
    assert len(digests) == 1


def test_a_member_of_no_host_is_a_destroy_of_its_own() -> None:
    stranger = member(OF.hosts[2], 7, name="gone-0000", peer_urls=("https://10.0.0.99:2380",))
    made = planned(with_members(WHOLE, *map(member, OF.servers), stranger))

    assert touched(made) == []
    (line,) = made.plan.changes
    assert (line.action, line.target) == (Action.DELETE, "gone: etcd member gone-0000")
    assert "no server of the file has its data" in line.reason
    unnamed = planned(
        with_members(WHOLE, *map(member, OF.servers), replace(stranger, name="", id="77"))
    )
    assert [row.target for row in unnamed.plan.changes] == ["etcd: etcd member 77"]


def test_data_of_a_member_that_was_removed_is_a_destroy() -> None:
    seen = with_members(WHOLE, *map(member, OF.servers[:2]))
    seen["server-3"] = replace(seen["server-3"], nodes=None, members=None)
    made = planned(seen)
    mine = made.of(OF.host("server-3"))

    assert mine.discards
    assert one(made, "server-3", "etcd's data").before == {
        "path": "/var/lib/rancher/k3s/server/db/etcd"
    }
    assert ("delete", "etcd's data") in [(verb, what) for verb, what, _ in lines(made, "server-3")]
    assert [row for row in made.plan.changes if row.destroys and "data" in row.target]
    assert not planned(WHOLE).of(OF.host("server-3")).discards


def test_what_the_members_are_changes_no_plan_of_a_whole_cluster() -> None:
    assert planned(with_members(WHOLE, *map(member, OF.servers))).plan.is_empty
