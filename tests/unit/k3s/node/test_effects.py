"""What a difference of each key does; every key and every field of the cluster file is classed."""

import random
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.k3s_hosts import all_bare, cluster, formed, row
from tests.soak import examples
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.cluster_file.sections import _OWN_KEYS as OWN_KEYS
from xops.k3s.k3s_keys import KEYS, ORDER
from xops.k3s.node import config, effects
from xops.k3s.node.effects import Effect, differences, effect_of, restarts, strongest, told
from xops.k3s.node.fields import FIELDS
from xops.k3s.state import topology


def one(before: dict[str, Any], after: dict[str, Any], *, is_server: bool = True) -> Effect:
    (difference,) = differences(before, after, is_server=is_server)
    return difference.effect


@pytest.mark.parametrize(
    ("key", "before", "after", "effect"),
    [
        ("cluster-cidr", "10.42.0.0/16", "10.52.0.0/16", Effect.FIXED),
        ("cluster-dns", "10.43.0.10", "10.43.0.11", Effect.FIXED),
        ("cluster-domain", "cluster.local", "k3s.example", Effect.FIXED),
        ("flannel-backend", "vxlan", "wireguard-native", Effect.FIXED),
        ("secrets-encryption", None, True, Effect.FIXED),
        ("secrets-encryption", True, None, Effect.FIXED),
        ("data-dir", "/var/lib/rancher/k3s", "/data", Effect.FIXED),
        ("datastore-endpoint", "not shown", None, Effect.FIXED),
        ("egress-selector-mode", None, "pod", Effect.FIXED),
        ("node-name", "server-1", "server-9", Effect.REJOIN),
        ("node-ip", "10.0.0.11", "10.0.0.12", Effect.REJOIN),
        ("snapshotter", "overlayfs", "native", Effect.REJOIN),
        ("node-label", ["a=1"], ["a=2"], Effect.IN_PLACE),
        ("node-taint", ["a=1:NoSchedule"], [], Effect.IN_PLACE),
        ("server", "https://10.0.0.11:6443", "https://10.0.0.12:6443", Effect.IN_PLACE),
        ("cluster-init", True, None, Effect.IN_PLACE),
        ("etcd-arg", ["a=1"], ["a=2"], Effect.RESTART),
        ("kubelet-arg", ["a=1"], ["a=2"], Effect.RESTART),
        ("tls-san", ["a"], ["a", "b"], Effect.RESTART),
        ("a-key-of-a-later-release", 1, 2, Effect.RESTART),
    ],
)
def test_the_effect_of_a_key(key: str, before: Any, after: Any, effect: Effect) -> None:
    old, new = ({} if value is None else {key: value} for value in (before, after))

    assert one(old, new) is effect
    assert effect_of(key, is_server=True) is effect
    assert effect_of(f"{key}+", is_server=True) is effect


@pytest.mark.parametrize(
    ("before", "after", "starts_anew"),
    [
        ({"a": 1}, {"a": 1}, False),
        ({"a": 1, "cluster-init": True}, {"a": 1, "server": "https://10.0.0.12:6443"}, False),
        ({"a": 1}, {"a": 2}, True),
        ({"a": 1}, {"a": 1, "b": 1}, True),
        ({}, {"a": 1}, True),
        ({}, {}, False),
        ({"node-label": ["a=1"], "node-taint": []}, {"node-taint": ["a:NoExecute"]}, False),
        ({"node-label": ["a=1"], "v": 1}, {"node-label": ["a=2"], "v": 2}, True),
        ({}, {"flannel-backend": "vxlan"}, False),  # what K3S takes without the key
    ],
)
def test_k3s_starts_anew_for_what_it_reads_at_a_start(
    before: dict[str, Any], after: dict[str, Any], starts_anew: bool
) -> None:
    assert restarts(differences(before, after, is_server=True)) is starts_anew


def test_each_key_says_what_its_difference_does_and_why() -> None:
    found = differences({"node-label": ["a=1"]}, {"tls-san": ["b"]}, is_server=True)

    assert told(found) == (
        f"tls-san: restart ({KEYS['tls-san'].reason});"
        f" node-label: in place ({KEYS['node-label'].reason})"
    )
    assert told(()) == ""


def test_of_keys_without_end_the_strongest_are_told() -> None:
    """A host may write anything into its config.yaml."""
    before = {f"{number:03}{'x' * 5000}": 1 for number in range(500)}
    text = told(differences({**before, "node-name": "a"}, {"node-name": "b"}, is_server=True))

    assert text.startswith("node-name: rejoin (")
    assert text.endswith("; 489 more keys, restart at most")
    assert len(text) < 3000


def test_the_dns_service_s_address_follows_the_services_network() -> None:
    found = differences({}, {"service-cidr": "10.53.0.0/16"}, is_server=True)

    assert [(each.key, each.after, each.effect) for each in found] == [
        ("cluster-dns", "10.53.0.10", Effect.FIXED),
        ("service-cidr", "10.53.0.0/16", Effect.FIXED),
    ]


