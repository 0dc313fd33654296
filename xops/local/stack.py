"""The servers of the embedded stack, and where each is found."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx

from xops.aws.embedded_key import FILE_VARIABLE, load_or_create_embedded_key
from xops.aws.embedded_key import NAME as KEY_NAME
from xops.core.files import installation_secret, settings
from xops.github.inbox.address import VARIABLE as INBOX_VARIABLE
from xops.local import postgresql, webhooks
from xops.local.database import VARIABLE, Kind, PrefectDatabase, choose
from xops.local.services import (
    Service,
    answers,
    port_of,
    python,
    read_record,
    recorded_port,
)
from xops.prefect_server.profile import (
    API_VARIABLE,
    AUTH_VARIABLE,
    ORIGINS_VARIABLE,
    SERVER_AUTH_VARIABLE,
    UI_PATH,
    Profile,
    without_prefect,
)

POOL = "xops-local"
SIGN_IN_FILE = "prefect-secret"
"""The file in an installation's home with what lets a person in, mode 0600."""

KEY_VARIABLE = "XOPS_EMBEDDED_AWS_KEY_ID"
"""Says of a running embedded AWS which key it was started with. Only the key's id: no secret."""

_SECRET_BYTES = 32
_PORTS = {
    "aws": ("XOPS_AWS_PORT", 4577),
    "prefect": ("XOPS_PREFECT_PORT", 4200),
    "receiver": (webhooks.PORT_VARIABLE, webhooks.PORT),
}


@dataclass(frozen=True)
class Stack:
    """The servers by role, in the order in which they come up, and the databases.

    `database` is Prefect's, `inbox` the address of that of GitHub's deliveries. `home` is the
    installation whose servers they are, `secret_files` what only its owner reads and who asks them
    must know.
    """

    home: Path
    aws: Service
    postgresql: Service
    server: Service
    receiver: Service
    dispatcher: Service
    worker: Service
    watch: Service
    database: PrefectDatabase
    inbox: str
    secret_files: tuple[Path, ...]

    @property
    def services(self) -> tuple[Service, ...]:
        """Those of this stack, in starting order: its own PostgreSQL only where that is used."""
        ours = (self.postgresql,) if self.database.kind is Kind.EMBEDDED else ()
        github = (self.receiver, self.dispatcher)
        return self.aws, *ours, self.server, *github, self.worker, self.watch

    @property
    def secret(self) -> str:
        """What lets whoever has it give orders to its Prefect server, as `user:password`.

        Raises:
            PermanentError: it cannot be kept or read.
        """
        return load_or_create_secret(self.home)

    @property
    def aws_endpoint(self) -> str:
        """Where the embedded AWS answers."""
        return f"http://127.0.0.1:{self.aws.port}"

    @property
    def ui(self) -> str:
        """Where a person finds the Prefect UI."""
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def profile(self) -> Profile:
        """How its Prefect server is set up."""
        environ = prefect_environment(self.api, self.home)
        return Profile(self.api, POOL, {**environ, AUTH_VARIABLE: self.secret})

    @property
    def api(self) -> str:
        """Prefect's API."""
        return f"{self.ui}/api"


def port(name: str, environ: Mapping[str, str]) -> int:
    """The port of a server: where it already runs, else as the variable says, else the default.

    Without the variable, where it was when it died: there a worker that has outlived it asks.
    """
    variable, default = _PORTS[name]
    folder = settings.home() / "services"
    record = read_record(folder, name)
    if record is not None and record.port is not None:
        return record.port
    return port_of(environ, variable, recorded_port(folder, name) or default)


def load_or_create_secret(home: Path) -> str:
    """What the installation's Prefect server asks for: made at random once.

    Raises:
        PermanentError: it cannot be kept or read.
    """
    return installation_secret.load_or_create_secret(
        home / SIGN_IN_FILE, lambda: f"xops:{secrets.token_urlsafe(_SECRET_BYTES)}"
    )


def stack(environ: Mapping[str, str] | None = None) -> Stack:
    """The stack as this machine's environment describes it. Nothing is made or started."""
    environ = os.environ if environ is None else environ
    ports = {name: port(name, environ) for name in _PORTS}
    ui = f"http://127.0.0.1:{ports['prefect']}"
    home = settings.home()
    database = choose(environ, home)
    inbox = webhooks.inbox_address(environ, database, home)
    of_prefect = prefect_environment(f"{ui}/api", home)
    runs = {**_for_runs(environ), **of_prefect}
    asking = {**runs, INBOX_VARIABLE: inbox, **webhooks.files_named(environ)}
    server = _server(home, ui, ports["prefect"], _for_server(runs, database))
    asks_prefect = partial(_asks_prefect, home, ports["prefect"])
    return Stack(
        home=home,
        aws=_aws(environ, ports["aws"]),
        postgresql=_postgresql(home),
        server=server,
        receiver=webhooks.receiver(environ, home, inbox, ports["receiver"]),
        dispatcher=asks_prefect(webhooks.dispatcher(environ, home, inbox, of_prefect)),
        worker=asks_prefect(_worker(home, ui, server, asking, ports["aws"])),
        watch=asks_prefect(_watch(home, {**asking, **_chosen(environ, ports)})),
        database=database,
        inbox=inbox,
        secret_files=(
            home / SIGN_IN_FILE,
            Path(environ.get(FILE_VARIABLE) or home / KEY_NAME),
            home / webhooks.KEY_FILE,
        ),
    )


