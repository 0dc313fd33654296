"""What a host's kernel says about its addresses, routes and sockets, in its own words. Pure.

The kernel's files are read rather than what `ip` and `ss` print: BusyBox' `ip route show default`
prints every route, and `ss` is not everywhere. Source: Linux, Documentation/networking/proc_net_tcp
and the headers that net/ipv4/fib_trie.c and net/ipv6/route.c print.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_UP = 0x1
_REJECTS = 0x200
_HEX = re.compile(r"[0-9A-Fa-f]{1,32}")
_NUMBER = re.compile(r"[0-9]{1,6}")
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Route:
    """A network that a host reaches, and through which of its interfaces."""

    network: str
    interface: str

    @property
    def is_default(self) -> bool:
        """Whether it leads wherever no other route does."""
        return self.network in ("0.0.0.0/0", "::/0")


def parse_routes(rows: Sequence[str]) -> tuple[Route, ...] | None:
    """Routes that are up, in the kernel's order; None if they were not told in its words.

    Each row has the family, the interface, and of IPv4 destination, mask and flags, of IPv6
    destination, length and flags, in the kernel's hexadecimal.

    Raises:
        ValueError: a row is none.
    """
    told = [row.split() for row in rows if row.startswith(("4 ", "6 "))]
    if not told and rows:
        return None
    return tuple(dict.fromkeys(found for row in told if (found := _route(row))))


def has_default(rows: Sequence[str]) -> bool:
    """Whether there is a default route; of other words than the kernel's any row says so."""
    routes = parse_routes(rows)
    return bool(rows) if routes is None else any(route.is_default for route in routes)


def _route(row: list[str]) -> Route | None:
    if len(row) != 5 or len(row[1]) > _LONGEST_NAME:
        raise ValueError(f"{' '.join(row)[:80]!r} is no route")
    family, interface, destination, width, flags = row
    if not _hex(flags) & _UP or _hex(flags) & _REJECTS or interface == "lo":
        return None
    if family == "4":
        # The kernel prints an address as the number that it is in memory, on all of K3S's machines
        # with its last byte first.
        address = ipaddress.IPv4Address(_hex(destination).to_bytes(4, "little"))
        length = _hex(width).bit_count()
        return Route(str(ipaddress.IPv4Network((address, length), strict=False)), interface)
    address6 = ipaddress.IPv6Address(_hex(destination))
    return Route(str(ipaddress.IPv6Network((address6, _hex(width)), strict=False)), interface)


def _hex(text: str) -> int:
    if not _HEX.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no hexadecimal number")
    return int(text, 16)


def parse_sockets(rows: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Kind and port of every socket that listens.

    Raises:
        ValueError: a row is none.
    """
    for row in rows:
        kind, _, place = row.partition(" ")
        if place.startswith("hex "):
            yield kind, _hex(place.removeprefix("hex "))
        elif _NUMBER.fullmatch(port := place.rpartition(":")[2]):
            yield kind, int(port)
        else:
            raise ValueError(f"{row[:80]!r} is no socket")


def parse_addresses(rows: Sequence[str]) -> dict[str, str]:
    """The interface of each address; empty where it was not told.

    A row has the interface and the address with its network's length, or that alone.
    """
    found: dict[str, str] = {}
    for row in rows:
        interface, _, address = row.rpartition(" ")
        if len(row) > 2 * _LONGEST_NAME:
            raise ValueError(f"{row[:80]!r} is no address")
        found[address.split("/")[0]] = interface.split("@")[0]
    return found
