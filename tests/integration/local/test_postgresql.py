"""The embedded PostgreSQL as a service: started, ended, killed, and by whom it can be run."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psutil
import pytest

from tests.prefect_servers import home
from tests.waiting import Eventually
from xops.core.errors import PermanentError
from xops.local import postgresql
from xops.local.down import stop_servers
from xops.local.services import Service, starting_alone
from xops.local.stack import stack

WITHOUT_NAMESPACES = str(Path(__file__).parents[2] / "root_without_namespaces.py")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take away what root may do")


@contextmanager
def installation(folder: Path, **environ: str) -> Iterator[Service]:
    """The database of a home, ended with the block; nothing is started yet."""
    with home(folder, **environ):
        found = stack()
    try:
        yield found.postgresql
    finally:
        stop_servers(found)


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Of a home whose path is longer than a socket's may be, and is not plain ASCII."""
    folder = tmp_path_factory.mktemp("home") / f"Anna Müller's {'long ' * 20}home"
    with installation(folder) as found:
        yield found


@pytest.fixture
def database(anywhere: Service) -> Service:
    """It runs, or is started; a test may leave it dead."""
    start(anywhere)
    return anywhere


def start(service: Service) -> None:
    service.launch()
    service.wait()


def home_of(service: Service) -> Path:
    return service.folder.parent


def ask(service: Service, statement: str) -> Any:
    """The value that one statement gives."""

    async def fetch() -> Any:
        connection = await asyncpg.connect(
            host=str(postgresql.socket_folder(home_of(service))),
            port=5432,
            user="xops",
            database="postgres",
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def remember(service: Service) -> None:
    ask(service, "drop table if exists kept")
    ask(service, "create table kept as select 'a run' as word")


def family(service: Service) -> list[psutil.Process]:
    running = service.process()
    if running is None:
        return []
    first = psutil.Process(running.pid)
    return [first, *first.children(recursive=True)]


def kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=20)


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_only_its_owner_gets_to_it_and_no_port_is_opened(database: Service) -> None:
    data = postgresql.data_folder(home_of(database))
    sockets = postgresql.socket_folder(home_of(database))
    assert [mode(data), mode(data.parent), mode(sockets)] == [0o700, 0o700, 0o700]
    assert mode(sockets / ".s.PGSQL.5432") == 0o700
    listening = [each for process in family(database) for each in process.net_connections("inet")]
    assert listening == []
    assert ask(database, "select version()").startswith("PostgreSQL 18.")
    assert ask(database, "select lower('ÄÖ') || current_setting('server_encoding')") == "äöUTF8"


def test_what_prefect_needs_of_it_is_there(database: Service) -> None:
    ask(database, "create extension pg_trgm")
    assert ask(database, "select similarity('xops', 'xops')") == 1


def test_ended_it_ends_its_sessions_and_needs_no_recovery(database: Service) -> None:
    remember(database)
    logged = len(database.log.read_text())
    with ThreadPoolExecutor(1) as elsewhere:
        waiting = elsewhere.submit(ask, database, "select pg_sleep(300)")
        database.stop()
        with pytest.raises((asyncpg.PostgresError, ConnectionError)):
            waiting.result()
    assert database.process() is None
    start(database)
    assert ask(database, "select word from kept") == "a run"
    assert "automatic recovery" not in database.log.read_text()[logged:]


def test_killed_with_all_its_processes_it_comes_back_with_everything(database: Service) -> None:
    remember(database)
    kill(family(database))
    start(database)
    assert ask(database, "select word from kept") == "a run"
    assert "automatic recovery" in database.log.read_text()


def test_killed_alone_its_sessions_are_waited_for(database: Service) -> None:
    remember(database)
    first, *_ = family(database)
    kill([first])
    start(database)
    assert ask(database, "select word from kept") == "a run"


def test_after_a_reboot_its_old_process_id_may_be_anybodys(database: Service) -> None:
    remember(database)
    kill(family(database))
    folders = (
        postgresql.data_folder(home_of(database)),
        postgresql.socket_folder(home_of(database)),
    )
    locks = [file for each in folders for file in each.glob("*.lock")] + [
        folders[0] / "postmaster.pid"
    ]
    for lock in locks:
        _, *rest = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *rest]) + "\n")
    start(database)
    assert ask(database, "select word from kept") == "a run"


def test_a_first_start_that_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    with installation(tmp_path) as database:
        half = postgresql.data_folder(tmp_path).parent / "new-half"
        half.mkdir(parents=True)
        half.parent.chmod(0o700)
        (half / "PG_VERSION").write_text("18")
        start(database)
        assert not half.exists()
        assert ask(database, "select 1") == 1


def test_one_that_runs_unknown_to_the_stack_is_named(database: Service) -> None:
    first, *_ = family(database)
    try:
        (database.folder / "postgresql.json").unlink()
        with pytest.raises(PermanentError, match=f"already, as process {first.pid}") as caught:
            start(database)
        assert f"kill -INT {first.pid}" in str(caught.value)
        assert ask(database, "select 1") == 1
    finally:
        first.send_signal(signal.SIGINT)
        psutil.wait_procs([first], timeout=20)


def test_a_socket_folder_that_is_not_ones_own_is_refused(tmp_path: Path) -> None:
    with installation(tmp_path) as database:
        sockets = postgresql.socket_folder(tmp_path)
        sockets.mkdir()
        sockets.chmod(0o777)
        try:
            with pytest.raises(PermanentError, match=f"{sockets} is not a folder of this user's"):
                start(database)
        finally:
            sockets.rmdir()


