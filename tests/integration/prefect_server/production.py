"""A production Prefect server of a test's own, from the files in deployments/server/ as they are.

PostgreSQL, Redis and nginx are the distribution's. What an operator changes in the files is changed
here: names, ports, passwords, folders.
"""

import ipaddress
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization

from tests.certificates import self_signed
from tests.embedded_aws import free_port
from tests.postgres_server import Postgres
from tests.processes import running
from tests.waiting import PATIENCE
from xops.core.files.settings import ROOT

FILES = ROOT / "deployments" / "server"
NAME = "localhost"
SECRET = "xops:a-secret-of-these-tests-0123456789"
WEBHOOK_SECRET = "of-these-tests-0123456789abcdef0123456789"
DEADLINE = 120.0 * PATIENCE
PORTS = ("redis", "proxy", "api-1", "api-2", "receiver")


def missing_programs() -> list[str]:
    return [name for name in ("redis-server", "nginx") if shutil.which(name) is None]


@dataclass
class Production:
    """The processes of one server, by the names of their units."""

    folder: Path
    database: str
    ports: dict[str, int]
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where people and workers reach it."""
        return f"https://{NAME}:{self.ports['proxy']}"

    @property
    def certificate(self) -> Path:
        return self.folder / "tls" / "prefect.crt"

    def environ(self, file: str, **more: str) -> dict[str, str]:
        """What a unit's process is given: the file as an operator has changed it, and no more."""
        values = dict(
            line.split("=", 1)
            for line in (FILES / file).read_text().splitlines()
            if line and not line.startswith("#")
        )
        assert all(name for name in values)
        redis = f"redis://default:canary@127.0.0.1:{self.ports['redis']}"
        mine = {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database,
            "PREFECT_SERVER_API_AUTH_STRING": SECRET,
            "PREFECT_API_AUTH_STRING": SECRET,
            "PREFECT_SERVER_ENCRYPTION_KEY": self.key,
            "PREFECT_REDIS_MESSAGING_URL": f"{redis}/0",
            "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL": f"{redis}/0",
            "PREFECT_SERVER_DOCKET_URL": f"{redis}/1",
            "XOPS_GITHUB_DATABASE": f"sqlite:///{self.folder}/lib/inbox.db",
            "XOPS_SECRET_WEBHOOK": WEBHOOK_SECRET,
        }
        if "XOPS_NOTICE_URL" in values:
            values["XOPS_NOTICE_URL"] = ""  # to the log
        for name, value in values.items():
            value = value.replace("https://prefect.example.com", self.url)
            values[name] = mine.get(name, value.replace("/var/lib", str(self.folder / "lib")))
        assert not [name for name, value in values.items() if "CHANGE" in value]
        # For the certificate that these tests have made; an operator's is signed by who is trusted.
        trust = {"PREFECT_API_SSL_CERT_FILE": str(self.certificate)}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **values, **trust, **more}

    def unit(self, name: str, instance: str = "") -> tuple[list[str], dict[str, str]]:
        """The command and the environment of a unit, as its file says."""
        text = (FILES / "systemd" / name).read_text().replace("%i", instance).replace("%H", "here")
        [command] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        [file] = re.findall(r"^EnvironmentFile=/etc/xops/(.*)$", text, re.MULTILINE)
        assert "CHANGE" not in text
        more = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
        more = {k: v.replace("/var/lib", str(self.folder / "lib")) for k, v in more.items()}
        argv = command.split()
        program = Path(argv[0])
        assert program.parent == Path("/opt/xops/.venv/bin")
        return [str(Path(sys.executable).with_name(program.name)), *argv[1:]], self.environ(
            file, **more
        )

    def client(self) -> httpx.Client:
        """Through the proxy, with the secret."""
        user, _, password = SECRET.partition(":")
        return httpx.Client(
            base_url=self.url, auth=(user, password), verify=self.trusted(), timeout=30
        )

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def run(self, *argv: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=dict(environ), cwd=ROOT, capture_output=True, text=True, timeout=300,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


@contextmanager
def receiver_behind_nginx(folder: Path, github_file: Path) -> Iterator[Production]:
    """nginx and the receiver of deliveries; of Prefect nothing is up."""
    ports = {name: free_port() for name in PORTS}
    made = Production(folder, "postgresql+asyncpg://nobody@127.0.0.1/none", ports)
    for each in ("tls", "lib/xops-receiver", "nginx"):
        (folder / each).mkdir(parents=True)
    _make_certificate(folder / "tls")
    argv, environ = made.unit("xops-receiver.service")
    told = {"XOPS_GITHUB_PORT": str(ports["receiver"]), "XOPS_GITHUB_FILE": str(github_file)}
    with ExitStack() as stack:
        _start(stack, made, "receiver", argv, {**environ, **told})
        _start(stack, made, "proxy", _nginx(made), {"PATH": os.environ["PATH"]})
        _wait(made, "receiver", f"http://127.0.0.1:{ports['receiver']}/readyz")
        yield made


@contextmanager
def production(folder: Path, postgres: Postgres, database: str) -> Iterator[Production]:
    """Everything up, the database migrated, nothing deployed."""
    ports = {name: free_port() for name in PORTS}
    url = postgres.url(database=database).replace("postgresql://", "postgresql+asyncpg://")
    made = Production(folder, url, ports)
    for each in ("tls", "lib/xops", "lib/xops-worker", "lib/xops-watch", "redis", "nginx"):
        (folder / each).mkdir(parents=True)  # systemd makes those of lib: StateDirectory
    _make_certificate(folder / "tls")
    with ExitStack() as stack:
        _start(stack, made, "redis", _redis(made), {"PATH": os.environ["PATH"]})
        upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        done = made.run(*upgrade, environ=made.environ("prefect.env"))
        assert done.returncode == 0, done.stdout + done.stderr
        for name in ("api-1", "api-2"):
            unit = made.unit("xops-prefect-api@.service", str(ports[name]))
            _start(stack, made, name, *unit)
        _start(stack, made, "services", *made.unit("xops-prefect-services.service"))
        _start(stack, made, "proxy", _nginx(made), {"PATH": os.environ["PATH"]})
        for name in ("api-1", "api-2"):
            _wait(made, name, f"http://127.0.0.1:{ports[name]}/api/ready")
        yield made


def _start(
    stack: ExitStack, made: Production, name: str, argv: list[str], environ: Mapping[str, str]
) -> None:
    log = stack.enter_context((made.folder / f"{name}.log").open("wb"))
    made.processes[name] = stack.enter_context(
        running(argv, env=dict(environ), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    )


def start_worker(stack: ExitStack, made: Production) -> None:
    _start(stack, made, "worker", *made.unit("xops-worker.service"))


def _wait(made: Production, name: str, url: str) -> None:
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up:
        assert made.processes[name].poll() is None, made.log(name)
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"{name} does not answer: {made.log(name)[-2000:]}")


def _redis(made: Production) -> list[str]:
    settings = {
        "bind": "127.0.0.1",
        "port": made.ports["redis"],
        "requirepass": "canary",
        "dir": made.folder / "redis",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
    }
    file = made.folder / "redis" / "redis.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return ["redis-server", str(file)]


def _nginx(made: Production) -> list[str]:
    text = (FILES / "nginx.conf").read_text()
    for old, new in {
        "https://prefect.example.com": made.url,
        "server_name prefect.example.com": f"server_name {NAME}",
        "listen 443": f"listen 127.0.0.1:{made.ports['proxy']}",
        "127.0.0.1:4201": f"127.0.0.1:{made.ports['api-1']}",
        "127.0.0.1:4202": f"127.0.0.1:{made.ports['api-2']}",
        "127.0.0.1:4580": f"127.0.0.1:{made.ports['receiver']}",
        "/etc/xops/tls": str(made.folder / "tls"),
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    folder = made.folder / "nginx"
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    whole = (
        f"{user}daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\n"
        "events {}\n"
        f"http {{\naccess_log off;\n{temporary}{text}\n}}\n"
    )
    (folder / "nginx.conf").write_text(whole)
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _make_certificate(folder: Path) -> None:
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate, key = self_signed(NAME, names)
    (folder / "prefect.crt").write_bytes(certificate)
    (folder / "prefect.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
