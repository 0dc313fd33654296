"""Scripts and locks on hosts behind real OpenSSH servers, and what breaks them."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.k3s.access import (
    connected,
    gone,
    host,
    settings,
    sha256,
)
from tests.integration.k3s.conftest import MakeSshd
from tests.integration.k3s.sshd import OPERATOR, Sshd, find
from tests.processes import running
from tests.waiting import Eventually
from xops.core.errors import UnreachableError
from xops.k3s.ssh import remote_programs as ssh_programs
from xops.k3s.ssh.connector import SshConnector, SshTransport
from xops.k3s.ssh.transport_protocol import CommandTimeoutError, LockedError, SudoError, Upload

SECONDS = 100_000 + os.getpid()  # how long what must be ended would sleep: found again by it
NAP = f"sleep\0{SECONDS}"


# Scripts


def test_a_script_runs_as_root_and_its_exit_code_is_an_answer(sshd: Sshd, on: Any) -> None:
    async def use(transport: SshTransport) -> None:
        ran = await transport.run("id -u; echo problem >&2; exit 7", deadline=20)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (7, "0\n", "problem\n")
        assert 0 < ran.duration_seconds < 20
        assert transport.host == "web1"
        assert transport.ssh_requests == 1

    on(sshd, use)


def test_a_script_finds_the_programs_of_an_administrator(sshd: Sshd, on: Any) -> None:
    ran = on(sshd, lambda transport: transport.run("echo $PATH; echo $LC_ALL; umask", deadline=20))
    path, language, mask = ran.stdout.splitlines()
    assert {"/usr/local/bin", "/usr/sbin"} <= set(path.split(":"))
    assert (language, mask) == ("C", "0022")


def test_what_the_logins_start_files_print_is_no_output(sshd: Sshd, on: Any) -> None:
    ran = on(sshd, lambda transport: transport.run("true", deadline=20), user=OPERATOR)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "")


def test_lines_are_told_as_they_come(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    """The script goes on only when its last line has been told."""
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        (tmp_path / line).touch()

    heard = f"heard() {{ until [ -e {tmp_path}/$1 ]; do sleep 0.05; done; }}"
    script = f"{heard}; echo one; heard one; echo two >&2; heard two; printf three"
    on(sshd, lambda transport: transport.run(script, deadline=20, on_line=tell))
    assert told == ["one", "two", "three"]


@pytest.mark.parametrize("given", [b"", b"secret\n", b"\0\xff\n\nno end", b"x" * 1_500_000])
def test_standard_input_arrives_whole(sshd: Sshd, on: Any, given: bytes) -> None:
    script = "sha256sum | cut -c1-64; echo $$ >/dev/null"
    ran = on(sshd, lambda transport: transport.run(script, stdin=given, deadline=30))
    assert ran.stdout.strip() == sha256(given)


def test_a_script_need_not_read_its_standard_input(sshd: Sshd, on: Any) -> None:
    ran = on(sshd, lambda transport: transport.run("exit 3", stdin=b"x" * 300_000, deadline=20))
    assert ran.exit_code == 3


def test_standard_input_is_seen_nowhere(
    sshd: Sshd, on: Any, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "canary-4711-aaaa"
    script = "cat >/dev/null; cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"
    with caplog.at_level(logging.DEBUG):
        ran = on(sshd, lambda transport: transport.run(script, stdin=secret.encode(), deadline=20))
    assert "xops-begin" in ran.stdout
    assert secret not in ran.stdout
    assert secret not in caplog.text
    assert secret not in sshd.log


def test_asyncssh_prints_nothing_at_info(
    sshd: Sshd, on: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        on(sshd, lambda transport: transport.run("true", deadline=20))
    assert [record for record in caplog.records if record.name.startswith("asyncssh")] == []


def test_output_beyond_the_limit_loses_its_middle(sshd: Sshd, on: Any) -> None:
    script = "echo first; head -c 9000000 /dev/zero | tr '\\0' x; echo; echo last"
    ran = on(sshd, lambda transport: transport.run(script, deadline=60))
    assert ran.stdout.startswith("first\n")
    assert ran.stdout.endswith("x\nlast\n")
    assert "[xops left out" in ran.stdout
    assert len(ran.stdout) < 4_200_000


def test_many_scripts_share_one_connection(make_sshd: MakeSshd, on: Any) -> None:
    server = make_sshd(options=["MaxSessions 4"])

    async def use(transport: SshTransport) -> None:
        runs = [transport.run(f"sleep 0.1; echo {n}", deadline=30) for n in range(12)]
        assert [ran.stdout for ran in await asyncio.gather(*runs)] == [f"{n}\n" for n in range(12)]
        assert transport.ssh_requests == 12

    on(server, use)
    assert server.log.count("Accepted publickey") == 1


def test_a_script_beyond_its_deadline_is_ended(sshd: Sshd, on: Any, eventually: Eventually) -> None:
    script = f"# wait for the server\necho waiting\nsleep {SECONDS} & sleep {SECONDS}"
    with pytest.raises(CommandTimeoutError) as caught:
        on(sshd, lambda transport: transport.run(script, deadline=2))
    assert "'wait for the server' on web1" in str(caught.value)
    assert "within 2 s" in str(caught.value)
    assert "it said last: waiting" in str(caught.value)
    assert eventually(lambda: gone(NAP))


def test_a_script_that_will_not_end_is_killed(sshd: Sshd, on: Any, eventually: Eventually) -> None:
    script = f"trap '' TERM\nsleep {SECONDS} & sleep {SECONDS}"
    with pytest.raises(CommandTimeoutError):
        on(sshd, lambda transport: transport.run(script, deadline=2))
    assert eventually(lambda: gone(NAP))


def test_a_cancelled_script_is_ended(sshd: Sshd, on: Any, eventually: Eventually) -> None:
    async def use(transport: SshTransport) -> None:
        began = asyncio.Event()
        task = asyncio.create_task(
            transport.run(f"echo; sleep {SECONDS}", deadline=60, on_line=lambda _: began.set())
        )
        await began.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await transport.run("echo alive", deadline=20)).stdout == "alive\n"

    on(sshd, use)
    assert eventually(lambda: gone(NAP))


def test_a_host_ends_a_script_itself_when_nobody_asks_for_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    # The far end of a network that has gone sees no end of its input.
    argv = ["/bin/sh", "-c", ssh_programs.RUN, "xops", "1", f"sleep {SECONDS}"]
    with running(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as program:
        assert program.stdin is not None
        program.stdin.write(b"\n")
        program.stdin.flush()
        assert eventually(lambda: program.poll() is not None)
        assert eventually(lambda: gone(NAP))


def test_a_script_that_is_too_long_to_start_is_refused(sshd: Sshd, on: Any) -> None:
    with pytest.raises(ValueError, match="stdin"):
        on(sshd, lambda transport: transport.run("#" * 130_000, deadline=20))


def test_a_connection_that_breaks_is_a_temporary_error(
    make_sshd: MakeSshd, on: Any, eventually: Eventually
) -> None:
    server = make_sshd()

    async def use(transport: SshTransport) -> None:
        with pytest.raises(UnreachableError, match="connection was lost") as caught:
            await transport.run(
                f"# restart\necho; sleep {SECONDS}", deadline=60, on_line=lambda _: server.cut()
            )
        assert "'restart' on web1" in str(caught.value)
        with pytest.raises(UnreachableError):
            await transport.run("true", deadline=20)
        with pytest.raises(UnreachableError):
            await transport.put(Upload(b"x", "/tmp/xops-never", 0o600))

    on(server, use)
    assert eventually(lambda: gone(NAP))


def test_a_host_that_falls_silent_is_noticed(make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd()

    async def use() -> None:
        connector = SshConnector(settings(tmp_path, server), keepalive_seconds=1)
        async with connected(connector, host(server)) as transport:
            server.freeze()
            with pytest.raises(UnreachableError, match="not responding"):
                await transport.run("true", deadline=60)

    asyncio.run(use())


# Sudo


def test_another_login_becomes_root(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    async def use(transport: SshTransport) -> str:
        ran = await transport.run("cat; exit 5", stdin=b"given", deadline=20)
        assert (ran.exit_code, ran.stdout) == (5, "given")
        # Where there is no sudo, what stands in for it leaves us what we are.
        owner = (await transport.run("id -u; id -g", deadline=20)).stdout.split()
        target = f"{sshd.home}/of-operator"
        sshd.home.chmod(0o777)
        return str(await transport.put(Upload(b"x", target, 0o640, ":".join(owner))))

    assert on(sshd, use, user=OPERATOR) == "True"
    assert (sshd.home / "of-operator").read_bytes() == b"x"


def test_sudo_that_asks_for_a_password(make_sshd: MakeSshd, on: Any) -> None:
    server = make_sshd(sudo="asks")
    with pytest.raises(SudoError) as caught:
        on(server, lambda transport: transport.run("true", deadline=20), user=OPERATOR)
    assert "a password is required" in str(caught.value)
    assert "echo 'operator ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/xops" in str(caught.value)
    with pytest.raises(SudoError):
        on(server, lambda transport: transport.put(Upload(b"", "/x", 0o600)), user=OPERATOR)

    async def take(transport: SshTransport) -> None:
        async with transport.lock("/run/xops/lock", "me"):
            pytest.fail("it was locked")

    with pytest.raises(SudoError):
        on(server, take, user=OPERATOR)


def test_sudo_that_wants_a_tty(make_sshd: MakeSshd, on: Any) -> None:
    server = make_sshd(sudo="wants a tty")
    with pytest.raises(SudoError, match="Defaults:operator !requiretty"):
        on(server, lambda transport: transport.run("true", deadline=20), user=OPERATOR)


def test_sudo_that_is_not_there() -> None:
    said = "env: 'sudo': No such file or directory"
    error = ssh_programs.refusal("operator", "web1", "running 'x' on web1", said)
    assert isinstance(error, SudoError)
    assert "Install sudo on web1, or log in as root" in str(error)


# Locks


def test_a_lock_is_held_by_one(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "new folder" / "lock")

    async def use(transport: SshTransport) -> None:
        async with transport.lock(path, "anna on laptop,\nrun 7"):
            assert transport.ssh_requests == 1
            other = SshConnector(settings(tmp_path, sshd))
            async with connected(other, host(sshd)) as second:
                with pytest.raises(LockedError) as caught:
                    await second.lock(path, "ben").__aenter__()
                since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
                assert re.search(f"held by anna on laptop, run 7 since {since}", str(caught.value))
            assert (await transport.run("echo still here", deadline=20)).exit_code == 0
        async with transport.lock(path, "cara"):
            pass

    on(sshd, use)


def test_what_goes_wrong_under_a_lock_is_told_and_the_lock_is_free(
    sshd: Sshd, on: Any, tmp_path: Path
) -> None:
    async def use(transport: SshTransport) -> None:
        with pytest.raises(KeyError):
            async with transport.lock(str(tmp_path / "lock"), "anna"):
                raise KeyError
        async with transport.lock(str(tmp_path / "lock"), "ben"):
            pass

    on(sshd, use)


def test_a_lock_goes_with_the_process_that_holds_it(
    sshd: Sshd, on: Any, tmp_path: Path, eventually: Eventually
) -> None:
    path, ssh = tmp_path / "lock", settings(tmp_path, sshd)
    program = textwrap.dedent("""
        import asyncio, sys
        from xops.k3s.cluster_file.cluster import Host, Ssh
        from xops.k3s.ssh.connector import SshConnector

        async def hold():
            host = Host.model_validate_json(sys.argv[2])
            transport = await SshConnector(Ssh.model_validate_json(sys.argv[1])).connect(host)
            async with transport.lock(sys.argv[3], "anna"):
                print("held", flush=True)
                await asyncio.sleep(600)

        asyncio.run(hold())
    """)
    about = (ssh.model_dump_json(), host(sshd).model_dump_json(), str(path))
    argv = [sys.executable, "-c", program, *about]
    with running(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert lock_is_held(path)
        holder.send_signal(signal.SIGKILL)
    assert eventually(lambda: not lock_is_held(path))

    async def take(transport: SshTransport) -> str:
        async with transport.lock(str(path), "ben"):
            return path.with_name("lock.holder").read_text().splitlines()[1]

    assert on(sshd, take) == "ben"


def lock_is_held(path: Path) -> bool:
    return subprocess.run([find("flock"), "-n", str(path), "true"], check=False).returncode == 1


def test_nothing_more_is_done_once_a_lock_is_lost(sshd: Sshd, on: Any, tmp_path: Path) -> None:
    path = tmp_path / "lock"

    async def work(transport: SshTransport) -> None:
        async with transport.lock(str(path), "anna"):
            for pid in holders(path):
                os.kill(pid, signal.SIGKILL)
            await transport.run("sleep 60", deadline=70)

    async def use(transport: SshTransport) -> None:
        with pytest.raises(UnreachableError, match=f"the lock {path} was lost"):
            await work(transport)
        with pytest.raises(UnreachableError):
            await transport.run("true", deadline=20)

    on(sshd, use)


def holders(lock: Path) -> list[int]:
    """The processes that have this file open."""
    opened = [link for link in Path("/proc").glob("[0-9]*/fd/*") if leads_to(link, lock)]
    return sorted({int(link.parts[2]) for link in opened})


def leads_to(link: Path, file: Path) -> bool:
    try:
        return link.readlink() == file
    except OSError:
        return False


def test_a_lock_whose_holder_falls_silent_is_freed(tmp_path: Path, eventually: Eventually) -> None:
    path = tmp_path / "lock"
    argv = ["/bin/sh", "-c", ssh_programs.LOCK, "xops", str(path), "anna", "1"]
    pipe = subprocess.PIPE
    with running(argv, stdin=pipe, stdout=pipe) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == [b"xops-begin\n", b"held\n"]
        for _ in range(4):
            time.sleep(0.5)
            program.stdin.write(b"beat\n")
            program.stdin.flush()
            assert lock_is_held(path)
        assert eventually(lambda: not lock_is_held(path))
