"""A port of ours that another user's server has taken: it is named, and told nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.embedded_aws import free_port
from tests.integration.local.test_down import Installation
from tests.prefect_servers import free_ports, home
from tests.processes import running
from tests.waiting import look_until_found
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.local import watch
from xops.local.down import stop_servers
from xops.local.stack import SIGN_IN_FILE, stack

pytestmark = pytest.mark.xdist_group("prefect")

NAMES = ("aws", "postgresql", "prefect", "receiver", "dispatcher", "worker", "watch")

FOREIGN = """
import encodings.idna, http.server, json, os, sys  # all that is loaded late, as who may read it
heard = open(sys.argv[2], "a", buffering=1)
if os.geteuid() == 0:
    os.setuid(65534)

class Imitating(http.server.BaseHTTPRequestHandler):
    # As Prefect does: healthy to everybody, all else for who signs in. Or 200 to everything.
    def do_GET(self):
        heard.write(json.dumps([self.command, self.path, self.headers.items()]) + chr(10))
        asks = sys.argv[3] == "asks" and not self.path.startswith(("/api/health", "/api/ready"))
        known = "Authorization" in self.headers
        self.send_response(401 if asks and not known else 200)
        if asks:
            self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()
        self.wfile.write(b'{"message": "OK", "status": "healthy"}')

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET
    def log_message(self, *_): pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Imitating).serve_forever()
"""


class Foreign:
    """A server of another user's (where tests run as root), and all that it has heard."""

    def __init__(self, port: int, file: Path) -> None:
        self.port, self._file = port, file

    @property
    def heard(self) -> list[str]:
        return self._file.read_text().splitlines()

    @property
    def told(self) -> list[str]:
        """What it was sent that lets somebody in."""
        return [row for row in self.heard if "authorization" in row.lower()]


