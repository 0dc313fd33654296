"""The SSH configuration that a cluster file names: a few keywords of OpenSSH's, and no others.

A cluster file and what lies beside it may be anybody's who proposes a change. OpenSSH's
configuration can start programs (ProxyCommand, Match exec, LocalCommand), load code
(PKCS11Provider), read other files (Include, CertificateFile, IdentityAgent) and send variables
(SendEnv). So such a file is read here, against a list of what is harmless, and neither asyncssh nor
OpenSSH ever sees it. Anything else is refused with its line, in whichever block it stands.

A person's own `~/.ssh/config` is theirs and is not read here: see `route`.

Source of the form: ssh_config(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from xops.core.errors import Finding, InputError
from xops.core.files.reading import UnusableTextError, read_text
from xops.k3s.cluster_file.field_types import HOST_ALIAS, LOGIN, is_jump

LARGEST = 256 * 1024
"""Bytes. The configuration of a thousand hosts has some 100 kB."""

_MOST_FINDINGS = 50
_MOST_JUMPS = 8
_MOST_KEYS = 16
"""sshd hangs up after six (MaxAuthTries)."""

_LINE = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:[ \t]*=[ \t]*|[ \t]+)(.*)", re.ASCII)
_WORD = re.compile(r'"([^"]*)"|([^\s"]+)')
_WORDS = re.compile(r'(?:"[^"]*"|[^\s"]+)(?:[ \t]+(?:"[^"]*"|[^\s"]+))*')
_PATTERN = re.compile(r"!?[A-Za-z0-9_.:*?-]{1,255}", re.ASCII)

# What other programs that read this form give a meaning to: expansion, escapes, other quotes,
# comments behind a value.
_SPECIAL = re.compile(r"[%$`\\'#]")

# Which may be told when they are refused. Any other word may be a secret: that a file is named as a
# configuration does not make it one.
_TELLABLE = frozenset(
    {
        "addkeystoagent", "bindaddress", "certificatefile", "ciphers", "controlmaster",
        "controlpath", "dynamicforward", "forwardagent", "forwardx11", "globalknownhostsfile",
        "identitiesonly", "identityagent", "include", "kexalgorithms", "knownhostscommand",
        "localcommand", "localforward", "macs", "match", "permitlocalcommand", "pkcs11provider",
        "preferredauthentications", "proxycommand", "proxyusefdpass", "remotecommand",
        "remoteforward", "securitykeyprovider", "sendenv", "setenv", "stricthostkeychecking",
        "tunnel", "usekeychain", "userknownhostsfile", "xauthlocation",
    }
)  # fmt: skip

_FAMILIES = ("any", "inet", "inet6")


@dataclass(frozen=True)
class HostSettings:
    """What a configuration says about one host; None and empty where it says nothing.

    Attributes:
        jumps: OpenSSH's ProxyJump, `none` for an explicit none.
        identities: files of private keys, in order.
    """

    host_name: str | None = None
    port: int | None = None
    user: str | None = None
    jumps: str | None = None
    host_key_alias: str | None = None
    family: str | None = None
    identities: tuple[Path, ...] = ()

    def over(self, later: HostSettings) -> HostSettings:
        """These, and what they leave out from `later`: in OpenSSH the first value counts."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        identities = (self.identities + later.identities)[:_MOST_KEYS]
        return replace(later, **{**given, "identities": identities})


class _Block(NamedTuple):
    patterns: tuple[str, ...]
    settings: HostSettings

    def is_about(self, host: str) -> bool:
        """As ssh_config(5): one pattern matches, and none that is negated."""
        negated = (pattern[1:] for pattern in self.patterns if pattern.startswith("!"))
        plain = (pattern for pattern in self.patterns if not pattern.startswith("!"))
        if any(fnmatchcase(host, pattern) for pattern in negated):
            return False
        return any(fnmatchcase(host, pattern) for pattern in plain)


@dataclass(frozen=True)
class ClientConfig:
    """A configuration of harmless keywords, read and checked as a whole."""

    blocks: tuple[_Block, ...] = ()

    def of(self, host: str) -> HostSettings:
        """What it says about a host, by the name that is asked for."""
        found = HostSettings()
        for block in self.blocks:
            if block.is_about(host):
                found = found.over(block.settings)
        return found


def read_client_config(file: Path) -> ClientConfig:
    """The configuration in a file; of the null device, as OpenSSH takes it, an empty one.

    Raises:
        InputError: it is missing, no regular file, too large or not UTF-8; or each line of it that
            is not understood or not allowed, at once.
    """
    if str(file) == os.devnull:
        return ClientConfig()
    attempted = f"reading the SSH configuration {file}"
    remedy = (
        "Keep to what is allowed there (docs/reference/cluster-file.md, ssh), or leave ssh.config"
        " out: then your own ~/.ssh/config counts, with all that OpenSSH knows."
    )
    try:
        text = read_text(file, LARGEST)
    except UnusableTextError as error:
        finding = Finding(str(file), "", error.problem, error.line)
        raise InputError(attempted, [finding], remedy) from None
    reader = _Reader(str(file))
    config = reader.read(text)
    if reader.findings:
        raise InputError(attempted, reader.findings[:_MOST_FINDINGS], remedy)
    return config


