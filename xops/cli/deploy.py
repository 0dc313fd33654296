"""The work of `xops deploy`: any Prefect server, brought to what the repository says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from xops.cli.console import exit_if_changes, plan_lines, print_json, print_lines, say, tell
from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.prefect_server.profile import API_VARIABLE, AUTH_VARIABLE, Profile

DEFAULT_POOL = "xops-runs"

_ALSO = (AUTH_VARIABLE, "PREFECT_API_SSL_CERT_FILE")
"""What lets us in, and by which certificate a server of one's own is trusted."""


def deploy(api: str | None, pool_file: Path | None, *, apply: bool, as_json: bool) -> None:
    """Show what would change on the server; with `apply` do it.

    Raises:
        typer.Exit: FINDINGS where something would change and nothing was applied.
    """
    from xops.prefect_server import setup  # Prefect takes seconds to import
    from xops.prefect_server.pools import Pool

    pool = Pool.read(pool_file) if pool_file else Pool.of_this_machine(DEFAULT_POOL)
    profile = server_of(api, pool.name, os.environ)
    plan = setup.plan_set_up(profile, pool)
    if apply and not plan.is_empty:
        setup.set_up(profile, pool, on_step=lambda line: tell("[cyan]{line}[/]", line=line))
    if as_json:
        print_json({"applied": apply, "plan": plan.model_dump(mode="json")})
    else:
        print_lines(plan_lines(plan))
        say("{said}", said=_said(plan.is_empty, apply))
    if not apply:
        exit_if_changes(plan)


def _said(is_empty: bool, apply: bool) -> str:
    if is_empty:
        return "The server is as the repository says."
    return "Done." if apply else "Nothing was changed: `--apply` does it."


def server_of(api: str | None, pool: str, environ: Mapping[str, str]) -> Profile:
    """The server that is meant, and what lets us in, from the variables that Prefect reads."""
    address = api or environ.get(API_VARIABLE, "")
    if problem := _problem(address):
        source = "argument --api" if api else f"variable {API_VARIABLE}"
        raise InputError("finding the Prefect server", [Finding(source, "", problem)])
    told = {API_VARIABLE: address, "PREFECT_HOME": str(settings.home() / "prefect")}
    told |= {name: environ[name] for name in _ALSO if name in environ}
    return Profile(address, pool, told)


def _problem(address: str) -> str | None:
    if not address:
        return f"name the server's API: --api or {API_VARIABLE}=https://prefect.example.com/api"
    parts = urlsplit(address)
    if "@" in parts.netloc:
        return f"an address holds no password: put it into {AUTH_VARIABLE}"
    is_http = parts.scheme in ("http", "https") and parts.hostname
    if not is_http or not parts.path.endswith("/api"):
        return "is no address of an API: write it as in https://prefect.example.com/api"
    return None
