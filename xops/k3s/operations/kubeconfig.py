"""The cluster's kubeconfig: kept on this machine, merged into a person's own only when asked.

It is built here. Of what a host says are taken its certificates and its key, once they are seen to
be such: a kubeconfig can name programs that kubectl runs.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.bounded_yaml import parse_yaml
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.ssh.transport_protocol import shorten
from xops.k3s.state.collect import ConnectedHosts
from xops.k3s.state.topology import Topology

NAME = "kubeconfig"

LARGEST = 64 * 1024
"""Characters of a host's kubeconfig; K3S's has 3 kB."""

LARGEST_OF_A_PERSON = 1 << 20
"""Bytes."""

_LONGEST_DATA = 32 * 1024
_LISTS = ("clusters", "users", "contexts")
_DEADLINE = 30.0
_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """How the API answered at its address: `answered`, or why it was not reached from here."""

    url: str
    status: str

    @property
    def answered(self) -> bool:
        """Whether it did."""
        return self.status == "answered"


@dataclass(frozen=True, repr=False)
class Access:
    """What it takes to use a cluster's API. Certificates and the key are PEM, and nothing else.

    A host's kubeconfig may say more: programs to run for a login, files of this machine to read,
    tokens, proxies, other clusters. Nothing of that is taken.
    """

    authority: str
    certificate: str
    key: str

    @classmethod
    def found_in(cls, text: str) -> Access:
        """Those of the first cluster and the first user of a kubeconfig.

        Raises:
            UnusableTextError: it is no kubeconfig, or its data are not of the right kind.
        """
        if len(text) > LARGEST:
            raise UnusableTextError(f"is larger than {LARGEST} bytes")
        values = parse_yaml(text)
        cluster, user = _first(values, "clusters", "cluster"), _first(values, "users", "user")
        return cls(
            _certificates(cluster, "certificate-authority-data"),
            _certificates(user, "client-certificate-data"),
            _private_key(user, "client-key-data"),
        )

    def document(self, name: str, url: str) -> dict[str, Any]:
        """A kubeconfig of its own, in which everything has the cluster's name."""
        cluster = {"certificate-authority-data": _encoded(self.authority), "server": url}
        user = {
            "client-certificate-data": _encoded(self.certificate),
            "client-key-data": _encoded(self.key),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }


def _first(values: Any, kind: str, inner: str) -> dict[str, Any]:
    rows = values.get(kind) if isinstance(values, dict) else None
    row = rows[0] if isinstance(rows, list) and rows else None
    found = row.get(inner) if isinstance(row, dict) else None
    if not isinstance(found, dict):
        raise UnusableTextError(f"is no kubeconfig: it has no {kind}")
    return found


def _decoded(values: Mapping[str, Any], key: str) -> bytes:
    text = values.get(key)
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_DATA:
        raise UnusableTextError(f"{key} is missing, no text, or longer than {_LONGEST_DATA}")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise UnusableTextError(f"{key} is no base64") from None


