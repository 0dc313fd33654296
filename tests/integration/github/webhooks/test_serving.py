"""The receiver as a process: how it starts, what it loads, and what it survives."""

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

import pytest
import sqlalchemy as sql

from tests.mounts import small_file_system
from tests.postgres_server import Postgres
from tests.receivers import SERVE, Process
from tests.waiting import Eventually
from tests.webhooks import KEY, encoded, pull_request
from xops.core.files.settings import ROOT
from xops.github.inbox.tables import deliveries
from xops.github.webhooks.hook_secrets import FILE

FORBIDDEN = ("prefect", "boto3", "botocore", "githubkit")


@pytest.fixture
def receiver(tmp_path: Path) -> Process:
    return Process(tmp_path / "home")


@pytest.fixture(params=["sqlite", "postgresql"])
def on_any(request: pytest.FixtureRequest, tmp_path: Path) -> Process:
    database = ""
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres").new_database()
    return Process(tmp_path / "home", database)


def _start(receiver: Process, script: str = SERVE) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", script, str(receiver.port)]
    return subprocess.run(
        argv, env=receiver.environ, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_delivery_is_kept_whichever_the_database(on_any: Process) -> None:
    same = str(uuid4()).encode()
    with on_any.running():
        assert on_any.get("/readyz") == (200, "ready\n")
        assert on_any.post(x_github_delivery=same) == 202
        assert on_any.post(x_github_delivery=same) == 200
        assert on_any.post(event="star") == 200
        assert on_any.post(key=b"q" * 32) == 401
        metrics = on_any.get("/metrics")[1]
    assert 'xops_webhook_inbox_deliveries{state="received"} 1.0' in metrics
    assert 'xops_webhook_inbox_deliveries{state="ignored"} 1.0' in metrics


def test_of_the_same_delivery_at_once_one_is_accepted(on_any: Process) -> None:
    same = str(uuid4()).encode()
    with on_any.running(), ThreadPoolExecutor(8) as threads:
        found = [threads.submit(on_any.post, x_github_delivery=same) for _ in range(16)]
        assert sorted(one.result() for one in found) == [200] * 15 + [202]


def test_what_was_accepted_outlives_a_kill_and_what_was_not_comes_again(on_any: Process) -> None:
    ids = [str(uuid4()).encode() for _ in range(20)]
    with on_any.running() as process:
        accepted = [on_any.post(x_github_delivery=one) for one in ids[:10]]
        process.kill()
        process.wait()
        with pytest.raises(OSError, match="refused"):
            on_any.post(x_github_delivery=ids[10])
    assert accepted == [202] * 10
    with on_any.running():
        again = [on_any.post(x_github_delivery=one) for one in ids]
    assert again == [200] * 10 + [202] * 10


KILLED_BEFORE_ANSWERING = """
import asyncio, os, signal, sys
from xops.github.inbox.connection import open_inbox
from xops.github.policy import GitHubPolicy
from xops.github.webhooks.app import PATH, create_app
from xops.github.webhooks.hook_secrets import Secrets
from xops.github.webhooks.serving import serve

async def main():
    policy = GitHubPolicy.load()
    async with open_inbox(os.environ) as inbox:
        app = create_app(policy, Secrets.read(policy, os.environ), inbox)

        async def killed(scope, receive, send):
            async def answer(message):
                if scope["path"] == PATH:
                    os.kill(os.getpid(), signal.SIGKILL)
                await send(message)

            await app(scope, receive, answer)

        await serve(killed, "127.0.0.1", int(sys.argv[1]))

asyncio.run(main())
"""


def test_who_gets_no_answer_after_the_row_was_kept_is_told_of_a_duplicate(
    receiver: Process,
) -> None:
    """Killed between both: whoever sent it cannot tell, and sends it again."""
    same = str(uuid4()).encode()
    database = receiver.home / "github" / "inbox.db"
    with receiver.running(KILLED_BEFORE_ANSWERING) as process:
        with pytest.raises((OSError, ConnectionError)):
            receiver.post(x_github_delivery=same)
        assert process.wait(20) == -signal.SIGKILL
    with closing(sqlite3.connect(database)) as connection:
        asked = connection.execute(str(sql.select(deliveries.c.id)))
        assert asked.fetchall() == [(same.decode(),)]
    with receiver.running():
        assert receiver.post(x_github_delivery=same) == 200


def test_it_ends_when_told_to_and_what_was_begun_is_answered(on_any: Process) -> None:
    with on_any.running() as process, ThreadPoolExecutor(4) as threads:
        begun = [threads.submit(on_any.post) for _ in range(4)]
        assert {one.result() for one in begun} == {202}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "Traceback" not in on_any.log.read_text()


def test_a_database_that_is_restarted_costs_503_and_no_delivery(
    postgres: Postgres, tmp_path: Path, eventually: Eventually
) -> None:
    receiver = Process(tmp_path / "home", postgres.new_database())
    ids = [str(uuid4()).encode() for _ in range(3)]
    with receiver.running() as process:
        assert receiver.post(x_github_delivery=ids[0]) == 202
        postgres.stop()
        try:
            assert receiver.post(x_github_delivery=ids[1]) == 503
            assert eventually(lambda: receiver.get("/readyz")[0] == 503)
            assert receiver.get("/healthz")[0] == 200
            assert "xops_webhook_inbox_up 0.0" in receiver.get("/metrics")[1]
        finally:
            postgres.start()
        eventually(lambda: receiver.post(x_github_delivery=ids[1]) in (200, 202))
        eventually(lambda: receiver.get("/readyz")[0] == 200)
        assert receiver.post(x_github_delivery=ids[0]) == 200
        assert process.poll() is None


def test_it_starts_while_the_database_is_down(
    postgres: Postgres, tmp_path: Path, eventually: Eventually
) -> None:
    receiver = Process(tmp_path / "home", postgres.new_database())
    postgres.stop()
    try:
        with receiver.running():
            assert receiver.post() == 503
            postgres.start()
            eventually(lambda: receiver.post() == 202)
    finally:
        postgres.stop()
        postgres.start()


def test_a_disk_that_is_full_is_503_until_there_is_room(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with small_file_system(home, "4m"):
        receiver = Process(home)
        receiver.log = tmp_path / "receiver.log"
        with receiver.running():
            assert receiver.post() == 202
            filler = home / "filler"
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                file.writelines(repeat(b"x" * 4096))
            found = [receiver.post() for _ in range(60)]
            assert found[-1] == 503
            assert set(found) <= {202, 503}
            filler.unlink()
            assert receiver.post() == 202


def test_without_a_secret_of_32_bytes_it_does_not_start(receiver: Process) -> None:
    (receiver.home / FILE).write_bytes(b"q" * 31)
    ended = _start(receiver)
    assert ended.returncode != 0
    assert "xops.core.errors.InputError: reading the secret of the webhook" in ended.stderr
    assert "less than 32 bytes" in ended.stderr
    assert "qqq" not in ended.stderr


def test_where_somebody_listens_it_says_so(receiver: Process) -> None:
    with receiver.running():
        ended = _start(receiver)
    assert f"127.0.0.1:{receiver.port}" in ended.stderr
    assert "choose another" in ended.stderr


def test_a_secret_is_exchanged_while_deliveries_come(
    tmp_path: Path, eventually: Eventually
) -> None:
    new = b"n" * 40
    previous = tmp_path / "home" / "secrets" / "previous"
    receiver = Process(tmp_path / "home", webhook={"previous_secret": {"file": str(previous)}})
    previous.parent.mkdir()

    def write(file: Path, key: bytes) -> None:
        partial = file.with_suffix(".partial")
        partial.write_bytes(key)
        partial.chmod(0o600)
        partial.replace(file)

    with receiver.running():
        assert receiver.post() == 202
        write(previous, KEY)
        eventually(lambda: "read again: 2" in receiver.log.read_text() or receiver.post() != 202)
        write(receiver.home / FILE, new)
        eventually(lambda: receiver.post(key=new) == 202)
        assert receiver.post() == 202
        previous.unlink()
        eventually(lambda: receiver.post() == 401)
        assert receiver.post(key=new) == 202


def test_a_process_that_serves_has_no_client_of_a_cloud_or_of_prefect(receiver: Process) -> None:
    """It faces the network: what is not loaded cannot be used against anybody."""
    tell = SERVE.replace(
        "run(GitHubPolicy",
        "import atexit; atexit.register(lambda: print('loaded:', *sys.modules));run(GitHubPolicy",
    )
    with receiver.running(tell) as process:
        assert receiver.post() == 202
        assert receiver.post(encoded(pull_request("labeled"))) == 200
        assert receiver.get("/readyz")[0] == 200
        assert receiver.get("/metrics")[0] == 200
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    [loaded] = [line for line in receiver.log.read_text().splitlines() if "loaded: " in line]
    names = {name.partition(".")[0] for name in loaded.split()}
    assert {"starlette", "uvicorn", "sqlalchemy"} <= names
    assert not names.intersection(FORBIDDEN)


def test_the_command_that_serves_has_none_of_them_either(
    receiver: Process, eventually: Eventually
) -> None:
    argv = ["-X", "importtime", "-m", "xops.cli", "github", "serve", "--port", str(receiver.port)]
    with (
        receiver.log.open("wb") as log,
        Popen([sys.executable, *argv], env=receiver.environ, stderr=log, cwd=ROOT) as process,
    ):
        try:
            eventually(lambda: receiver.is_up(process), 60)
            assert receiver.post() == 202
        finally:
            process.terminate()
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in receiver.log.read_text().splitlines()
        if line.startswith("import time:")
    }
    assert "uvicorn" in loaded
    assert not loaded.intersection(FORBIDDEN)


def test_bodies_of_25_megabytes_do_not_make_it_grow(receiver: Process) -> None:
    body = b" " * 25_000_000
    with receiver.running() as process:
        assert receiver.post() == 202
        before = receiver.memory(process.pid)
        for _ in range(8):
            try:
                assert receiver.post(body) == 413
            except OSError:  # it has hung up before all was sent
                assert receiver.get("/healthz")[0] == 200
        assert receiver.memory(process.pid) - before < 4_000_000