class _Refusal(Exception):  # noqa: N818 - it says why, as a clause
    """Why a line is not taken."""


class _Reader:
    def __init__(self, source: str) -> None:
        self.findings: list[Finding] = []
        self._source = source

    def read(self, text: str) -> ClientConfig:
        blocks = [_Block(("*",), HostSettings())]
        for number, line in enumerate(text.split("\n"), 1):
            try:
                self._take(line.strip(" \t\r"), blocks)
            except _Refusal as refusal:
                self.findings.append(Finding(self._source, "", str(refusal), number))
        return ClientConfig(tuple(blocks))

    def _take(self, line: str, blocks: list[_Block]) -> None:
        if not line or line.startswith("#"):
            return
        keyword, words = _split(line)
        if keyword == "host":
            blocks.append(_Block(_patterns(words), HostSettings()))
            return
        name, parse = _KEYWORDS[keyword]
        given = HostSettings(**{name: parse(words)})
        blocks[-1] = blocks[-1]._replace(settings=blocks[-1].settings.over(given))


def _split(line: str) -> tuple[str, list[str]]:
    """A line's keyword, in lower case, and its words."""
    if not line.isascii() or not line.replace("\t", " ").isprintable():
        raise _Refusal("has a character that is not of printable ASCII")
    found = _LINE.fullmatch(line)
    word = (found[1] if found else line.split(None, 1)[0]).lower()
    if word != "host" and word not in _KEYWORDS:
        named = word if word in _TELLABLE else "this line"
        raise _Refusal(f"{named} is not allowed here; {_allowed()} are")
    if found is None or not _WORDS.fullmatch(found[2]):
        raise _Refusal(f"{word} must have a value, whole words or text in double quotes")
    if special := _SPECIAL.search(found[2]):
        raise _Refusal(f"{word} has a {special[0]}, and nothing is expanded or escaped here")
    return word, [row[1] or row[2] or "" for row in _WORD.finditer(found[2])]


def _allowed() -> str:
    *most, last = ("Host", *_NAMES)
    return f"{', '.join(most)} and {last}"


def _patterns(words: Sequence[str]) -> tuple[str, ...]:
    for word in words:
        if not _PATTERN.fullmatch(word):
            raise _Refusal("host has what is no pattern of host names")
    return tuple(words)


def _only(words: Sequence[str]) -> str:
    if len(words) != 1:
        raise _Refusal(f"has {len(words)} values where one is possible")
    return words[0]


def _matching(expression: re.Pattern[str], what: str) -> Callable[[Sequence[str]], str]:
    def parse(words: Sequence[str]) -> str:
        word = _only(words)
        if not expression.fullmatch(word):
            raise _Refusal(f"its value is no {what}")
        return word

    return parse


def _port(words: Sequence[str]) -> int:
    word = _only(words)
    if not re.fullmatch(r"[0-9]{1,5}", word) or not 0 < int(word) < 65536:
        raise _Refusal("its value is no port, 1 to 65535")
    return int(word)


def _jumps(words: Sequence[str]) -> str:
    word = _only(words)
    if word.count(",") >= _MOST_JUMPS:
        raise _Refusal(f"has more than {_MOST_JUMPS} hosts to go through")
    if word.lower() != "none" and not all(map(is_jump, word.split(","))):
        raise _Refusal("its value is not user@host:port, or several of them with commas between")
    return word


def _family(words: Sequence[str]) -> str:
    word = _only(words).lower()
    if word not in _FAMILIES:
        raise _Refusal(f"its value is not one of {', '.join(_FAMILIES)}")
    return word


def _identity(words: Sequence[str]) -> tuple[Path, ...]:
    word = _only(words)
    if not word.startswith(("/", "~/")):
        raise _Refusal("its value must be a whole path, or one below ~/")
    return (Path(word).expanduser(),)


_NAMES: dict[str, tuple[str, Callable[[Sequence[str]], Any]]] = {
    "HostName": ("host_name", _matching(HOST_ALIAS, "address or name of a host")),
    "Port": ("port", _port),
    "User": ("user", _matching(LOGIN, "login")),
    "ProxyJump": ("jumps", _jumps),
    "HostKeyAlias": ("host_key_alias", _matching(HOST_ALIAS, "name of a host")),
    "IdentityFile": ("identities", _identity),
    "AddressFamily": ("family", _family),
}
_KEYWORDS = {name.lower(): row for name, row in _NAMES.items()}
