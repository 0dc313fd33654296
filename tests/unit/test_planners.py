"""What a person approves is all that an apply would write or run: for every planner that there is.

A module that makes a plan, or changes for one, stands in `PLANNERS` with everything that it makes
them of. Each of these in turn becomes something else: then the digest must be another, and the plan
must look otherwise. What an apply does not use may become anything, and the order of keys does not
matter.
"""

import ast
import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from tests.k3s_hosts import (
    TOKENS,
    all_bare,
    artifacts,
    cluster,
    desired,
    file_facts,
    installed,
    row,
)
from tests.k3s_release import VERSION
from tests.plans import KEY
from tests.soak import examples
from xops.core.files.settings import ROOT
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.view import terminal_lines
from xops.ecs.changes import from_terraform
from xops.ecs.state_bucket import StateBucket
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.node import registries, snapshots
from xops.k3s.node.managed_file import SecretFiles
from xops.k3s.operations.compare import Desired
from xops.k3s.operations.plan import K3sPlan, plan_cluster
from xops.k3s.operations.tokens import Tokens
from xops.k3s.release.lock import Kind
from xops.k3s.state.facts import HostFacts
from xops.prefect_server.plan import plan_server

Altered = Mapping[str, Callable[[], Plan]]


@dataclass(frozen=True)
class Planner:
    """One planner.

    Attributes:
        plans: makes the plan of what is given, by the name of what that is.
        altered: by the same name, plans of which one thing that an apply would use is otherwise.
        equal: the same of what makes no difference.
    """

    plans: Altered
    altered: Mapping[str, Altered]
    equal: Mapping[str, Altered] = field(default_factory=dict)


# Terraform

SAMPLES = Path(__file__).parent / "ecs" / "samples"
BUCKET_CHANGES = [
    Change(action=Action.CREATE, target="s3://state#bucket", after={"versioning": "Enabled"}),
    Change(action=Action.UPDATE, target="s3://state#policy", before=None, after={"Version": "x"}),
]
INPUTS = {"terraform/main.tf": "0" * 64, "variables": "1" * 64, "state": "s3://a", "account": "1"}


def of_terraform(document: Mapping[str, Any], **values: Any) -> Plan:
    return from_terraform(
        document,
        **{"subject": "ecs/prod", "target": "embedded", "key": KEY, "before": BUCKET_CHANGES,
           "inputs": INPUTS, **values},
    )  # fmt: skip


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return loaded


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner: Any = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    if isinstance(value, dict | list):
        for key, item in inner:
            yield from leaves(item, (*path, key))
    else:
        yield path


def otherwise(value: Any) -> Any:
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else "else"


