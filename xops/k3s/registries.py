"""registries.yaml: where images come from. Source: K3S documentation, "Private Registry". Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import yaml

from xops.core.errors import PermanentError
from xops.k3s.sections import Registries, RegistryConfig, SecretReference

HEADER = "# Managed by xOps; what is changed here by hand is put back.\n"


def file(registries: Registries, environ: Mapping[str, str] | None = None) -> str | None:
    """The file with its passwords, which are read now; None if nothing is configured.

    Raises:
        PermanentError: a password is not where it is said to be.
    """
    if not registries.mirrors and not registries.configs:
        return None
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    if registries.mirrors:
        values["mirrors"] = {
            name: mirror.model_dump(mode="json", exclude_defaults=True)
            for name, mirror in sorted(registries.mirrors.items())
        }
    if registries.configs:
        values["configs"] = {
            name: _config(config, environ) for name, config in sorted(registries.configs.items())
        }
    return HEADER + yaml.safe_dump(values, sort_keys=False)


def _config(config: RegistryConfig, environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if config.auth:
        password = read_secret(config.auth.password, environ)
        values["auth"] = {"username": config.auth.username, "password": password}
    if tls := config.tls.model_dump(mode="json", exclude_defaults=True):
        values["tls"] = tls
    return values


def read_secret(reference: SecretReference, environ: Mapping[str, str]) -> str:
    """The value that a reference names, without the line's end.

    Raises:
        PermanentError: there is none, or everybody on this machine may read it.
    """
    if reference.variable:
        if value := environ.get(reference.variable):
            return value
        raise _no_secret(f"the variable {reference.variable}", "it is unset or empty")
    path = reference.file
    if path is None or not path.is_file():
        raise _no_secret(f"the file {path}", "there is no such file")
    if path.stat().st_mode & 0o077:
        raise _no_secret(f"the file {path}", "others may read it: chmod 600 it")
    return path.read_text(encoding="utf-8").rstrip("\n")


def _no_secret(place: str, found: str) -> PermanentError:
    return PermanentError(
        f"reading a secret from {place}", found, "Put the secret there, and run it again."
    )