def test_an_agent_s_address_is_no_member_s() -> None:
    assert (
        one({"node-ip": "10.0.0.21"}, {"node-ip": "10.0.0.22"}, is_server=False) is Effect.RESTART
    )
    assert effect_of("node-ip", is_server=False) is Effect.RESTART
    assert effect_of("node-name", is_server=False) is Effect.REJOIN


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"cluster-cidr": "10.42.0.0/16"}),
        ({}, {"cluster-dns": "10.43.0.10", "service-cidr": "10.43.0.0/16"}),
        (
            {"service-cidr": "10.9.0.0/16"},
            {"service-cidr": "10.9.0.0/16", "cluster-dns": "10.9.0.10"},
        ),
        ({}, {"flannel-backend": "vxlan", "secrets-encryption": False}),
        ({"secrets-encryption": "true"}, {"secrets-encryption": True}),
        ({"data-dir": "/var/lib/rancher/k3s/"}, {}),
        ({"d": "/data"}, {"data-dir": "/data"}),
        ({"disable": ["traefik", "servicelb"]}, {"disable": "traefik,servicelb"}),
        ({"node-ip": ["10.0.0.1"]}, {"i": "10.0.0.1"}),
        ({"tls-san": ["a"], "tls-san+": ["b"]}, {"tls-san": ["a", "b"]}),
        ({"tls-san+": "a"}, {"tls-san": ["a"]}),
    ],
)
def test_two_ways_to_say_the_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert differences(before, after, is_server=True) == ()
    assert differences(after, before, is_server=True) == ()


def test_the_order_of_arguments_counts_and_a_comma_is_a_part_of_them() -> None:
    before, after = {"kubelet-arg": ["a=1", "a=2"]}, {"kubelet-arg": ["a=2", "a=1"]}
    assert one(before, after) is Effect.RESTART
    assert one({"kubelet-arg": "a=1,b=2"}, {"kubelet-arg": ["a=1", "b=2"]}) is Effect.RESTART


@pytest.mark.parametrize(
    ("key", "argument"),
    [
        ("kube-controller-manager-arg", "node-cidr-mask-size=25"),
        ("kube-apiserver-arg", "--service-account-issuer=https://a.example"),
    ],
)
def test_an_argument_that_decides_what_is_fixed(key: str, argument: str) -> None:
    assert one({}, {key: [argument]}) is Effect.FIXED
    assert one({key: [argument, "v=1"]}, {key: [argument, "v=2"]}) is Effect.RESTART


def test_the_strongest_of_several() -> None:
    before = {"node-label": ["a=1"], "etcd-arg": ["a=1"], "node-ip": "10.0.0.11"}
    found = differences(before, {}, is_server=True)

    assert [difference.key for difference in found] == ["etcd-arg", "node-ip", "node-label"]
    assert strongest(found) is Effect.REJOIN
    assert strongest(()) is None


# Properties

_VALUES = (
    st.none() | st.booleans() | st.integers(0, 99) | st.sampled_from(["a", "10.0.0.0/8", "a,b"])
)
_CONFIGS = st.dictionaries(
    st.sampled_from([*KEYS, "no-such-key", "i", "d"]),
    _VALUES | st.lists(st.sampled_from(["a=1", "b", "c,d"]), max_size=3),
    max_size=8,
)


@examples(60)
@given(_CONFIGS, _CONFIGS, st.booleans())
def test_either_way_the_same_keys_differ_with_the_same_effects(
    before: dict[str, Any], after: dict[str, Any], is_server: bool
) -> None:
    there = differences(before, after, is_server=is_server)
    back = differences(after, before, is_server=is_server)

    assert [(d.key, d.effect, d.before, d.after) for d in there] == [
        (d.key, d.effect, d.after, d.before) for d in back
    ]
    assert {d.key for d in there} <= {*effects.canonical(before), *effects.canonical(after), *_DNS}
    assert strongest(there) == (max((d.effect for d in there), key=ORDER.index) if there else None)


_DNS = ("cluster-dns",)  # follows from the services' network


@examples(40)
@given(_CONFIGS, st.booleans(), st.randoms())
def test_nothing_differs_from_itself_in_any_order(
    values: dict[str, Any], is_server: bool, chance: random.Random
) -> None:
    names = [name for name in values if name not in ("i", "d", "node-ip", "data-dir")]
    chance.shuffle(names)

    assert differences(values, values, is_server=is_server) == ()
    same = {name: values[name] for name in values if name in names}
    assert differences(same, {name: values[name] for name in names}, is_server=is_server) == ()


