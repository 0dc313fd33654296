"""One server in the background: who it is stays known, and none is ever left to itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.embedded_aws import free_port
from tests.mounts import small_file_system
from tests.processes import running
from tests.waiting import Eventually, look_until_found
from xops.core.errors import PermanentError
from xops.core.process import ServiceProcess
from xops.local import services
from xops.local.services import Service, answers, port_holder, port_is_free, read_record

# Its arguments hold `prefect`, as those of our servers hold a name of theirs.
SERVER = """
import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    made = Service(
        name="one",
        argv=[sys.executable, "-c", SERVER, str(port), "prefect"],
        environ={"XOPS_HOME": str(tmp_path)},
        healthy=lambda: answers(f"http://127.0.0.1:{port}/"),
        port=port,
        port_setting="XOPS_ONE_PORT",
        folder=tmp_path / "services",
    )
    try:
        yield made
    finally:
        made.stop()


def start(service: Service) -> int:
    assert service.launch()
    service.wait()
    return pid_of(service)


def pid_of(service: Service) -> int:
    running_ = service.process()
    assert running_ is not None
    return running_.pid


def record_file(service: Service) -> Path:
    return service.folder / "one.json"


def test_a_slow_start_is_told_and_a_hanging_one_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_SAY_SECONDS", 0.3)
    monkeypatch.setattr(services, "START_DEADLINE", 1.0)
    hangs = replace(service, healthy=lambda: False)
    assert hangs.launch()
    said: list[str] = []
    with pytest.raises(PermanentError, match="it did not become healthy within 1 s"):
        hangs.wait(said.append)
    assert said[0].startswith("one is not healthy yet after 0 s; its log: ")
    assert len(said) in (1, 2, 3)


def port_of(service: Service) -> int:
    assert service.port is not None
    return service.port


def test_its_record_is_written_whole_and_for_its_owner_alone(service: Service) -> None:
    pid = start(service)
    file = record_file(service)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()).keys() == {"pid", "start", "boot", "port"}
    assert [path.name for path in service.folder.iterdir() if path.suffix != ".log"] == [file.name]
    assert pid == json.loads(file.read_text())["pid"]


@pytest.mark.parametrize("changed", [{"boot": "of-yesterday"}, {"start": 1.0}])
def test_who_has_its_id_by_now_is_left_alone(service: Service, changed: dict[str, Any]) -> None:
    """This very process stands for the other one."""
    start(service)
    service.stop()
    me = ServiceProcess.find(os.getpid())
    assert me is not None
    record_file(service).write_text(json.dumps({**vars(me), "port": 1, **changed}))
    assert service.process() is None
    assert not service.stop()


