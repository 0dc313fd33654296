"""registries.yaml: where images come from. Source: K3S documentation, "Private Registry". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xops.k3s.cluster_file.sections import Registries, RegistryConfig
from xops.k3s.node.managed_file import SecretContent, managed


def file(registries: Registries, environ: Mapping[str, str] | None = None) -> SecretContent | None:
    """The file with its passwords, which are read now; None if nothing is configured.

    Raises:
        PermanentError: a password is not where it is said to be.
    """
    if not registries.mirrors and not registries.configs:
        return None
    values: dict[str, Any] = {}
    secrets: list[str] = []
    if registries.mirrors:
        values["mirrors"] = {
            name: mirror.model_dump(mode="json", exclude_defaults=True)
            for name, mirror in sorted(registries.mirrors.items())
        }
    if registries.configs:
        values["configs"] = {
            name: _config(config, environ, secrets)
            for name, config in sorted(registries.configs.items())
        }
    return SecretContent(managed(values), tuple(secrets))


def _config(
    config: RegistryConfig, environ: Mapping[str, str] | None, secrets: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if config.auth:
        password = config.auth.password.read(environ)
        secrets.append(password)
        values["auth"] = {"username": config.auth.username, "password": password}
    if tls := config.tls.model_dump(mode="json", exclude_defaults=True):
        values["tls"] = tls
    return values
