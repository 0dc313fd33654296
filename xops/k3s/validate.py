"""Checking a cluster's file without asking any host: the file itself, its lock, its secrets.

What is wrong is told at once, of all files together. What one error keeps from being known (the
version, where `k3s` is wrong) is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import settings
from xops.core.files.bounded_yaml import parse_yaml
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.files.secret import SecretReference
from xops.core.files.secret_sources import SecretSources
from xops.k3s.cluster_file.choices import TerraformSource
from xops.k3s.cluster_file.cluster import Cluster, K3s, Registries, Snapshots, find_file
from xops.k3s.release.lock import Kind, Lock, NotLockedError

_Path = tuple[str | int, ...]

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "k3s": K3s, "registries": Registries, "snapshots": Snapshots,
}  # fmt: skip
"""What a release and secrets are named in."""


@dataclass(frozen=True)
class Validation:
    """A cluster file in which nothing is wrong.

    Attributes:
        cluster: what it says, with Terraform's hosts where they are known.
        secrets: the places of its secrets, each of which holds one.
        unchecked: what could not be looked at yet, and why.
    """

    cluster: Cluster
    secrets: tuple[str, ...]
    unchecked: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        hosts = self.cluster.hosts
        return {
            "cluster": self.cluster.name,
            "version": self.cluster.k3s.version,
            "servers": [host.name for host in hosts if host.is_server],
            "agents": [host.name for host in hosts if not host.is_server],
            "secrets": list(self.secrets),
            "unchecked": list(self.unchecked),
        }


def validate(
    file_or_name: str | Path,
    lock: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    sources: SecretSources | None = None,
) -> Validation:
    """Read a cluster's file and what it refers to on this machine.

    Args:
        file_or_name: as `Cluster.load` takes it.
        lock: the lock; by default that of the variable XOPS_K3S_LOCK, else the project's.
        environ: the environment's variables, by default this process'.
        sources: where secrets may be read from; the operator's by default.

    Raises:
        InputError: everything that is wrong, with path and line.
    """
    environ = os.environ if environ is None else environ
    file = find_file(file_or_name)
    findings: list[Finding] = []
    cluster = _noted(findings, lambda: Cluster.load(file, environ=environ))
    locked = _noted(findings, lambda: Lock.load(lock) if lock else Lock.configured(environ))
    allowed = _noted(findings, lambda: sources or SecretSources.configured(environ))
    look = _Look(file, environ, findings)
    unchecked = []
    if cluster:
        missing = _missing_outputs(cluster)
        unchecked += [missing] if missing else []
        cluster = cluster if missing else _noted(findings, cluster.completed)
    sections = _sections(cluster, file)
    if locked:
        look.at_lock(locked, cluster, sections)
    secrets = look.at_secrets(allowed, sections) if allowed else []
    if findings or cluster is None:
        raise InputError(f"validating {settings.display(file)}", findings)
    return Validation(cluster, tuple(secrets), tuple(unchecked))


def _noted[Read](findings: list[Finding], read: Callable[[], Read]) -> Read | None:
    """What can be read; else None, and why is among the findings."""
    try:
        return read()
    except InputError as error:
        findings += error.findings
        return None


def _missing_outputs(cluster: Cluster) -> str | None:
    if isinstance(cluster.source, TerraformSource) and not cluster.source.outputs.exists():
        outputs = settings.display(cluster.source.outputs)
        return f"the hosts that Terraform makes: there is no {outputs} yet"
    return None


def _sections(cluster: Cluster | None, file: Path) -> dict[str, BaseModel]:
    """The sections that are right; where another is wrong, as they stand in the file."""
    if cluster:
        return {key: getattr(cluster, key) for key in _SECTIONS}
    try:
        values = parse_yaml(read_text(file))
    except UnusableTextError:  # is among the findings
        return {}
    read: dict[str, BaseModel] = {}
    for key, model in _SECTIONS.items() if isinstance(values, dict) else ():
        try:
            read[key] = model.model_validate(values.get(key, {}))
        except ValidationError:  # is among the findings
            continue
    return read


@dataclass(frozen=True)
class _Look:
    """Looks at what a cluster file refers to, and notes what is wrong there."""

    file: Path
    environ: Mapping[str, str]
    findings: list[Finding]

    def at_lock(
        self, lock: Lock, cluster: Cluster | None, sections: Mapping[str, BaseModel]
    ) -> None:
        k3s = sections.get("k3s")
        if not isinstance(k3s, K3s):
            return
        arches = sorted({host.arch for host in cluster.hosts}) if cluster else []
        kinds = (Kind.BINARY, Kind.IMAGES) if cluster and cluster.air_gap else (Kind.BINARY,)
        looks: list[Callable[[], object]] = [
            partial(lock.artifact, k3s.version, arch, kind) for arch in arches for kind in kinds
        ]
        told = set()
        for look in looks or [partial(lock.entry, k3s.version)]:
            try:
                look()
            except NotLockedError as error:
                told.add(f"{error.attempted}: {error.found}; {error.remedy}")
        for found in sorted(told):
            self._note(("k3s", "version"), found)

    def at_secrets(self, sources: SecretSources, sections: Mapping[str, BaseModel]) -> list[str]:
        """The places of secrets, each read and forgotten."""
        places = []
        for path, secret in _secrets(dict(sections), ()):
            placed = _placed(secret, self.file.resolve().parent)
            try:
                placed.read(self.environ, sources)
            except InputError as error:
                self._note(path, f"{error.findings[0].message}: {placed}")
            except PermanentError as error:
                self._note(path, f"{error.attempted}: {error.found}")
            places.append(str(placed))
        return places

    def _note(self, path: _Path, message: str) -> None:
        lines = settings.find_lines(self.file)
        above = (path[:length] for length in range(len(path), -1, -1))
        line = next((lines[place] for place in above if place in lines), None)
        dotted = ".".join(map(str, path))
        self.findings.append(Finding(settings.display(self.file), dotted, message, line))


def _secrets(value: Any, path: _Path) -> Iterator[tuple[_Path, SecretReference]]:
    if isinstance(value, SecretReference):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets(inner, (*path, key))


def _placed(secret: SecretReference, folder: Path) -> SecretReference:
    if secret.file is None:
        return secret
    return secret.model_copy(update={"file": folder / secret.file.expanduser()})
