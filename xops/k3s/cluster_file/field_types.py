"""How single values of the cluster file are written: names, addresses, labels, taints, schedules.

Each type is a text that is checked for its form; a wrong one says what a right one looks like.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from xops.core.files.validation import raise_if_any

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = "write name or domain/name, the name of at most 63 letters, digits, '-', '_' and '.'"
_VALUE = "at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

# Labels that a kubelet may give its own node within the domains of Kubernetes; with any other one
# of these domains it does not start. Source: k8s.io/kubernetes, pkg/kubelet/apis/well_known_labels.
_KUBELET_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBELET_LABELS = frozenset(
    {
        "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/os",
        "topology.kubernetes.io/region", "topology.kubernetes.io/zone",
    }
)  # fmt: skip

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

# Bounds of cron's five fields. Source: robfig/cron v3's standard parser, which K3S uses; unlike
# other crons it knows no 7 for Sunday.
_CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
# Neither begins with a hyphen, which would make an option of it.
_LOGIN = r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"

LOGIN = re.compile(_LOGIN)
"""Whom to log in as."""

HOST_ALIAS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:-]{0,252}")
"""An address, a name, or an alias of an SSH configuration."""

_JUMP = re.compile(rf"({_LOGIN}@)?({_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])(:[0-9]{{1,5}})?")

_CRON_WORDS = re.compile(
    r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every (\d+(\.\d+)?(h|m|s))+)"
)


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The text as an IP address, or None if it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_jump(text: str) -> bool:
    """Whether a text is `user@host:port`, user and port optional, the host also `[IPv6]`."""
    return _JUMP.fullmatch(text) is not None


def _checked_address(text: str) -> str:
    if address := ip_address(text):
        return str(address)
    # An address with a typing error would otherwise pass as a name: 10.0.0.256, 10.0.0.
    if re.fullmatch(r"[\d.]+", text) or not _HOST_NAME.fullmatch(text) or len(text) > 253:
        raise ValueError("is neither an IP address nor a host's name")
    return text


def _checked_ip(text: str) -> str:
    address = ip_address(text)
    if address is None:
        raise ValueError("is no IP address, and nodes are announced to each other by address")
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        raise ValueError("is no address that other hosts could reach")
    return str(address)


def _checked_network(text: str) -> str:
    return str(ipaddress.IPv4Network(text))


def _checked_labels(labels: dict[str, str]) -> dict[str, str]:
    found = [(key, problem) for key in labels if (problem := _label_problem(key, labels[key]))]
    raise_if_any(((key,), problem) for key, problem in found)
    return labels


def _label_problem(key: str, value: str) -> str | None:
    if not _is_qualified(key):
        return "is no key of a label: " + _KEY
    if not _is_label_value(value):
        return f"{value!r} is no value of a label: {_VALUE}"
    prefix, _, _ = key.rpartition("/")
    reserved = re.search(r"(^|\.)(kubernetes|k8s)\.io$", prefix)
    if reserved and key not in _KUBELET_LABELS and not _kubelet_prefix(prefix):
        return (
            "a kubelet may not give itself this label and would not start: use a domain of your"
            " own, or label the node with kubectl"
        )
    return None


def _kubelet_prefix(prefix: str) -> bool:
    return any(prefix == own or prefix.endswith(f".{own}") for own in _KUBELET_PREFIXES)


def _is_label_value(text: str) -> bool:
    return not text or _QUALIFIED.fullmatch(text) is not None


def _is_qualified(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return _QUALIFIED.fullmatch(name) is not None and (not slash or _subdomain(prefix))


def _subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label(key: str, value: str) -> bool:
    """Whether a node may be given this label by the file."""
    return _label_problem(key, value) is None


def _checked_taint(text: str) -> str:
    taint_parts(text)
    return text


def taint_parts(text: str) -> tuple[str, str, str]:
    """Key, value and effect of a taint; the value is empty where it has none.

    Raises:
        ValueError: it is no taint.
    """
    body, colon, effect = text.rpartition(":")
    if not colon or effect not in _EFFECTS:
        raise ValueError(f"write key=value:EFFECT, EFFECT one of {', '.join(_EFFECTS)}")
    key, _, value = body.partition("=")
    if not _is_qualified(key):
        raise ValueError("has a wrong key: " + _KEY)
    if not _is_label_value(value):
        raise ValueError("has a wrong value: " + _VALUE)
    return key, value, effect


def _checked_cron(text: str) -> str:
    if _CRON_WORDS.fullmatch(text):
        return text
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(f"write cron's 5 fields, such as '0 */12 * * *'; found {len(fields)}")
    for field, (name, low, high, words) in zip(fields, _CRON_FIELDS, strict=True):
        if not all(_cron_part(part, low, high, words) for part in field.split(",")):
            raise ValueError(f"{name} {field!r} is not within {low}-{high}")
    return text


def _cron_part(part: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if span in ("*", "?"):
        return True
    first, dash, last = span.partition("-")
    numbers = [_cron_number(text, low, words) for text in ((first, last) if dash else (first,))]
    within = [number for number in numbers if number is not None and low <= number <= high]
    return len(within) == len(numbers) and within == sorted(within)


def _cron_number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text.upper() in words:
        return words.index(text.upper()) + low
    return int(text) if re.fullmatch(r"\d{1,2}", text) else None


Address = Annotated[str, AfterValidator(_checked_address)]
"""An IP address, a DNS name, or an alias of the person's SSH configuration."""

IpAddress = Annotated[str, AfterValidator(_checked_ip)]
"""An IP address that other hosts can reach."""

Network = Annotated[str, AfterValidator(_checked_network)]
"""An IPv4 block, `10.42.0.0/16`."""

NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A host's name, under which it is known as node and as etcd member."""

Labels = Annotated[dict[str, str], AfterValidator(_checked_labels)]
"""Labels of a node: `name` or `domain/name`, such as a kubelet may give itself, to a value."""

Taint = Annotated[str, AfterValidator(_checked_taint)]
"""`key=value:EFFECT` or `key:EFFECT`."""

Cron = Annotated[str, AfterValidator(_checked_cron)]
"""Cron's five fields, or `@daily`, `@every 6h` and their like, in the hosts' time zone."""

Login = Annotated[str, Field(pattern=rf"^{_LOGIN}$")]
"""Whom to log in as. It stands in command lines that people are told to type."""

Jump = Annotated[str, Field(pattern=rf"^({_LOGIN}@)?{_NAME}(:\d{{1,5}})?$")]
"""A host to go through: `user@host:port`, user and port optional."""

AbsolutePath = Annotated[str, Field(pattern=r"^(/[\w.+-]+)+$")]
"""A path on the hosts."""
