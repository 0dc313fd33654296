"""Being let in by real OpenSSH servers, or not: keys, host keys, configuration, bastions."""

import asyncio
import re
import socket
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.integration.k3s.access import (
    connected,
    host,
    refused,
    settings,
    shell,
    whoami,
)
from tests.integration.k3s.conftest import MakeSshd
from tests.integration.k3s.sshd import OPERATOR, Sshd, find, new_key
from tests.processes import running
from tests.waiting import look_until_found
from xops.core.errors import InputError, UnreachableError
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.client_config import read_client_config
from xops.k3s.ssh.connector import SshConnector
from xops.k3s.ssh.host_keys import ShownKey, fingerprint
from xops.k3s.ssh.transport_protocol import AuthenticationError, HostKeyError, Upload

# Being let in


def test_nobody_listens(sshd: Sshd, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = host(sshd, port=closed.getsockname()[1])
        said = refused(UnreachableError, SshConnector(settings(tmp_path, sshd)), nobody)
    assert f"connecting to web1 (root@127.0.0.1:{nobody.port})" in said
    assert "from here" in said


def test_no_answer_in_time(sshd: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = host(sshd, port=deaf.getsockname()[1])
        connector = SshConnector(settings(tmp_path, sshd, connect_timeout=0.3))
        said = refused(UnreachableError, connector, silent)
    assert "no answer within 0.3 s" in said


def test_a_name_that_does_not_resolve(sshd: Sshd, tmp_path: Path) -> None:
    nowhere = host(sshd, address="web1.invalid")
    said = refused(UnreachableError, SshConnector(settings(tmp_path, sshd)), nowhere)
    assert "web1.invalid" in said


def test_a_wrong_key_is_not_let_in(sshd: Sshd, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    connector = SshConnector(settings(tmp_path, sshd, identity_file=other))
    said = refused(AuthenticationError, connector, host(sshd))
    assert f"authentication as root failed; offered: {other}" in said
    assert f"ssh-copy-id -p {sshd.port} root@127.0.0.1" in said


@pytest.mark.parametrize("content", [None, "no key"])
def test_a_key_that_cannot_be_read(sshd: Sshd, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content:
        file.write_text(content)
    connector = SshConnector(settings(tmp_path, sshd, identity_file=file))
    assert f"reading the SSH key {file}" in refused(AuthenticationError, connector, host(sshd))


@contextmanager
def agent(*keys: Path) -> Iterator[Path]:
    """A real ssh-agent that holds these keys."""
    place = keys[0].parent / "agent"
    argv = [find("ssh-agent"), "-D", "-a", str(place)]
    with running(argv, stdout=subprocess.DEVNULL) as agent:
        look_until_found(place.exists)
        for key in keys:
            shell(f"SSH_AUTH_SOCK={place} ssh-add -q {key}")
        yield place
        agent.terminate()
        agent.wait(20)


def test_the_agent_opens_the_door(
    make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_sshd()
    with agent(server.key) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        # As if there were no keys in ~/.ssh.
        monkeypatch.setenv("HOME", str(tmp_path))
        connector = SshConnector(settings(tmp_path, server, identity_file=None))
        assert asyncio.run(whoami(connector, host(server))) == "root"


def test_a_locked_key_is_used_through_the_agent(
    make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_sshd()
    # An agent's many keys would use up sshd's patience before the right one is tried.
    others = [new_key(tmp_path / f"other{n}") for n in range(7)]
    with agent(*others, server.key) as place:
        shell(f"ssh-keygen -q -p -N 'a passphrase' -f {server.key}")
        connector = SshConnector(settings(tmp_path, server))
        said = refused(AuthenticationError, connector, host(server))
        assert "locked by a passphrase" in said
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        assert asyncio.run(whoami(connector, host(server))) == "root"


def test_an_agent_with_many_keys_is_an_answer_that_says_so(
    make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_sshd()
    with agent(*(new_key(tmp_path / f"other{n}") for n in range(7))) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        monkeypatch.setenv("HOME", str(tmp_path))
        connector = SshConnector(settings(tmp_path, server, identity_file=None))
        said = refused(AuthenticationError, connector, host(server))
    assert "offered: the keys in ~/.ssh, and those of the agent" in said


def test_a_login_that_may_only_say_who_else_to_be(make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd()
    server.authorize('command="echo Please login as the user ubuntu; exit 142"')

    async def use() -> None:
        async with connected(SshConnector(settings(tmp_path, server)), host(server)) as transport:
            for attempt in (
                transport.run("true", deadline=20),
                transport.put(Upload(b"x", "/tmp/xops-never", 0o600)),
            ):
                with pytest.raises(AuthenticationError, match="the user ubuntu"):
                    await attempt

    asyncio.run(use())


# Host keys


def test_an_unknown_key_is_fatal_and_says_how_to_pin_it(sshd: Sshd, tmp_path: Path) -> None:
    ssh = settings(tmp_path, identity_file=sshd.key)
    said = refused(HostKeyError, SshConnector(ssh, cluster="onprem"), host(sshd))
    assert f"connecting to web1 (root@127.0.0.1:{sshd.port})" in said
    assert f"it shows the host key {fingerprint(sshd.pins)}" in said
    assert f"{ssh.known_hosts} pins none for [127.0.0.1]:{sshd.port}" in said
    assert "xops k3s trust onprem web1" in said
    # The other way that is proposed works as it stands there.
    by_hand = said.splitlines()[-1].strip()
    assert by_hand.startswith("ssh-keyscan")
    shell(by_hand)
    assert asyncio.run(whoami(SshConnector(ssh), host(sshd))) == "root"


def scanned(connector: SshConnector, to: Host) -> str:
    """The one key that is seen, as a line for a file of pinned keys."""
    found = asyncio.run(connector.scan([to]))[to.name]
    assert isinstance(found, ShownKey), found
    return found.line


def test_what_scan_finds_can_be_pinned(make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd(host_keys=["rsa", "ecdsa", "ed25519"])
    ssh = settings(tmp_path, identity_file=server.key)
    line = scanned(SshConnector(ssh), host(server))
    assert line == server.pins.splitlines()[-1]
    assert fingerprint(line) == ssh_keygen_says(server)
    ssh.known_hosts.write_text(line)
    assert asyncio.run(whoami(SshConnector(ssh), host(server))) == "root"


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_host_is_asked_for_the_key_that_is_pinned(
    make_sshd: MakeSshd, tmp_path: Path, kind: str
) -> None:
    server = make_sshd(host_keys=["ed25519", kind])
    ssh = settings(tmp_path, identity_file=server.key)
    ssh.known_hosts.write_text(server.pins.splitlines()[1])
    assert scanned(SshConnector(ssh), host(server)) == server.pins.splitlines()[1]


def test_one_look_is_one_connection(make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd(host_keys=["rsa", "ecdsa", "ed25519"])
    scanned(SshConnector(settings(tmp_path)), host(server))
    assert server.log.count("Connection from") == 1


def ssh_keygen_says(server: Sshd) -> str:
    said = shell(f"ssh-keygen -lf {server.folder}/host_ed25519.pub")
    return f"{said.split()[1]} (ssh-ed25519)"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_changed_key_is_fatal(make_sshd: MakeSshd, sshd: Sshd, tmp_path: Path, kind: str) -> None:
    server = make_sshd()
    public = new_key(tmp_path / "old", kind).with_name("old.pub").read_text().strip()
    ssh = settings(tmp_path, identity_file=server.key)
    old = f"[127.0.0.1]:{server.port} {public}"
    ssh.known_hosts.write_text(f"{sshd.pins}{old}\n")
    said = refused(HostKeyError, SshConnector(ssh), host(server))
    assert f"it shows the host key {fingerprint(server.pins)}" in said
    assert f"pins {fingerprint(old)} for [127.0.0.1]:{server.port}" in said
    assert "xops k3s trust CLUSTER web1 --replace" in said
    forget = re.search(r"ssh-keygen -R \S+ -f \S+", said)
    assert forget is not None
    shell(forget[0])
    assert "pins none" in refused(HostKeyError, SshConnector(ssh), host(server))


def test_one_of_several_pinned_keys_will_do(make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd(host_keys=["ed25519", "ecdsa"])
    ssh = settings(tmp_path, identity_file=server.key)
    ssh.known_hosts.write_text(server.pins.splitlines()[1])
    assert asyncio.run(whoami(SshConnector(ssh), host(server))) == "root"


def test_an_authority_may_be_pinned(make_sshd: MakeSshd, tmp_path: Path) -> None:
    authority = new_key(tmp_path / "authority")
    ssh = settings(tmp_path)
    ssh.known_hosts.write_text(f"@cert-authority * {Path(f'{authority}.pub').read_text()}")
    signed, plain = make_sshd(authority=authority), make_sshd()
    connector = SshConnector(ssh.model_copy(update={"identity_file": signed.key}))
    assert asyncio.run(whoami(connector, host(signed))) == "root"
    assert fingerprint(plain.pins) in refused(HostKeyError, connector, host(plain))


def test_a_revoked_key_is_fatal(sshd: Sshd, tmp_path: Path) -> None:
    ssh = settings(tmp_path, identity_file=sshd.key)
    ssh.known_hosts.write_text(f"{sshd.pins}@revoked {sshd.pins}")
    assert "revoked" in refused(HostKeyError, SshConnector(ssh), host(sshd))


def test_hashed_names_are_known(sshd: Sshd, tmp_path: Path) -> None:
    ssh = settings(tmp_path, sshd)
    shell(f"ssh-keygen -q -H -f {ssh.known_hosts}")
    assert "127.0.0.1" not in ssh.known_hosts.read_text()
    assert asyncio.run(whoami(SshConnector(ssh), host(sshd))) == "root"


def test_the_address_of_a_name_does_not_make_it_known(sshd: Sshd, tmp_path: Path) -> None:
    named = host(sshd, address="localhost")
    said = refused(HostKeyError, SshConnector(settings(tmp_path, sshd)), named)
    assert f"pins none for [localhost]:{sshd.port}" in said


def test_no_other_file_and_no_option_makes_a_key_known(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = tmp_path / ".ssh"
    person.mkdir()
    person.joinpath("known_hosts").write_text(sshd.pins)
    person.joinpath("config").write_text(
        f"StrictHostKeyChecking no\nUserKnownHostsFile {person}/known_hosts\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    ssh = settings(tmp_path, identity_file=sshd.key, config=Path("~/.ssh/config"))
    said = refused(HostKeyError, SshConnector(ssh), host(sshd))
    assert f"{ssh.known_hosts} pins none for [127.0.0.1]:{sshd.port}" in said
    person.joinpath("config").write_text("UserKnownHostsFile none\n")
    assert refused(HostKeyError, SshConnector(ssh), host(sshd)) == said


def test_pinned_keys_that_cannot_be_read(sshd: Sshd, tmp_path: Path) -> None:
    ssh = settings(tmp_path, sshd)
    ssh.known_hosts.write_text(f"{sshd.pins}garbage\n")
    said = refused(InputError, SshConnector(ssh), host(sshd))
    assert f"{ssh.known_hosts}:2" in said
    # A cluster file may name any file: of what is in it nothing is shown.
    assert "garbage" not in said


# The SSH configuration


def configured(folder: Path, text: str, *pinned: Sshd, **values: Any) -> Ssh:
    config = folder / "config"
    config.write_text(textwrap.dedent(text))
    return settings(folder, *pinned, **{"identity_file": None, "config": config, **values})


def test_what_is_left_out_comes_from_the_configuration(sshd: Sshd, tmp_path: Path) -> None:
    text = f"""
        Host shop-*
          HostName 127.0.0.1
          Port {sshd.port}
          User {OPERATOR}
          IdentityFile {sshd.key}
          IdentityFile {tmp_path}/missing
    """
    connector = SshConnector(configured(tmp_path, text, sshd))
    alias = host(sshd, address="shop-1", port=None, user=None)
    assert asyncio.run(whoami(connector, alias)) in (OPERATOR, "root")
    assert f"Accepted publickey for {OPERATOR}" in sshd.log


def test_the_cluster_file_overrides_the_configuration(sshd: Sshd, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    text = f"Host *\n  Port 1\n  User nobody\n  IdentityFile {other}\n"
    ssh = configured(tmp_path, text, sshd, user="root", port=sshd.port, identity_file=sshd.key)
    plain = host(sshd, port=None, user=None)
    assert asyncio.run(whoami(SshConnector(ssh), plain)) == "root"


def test_a_host_key_alias_is_what_is_pinned(sshd: Sshd, tmp_path: Path) -> None:
    text = f"Host web\n  HostName 127.0.0.1\n  HostKeyAlias shop\n  IdentityFile {sshd.key}\n"
    ssh = configured(tmp_path, text)
    to = host(sshd, address="web")
    said = refused(HostKeyError, SshConnector(ssh), to)
    assert f"pins none for [shop]:{sshd.port}" in said
    shell(said.splitlines()[-1])
    assert asyncio.run(whoami(SshConnector(ssh), to)) == "root"
    assert scanned(SshConnector(ssh), to).startswith(f"[shop]:{sshd.port} ssh-ed25519")


def test_a_configuration_that_cannot_be_read(sshd: Sshd, tmp_path: Path) -> None:
    ssh = configured(tmp_path, "Host *\n  Port many\n", sshd)
    said = refused(InputError, SshConnector(ssh), host(sshd, port=None))
    assert f"{ssh.config}:2" in said


@pytest.fixture
def own_config(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], SshConnector]:
    """A person's own `~/.ssh/config` with these lines, beside the key that is let in."""

    def write(lines: str) -> SshConnector:
        folder = tmp_path / ".ssh"
        folder.mkdir()
        folder.joinpath("config").write_text(f"{lines}\nHost *\n  IdentityFile {sshd.key}\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        config = Path("~/.ssh/config")
        return SshConnector(settings(tmp_path, sshd, identity_file=None, config=config))

    return write


@pytest.mark.parametrize(
    "lines",
    [
        "ConnectTimeout 5s",
        "ServerAliveInterval 1m30S",
        "ConnectTimeout none\nServerAliveInterval=15",
        "Match host *\n  ServerAliveInterval 1h",
        "CertificateFile /nowhere/id-cert.pub",
        "PKCS11Provider /nowhere/opensc-pkcs11.so",
    ],
)
def test_what_openssh_takes_of_a_person_s_own_configuration_is_taken(
    sshd: Sshd, own_config: Callable[[str], SshConnector], lines: str
) -> None:
    assert asyncio.run(whoami(own_config(lines), host(sshd))) == "root"


@pytest.mark.parametrize("value", ["soon", "5x", "-1", "5 s", "s", "1m 2"])
def test_a_time_that_openssh_refuses_is_refused_with_its_line(
    sshd: Sshd, own_config: Callable[[str], SshConnector], value: str
) -> None:
    said = refused(InputError, own_config(f"User root\nConnectTimeout {value}"), host(sshd))
    assert "line 2" in said


@pytest.mark.parametrize("value", ["7", "0", "1s", "2M", "1h30m", "1d", "1w2d3h4m5s", "010"])
def test_a_time_means_the_same_to_openssh(tmp_path: Path, value: str) -> None:
    file = tmp_path / "config"
    file.write_text(f"ServerAliveInterval {value}\nConnectTimeout {value}\n")
    argv = ["ssh", "-G", "-F", str(file), "--", "web"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    read = asyncssh.SSHClientConnectionOptions(host="web", config=[file], client_keys=None)
    for name in ("ServerAliveInterval", "ConnectTimeout"):
        assert str(read.config.get(name)) == told[name.lower()]


def test_a_smart_card_that_cannot_be_used_is_named_where_no_key_is_let_in(
    sshd: Sshd, own_config: Callable[[str], SshConnector], tmp_path: Path
) -> None:
    connector = own_config("PKCS11Provider /usr/lib/opensc-pkcs11.so")
    other = f"Host *\n  IdentityFile {new_key(tmp_path / 'other')}\n"
    config = tmp_path / ".ssh" / "config"
    config.write_text(f"PKCS11Provider /usr/lib/opensc-pkcs11.so\n{other}")
    said = refused(AuthenticationError, connector, host(sshd))
    assert "ssh-add -s /usr/lib/opensc-pkcs11.so" in said


def test_a_named_configuration_means_the_same_to_openssh(tmp_path: Path) -> None:
    """OpenSSH itself is asked: `ssh -G` prints what it takes from a configuration."""
    text = """
    User early
    Host a* x?z
      User late
      Port 5
    Host * !abc
      HostName 10.1.1.1
      HostKeyAlias shop
      ProxyJump j@gate:23
    """
    file = configured(tmp_path, text).config
    for name in ("abc", "xyz", "x", "a.b"):
        argv = ["ssh", "-G", "-F", str(file), "--", name]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        told = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        said = read_client_config(file).of(name)
        assert told["user"] == (said.user or told["user"])
        assert told["port"] == str(said.port or 22)
        assert told["hostname"] == (said.host_name or name)
        assert told.get("proxyjump") == said.jumps
        assert told.get("hostkeyalias") == said.host_key_alias


# Bastions


def test_through_a_bastion(sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path) -> None:
    bastion = make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    ssh = settings(tmp_path, sshd, bastion, bastion=f"{OPERATOR}@127.0.0.1:{bastion.port}")
    connector = SshConnector(ssh)

    async def use() -> None:
        hosts = [host(sshd, f"web{n}") for n in range(5)]
        transports = await asyncio.gather(*map(connector.connect, hosts))
        for transport in transports:
            assert (await transport.run("id -un", deadline=20)).stdout == "root\n"
        for transport in transports:
            await transport.close()
        # Connected anew once the last has left.
        assert await whoami(connector, hosts[0]) == "root"

    asyncio.run(use())
    assert bastion.log.count("Accepted publickey for operator") == 2


def test_a_bastion_is_entered_as_the_host_is(
    sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    bastion = make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    ssh = settings(tmp_path, sshd, bastion, bastion=f"127.0.0.1:{bastion.port}")
    assert asyncio.run(whoami(SshConnector(ssh), host(sshd, user=OPERATOR)))
    assert "Accepted publickey for operator" in bastion.log


def test_a_bastions_key_is_held_against_what_is_pinned(
    sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    bastion = make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    ssh = settings(tmp_path, sshd, bastion=f"{OPERATOR}@127.0.0.1:{bastion.port}")
    connector = SshConnector(ssh, cluster="onprem")
    said = refused(HostKeyError, connector, host(sshd))
    assert f"the bastion operator@127.0.0.1:{bastion.port}, on the way to web1" in said
    assert f"ssh-keyscan -p {bastion.port} 127.0.0.1" in said
    assert "xops k3s trust onprem web1" in said
    # Scanning the host gives the bastion's key first, then the host's.
    ssh.known_hosts.write_text("")
    assert scanned(connector, host(sshd)) == bastion.pins.strip()
    ssh.known_hosts.write_text(bastion.pins)
    assert scanned(connector, host(sshd)) == sshd.pins.strip()
    said = refused(HostKeyError, connector, host(sshd))
    via = f"-p {bastion.port} operator@127.0.0.1 ssh-keyscan -p {sshd.port} 127.0.0.1"
    assert f"ssh {via} >> {ssh.known_hosts}" in said


def test_a_bastion_cannot_pass_itself_off_as_the_host(
    sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    """Its own key is pinned, for itself."""
    bastion = make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    ssh = settings(tmp_path, sshd, bastion=f"{OPERATOR}@127.0.0.1:{bastion.port}")
    pins = bastion.pins + sshd.pins.replace(f":{sshd.port}", ":1").replace("127.0.0.1", "web")
    ssh.known_hosts.write_text(pins)
    to = host(sshd, address="localhost", port=bastion.port)
    assert "pins none" in refused(HostKeyError, SshConnector(ssh), to)


def test_what_lies_behind_a_bastion_cannot_be_reached(
    sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    bastion = make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    ssh = settings(tmp_path, sshd, bastion, bastion=f"127.0.0.1:{bastion.port}")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        said = refused(UnreachableError, SshConnector(ssh), host(sshd, port=port))
    way = f"web1 (root@127.0.0.1:{port}) through root@127.0.0.1:{bastion.port}"
    assert f"connecting to {way}" in said
    assert f"from root@127.0.0.1:{bastion.port}" in said


def test_proxy_jump_of_the_configuration(sshd: Sshd, make_sshd: MakeSshd, tmp_path: Path) -> None:
    outer, inner = make_sshd(), make_sshd()
    for bastion in (outer, inner):
        bastion.authorized.write_text(sshd.authorized.read_text())
    text = f"""
        Host web
          HostName 127.0.0.1
          ProxyJump inner
        Host inner
          HostName 127.0.0.1
          Port {inner.port}
          ProxyJump {OPERATOR}@127.0.0.1:{outer.port}
        Host *
          User root
          IdentityFile {sshd.key}
    """
    connector = SshConnector(configured(tmp_path, text, sshd, inner, outer))
    assert asyncio.run(whoami(connector, host(sshd, address="web"))) == "root"
    assert "Accepted publickey for operator" in outer.log
    assert "Accepted publickey for root" in inner.log
    circle = configured(tmp_path, "Host *\n  ProxyJump a\n", sshd)
    assert "form a loop" in refused(InputError, SshConnector(circle), host(sshd))
