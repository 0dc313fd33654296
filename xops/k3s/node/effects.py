"""What a difference between two contents of config.yaml does: key by key, with the reason. Pure.

The keys are in `k3s_keys`. A key that is not there is read at a start like most others: K3S of a
later release may know it, and a start is what it takes at most for a key that is not fixed.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xops.core.plan.values import Json
from xops.k3s.k3s_keys import KEYS, ORDER, RELEASES, Effect, Key

__all__ = [
    "Effect", "KeyDifference", "canonical", "differences", "effect_of", "is_known", "key_of",
    "nearest", "overridden", "restarts", "strongest", "told",
]  # fmt: skip

_UNKNOWN = "K3S of that host reads it at a start, if it knows it"

_MOST_TOLD = 12
"""Keys whose effects are told in a line; the strongest are."""
_LONGEST_KEY = 60

_ARGUMENTS = "-arg"
"""How keys end whose values are arguments of a component."""

FIXED_ARGUMENTS = {
    "kube-apiserver-arg": frozenset(
        {"encryption-provider-config", "service-account-issuer", "service-cluster-ip-range"}
    ),
    "kube-controller-manager-arg": frozenset(
        {
            "cluster-cidr", "node-cidr-mask-size", "node-cidr-mask-size-ipv4",
            "node-cidr-mask-size-ipv6", "service-cluster-ip-range",
        }
    ),
}  # fmt: skip
"""Arguments that decide what the keys decide that are fixed: the networks, issuers, and keys."""

_ARGUMENT_REASON = (
    "the argument decides what nodes, services or Secrets of the cluster hold already"
)


@dataclass(frozen=True)
class KeyDifference:
    """One key that differs.

    Attributes:
        key: its long name, without `+`.
        before, after: the values as they are written; None where the key is not there.
        effect: what it takes for the difference to come about.
        reason: why.
    """

    key: str
    before: Json
    after: Json
    effect: Effect
    reason: str


def key_of(name: str) -> Key | None:
    """What is known of a key, by its long name or its one letter, with `+` or without."""
    plain = name.removesuffix("+")
    return KEYS.get(plain) or _BY_LETTER.get(plain)


_BY_LETTER = {key.short: key for key in KEYS.values() if key.short}


def effect_of(key: str, *, is_server: bool) -> Effect:
    """What a change of a key of config.yaml does to a node of that role."""
    known = key_of(key)
    return known.effect_on(is_server=is_server) if known else Effect.RESTART


def canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration with long names, and what `key+` adds joined to `key`.

    So K3S reads it (pkg/configfilearg/parser.go): of a key that stands there twice the last counts.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        known = key_of(str(name))
        key = known.name if known else str(name).removesuffix("+")
        adds = str(name).endswith("+") and key in found
        found[key] = [*_listed(found[key]), *_listed(value)] if adds else value
    return found


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, is_server: bool
) -> tuple[KeyDifference, ...]:
    """The keys that differ, in alphabetical order.

    Args:
        before: what config.yaml says now.
        after: what it shall say.
        is_server: the role of the host, which decides what some keys do.
    """
    old, new = (_with_dns(canonical(values)) for values in (before, after))
    return tuple(
        _difference(key, old.get(key), new.get(key), is_server)
        for key in sorted(old.keys() | new.keys())
        if _meaning(key, old.get(key)) != _meaning(key, new.get(key))
    )


def _with_dns(values: dict[str, Any]) -> dict[str, Any]:
    """The same with the address of the DNS service, by default the tenth of the services'."""
    network = values.get("service-cidr")
    if "cluster-dns" in values or not isinstance(network, str):
        return values
    try:
        return {**values, "cluster-dns": str(ipaddress.ip_network(network)[10])}
    except (ValueError, IndexError):
        return values


