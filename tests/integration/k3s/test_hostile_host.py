"""A host that means harm: whatever it answers over SSH is bounded, and is its own fault alone."""

import asyncio
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import k3s_hosts
from tests.integration.k3s.access import connected, host, refused, settings
from tests.integration.k3s.conftest import MakeSshd
from tests.integration.k3s.sshd import Sshd
from tests.integration.k3s.web import (
    Answer,
    bounded,
    certificate,
    endless_body,
    endless_headers,
    head,
    mirror,
)
from xops.core.errors import InputError, PermanentError, XopsError
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.operations import kubeconfig
from xops.k3s.operations.status import read_status
from xops.k3s.ssh import channel
from xops.k3s.ssh.connector import SshConnector, SshTransport
from xops.k3s.ssh.transport_protocol import CommandTimeoutError, Upload
from xops.k3s.state import topology
from xops.k3s.state.ask import AS_IT_IS, ask_cluster
from xops.k3s.state.collect import collect_facts, connect_hosts
from xops.k3s.state.effects import Effects

_BEGIN = "echo xops-begin; echo xops-begin >&2; "
_MOST_MEMORY = 100 << 20


def answering(server: Sshd, command: str, folder: Path) -> SshConnector:
    """The same server, which now says what `command` prints, whatever it is asked."""
    script = server.folder / "hostile"
    script.write_text(command)
    server.authorize(f'command="sh {script}"')
    return SshConnector(settings(folder, server))


def error_of(
    connector: SshConnector,
    to: Host,
    use: Callable[[SshTransport], Coroutine[Any, Any, Any]],
) -> XopsError:
    """What comes of using a host, in bounded memory and with a message that can be read."""

    async def attempt() -> None:
        async with connected(connector, to) as transport:
            await use(transport)

    tracemalloc.start()
    try:
        with pytest.raises(XopsError) as caught:
            asyncio.run(attempt())
        assert tracemalloc.get_traced_memory()[1] < _MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 4000
    return caught.value