def test_a_link_in_place_of_the_socket_folder_leads_nowhere(tmp_path: Path) -> None:
    """Anybody may make one in the temporary folder; root would hand over what it leads to."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / ".s.PGSQL.5432").touch()
    link = postgresql.socket_folder(tmp_path / "home")
    link.symlink_to(elsewhere)
    try:
        with installation(tmp_path / "home") as database:
            with pytest.raises(PermanentError, match=f"{link} is not a folder"):
                start(database)
            if os.geteuid() == 0:
                done = run_as_root_of(65536, tmp_path / "home", START)
                assert f"{link} is not a folder" in done.stderr
        assert [file.name for file in elsewhere.iterdir()] == [".s.PGSQL.5432"]
        assert elsewhere.stat().st_uid == os.geteuid()
    finally:
        link.unlink()


def test_two_installations_run_side_by_side(tmp_path: Path) -> None:
    with installation(tmp_path / "a") as one, installation(tmp_path / "b") as other:
        one.launch()
        other.launch()
        one.wait()
        other.wait()
        remember(one)
        assert ask(other, "select count(*) from pg_tables where tablename = 'kept'") == 0


def test_variables_for_other_servers_do_not_reach_it(tmp_path: Path) -> None:
    astray = {
        "PGDATA": str(tmp_path / "another"),
        "PGPORT": "6000",
        "PGHOST": "db.example.com",
        "PGUSER": "anna",
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGTZ": "Asia/Tokyo",
    }
    with installation(tmp_path / "home", **astray) as database:
        start(database)
        remember(database)
        assert not (tmp_path / "another").exists()


def test_who_starts_a_home_is_waited_for_and_named(tmp_path: Path, eventually: Eventually) -> None:
    said: list[str] = []

    def second() -> None:
        with starting_alone(tmp_path, said.append):
            said.append("second")

    with ThreadPoolExecutor(1) as elsewhere:
        with starting_alone(tmp_path, said.append):
            waiting = elsewhere.submit(second)
            eventually(lambda: said)
            said.append("first")
        waiting.result()
    named = f"waiting for process {os.getpid()}, which is starting this installation"
    assert said == [named, "first", "second"]


def run_as_root_of(ids: int, folder: Path, statement: str) -> subprocess.CompletedProcess[str]:
    """Run the statements on a stack there, as root without namespaces."""
    imports = "from xops.local.down import stop_servers\nfrom xops.local.stack import stack\n"
    program = f"{imports}found = stack()\n{statement}"
    return subprocess.run(
        [sys.executable, WITHOUT_NAMESPACES, str(ids), sys.executable, "-c", program],
        env={**os.environ, "XOPS_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


START = """
try:
    found.postgresql.launch()
    found.postgresql.wait()
finally:
    stop_servers(found)
"""


@pytest.fixture
def enterable() -> Iterator[Callable[[str], Path]]:
    """Makes homes that every user may enter, unlike pytest's own folders."""
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(Path(f"/tmp/xops-test-{os.getpid()}-{name}"))
        made[-1].mkdir(mode=0o755)
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder)


@as_root
def test_root_without_namespaces_gives_it_to_another_user_and_back(
    enterable: Callable[[str], Path],
) -> None:
    folder = enterable("home")
    done = run_as_root_of(65536, folder, START)
    assert done.returncode == 0, done.stderr
    data = postgresql.data_folder(folder)
    assert data.is_relative_to(folder)
    assert data.owner() == "postgres"
    with installation(folder) as database:
        start(database)
        assert ask(database, "select 1") == 1


@as_root
def test_where_the_other_user_may_not_enter_the_home_the_data_lie_outside(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with installation(folder) as database:
        try:
            start(database)
            remember(database)
            database.stop()
            done = run_as_root_of(65536, folder, START)
            assert done.returncode == 0, done.stderr
            data = postgresql.data_folder(folder)
            assert data.is_relative_to("/var/lib/xops")
            assert data.owner() == "postgres"
            start(database)
            assert ask(database, "select word from kept") == "a run"
        finally:
            database.stop()
            outside = postgresql.data_folder(folder).parent
            shutil.rmtree(outside)
            if not any(outside.parent.iterdir()):
                outside.parent.rmdir()


@as_root
def test_root_that_cannot_be_given_up_is_said_with_what_to_do(
    enterable: Callable[[str], Path],
) -> None:
    done = run_as_root_of(1, enterable("home"), START)
    assert "PostgreSQL does not run as root, and here is neither a user namespace" in done.stderr
    assert "Run xOps as an ordinary user" in done.stderr
    assert "XOPS_DATABASE_URL" in done.stderr


@as_root
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = ["/bin/mount", "-t", "tmpfs", "-o", "size=200m,mode=700", "tmpfs", str(small)]
    subprocess.run(mounted, check=True, timeout=30)
    try:
        with installation(small) as database:
            start(database)
            remember(database)
            filler = small / "of another program"
            filler.write_bytes(bytes(100 * 1024**2))
            with pytest.raises((asyncpg.PostgresError, ConnectionError)):
                ask(
                    database,
                    "create table big as select repeat('x', 900) from generate_series(1, 1e6)",
                )
            assert "No space left on device" in database.log.read_text()
            filler.unlink()
            kill(family(database))
            start(database)
            assert ask(database, "select word from kept") == "a run"
    finally:
        subprocess.run(["/bin/umount", "-l", str(small)], check=True, timeout=30)


@as_root
def test_a_disk_too_small_for_a_first_start_is_said(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = ["/bin/mount", "-t", "tmpfs", "-o", "size=20m,mode=700", "tmpfs", str(small)]
    subprocess.run(mounted, check=True, timeout=30)
    try:
        with installation(small) as database:
            database.launch()
            with pytest.raises(PermanentError, match="Check free disk space"):
                database.wait()
            assert list(postgresql.data_folder(small).parent.iterdir()) == []
    finally:
        subprocess.run(["/bin/umount", "-l", str(small)], check=True, timeout=30)