def _difference(key: str, before: Any, after: Any, is_server: bool) -> KeyDifference:
    known = key_of(key)
    effect = effect_of(key, is_server=is_server)
    if _fixed_arguments(key, before, after):
        return KeyDifference(key, before, after, Effect.FIXED, _ARGUMENT_REASON)
    return KeyDifference(key, before, after, effect, known.reason if known else _UNKNOWN)


def _fixed_arguments(key: str, before: Any, after: Any) -> frozenset[str]:
    """Which of the arguments that differ are fixed at birth."""
    differing = set(_texts(before)) ^ set(_texts(after))
    return FIXED_ARGUMENTS.get(key, frozenset()) & {_argument(text) for text in differing}


def strongest(found: Iterable[KeyDifference]) -> Effect | None:
    """The strongest of the effects, None without any."""
    return max((difference.effect for difference in found), key=ORDER.index, default=None)


def restarts(found: Iterable[KeyDifference]) -> bool:
    """Whether K3S of the host must be started anew for these differences to come about.

    What takes more than that is refused before (`birth`), on a node that lives.
    """
    return strongest(found) not in (None, Effect.IN_PLACE)


def told(found: Iterable[KeyDifference]) -> str:
    """What each difference does and why, as a person reads it; the strongest first."""
    ordered = sorted(found, key=lambda each: ORDER.index(each.effect), reverse=True)
    shown = [
        f"{each.key[:_LONGEST_KEY]}: {each.effect.value} ({each.reason})"
        for each in ordered[:_MOST_TOLD]
    ]
    left = len(ordered) - len(shown)
    more = f"{left} more keys, {ordered[_MOST_TOLD].effect.value} at most" if left else ""
    return "; ".join([*shown, more] if more else shown)


def _meaning(key: str, value: Any) -> tuple[str, ...]:
    """A value as K3S takes it: without the key its default, a list however it is written."""
    known = key_of(key)
    if value in (None, [], ()) and known is not None:
        value = known.default
    texts = _texts(value)
    if key == "data-dir":
        return tuple(text.rstrip("/") for text in texts)
    if key.endswith(_ARGUMENTS):
        return texts  # their order counts, and a comma is a part of them
    return tuple(part.strip() for text in texts for part in text.split(","))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(each) for each in _listed(value))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


# What a person writes under k3s.config


def is_known(key: str, version: str, *, is_server: bool = True) -> bool | None:
    """Whether K3S of that release knows the key; None for a release of which nothing is known.

    A server skips what it does not know with a warning, and an agent does not start with it
    (pkg/configfilearg/defaultparser.go: only servers' flags are compared).
    """
    minor = next((release for release in RELEASES if version.startswith(f"{release}.")), None)
    known = key_of(key)
    if known is None:
        return False if minor else None
    first = next((since for since in known.since if minor and since.startswith(f"{minor}.")), None)
    is_there = first is None or _patch(version) >= _patch(first)
    return is_there and ("server" if is_server else "agent") in known.roles


def _patch(version: str) -> int:
    digits = version.split("+")[0].split("-")[0].split(".")[2]
    return int(digits)


def nearest(key: str) -> str | None:
    """The key that was meant, by its spelling; None if none is near."""
    return next(iter(difflib.get_close_matches(key.removesuffix("+"), KEYS, 1)), None)


def overridden(own: Any, more: Any) -> Iterator[tuple[str, str]]:
    """Arguments of a component that stand in both: as the first has them, and as the second has.

    `name+=value` and `name-=value` take nothing's place: K3S joins them to what else is there
    (pkg/util/args.go). Of two plain ones the component gets both, and most take the last.
    """
    theirs = {_argument(text): text for text in _texts(more)}
    for text in _texts(own):
        other = theirs.get(_argument(text))
        if other is not None and not _adds(text) and not _adds(other):
            yield text, other


def _argument(text: str) -> str:
    """The name of an argument; K3S takes it with hyphens before it, and `+` or `-` after it."""
    return text.split("=", 1)[0].removeprefix("--").rstrip("+-")


def _adds(text: str) -> bool:
    return text.split("=", 1)[0].endswith(("+", "-"))
