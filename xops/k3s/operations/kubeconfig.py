"""The cluster's kubeconfig: kept on this machine, merged into a person's own only when asked."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files.private_file import write_private
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.state.collect import ConnectedHosts
from xops.k3s.state.topology import Topology

NAME = "kubeconfig"

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


async def keep(cluster: Cluster, hosts: ConnectedHosts, formation: Topology) -> Path:
    """Fetch the kubeconfig of a server and keep it for the cluster's address; where it is kept.

    Raises:
        PermanentError: the server has none.
    """
    source = formation.source or cluster.servers[0]
    ran = await hosts.transports[source.name].run(
        f"# kubeconfig\ncat {paths.KUBECONFIG}", deadline=_DEADLINE
    )
    if ran.exit_code:
        raise PermanentError(
            f"reading {paths.KUBECONFIG} on {source.name}",
            ran.stderr.strip() or "nothing was said",
            "K3S writes it when its API is up: look at `xops k3s status`.",
        )
    file = cluster.secrets_folder / NAME
    text = addressed(ran.stdout, cluster.name, cluster.endpoint_url())
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_private(file, text)
    return file


def addressed(text: str, name: str, url: str) -> str:
    """A server's kubeconfig for use from elsewhere: its address, and the cluster's own name."""
    values = yaml.safe_load(text)
    values["clusters"][0]["name"] = name
    values["clusters"][0]["cluster"]["server"] = url
    values["users"][0]["name"] = name
    values["contexts"] = [{"name": name, "context": {"cluster": name, "user": name}}]
    values["current-context"] = name
    return yaml.safe_dump(values, sort_keys=False)


def merge(own: Path, target: Path) -> str:
    """Put the cluster's entries into a person's kubeconfig; the context's name.

    Entries of the same name are replaced, all others stay, and so does the current context.

    Raises:
        InputError: as `read`.
    """
    values, existing = yaml.safe_load(own.read_text(encoding="utf-8")), read(target)
    name = str(values["current-context"])
    for kind in _LISTS:
        others = [row for row in existing.get(kind) or [] if row["name"] != name]
        existing[kind] = [*others, *values[kind]]
    existing.setdefault("current-context", name)
    write_private(target, yaml.safe_dump(existing, sort_keys=False))
    return name


def read(file: Path) -> dict[str, Any]:
    """A person's kubeconfig, an empty one where there is no file yet.

    Raises:
        InputError: it cannot be read, or it is no kubeconfig.
    """
    values: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    try:
        if file.exists():
            values |= yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for row in (row for kind in _LISTS for row in values.get(kind) or []):
            row["name"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        finding = Finding(str(file), "", f"is no kubeconfig: {error!r}")
        raise InputError("reading a kubeconfig", [finding]) from error
    return values


async def ask(url: str, file: Path) -> Answer:
    """Ask the API at the cluster's address from this machine, its certificate checked.

    Raises:
        PermanentError: something answers that does not prove to be this cluster.
    """
    cluster = yaml.safe_load(file.read_text(encoding="utf-8"))["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    trust = ssl.create_default_context(cadata=authority)
    try:
        async with httpx.AsyncClient(verify=trust, timeout=_SECONDS, trust_env=False) as http:
            await http.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise _other_certificate(url, error) from error
        # Behind a bastion nobody but the hosts reaches it; the servers' own answers count then.
        return Answer(url, f"not reached from this machine: {error or type(error).__name__}")
    return Answer(url, "answered")


def api_probe(file: Path) -> Callable[[], str | None]:
    """Looks at the API of a kubeconfig from this machine, its certificate checked, once a call.

    Any answer counts: who may not ask is answered, too.
    """
    cluster = yaml.safe_load(file.read_text(encoding="utf-8"))["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    trust = ssl.create_default_context(cadata=authority)

    def look() -> str | None:
        try:
            httpx.get(
                f"{cluster['server']}/readyz", verify=trust, timeout=_SECONDS, trust_env=False
            )
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return None

    return look


def _other_certificate(url: str, error: Exception) -> PermanentError:
    return PermanentError(
        f"asking the API at {url}",
        f"its certificate is not one of this cluster for this address: {error}",
        "If the address is right, it is missing in the certificate: run `k3s certificate rotate`"
        " on each server after the apply, one at a time.",
    )