ENDLESS = {
    "output": _BEGIN + "yes",
    "errors": _BEGIN + "yes >&2",
    "output without lines": _BEGIN + "cat /dev/zero",
    "output before it begins": "yes",
    "errors before it begins": "yes >&2",
    "zeros before it begins": "cat /dev/zero",
    "zeros as errors before it begins": "cat /dev/zero >&2",
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("reports", [True, False])
def test_a_script_whose_output_does_not_end_is_given_up(
    make_sshd: MakeSshd, tmp_path: Path, kind: str, reports: bool
) -> None:
    server = make_sshd()
    connector = answering(server, ENDLESS[kind], tmp_path)
    lines: list[int] = []
    handle = (lambda line: lines.append(len(line))) if reports else None
    started = time.monotonic()
    error = error_of(
        connector, host(server), lambda at: at.run("true", deadline=60, on_line=handle)
    )
    assert time.monotonic() - started < 30
    assert "has printed more than" in error.found or "prints without end" in error.found
    assert len(lines) <= 20_000
    assert max(lines, default=0) <= 64 * 1024


def test_an_answer_that_was_cut_is_told_from_a_whole_one(
    make_sshd: MakeSshd, tmp_path: Path
) -> None:
    server = make_sshd()
    size = channel.KEPT_BYTES + 1000
    connector = answering(server, _BEGIN + f"head -c {size} /dev/zero | tr '\\0' x", tmp_path)
    error = error_of(connector, host(server), _whole_answer)
    assert "1000 bytes of it were left out" in error.found


async def _whole_answer(transport: SshTransport) -> None:
    (await transport.run("true", deadline=60)).whole_stdout()


PUT = {
    "no number": _BEGIN + "echo need all; sleep 60",
    "a negative one": _BEGIN + "echo need -5; sleep 60",
    "more than there is": _BEGIN + "echo need 99999; sleep 60",
    "a long one": _BEGIN + "echo need $(yes 9 | head -n 5000 | tr -d '\\n'); sleep 60",
    "full of nothing": _BEGIN + "echo full x",
    "a long reason": _BEGIN + "echo failed $(yes because | head -n 5000)",
    "another word": _BEGIN + "echo what",
    "nothing": _BEGIN,
    "a line without end": _BEGIN + "cat /dev/zero",
    "no beginning": "yes",
    "endless reasons": _BEGIN + "echo what; yes >&2",
}


@pytest.mark.parametrize("kind", PUT)
def test_an_upload_that_is_answered_with_nonsense_is_an_error(
    make_sshd: MakeSshd, tmp_path: Path, kind: str
) -> None:
    server = make_sshd()
    connector = answering(server, PUT[kind], tmp_path)
    upload = Upload(b"content", "/tmp/xops-never", 0o600)
    started = time.monotonic()
    assert error_of(connector, host(server), lambda at: at.put(upload)).attempted
    assert time.monotonic() - started < 40


@pytest.mark.parametrize("command", ["echo taken; yes", "echo taken; cat /dev/zero", "yes"])
def test_a_lock_that_is_answered_with_nonsense_is_an_error(
    make_sshd: MakeSshd, tmp_path: Path, command: str
) -> None:
    server = make_sshd()
    connector = answering(server, _BEGIN + command, tmp_path)

    async def lock(transport: SshTransport) -> None:
        async with transport.lock("/tmp/xops-never", "me"):
            pytest.fail("it was held")

    error = error_of(connector, host(server), lock)
    # It neither answers nor ends: that takes half a minute to see.
    assert isinstance(error, CommandTimeoutError if command == "yes" else PermanentError)


# All hosts


FACTS = {
    "nothing": _BEGIN,
    "no end": _BEGIN + "echo @@clock",
    "null": _BEGIN + "printf '@@nodes\\n{\"items\": null}\\n@@end\\n'",
    "endless": _BEGIN + "yes",
    "garbage": _BEGIN + "head -c 100000 /dev/urandom",
    "deep": _BEGIN + "echo @@nodes; yes [ | head -n 100000 | tr -d '\\n'; echo; echo @@end",
    "no program": "echo nothing of that; exit 3",
}


def of_two(folder: Path, good: Sshd, bad: Sshd) -> Cluster:
    """A cluster whose server is as it should be, and whose agent is not."""
    ssh = settings(folder, good, bad, identity_file=None)
    rows = [
        {"name": name, "address": "127.0.0.1", "port": server.port, "user": "root",
         "role": role, "identity_file": str(server.key), "private_address": f"10.0.0.{n}"}
        for n, (name, role, server) in enumerate(
            [("server-1", "server", good), ("agent-1", "agent", bad)], 1
        )
    ]  # fmt: skip
    return k3s_hosts.cluster(1, hosts=rows, ssh=ssh.model_dump())


@pytest.mark.parametrize("kind", FACTS)
def test_one_host_s_answer_is_a_finding_and_the_others_are_looked_at(
    make_sshd: MakeSshd, tmp_path: Path, kind: str
) -> None:
    good, bad = make_sshd(), make_sshd()
    answering(bad, FACTS[kind], tmp_path)
    cluster = of_two(tmp_path, good, bad)
    found = asyncio.run(read_status(cluster, SshConnector(cluster.ssh)))
    assert set(found.failed) == {"agent-1"}
    assert [row.host for row in found.findings if row.check == "ssh"] == ["agent-1"]
    assert {row.host for row in found.hardening if row.met is not None} == {"server-1"}


@pytest.mark.parametrize("answer", ["10.0.0.2 x open", "a b c", "@@", "\\377\\376"])
def test_what_a_host_says_of_its_peers_stops_no_other(
    make_sshd: MakeSshd, tmp_path: Path, answer: str
) -> None:
    """Its facts are right, its second answer is not."""
    good, bad = make_sshd(), make_sshd()
    facts = (
        'case $SSH_ORIGINAL_COMMAND in *@@*|*section*) eval "$SSH_ORIGINAL_COMMAND" ;;'
        f" *) {_BEGIN} printf '{answer}\\n' ;; esac"
    )
    answering(bad, facts, tmp_path)
    cluster = of_two(tmp_path, good, bad)

    async def look() -> set[str]:
        async with connect_hosts(cluster, SshConnector(cluster.ssh)) as hosts:
            observed = await collect_facts(cluster, hosts, probe_disk=False)
        return {*observed.facts, *observed.failed}

    assert asyncio.run(look()) == {"server-1", "agent-1"}


async def ask(cluster: Cluster) -> Effects:
    """What is seen of a cluster whose first server's API answers."""
    formation = topology.read(cluster, k3s_hosts.formed(cluster))
    names = [host.name for host in cluster.hosts]
    async with connect_hosts(cluster, SshConnector(cluster.ssh)) as hosts:
        return await ask_cluster(cluster, hosts, formation, names, AS_IT_IS)


def pods(address: str = "10.42.0.7") -> str:
    """Prints one pod of CoreDNS for who asks about pods, and for others what they were answered."""
    counts = "Deployment\\tcoredns" + "\\t" * 2 + "\\t1" * 6 + "\\t" * 5
    pod = f"Pod\\tcoredns-1\\tserver-1\\t{address}" + "\\t" * 7 + "True" + "\\t" * 4
    rows = f"@@dns\\n{counts}\\n{pod}\\n@@vip\\n@@tunnels\\nserver-1\\t10.0.0.1\\n@@end\\n"
    answers = "@@version\\n@@answers\\n" + "".join(
        f"{at} 53 open\\n" for at in (address, "10.43.0.10")
    )
    return (
        f"{_BEGIN} case $SSH_ORIGINAL_COMMAND in *PATIENCE=*) printf '{rows}' ;;"
        f" *) printf '{answers}@@end\\n' ;; esac"
    )


EFFECTS = {
    "nothing": _BEGIN,
    "no end": _BEGIN + "printf '@@version\\n@@answers\\n10.42.0.7 53 open\\n10.43.0.10 53 open\\n'",
    "half": _BEGIN + "printf '@@version\\n@@answers\\n10.42.0.7 53 open\\n@@end\\n'",
    "too much": _BEGIN + "printf '@@version\\n@@answers\\n'; yes 10.42.0.7 53 open",
    "garbage": _BEGIN + "head -c 100000 /dev/urandom",
    "other words": _BEGIN + "printf '@@version\\n@@answers\\n10.42.0.7 53 fine\\n@@end\\n'",
    "no program": "echo nothing of that; exit 3",
}


@pytest.mark.parametrize("kind", EFFECTS)
def test_what_a_host_says_it_was_answered_is_success_only_if_it_is_whole(
    make_sshd: MakeSshd, tmp_path: Path, kind: str
) -> None:
    good, bad = make_sshd(), make_sshd()
    answering(good, pods(), tmp_path)
    answering(bad, EFFECTS[kind], tmp_path)
    found = asyncio.run(ask(of_two(tmp_path, good, bad)))

    assert set(found.failed) == {"agent-1"}
    assert len(str(found.failed["agent-1"])) < 4000
    assert found.hosts["server-1"].answers == {
        ("10.42.0.7", 53): "open",
        ("10.43.0.10", 53): "open",
    }


@pytest.mark.parametrize("kind", EFFECTS)
def test_a_server_s_nonsense_about_pods_is_an_error(
    make_sshd: MakeSshd, tmp_path: Path, kind: str
) -> None:
    good, bad = make_sshd(), make_sshd()
    answering(bad, EFFECTS[kind], tmp_path)
    with bounded(40), pytest.raises(XopsError) as caught:
        asyncio.run(ask(of_two(tmp_path, bad, good)))
    assert len(str(caught.value)) < 4000


def test_a_wrong_ssh_section_stops_all_before_any_host_is_asked(sshd: Sshd, tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.write_text(f"Host *\n  ProxyCommand touch {tmp_path}/canary\n")
    ssh = settings(tmp_path, sshd, config=named)
    cluster = k3s_hosts.cluster(3, ssh=ssh.model_dump())
    with pytest.raises(InputError, match=r"named:2: proxycommand is not allowed here"):
        asyncio.run(read_status(cluster, SshConnector(cluster.ssh)))
    assert not (tmp_path / "canary").exists()


# Its API


@pytest.mark.parametrize("answer", [endless_body(), endless_headers, endless_body(500), head])
def test_of_what_an_api_says_nothing_is_read(tmp_path: Path, answer: Answer) -> None:
    trust = certificate(tmp_path)
    cluster = k3s_hosts.cluster(1)
    pem = (tmp_path / "certificate.pem").read_text()
    authority, _, secret = pem.partition("-----BEGIN PRIVATE")
    access = kubeconfig.Access(authority, authority, f"-----BEGIN PRIVATE{secret}")
    with mirror(answer, trust) as address, bounded():
        url = address.removesuffix("/k3s")
        kept = tmp_path / "kubeconfig"
        kept.write_text(yaml.safe_dump(access.document(cluster.name, url)))
        assert asyncio.run(kubeconfig.ask(url, kept)).url == url
        kubeconfig.api_probe(kept)()


# No SSH at all


@contextmanager
def speaking(said: bytes) -> Iterator[int]:
    """The port of a server that says this to everybody, again and again if it is much."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(5)
                        for _ in range(2000 if len(said) > 1000 else 1):
                            connection.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            with suppress(OSError), socket.create_connection(server.getsockname(), 1):
                pass
            thread.join(10)


@pytest.mark.parametrize(
    "said",
    [
        b"", b"\n", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-\xff\xfe\r\n", b"SSH-1.5-x\r\n",
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff", b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + bytes(200),
        b"x" * 100_000, b"line\r\n" * 20_000, bytes(100_000), b"SSH-2.0-" + b"x" * 100_000,
        b"SSH-2.0-x\r\n" + b"\0\0\x01\0\x05\x14" * 2000,
    ],
    ids=lambda said: repr(said[:20]),
)  # fmt: skip
def test_what_is_no_ssh_server_is_an_answer(sshd: Sshd, tmp_path: Path, said: bytes) -> None:
    with speaking(said) as port:
        connector = SshConnector(settings(tmp_path, sshd, connect_timeout=5))
        refused(XopsError, connector, host(sshd, port=port))
        looked = asyncio.run(connector.scan([host(sshd, port=port)]))
        assert isinstance(looked["web1"], XopsError)
