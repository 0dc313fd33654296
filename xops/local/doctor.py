"""What this machine has, and for each thing that is missing what to do about it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

from xops.core.errors import InputError, XopsError
from xops.core.files import settings
from xops.ecs import terraform_discovery
from xops.ecs.environment import Environment, names
from xops.github.policy import GitHubPolicy, doubts
from xops.local.database import choose
from xops.local.services import Service, port_holder, port_is_free
from xops.local.stack import Stack, stack
from xops.local.watch import destination
from xops.prefect_server.dispatcher_beat import read_beat

NEEDED_BYTES = 2 * 1024**3
"""Free disk for the virtual environment, the provider (0.7 GB unpacked) and the databases."""


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One thing looked at; `remedy` is empty where nothing is to be done."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(environ: Mapping[str, str]) -> list[Check]:
    """Look at everything; nothing is started or changed."""
    return [
        _python(),
        _disk(),
        _guarded("terraform", lambda: _terraform(environ)),
        _guarded("aws provider", lambda: _provider(environ)),
        *(_environment(name) for name in names()),
        _guarded("database", lambda: _database(environ)),
        _guarded("deliveries", lambda: _deliveries(environ)),
        *_services(environ),
        *_optional(environ),
    ]


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except XopsError as error:
        return Check(name, Verdict.PROBLEM, error.found, error.remedy)


def _python() -> Check:
    found = f"Python {platform.python_version()}, prefect {version('prefect')}"
    if (3, 12) <= sys.version_info < (3, 14):
        return Check("python", Verdict.OK, found)
    return Check("python", Verdict.PROBLEM, found, "Use Python 3.12 or 3.13: `make install`.")


def _disk() -> Check:
    folder = settings.home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free >= NEEDED_BYTES:
        return Check("disk", Verdict.OK, found)
    return Check("disk", Verdict.PROBLEM, found, "Free some space, or set XOPS_HOME elsewhere.")


def _terraform(environ: Mapping[str, str]) -> Check:
    binary = terraform_discovery.find_binary(environ)
    return Check("terraform", Verdict.OK, f"{binary.version} from {binary.source}")


def _provider(environ: Mapping[str, str]) -> Check:
    mirror = terraform_discovery.find_mirror(environ)
    if mirror is not None:
        return Check("aws provider", Verdict.OK, f"mirror {mirror}")
    remedy = "Without a network, name a mirror's folder in XOPS_TERRAFORM_MIRROR."
    return Check("aws provider", Verdict.NOTE, "no mirror: it comes from the registry", remedy)


def _environment(name: str) -> Check:
    title = f"environment {name}"

    def load() -> Check:
        environment = Environment.load(name)
        return Check(title, Verdict.OK, f"target {environment.target}, {environment.region}")

    return _guarded(title, load)


def _database(environ: Mapping[str, str]) -> Check:
    database = choose(environ, settings.home())
    verdict = Verdict.NOTE if database.remedy else Verdict.OK
    return Check("database", verdict, database.found, database.remedy)


def _deliveries(environ: Mapping[str, str]) -> Check:
    policy = GitHubPolicy.load(environ=environ)
    if not policy.repositories:
        return Check(
            "deliveries",
            Verdict.NOTE,
            "of no repository: each is recorded as ignored",
            "To have pull requests planned, name repositories in deployments/github.yaml"
            " (docs/how-to/github-webhooks.md).",
        )
    found = f"taken from GitHub of {', '.join(policy.repositories)}"
    doubtful = "; ".join(doubts(policy, names()))
    return Check("deliveries", Verdict.NOTE if doubtful else Verdict.OK, found, doubtful)


def _services(environ: Mapping[str, str]) -> Iterator[Check]:
    try:
        here = stack(environ)
    except InputError as error:
        yield Check("services", Verdict.PROBLEM, error.found, error.remedy)
        return
    yield from map(_service, here.services)
    if any(service.process() is not None for service in here.services):
        yield _guarded("secrets", lambda: _secrets(here))
    beat = read_beat(here.home)
    if beat is not None and beat.failing:
        remedy = "Deliveries wait until it can; look at what it names."
        yield Check("dispatching", Verdict.PROBLEM, beat.failing, remedy)
    yield Check("notices", Verdict.OK, f"go to {destination(environ, here.watch.log)}")


def _secrets(here: Stack) -> Check:
    """Whether what runs was started with the secrets that the files hold. None is made here."""
    remedy = "Run `xops down`, then `xops up`: it starts everything with what the files hold."
    if missing := [str(file) for file in here.secret_files if not file.exists()]:
        found = f"{', '.join(missing)} was removed while servers run that were started with it"
        return Check("secrets", Verdict.PROBLEM, found, remedy)
    if old := [service.name for service in here.services if service.has_other_secrets()]:
        found = f"{', '.join(old)} runs with another secret than the files hold"
        return Check("secrets", Verdict.PROBLEM, found, remedy)
    return Check("secrets", Verdict.OK, "what runs has those of the files")


def _service(service: Service) -> Check:
    title = f"service {service.name}"
    if service.process() is not None:
        if service.is_up():
            return Check(title, Verdict.OK, f"running{service.at}")
        remedy = f"Look at {service.log}, then `xops down` and `xops up`."
        return Check(title, Verdict.PROBLEM, "running, but not healthy", remedy)
    if service.port is not None and not port_is_free(service.port):
        found = f"port {service.port} is in use by {port_holder(service.port)}"
        remedy = f"End that program, or set {service.port_setting} to a free port."
        return Check(title, Verdict.PROBLEM, found, remedy)
    return Check(title, Verdict.NOTE, "not running", "`xops up` starts it.")


def _optional(environ: Mapping[str, str]) -> Iterator[Check]:
    from xops.ecs.isolation import find_bubblewrap  # brings boto3

    sandbox, problem = find_bubblewrap(environ)
    if problem:
        remedy = "Install it, and plans of pull requests run in a sandbox."
        yield Check("bubblewrap", Verdict.NOTE, problem, remedy)
    else:
        yield Check("bubblewrap", Verdict.OK, str(sandbox))
    uses = {"git": "cloning and updating xOps", "docker": "LocalStack"}
    for program, use in uses.items():
        path = shutil.which(program)
        if path:
            yield Check(program, Verdict.OK, path)
        else:
            yield Check(program, Verdict.NOTE, "not found", f"Only needed for {use}.")