def running_stack(environ: Mapping[str, str] | None = None) -> Stack:
    """The stack for who only looks at it or ends it: the choice of a database is for who starts."""
    environ = os.environ if environ is None else environ
    return stack({name: value for name, value in environ.items() if name != VARIABLE})


def _aws(environ: Mapping[str, str], port: int) -> Service:
    return Service(
        name="aws",
        argv=python("xops.local.aws", "--port", str(port)),
        environ=environ,
        secrets=lambda: {KEY_VARIABLE: load_or_create_embedded_key(environ).access_key_id},
        healthy=lambda: answers(f"http://127.0.0.1:{port}/xops/health"),
        port=port,
        port_setting=_PORTS["aws"][0],
    )


def _server(home: Path, ui: str, port: int, environ: Mapping[str, str]) -> Service:
    def secret() -> dict[str, str]:
        own = load_or_create_secret(home)
        return {AUTH_VARIABLE: own, SERVER_AUTH_VARIABLE: own}

    return Service(
        name="prefect",
        argv=python("xops.prefect_server"),
        environ={**environ, **_listening(ui, port)},
        secrets=secret,
        healthy=lambda: answers(f"{ui}/api/ready"),
        port=port,
        port_setting=_PORTS["prefect"][0],
        keeps_port=port,
    )


def _worker(
    home: Path, ui: str, server: Service, environ: Mapping[str, str], aws_port: int
) -> Service:
    pool = ("--pool", POOL, "--type", "process", "--name", POOL)
    return Service(
        name="worker",
        argv=python("prefect", "worker", "start", *pool),
        environ={**environ, "XOPS_AWS_ENDPOINT": f"http://127.0.0.1:{aws_port}"},
        healthy=lambda: server.answers_alone() and _worker_is_online(f"{ui}/api", home),
    )


def _watch(home: Path, environ: Mapping[str, str]) -> Service:
    return Service(
        name="watch",
        argv=python("xops.local.watch"),
        environ=environ,
        healthy=lambda: read_record(home / "services", "watch") is not None,
    )


def _asks_prefect(home: Path, port: int, service: Service) -> Service:
    """The service with what lets it in at the Prefect server, whose port it keeps from others."""
    return replace(
        service,
        secrets=lambda: {AUTH_VARIABLE: load_or_create_secret(home)},
        port_setting=_PORTS["prefect"][0],
        keeps_port=port,
    )


def _chosen(environ: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """What the watch finds the same stack by: which database there is decides what it looks at."""
    own = {_PORTS[name][0]: str(number) for name, number in ports.items()}
    return {**own, **_named(environ, VARIABLE)}


def _postgresql(home: Path) -> Service:
    def is_ready() -> bool:
        record = read_record(home / "services", "postgresql")
        return record is not None and postgresql.is_ready(home, record.process.pid)

    return Service(
        name="postgresql",
        argv=python("xops.local.postgresql"),
        environ={"PATH": os.defpath, "XOPS_HOME": str(home)},
        healthy=is_ready,
        fast_shutdown=True,
    )


def _named(environ: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}


def _for_runs(environ: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables for worker and runs, which have no business with the database."""
    return {name: value for name, value in without_prefect(environ).items() if name != VARIABLE}


def _for_server(environ: Mapping[str, str], database: PrefectDatabase) -> dict[str, str]:
    """Without what would lead the server's connections elsewhere; with what is its own."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PG")}
    return {
        **kept,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url,
        # Below PREFECT_HOME. In memory, a server that is killed leaves slots taken for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
    }


def _listening(ui: str, port: int) -> dict[str, str]:
    """Where the server listens, and whom it answers."""
    return {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": f"{ui}/api",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ui,
        ORIGINS_VARIABLE: ui,
    }


def prefect_environment(api: str, home: Path) -> dict[str, str]:
    """The settings that server, worker and runs of the embedded profile share."""
    return {
        "XOPS_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        API_VARIABLE: api,
        "PREFECT_UI_URL": f"{api.removesuffix('/api')}{UI_PATH}",  # links in notices and logs
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "xops",
        # The default of 10 s leaves a person waiting for a run on their own machine.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
        "PREFECT_RUNNER_CRASH_ON_CANCELLATION_FAILURE": "true",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        # Pickle would tie a stored result to this version of the code.
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    }


def _worker_is_online(api: str, home: Path) -> bool:
    if not (home / SIGN_IN_FILE).exists():  # who only looks makes no secret
        return False
    user, _, password = load_or_create_secret(home).partition(":")
    address = f"{api}/work_pools/{POOL}/workers/filter"
    try:
        answer = httpx.post(address, json={}, timeout=5, auth=(user, password))
    except httpx.HTTPError:
        return False
    return answer.is_success and any(row["status"] == "ONLINE" for row in answer.json())