@contextmanager
def foreign(port: int, folder: Path, kind: str) -> Iterator[Foreign]:
    file = folder / "heard"
    with running([sys.executable, "-c", FOREIGN, str(port), str(file), kind]):
        look_until_found(lambda: is_taken(port))
        yield Foreign(port, file)


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def xops(folder: Path, ports: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    with home(folder, **ports):
        return subprocess.run(
            [sys.executable, "-c", "from xops.cli import main; main()", *words],
            env=dict(os.environ),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.mark.parametrize("kind", ["answers", "asks"])
@pytest.mark.parametrize("variable", ["XOPS_PREFECT_PORT", "XOPS_AWS_PORT", "XOPS_GITHUB_PORT"])
def test_it_is_named_told_nothing_and_nothing_is_started(
    tmp_path: Path, variable: str, kind: str
) -> None:
    ports = free_ports()
    place = tmp_path / "home"
    with foreign(int(ports[variable]), tmp_path, kind) as server:
        done = xops(place, ports, "up", "--once")
        assert done.returncode == ExitCode.FAILED, done.stderr
        assert f"port {server.port} is in use by" in done.stderr
        assert f"{variable}=<port>" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (place / "services").exists()

        doctor = xops(place, ports, "doctor")
        assert doctor.returncode == ExitCode.FINDINGS, doctor.stderr
        assert f"port {server.port} is in use by" in doctor.stdout
        assert xops(place, ports, "down").returncode == ExitCode.DONE
        assert server.heard == []


def kill(installation: Installation, name: str) -> None:
    process = psutil.Process(installation.process(name))
    process.send_signal(signal.SIGKILL)
    look_until_found(lambda: not is_running(process))


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


class Rotation:
    """An installation that is up, whose secrets are changed."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder)
        self.file = self.installation.home / SIGN_IN_FILE
        self.key = self.installation.home / "embedded-aws-key"

    def start(self) -> None:
        self.installation.start(*NAMES)

    def xops(self, *words: str) -> subprocess.CompletedProcess[str]:
        return xops(self.installation.home, self.installation.ports, *words)

    def secrets(self) -> dict[str, object]:
        """What the doctor says of them."""
        checks = json.loads(self.xops("doctor", "--json").stdout)
        return next(check for check in checks if check["name"] == "secrets")


@pytest.fixture(scope="module")
def rotation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotation]:
    made = Rotation(tmp_path_factory.mktemp("rotated"))
    try:
        made.start()
        yield made
    finally:
        with home(made.installation.home):
            stop_servers(made.installation.stack)


@pytest.fixture
def up(rotation: Rotation) -> Rotation:
    """It is up, by the secrets that its files hold."""
    if rotation.installation.running() != set(NAMES):
        rotation.start()
    assert rotation.secrets()["verdict"] == "ok"
    return rotation


@pytest.mark.parametrize("how", ["replaced", "removed"])
@pytest.mark.parametrize("which", ["file", "key"])
def test_a_secret_that_is_another_by_now_is_named_and_a_restart_takes_it(
    up: Rotation, how: str, which: str
) -> None:
    file = up.file if which == "file" else up.key
    old = file.read_text()
    file.unlink()
    if how == "removed":
        said = up.secrets()
        assert (said["verdict"], str(file) in str(said["found"])) == ("problem", True)
        with home(up.installation.home, **up.installation.ports):
            assert [row.key for row in watch.look(stack(), datetime.now(UTC))] == ["secrets"]
        assert not file.exists(), "who only looks makes no secret"
    else:
        file.touch(mode=0o600)
        file.write_text(old.replace("xops:", "xops:new") if which == "file" else NEW_KEY)
        said = up.secrets()
        assert said["verdict"] == "problem"
        assert str(said["found"]).startswith(OWNERS[which])
        assert "xops down" in str(said["remedy"])

    done = up.xops("up", "--once")
    assert done.returncode == ExitCode.FAILED
    assert (
        f"{OWNERS[which]} runs with another secret than the files in {up.file.parent} hold"
        in done.stderr
    )
    assert "-> Run `xops down`, then `xops up`" in done.stderr
    assert "Traceback" not in done.stderr

    down = up.xops("down", "--json")
    assert len(json.loads(down.stdout)["stopped"]) == len(NAMES), down.stderr
    up.start()
    assert up.secrets()["verdict"] == "ok"
    assert file.read_text() != old


NEW_KEY = "[default]\naws_access_key_id = XOPSNEW\naws_secret_access_key = of-a-person-s-own\n"
OWNERS = {"file": "prefect, dispatcher, worker, watch", "key": "aws"}
"""Which servers each secret is of, as messages list them."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_dead_server_s_port_is_nobody_else_s_while_a_worker_or_the_watch_is_there(
    up: Rotation, tmp_path: Path
) -> None:
    """Both go on to ask there, with the secret."""
    port = up.installation.ports["XOPS_PREFECT_PORT"]
    argv = [sys.executable, "-c", FOREIGN, port, str(tmp_path / "heard"), "asks"]
    for name in ("prefect", "worker"):
        kill(up.installation, name)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert "Address already in use" in done.stderr
    up.start()


def test_no_command_tells_the_secret_to_who_has_the_port_of_a_stack_that_died(
    up: Rotation, tmp_path: Path
) -> None:
    for name in NAMES:
        kill(up.installation, name)
    with foreign(int(up.installation.ports["XOPS_PREFECT_PORT"]), tmp_path, "asks") as server:
        for words in (("up", "--once"), ("doctor",), ("down",)):
            done = up.xops(*words)
            assert "Traceback" not in done.stderr, done.stderr
        assert server.told == []


def test_a_worker_that_was_left_with_the_old_secret_is_named(up: Rotation) -> None:
    for name in ("prefect", "dispatcher", "watch"):
        kill(up.installation, name)
    up.file.write_text(up.file.read_text().replace("xops:", "xops:newer"))
    done = up.xops("up", "--once")
    assert done.returncode == ExitCode.FAILED
    assert "worker runs with another secret" in done.stderr
    assert up.installation.running() == {"aws", "postgresql", "receiver", "worker"}, (
        "nothing was started"
    )
    assert up.xops("down").returncode == ExitCode.DONE


def test_what_has_outlived_its_server_asks_where_the_next_one_is(up: Rotation) -> None:
    """A shell that names no port leaves it where it was; one that names another is told."""
    kill(up.installation, "prefect")
    without = {**up.installation.ports}
    del without["XOPS_PREFECT_PORT"]
    with home(up.installation.home, **without):
        assert stack().api == up.installation.stack.api
    moved = str(free_port())
    done = xops(up.installation.home, {**without, "XOPS_PREFECT_PORT": moved}, "up", "--once")
    assert done.returncode == ExitCode.FAILED
    said = "dispatcher, worker, watch runs and asks another address than http://127.0.0.1:"
    assert f"{said}{moved}/api" in done.stderr
    assert "prefect" not in up.installation.running()


@pytest.mark.parametrize("given", ["xops:guessed", "xops:", "no colon", ""])
def test_a_client_with_a_wrong_secret_is_told_where_the_right_one_is(
    up: Rotation, given: str
) -> None:
    given_ = {"PREFECT_API_AUTH_STRING": given, "PREFECT_API_URL": up.installation.stack.api}
    deploy = xops(up.installation.home, given_, "deploy")
    assert deploy.returncode == ExitCode.FAILED
    assert f"{up.installation.stack.api} does not let us in (401)" in deploy.stderr
    assert "prefect-secret below XOPS_HOME" in deploy.stderr
    assert "Traceback" not in deploy.stderr
    watched = xops(up.installation.home, given_, "watch", "--once")
    assert watched.returncode == ExitCode.FINDINGS
    assert "does not let us in (401)" in watched.stdout