@examples(40)
@given(_CONFIGS, _CONFIGS, _CONFIGS)
def test_what_is_the_same_in_two_steps_is_the_same_in_one(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    steps = (differences(first, second, is_server=True), differences(second, third, is_server=True))
    keys = {difference.key for step in steps for difference in step}

    assert {each.key for each in differences(first, third, is_server=True)} <= keys


# Everything is classed


def test_every_key_says_why_and_what_would_have_to_happen() -> None:
    for key in KEYS.values():
        assert key.reason
        assert key.source.startswith(("pkg/", "manifests/"))
        is_refused = {key.effect, key.of_agents} & {Effect.FIXED, Effect.REJOIN}
        assert bool(key.instead) is bool(is_refused)


EVERYTHING: dict[str, Any] = {
    "k3s": {"version": "v1.36.4+k3s1", "disable": ["traefik"]},
    "networks": {"backend": "wireguard-native"},
    "registries": {"mirrors": {"*": {}}, "embedded": True, "system_default": "r.example.com"},
    "sites": {"near": {}, "far": {"low_memory": True, "labels": {"a": "1"}}},
    "hosts": [
        *(row("server", each, private_address=f"10.1.0.{each}", site="near") for each in (1, 2, 3)),
        row("agent", 1, private_address="10.1.0.9", site="far", taints=["a=b:NoSchedule"]),
    ],
}
_IN_BUCKETS = (
    {"bucket": "snapshots", "endpoint": "s3.example.com", "folder": "f"},
    {"bucket": "snapshots", "config_secret": "s"},
)


@pytest.mark.parametrize("s3", _IN_BUCKETS)
def test_every_key_that_can_be_written_is_classed(s3: dict[str, str]) -> None:
    of = cluster(**EVERYTHING, snapshots={"s3": s3})
    for seen in (all_bare(of), formed(of)):
        formation = topology.read(of, seen)
        for host in of.hosts:
            written = config.config(of, host, seen[host.name], formation)
            unknown = {
                key
                for key in written
                if not effects.is_known(key, of.k3s.version, is_server=host.is_server)
            }
            assert unknown == set()


def test_every_key_that_a_person_may_not_write_is_one_of_k3s() -> None:
    """A misspelt one would let the right one through."""
    assert OWN_KEYS - KEYS.keys() == set()


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from models(inner)


def paths_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The path of every field that holds a value: `hosts[].name`, `sites.*.labels`."""
    for name, field in model.model_fields.items():
        inner = list(models(field.annotation))
        origin = typing.get_origin(field.annotation)
        end = "[]" if origin is tuple else ".*" if origin is dict and inner else ""
        path = f"{prefix}{field.alias or name}{end}"
        if not inner:
            yield path
        for each in inner:
            yield from paths_of(each, f"{path}.")


def test_every_field_of_the_cluster_file_is_classed() -> None:
    """A new field gets its class in xops/k3s/node/fields.py."""
    found = set(paths_of(Cluster))

    assert found - FIELDS.keys() == set()
    assert FIELDS.keys() - found == set()


def test_a_field_is_as_strong_as_the_keys_that_it_decides() -> None:
    for key in KEYS.values():
        fields = [field for path, field in FIELDS.items() if path.removesuffix("[]") == key.field]
        for field in fields:
            assert ORDER.index(field.effect) >= ORDER.index(key.effect), key.name


# What a person writes


@pytest.mark.parametrize(
    ("key", "version", "known"),
    [
        ("etcd-arg", "v1.34.1+k3s1", True),
        ("etcd-arg+", "v1.35.8+k3s1", True),
        ("flanel-iface", "v1.36.4+k3s1", False),
        ("flanel-iface", "v1.37.0+k3s1", None),
        ("etcd-arg", "v1.37.0+k3s1", True),
        ("flannel-iface", "v1.31.0+k3s1", True),
        ("helm-controller-arg", "v1.34.9+k3s1", False),
        ("helm-controller-arg", "v1.34.10+k3s1", True),
        ("helm-controller-arg", "v1.36.3-rc1+k3s1", True),
        ("helm-controller-arg", "v1.36.2+k3s1", False),
        ("disable-apiserver-lb", "v1.36.2+k3s1", False),  # agents know it
    ],
)
def test_which_release_knows_which_key(key: str, version: str, known: bool | None) -> None:
    assert effects.is_known(key, version) is known


def test_the_key_that_was_meant() -> None:
    assert effects.nearest("flanel-iface") == "flannel-iface"
    assert effects.nearest("kube-api-server-arg") == "kube-apiserver-arg"
    assert effects.nearest("zzz") is None


def test_arguments_that_stand_in_both() -> None:
    own = ["--audit-log-maxage=365", "feature-gates+=A=true", "v=2", "audit-log-maxsize=100"]
    more = ["audit-log-maxage=30", "feature-gates=B=true", "audit-log-maxsize=100"]

    assert list(effects.overridden(own, more)) == [
        ("--audit-log-maxage=365", "audit-log-maxage=30"),
        ("audit-log-maxsize=100", "audit-log-maxsize=100"),
    ]
    assert list(effects.overridden("v=1", "v=2")) == [("v=1", "v=2")]
    assert list(effects.overridden(None, more)) == []
