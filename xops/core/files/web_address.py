"""Addresses in the one form in which two of them can be compared."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Origin:
    """A server as requests reach it: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, address: str) -> Origin:
        """The server of an address, which is written in the plainest of its forms.

        Programs read odd addresses differently: what one takes for a user is another's host. So
        only those are taken that have one meaning.

        Raises:
            ValueError: it names a user, or is no plain http(s) address.
        """
        found = _ORIGIN.match(address)
        rest = address[found.end() :] if found else ""
        if found is None or found["scheme"] not in _PORTS or not _is_path(rest):
            raise ValueError("is no plain address like https://HOST or https://HOST:PORT/PATH")
        port = int(found["port"]) if found["port"] else _PORTS[found["scheme"]]
        return cls(found["scheme"], found["host"].lower(), port)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        host = self.host.strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def __str__(self) -> str:
        own = self.port == _PORTS[self.scheme]
        return f"{self.scheme}://{self.host}" + ("" if own else f":{self.port}")


def _is_path(rest: str) -> bool:
    return not rest or (rest[0] in "/?#" and "\\" not in rest and rest.isprintable())