def test_a_record_of_the_release_before_is_understood(service: Service) -> None:
    pid = start(service)
    created = psutil.Process(pid).create_time()
    old = {"pid": pid, "created": created + 3, "port": service.port}  # the clock was set since
    record_file(service).write_text(json.dumps(old))
    assert pid_of(service) == pid
    assert service.stop()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_record_of_the_release_before_never_means_a_stranger(service: Service) -> None:
    with running([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        service.folder.mkdir()
        for old in (created, created - 3600):
            record_file(service).write_text(
                json.dumps({"pid": stranger.pid, "created": old, "port": None})
            )
            assert not service.stop()
        assert stranger.poll() is None


SHAPES = [
    "", "{", "null", "[]", "17", '"one"', "[" * 5000, "{}", '{"pid": 1}', '{"pid": null}',
    '{"pid": "x", "start": 1, "boot": "", "port": 1}', '{"pid": -1, "created": 1, "port": 1}',
    '{"pid": 1e400, "created": 1, "port": 1}', '{"pid": 1, "created": "x", "port": 1}',
    '{"pid": 99999999999999999999, "start": 1, "boot": "", "port": 1}',
    '{"pid": -5, "start": 1, "boot": "", "port": null}',
    '{"pid": 1, "start": 1, "boot": [], "port": {}}', '{"pid": [1], "start": {}, "boot": 1}',
    '{"pid": 1, "start": 1, "boot": "", "port": 0}', "\udcff", "x" * 10_000_000,
]  # fmt: skip


@pytest.mark.parametrize("text", SHAPES, ids=range(len(SHAPES)))
def test_a_record_of_another_shape_counts_as_none(service: Service, text: str) -> None:
    service.folder.mkdir()
    record_file(service).write_bytes(text.encode(errors="surrogateescape"))
    started = time.monotonic()
    assert read_record(service.folder, "one") is None
    assert not service.stop()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", ["", '{"pid": 1, "start": 1, "boot": "", "port": 1}', None])
def test_what_runs_without_its_record_is_taken_over_and_ended(
    service: Service, text: str | None
) -> None:
    pid = start(service)
    record_file(service).unlink()
    if text is not None:
        record_file(service).write_text(text)
    assert service.process() is None

    assert not service.launch()
    assert pid_of(service) == pid

    record_file(service).unlink()
    assert service.stop()
    assert not ServiceProcess.find(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_of_any_port_it_is_ended_and_with_other_options_it_is_not(service: Service) -> None:
    given = ["--port", "1", "prefect"]
    listening = "import time; time.sleep(60)"
    argv = [sys.executable, "-c", listening, *given]
    environ = {"XOPS_HOME": str(service.folder.parent)}
    with running(argv, env=environ) as ours, running([*argv, "--more"], env=environ) as other:
        assert replace(service, argv=[*argv[:4], "2", "prefect"]).stop()
        assert ours.wait() == -signal.SIGTERM
        assert other.poll() is None


def test_one_of_another_installation_is_not_ours(service: Service, tmp_path: Path) -> None:
    other = replace(service, folder=tmp_path / "other" / "services")
    pid = start(service)
    assert not other.stop()
    with pytest.raises(PermanentError, match=f"port {service.port} is in use by"):
        other.launch()
    assert pid_of(service) == pid


def test_where_its_record_cannot_be_written_it_is_ended(
    service: Service, tmp_path: Path, eventually: Eventually
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with small_file_system(home, "64k"):
        full = replace(service, folder=home / "services", environ={"XOPS_HOME": str(home)})
        full.folder.mkdir()
        with suppress(OSError), (home / "filling").open("wb", buffering=0) as filling:
            while True:
                filling.write(bytes(1024))
        with pytest.raises(OSError, match="No space left"):
            full.launch()
        eventually(lambda: port_is_free(port_of(service)))
        assert not full.stop()


def test_of_a_long_log_the_end_is_told(service: Service) -> None:
    ends = replace(service, argv=[sys.executable, "-c", "print('x' * 10**8); print('the reason')"])
    assert ends.launch()
    with pytest.raises(PermanentError, match="it has ended") as caught:
        ends.wait()
    assert "the reason" in str(caught.value)
    assert len(str(caught.value)) < 20_000


SLEEPING = "import time; time.sleep(60)"


def test_what_answers_in_its_place_is_not_it(service: Service) -> None:
    """Another user's program may be faster to take the port, and may answer as ours does."""
    with running([*service.argv], env=dict(service.environ), stderr=subprocess.DEVNULL):
        late = replace(service, argv=[sys.executable, "-c", SLEEPING], port=None)
        assert late.launch()
        ours = replace(late, port=service.port)
        look_until_found(ours.healthy)
        assert not ours.is_up()
        late.stop()


def test_of_two_that_listen_on_its_port_neither_is_trusted(service: Service) -> None:
    shared = SERVER.replace("http.server.test", SHARING)
    sharing = replace(service, argv=[service.argv[0], "-c", shared, *service.argv[3:]])
    start(sharing)
    with running([*sharing.argv], env={}, stderr=subprocess.DEVNULL) as other:
        look_until_found(lambda: psutil.Process(other.pid).net_connections())
        assert sharing.healthy()
        assert not sharing.is_up()


SHARING = "http.server.HTTPServer.allow_reuse_port = True; http.server.test"


def test_a_port_that_is_only_kept_from_others_is_free_for_its_server(service: Service) -> None:
    keeping = [sys.executable, "-c", SLEEPING]
    keeper = replace(service, name="keeper", argv=keeping, port=None, keeps_port=service.port)
    try:
        assert keeper.launch()
        assert port_is_free(port_of(service))
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                other.bind(("127.0.0.1", port_of(service)))
    finally:
        keeper.stop()


OF_ANOTHER_USER = "import os, socket; os.setuid(65534); s = socket.create_server(('127.0.0.1', 0))"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_s_program_is_named_with_the_user() -> None:
    told = f"{OF_ANOTHER_USER}; print(s.getsockname()[1], flush=True); input()"
    argv, pipe = [sys.executable, "-c", told], subprocess.PIPE
    with running(argv, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        holder = port_holder(int(other.stdout.readline()))
        assert f"(process {other.pid} of user nobody)" in holder