def _encoded(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()


def _certificates(values: Mapping[str, Any], key: str) -> str:
    """Certificates, written anew: what stands between them stays behind."""
    try:
        found = x509.load_pem_x509_certificates(_decoded(values, key))
        return b"".join(one.public_bytes(Encoding.PEM) for one in found).decode()
    except UnusableTextError:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise UnusableTextError(f"{key} holds no certificates") from None


def _private_key(values: Mapping[str, Any], key: str) -> str:
    try:
        # Its numbers are not checked: for large ones that takes minutes, and it is the host's own.
        found = load_pem_private_key(
            _decoded(values, key), None, unsafe_skip_rsa_key_validation=True
        )
        if not isinstance(found, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise UnusableTextError(f"{key} is a key of a kind that K3S does not make")
        form = PrivateFormat.TraditionalOpenSSL
        return found.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    except UnusableTextError:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, UnsupportedAlgorithm):
        raise UnusableTextError(f"{key} holds no private key") from None


async def keep(cluster: Cluster, hosts: ConnectedHosts, formation: Topology) -> Path:
    """Fetch the kubeconfig of a server and keep it for the cluster's address; where it is kept.

    Raises:
        PermanentError: the server has none, or what it has cannot be used.
    """
    source = formation.source or cluster.servers[0]
    attempted = f"reading {paths.KUBECONFIG} on {source.name}"
    ran = await hosts.transports[source.name].run(
        f"# kubeconfig\ncat {paths.KUBECONFIG}", deadline=_DEADLINE
    )
    if ran.exit_code:
        raise PermanentError(
            attempted,
            shorten(ran.stderr.strip()) or "nothing was said",
            "K3S writes it when its API is up: look at `xops k3s status`.",
        )
    file = cluster.secrets_folder / NAME
    try:
        text = addressed(ran.whole_stdout(), cluster.name, cluster.endpoint_url())
    except UnusableTextError as error:
        raise PermanentError(
            attempted, f"it {error.problem}", "Compare it with another server's; nothing was kept."
        ) from None
    if _kept_text(file) != text:
        write_private(file, text)
    return file


def _kept_text(file: Path) -> str | None:
    try:
        return read_text(file)
    except UnusableTextError:  # there is none yet, or it is none
        return None


def addressed(text: str, name: str, url: str) -> str:
    """A server's kubeconfig for use from elsewhere: its address, and the cluster's own name.

    Raises:
        UnusableTextError: as `Access.found_in`.
    """
    return yaml.safe_dump(Access.found_in(text).document(name, url), sort_keys=False)


def merge(own: Path, target: Path) -> str:
    """Put the cluster's entries into a person's kubeconfig; the context's name.

    Entries of the same name are replaced, all others stay, and so does the current context.

    Raises:
        InputError: as `read`.
        PermanentError: the cluster's own cannot be used.
    """
    document, existing = _kept(own), read(target)
    name = str(document["current-context"])
    for kind in _LISTS:
        others = [row for row in existing.get(kind) or [] if row["name"] != name]
        existing[kind] = [*others, *document[kind]]
    existing.setdefault("current-context", name)
    # A link (to a folder that is synchronised, say) stays one.
    write_private(target.resolve(), yaml.safe_dump(existing, sort_keys=False))
    return name


def _kept(file: Path) -> dict[str, Any]:
    """The kubeconfig that is kept here, built anew: an earlier xOps copied what hosts had.

    Raises:
        PermanentError: it cannot be used.
    """
    try:
        text = read_text(file)
        values = parse_yaml(text)
        access = Access.found_in(text)
        name, url = values.get("current-context"), _first(values, "clusters", "cluster")["server"]
        if not isinstance(name, str) or not isinstance(url, str) or not url.startswith("https://"):
            raise UnusableTextError("names no cluster, or no https address of one")
        return access.document(name, url)
    except (UnusableTextError, KeyError) as error:
        found = error.problem if isinstance(error, UnusableTextError) else "has no address"
        raise _unusable(file, f"it {found}") from None


def _unusable(file: Path, found: str) -> PermanentError:
    remedy = "Move it aside: the next `xops k3s apply` fetches it anew."
    return PermanentError(f"reading the kubeconfig {file}", found, remedy)


def read(file: Path) -> dict[str, Any]:
    """A person's kubeconfig, an empty one where there is no file yet.

    Raises:
        InputError: it cannot be read, or it is no kubeconfig.
    """
    values: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    if not file.exists():
        return values
    try:
        values |= _mapping(parse_yaml(read_text(file, LARGEST_OF_A_PERSON)))
    except UnusableTextError as error:
        finding = Finding(str(file), "", f"is no kubeconfig: it {error.problem}", error.line)
        raise InputError("reading a kubeconfig", [finding]) from None
    return values


def _mapping(values: Any) -> dict[str, Any]:
    """A kubeconfig's values, as far as they are needed here."""
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UnusableTextError("holds no mapping")
    for kind in _LISTS:
        rows = values.get(kind) or []
        if not isinstance(rows, list):
            raise UnusableTextError(f"{kind} is no list")
        if not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
            raise UnusableTextError(f"{kind} has an entry without a name")
    return values


def _trust(document: Mapping[str, Any], file: Path) -> ssl.SSLContext:
    authority = document["clusters"][0]["cluster"]["certificate-authority-data"]
    try:
        return ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    except ssl.SSLError as error:
        raise _unusable(file, f"its authority is refused: {error}") from error


async def ask(url: str, file: Path) -> Answer:
    """Ask the API at the cluster's address from this machine, its certificate checked.

    Raises:
        PermanentError: something answers that does not prove to be this cluster.
    """
    import httpx  # late: who only plans asks no API from here, and it takes a tenth of a second

    trust = _trust(_kept(file), file)
    try:
        async with (
            httpx.AsyncClient(verify=trust, timeout=_SECONDS, trust_env=False) as http,
            http.stream("GET", f"{url}/readyz"),
        ):
            pass  # that it answers is all that counts: of what it says nothing is read
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise _other_certificate(url, error) from error
        # Behind a bastion nobody but the hosts reaches it; the servers' own answers count then.
        return Answer(url, f"not reached from this machine: {error or type(error).__name__}")
    return Answer(url, "answered")


def api_probe(file: Path) -> Callable[[], str | None]:
    """Looks at the API of a kubeconfig from this machine, its certificate checked, once a call.

    Any answer counts: who may not ask is answered, too.

    Raises:
        PermanentError: the kubeconfig cannot be used.
    """
    import httpx  # late, as above

    document = _kept(file)
    trust = _trust(document, file)
    url = f"{document['clusters'][0]['cluster']['server']}/readyz"

    def look() -> str | None:
        try:
            with httpx.stream("GET", url, verify=trust, timeout=_SECONDS, trust_env=False):
                return None
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__

    return look


def _other_certificate(url: str, error: Exception) -> PermanentError:
    return PermanentError(
        f"asking the API at {url}",
        f"its certificate is not one of this cluster for this address: {error}",
        "If the address is right, it is missing in the certificate: run `k3s certificate rotate`"
        " on each server after the apply, one at a time.",
    )