def with_leaf(read: Mapping[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """The same document; one value in it is otherwise."""
    copied = copy.deepcopy(dict(read))
    *above, last = path
    at: Any = copied
    for key in above:
        at = at[key]
    at[last] = otherwise(at[last])
    return copied


def values_of(read: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """All that Terraform would write or remove, and what it is made of."""
    rows = {("resource_changes", n): r for n, r in enumerate(read["resource_changes"])}
    rows |= {
        ("output_changes", n): {"change": c} for n, c in read.get("output_changes", {}).items()
    }
    for path, found in rows.items():
        change = found["change"]
        inside = () if path[0] == "output_changes" else ("change",)
        if change["actions"] in (["no-op"], ["read"]):
            continue
        for side in ("before", "after"):
            for inner in leaves(change.get(side)):
                # In a list null stands for what is not known yet.
                if inner and not (side == "after" and _is_at(change.get("after_unknown"), inner)):
                    yield (*path, *inside, side, *inner)
        if path[0] == "resource_changes":
            yield (*path, "address")


def _is_at(marks: Any, path: tuple[Any, ...]) -> bool:
    for key in path:
        known = isinstance(marks, dict) and key in marks
        known = known or (isinstance(marks, list) and key < len(marks))
        marks = marks[key] if known else marks
    return marks is True


def _altered(read: Mapping[str, Any], path: tuple[Any, ...]) -> Plan:
    return of_terraform(with_leaf(read, path))


def altered_documents(read: Mapping[str, Any]) -> Altered:
    return {".".join(map(str, path)): partial(_altered, read, path) for path in values_of(read)}


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(inner) for inner in value] if isinstance(value, list) else value


def terraform() -> Planner:
    names = ["plan-create", "plan-change", "plan-destroy", "plan-deposed", "half-done/first",
             "half-done/second", "half-done/second-rest"]  # fmt: skip
    documents = {name: document(name) for name in names}
    other: Altered = {
        "subject": lambda: of_terraform(documents["plan-create"], subject="ecs/test"),
        "target": lambda: of_terraform(documents["plan-create"], target="aws"),
        "the bucket's changes": lambda: of_terraform(
            documents["plan-create"], before=BUCKET_CHANGES[:1]
        ),
        "their order": lambda: of_terraform(documents["plan-create"], before=BUCKET_CHANGES[::-1]),
        **{
            f"input {name}": partial(
                of_terraform, documents["plan-create"], inputs={**INPUTS, name: "another"}
            )
            for name in [*INPUTS, "one more"]
        },
    }
    return Planner(
        plans={name: partial(of_terraform, read) for name, read in documents.items()},
        altered={
            name: {**altered_documents(read), **(other if name == "plan-create" else {})}
            for name, read in documents.items()
        },
        equal={
            name: {
                "order of keys": partial(of_terraform, reversed_keys(read)),
                "order of rows": partial(
                    of_terraform, {**read, "resource_changes": read["resource_changes"][::-1]}
                ),
                "what is there by now": partial(of_terraform, {**read, "prior_state": {}}),
                "warnings": partial(of_terraform, read, warnings=["a check failed"]),
            }
            for name, read in documents.items()
        },
    )


# The state's bucket


class BucketAsItIs:
    """S3's answers about one bucket, of which what is None was never set."""

    def __init__(self, **found: Any) -> None:
        self._found = found

    def _answer(self, name: str) -> Any:
        if self._found.get(name) is None:
            raise ClientError({"Error": {"Code": "404"}}, name)
        return self._found[name]

    def get_bucket_versioning(self, **_: str) -> Any:
        return {"Status": self._answer("versioning")}

    def get_bucket_encryption(self, **_: str) -> Any:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": self._answer("encryption")}}
        return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}

    def get_public_access_block(self, **_: str) -> Any:
        return {"PublicAccessBlockConfiguration": self._answer("public_access")}

    def get_bucket_policy(self, **_: str) -> Any:
        return {"Policy": json.dumps(self._answer("policy"))}

    def get_bucket_lifecycle_configuration(self, **_: str) -> Any:
        raise ClientError({"Error": {"Code": "NoSuchLifecycleConfiguration"}}, "lifecycle")


FOUND: dict[str, Any] = {
    "versioning": "Suspended", "encryption": "AES256",
    "public_access": {"BlockPublicAcls": True}, "policy": {"Statement": [{"Effect": "Allow"}]},
}  # fmt: skip


def of_bucket(name: str = "state", **found: Any) -> Plan:
    changes = StateBucket(name, "eu-west-1", BucketAsItIs(**found)).changes(exists=bool(found))
    return Plan(subject="ecs/prod", target="aws", changes=tuple(changes))


def bucket() -> Planner:
    others: dict[str, Any] = {
        "versioning": None,
        "encryption": "none",
        "public_access": {},
        "policy": {},
    }
    return Planner(
        plans={"none": of_bucket, "not hardened": lambda: of_bucket(**FOUND)},
        altered={
            "none": {"name": lambda: of_bucket("another")},
            "not hardened": {
                "name": lambda: of_bucket("another", **FOUND),
                **{
                    name: partial(of_bucket, **{**FOUND, name: value})
                    for name, value in others.items()
                },
                "a policy with a marker in it": lambda: of_bucket(
                    **{**FOUND, "policy": {"$hidden": "f"}}
                ),
            },
        },
        equal={"not hardened": {"order": lambda: of_bucket(**dict(reversed(FOUND.items())))}},
    )


# K3S

CANARIES = {
    "XOPS_SECRET_MIRROR": "mirror-canary",
    "XOPS_SECRET_ACCESS": "access-canary",
    "XOPS_SECRET_KEY": "secret-canary",
}
MIRROR = "https://mirror.example.com"


@dataclass(frozen=True)
class Given:
    """What K3S' planner is given: the cluster file, the hosts as they are, what they shall have."""

    values: Mapping[str, Any]
    environ: Mapping[str, str] = field(default_factory=lambda: CANARIES)
    desired: Mapping[str, Any] = field(default_factory=dict)
    seen: Callable[[Cluster, Desired], dict[str, HostFacts]] = lambda of, _: all_bare(of)

    def planned(self) -> K3sPlan:
        of = cluster(3, agents=1, **self.values)
        secrets = SecretFiles(
            registries.file(of.registries, self.environ),
            snapshots.secret(of.snapshots, of.k3s.version, self.environ),
        )
        wanted = desired(**{"secrets": secrets, "images": artifacts(Kind.IMAGES), **self.desired})
        return plan_cluster(of, self.seen(of, wanted), wanted)

    def plan(self) -> Plan:
        return self.planned().plan

    def but(self, *path: str, to: Any) -> "Given":
        """Another value in the cluster file."""
        values = copy.deepcopy(dict(self.values))
        at: Any = values
        for key in path[:-1]:
            at = at.setdefault(key, {}) if isinstance(at, dict) else at[int(key)]
        at[path[-1]] = to
        return replace(self, values=values)


VALUES: dict[str, Any] = {
    "k3s": {"version": VERSION},
    "hosts": [*(row("server", n) for n in (1, 2, 3)), row("agent", 1)],
    "air_gap": {"bundle": Path("b.tar")},
    "hardening": {"profile": "cis"},
    "registries": {
        "mirrors": {"docker.io": {"endpoint": [MIRROR], "rewrite": {"^a": "b"}}},
        "configs": {
            "mirror.example.com": {
                "auth": {"username": "puller", "password": {"variable": "XOPS_SECRET_MIRROR"}},
                "tls": {"ca_file": "/etc/ca.pem"},
            }
        },
    },
    "snapshots": {
        "s3": {
            "bucket": "of-snapshots",
            "config_secret": "keys-of-s3",
            "access_key": {"variable": "XOPS_SECRET_ACCESS"},
            "secret_key": {"variable": "XOPS_SECRET_KEY"},
        }
    },
}
BARE = Given(VALUES)


def release(kind: Kind, **values: Any) -> dict[str, Any]:
    return {arch: artifact.model_copy(update=values) for arch, artifact in artifacts(kind).items()}


def of_the_file() -> dict[str, Given]:
    """Each part of the cluster file that says what is written on hosts, or where these are."""
    mirror = ("registries", "mirrors", "docker.io")
    config = ("registries", "configs", "mirror.example.com")
    return {
        "name": BARE.but("name", to="another"),
        "F1: a mirror's address": BARE.but(*mirror, "endpoint", to=["https://evil.example.net"]),
        "one more mirror": BARE.but("registries", "mirrors", "*", to={"endpoint": [MIRROR]}),
        "a rewrite": BARE.but(*mirror, "rewrite", to={"^a": "c"}),
        "a login": BARE.but(*config, "auth", "username", to="pusher"),
        "TLS that is not looked at": BARE.but(*config, "tls", "insecure_skip_verify", to=True),
        "a CA": BARE.but(*config, "tls", "ca_file", to="/tmp/ca.pem"),
        "K3S' own parts": BARE.but("k3s", "disable", to=["traefik"]),
        "a key of K3S": BARE.but("k3s", "config", to={"etcd-arg": ["quota-backend-bytes=1"]}),
        "a folder": BARE.but("k3s", "data_dir", to="/srv/k3s"),
        "a network": BARE.but("networks", "cluster", to="10.99.0.0/16"),
        "services": BARE.but("networks", "service", to="10.98.0.0/16"),
        "a domain": BARE.but("networks", "domain", to="evil.local"),
        "a backend": BARE.but("networks", "backend", to="none"),
        "an endpoint": BARE.but("endpoint", to={"kind": "vip", "address": "10.0.0.9"}),
        "hardening": BARE.but("hardening", "profile", to="none"),
        "namespaces without it": BARE.but(
            "hardening", "exempt_namespaces", to=["kube-system", "evil"]
        ),
        "a schedule": BARE.but("snapshots", "schedule", to="0 1 * * *"),
        "a retention": BARE.but("snapshots", "retention", to=1),
        "a bucket": BARE.but("snapshots", "s3", "bucket", to="of-others"),
        "a place of snapshots": BARE.but("snapshots", "s3", "endpoint", to="evil.example.net"),
        "a region": BARE.but("snapshots", "s3", "region", to="eu-west-1"),
        "a folder of snapshots": BARE.but("snapshots", "s3", "folder", to="x"),
        "an address": BARE.but("hosts", "0", "address", to="10.0.0.99"),
        "an address of its own": BARE.but("hosts", "0", "private_address", to="10.1.0.1"),
        "a port": BARE.but("hosts", "0", "port", to=2222),
        "a bastion": BARE.but("hosts", "3", "bastion", to="me@evil.example.net"),
        "everybody's port": BARE.but("ssh", "port", to=2222),
        "a label": BARE.but("hosts", "0", "labels", to={"zone": "a"}),
        "a taint": BARE.but("hosts", "3", "taints", to=["a=b:NoSchedule"]),
        "an architecture": BARE.but("hosts", "3", "arch", to="arm64"),
        "the order of hosts": BARE.but("hosts", to=[VALUES["hosts"][i] for i in (0, 2, 1, 3)]),
        "one host less": BARE.but("hosts", to=VALUES["hosts"][:3]),
    }  # fmt: skip


def beside_the_file() -> dict[str, Given]:
    """What comes from elsewhere: the release, tokens, passwords."""
    return {
        "the binary": replace(BARE, desired={"binaries": release(Kind.BINARY, sha256="0" * 64)}),
        "the images": replace(BARE, desired={"images": release(Kind.IMAGES, sha256="0" * 64)}),
        "no images": replace(BARE, desired={"images": {}}),
        "more images": replace(
            BARE,
            desired={"extra_images": {"amd64": (release(Kind.IMAGES, name="more.tar")["amd64"],)}},
        ),
        "the servers' token": replace(
            BARE, desired={"tokens": Tokens("another-canary", TOKENS.agent)}
        ),
        "the agents' token": replace(
            BARE, desired={"tokens": Tokens(TOKENS.server, "another-canary")}
        ),
        "no tokens yet": replace(BARE, desired={"tokens": None}),
        "what else is used": replace(BARE, desired={"inputs": {"scripts/start.sh": "0" * 64}}),
        **{
            f"the secret {name}": replace(BARE, environ={**CANARIES, name: "other-canary"})
            for name in CANARIES
        },
    }


def drifted(**values: Any) -> Given:
    """A cluster that is installed, and differs in one thing."""

    def seen(of: Cluster, wanted: Desired) -> dict[str, HostFacts]:
        found = installed(of, wanted)
        files = {**found["server-2"].files, **values.get("files", {})}
        for path in values.get("without", ()):
            del files[path]
        found["server-2"] = replace(found["server-2"], files=files, **values.get("facts", {}))
        return found

    return replace(BARE, seen=seen)


def configured(text: str) -> Given:
    facts = {"contents": {paths.CONFIG: text}}
    return drifted(files={paths.CONFIG: file_facts(text)}, facts=facts)


def in_the_hosts() -> dict[str, Given]:
    """What an apply would find, and put right: each is a plan of its own."""
    service = all_installed()["server-2"].service
    assert service is not None
    manifest = f"/var/lib/rancher/k3s/{paths.MANIFESTS}/xops-kube-vip.yaml"
    right = all_installed()["server-2"].files
    token = file_facts("another\n")
    return {
        "as it shall be": drifted(),
        "another configuration": configured("a: 1\n"),
        "still another one": configured("a: 2\n"),
        "no configuration": drifted(without=[paths.CONFIG]),
        "other registries": drifted(files={paths.REGISTRIES: file_facts("a: 1\n")}),
        "still other registries": drifted(files={paths.REGISTRIES: file_facts("a: 2\n")}),
        "no registries": drifted(without=[paths.REGISTRIES]),
        "a mode": drifted(files={paths.CONFIG: replace(right[paths.CONFIG], mode="644")}),
        "an owner": drifted(files={paths.CONFIG: replace(right[paths.CONFIG], owner="a:a")}),
        "another binary": drifted(files={paths.BINARY: file_facts("x", 0o755)}),
        "still another binary": drifted(files={paths.BINARY: file_facts("y", 0o755)}),
        "a file too much": drifted(files={manifest: file_facts("old")}),
        "another file too much": drifted(files={f"{manifest}.yaml": file_facts("old")}),
        "that file, of another content": drifted(files={manifest: file_facts("older")}),
        "no images": drifted(facts={"images": {}}),
        "another token": drifted(files={paths.TOKEN: token}),
        "no token": drifted(without=[paths.TOKEN]),
        "another agents' token": drifted(files={paths.AGENT_TOKEN: token}),
        "a service that is down": drifted(facts={"service": replace(service, active="failed")}),
        "what was not read yet": drifted(files={paths.UNREAD: file_facts("")}),
    }


def all_installed() -> dict[str, HostFacts]:
    of = cluster(3, agents=1, **VALUES)
    return installed(of, desired())


def k3s() -> Planner:
    others = {name: each.plan for name, each in {**of_the_file(), **beside_the_file()}.items()}
    hosts = {name: cache(each.plan) for name, each in in_the_hosts().items()}
    return Planner(
        plans={"bare": BARE.plan, **hosts},
        altered={
            "bare": others,
            **{name: {other: hosts[other] for other in hosts if other != name} for name in hosts},
        },
        equal={
            "bare": {
                "order of keys": replace(BARE, values=reversed_keys(VALUES)).plan,
                "what is only looked at": replace(BARE, seen=_at_another_time).plan,
                "what a disk is like": BARE.but("hosts", "3", "storage", to="slow").plan,
                "how long SSH waits": BARE.but("ssh", "connect_timeout", to=99).plan,
            }
        },
    )


def _at_another_time(of: Cluster, _wanted: Desired) -> dict[str, HostFacts]:
    return {
        name: replace(each, clock=each.clock + 60, fsync_p99_ms=9.0, disk_free_gib=1.0)
        for name, each in all_bare(of).items()
    }


# A Prefect server

POOL: dict[str, Any] = {
    "type": "process",
    "description": "Processes.",
    "base_job_template": {
        "job_configuration": {"env": {"XOPS_ROOT": "/opt/xops"}, "stream_output": True},
        "variables": {"properties": {}, "additionalProperties": False},
    },
}
DEPLOYED: dict[str, Any] = {"code": "0" * 64, "pool": "runs", "schedules": {"daily": True}}
SERVER: dict[str, Any] = {
    "work pool runs": POOL,
    "slot ecs-local": {"limit": 1},
    "deployment notify/notify": DEPLOYED,
    "block document xops-notification/default": None,
    "automation xops: drift": {"enabled": True, "trigger": {"expect": ["xops.ecs.drifted"]}},
}


def of_server(wanted: Mapping[str, Any], found: Mapping[str, Any], **values: Any) -> Plan:
    told = {"subject": "prefect/runs", "target": "https://prefect.example.com/api", **values}
    return plan_server(**told, wanted=wanted, found=found)


def prefect() -> Planner:
    """The plan of `xops deploy`: on an empty server, on one that differs, on one to be cleared."""
    older = dict.fromkeys(SERVER) | {"slot gone": {"limit": 1}}

    def altered(given: Callable[[Mapping[str, Any]], Plan], state: Mapping[str, Any]) -> Altered:
        """One leaf of what is wanted or found is otherwise; one thing more, one less."""
        others = {
            " ".join(map(str, path)): partial(given, with_leaf(state, path))
            for path in leaves(state)
            if path[0] != "block document xops-notification/default"
        }
        fewer = {
            f"without {name}": partial(given, {k: v for k, v in state.items() if k != name})
            for name in state
        }
        return {**others, **fewer}

    def made(state: Mapping[str, Any]) -> Plan:
        return of_server(state, {})

    def changed(state: Mapping[str, Any]) -> Plan:
        return of_server(state, older)

    def cleared(state: Mapping[str, Any]) -> Plan:
        return of_server({}, state)

    places = {
        "subject": lambda: of_server(SERVER, {}, subject="prefect/others"),
        "target": lambda: of_server(SERVER, {}, target="https://other.example.com/api"),
    }
    return Planner(
        plans={
            "made": partial(made, SERVER),
            "changed": partial(changed, SERVER),
            "cleared": partial(cleared, SERVER),
        },
        altered={
            "made": {**altered(made, SERVER), **places},
            "changed": altered(changed, SERVER),
            "cleared": altered(cleared, SERVER),
        },
        equal={
            "cleared": {"order": lambda: cleared(dict(reversed(SERVER.items())))},
            "made": {"a person's own": lambda: of_server(SERVER, {})},
        },
    )


PLANNERS = {
    "xops.ecs.changes": terraform(),
    "xops.ecs.state_bucket": bucket(),
    "xops.k3s.operations.plan": k3s(),
    "xops.prefect_server.plan": prefect(),
}

ROWS_OF = {"xops.k3s.operations.host_operations": "xops.k3s.operations.plan"}
"""Modules that make rows for another's plans."""


# Every planner


def makes_changes(source: str) -> bool:
    """Whether a module makes a plan or a change of its own."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "xops.core.plan.model"
        for alias in node.names
        if alias.name in ("Plan", "Change")
    }
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return bool(names & called)


def test_every_module_that_makes_a_plan_is_tried_here() -> None:
    files = itertools.chain.from_iterable(
        (ROOT / package).rglob("*.py") for package in ("xops", "flows", "blocks")
    )
    found = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if makes_changes(file.read_text())
    }

    assert {ROWS_OF.get(name, name) for name in found} == PLANNERS.keys()
    assert ROWS_OF.keys() <= found


def cases(what: str) -> list[Any]:
    return [
        pytest.param(planner.plans[name], getattr(planner, what)[name], id=f"{module}-{name}")
        for module, planner in PLANNERS.items()
        for name in getattr(planner, what)
    ]


def shown(plan: Plan) -> list[str]:
    """What a person sees beside the digest."""
    return [str(line) for line in terminal_lines(plan)][1:]


@pytest.mark.parametrize(("given", "altered"), cases("altered"))
def test_what_an_apply_would_do_otherwise_is_another_plan(
    given: Callable[[], Plan], altered: Altered
) -> None:
    plan = given()
    others = {name: make() for name, make in altered.items()}

    assert [name for name, other in others.items() if other.digest == plan.digest] == []
    assert [
        name
        for name, other in others.items()
        if shown(other) == shown(plan) and not _is_only_told_by_the_digest(name, plan, other)
    ] == []


def _is_only_told_by_the_digest(name: str, plan: Plan, other: Plan) -> bool:
    """Outputs follow from the resources; the subject, the place and the order stand elsewhere."""
    return plan.follows != other.follows or name in ("subject", "target", "name", "their order",
                                                     "the order of hosts")  # fmt: skip


@pytest.mark.parametrize(("given", "equal"), cases("equal"))
def test_what_makes_no_difference_is_the_same_plan(
    given: Callable[[], Plan], equal: Altered
) -> None:
    plan = given()

    assert plan.digest == given().digest
    assert [name for name, make in equal.items() if make().digest != plan.digest] == []


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=f"{module}-{name}")
        for module, planner in PLANNERS.items()
        for name, make in planner.plans.items()
    ],
)
def test_no_secret_stands_in_a_plan(make: Callable[[], Plan]) -> None:
    plan = make()

    assert "canary" not in plan.model_dump_json()
    assert "canary" not in "".join(terminal_lines(plan))


def test_the_order_of_operations_matters() -> None:
    for planner in PLANNERS.values():
        plan = max((make() for make in planner.plans.values()), key=lambda each: len(each.changes))
        turned = plan.model_copy(update={"changes": plan.changes[::-1]})
        assert turned.digest != plan.digest


# K3S: whatever an apply does on a host


def work(planned: K3sPlan) -> str:
    """All that the apply reads of a plan: what it writes, removes, starts, in which order."""
    return repr(
        [
            (
                part.host.name,
                part.host.address,
                [(file.path, file.content, file.mode) for file in part.files],
                part.removed,
                part.binary,
                part.archives,
                part.tokens,
                part.service,
                part.membership,
                part.earlier,
                part.unit,
            )
            for part in planned.hosts
        ]
    )


MADE = {**of_the_file(), **beside_the_file(), **in_the_hosts()}


@examples(25)
@given(st.sampled_from(sorted(MADE)), st.sampled_from(sorted(MADE)))
def test_two_applies_that_do_otherwise_have_two_plans(one: str, other: str) -> None:
    left, right = MADE[one].planned(), MADE[other].planned()

    if work(left) != work(right):
        assert left.plan.digest != right.plan.digest
