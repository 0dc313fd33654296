"""An SSH configuration that a cluster file names: data, and nothing that could be run or read."""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh.client_config import LARGEST, read_client_config
from xops.k3s.ssh.route import Routes

HOST = Host(name="web1", address="shop-1", role="server")


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "ssh_config"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refusal(file: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_client_config(file)
    return caught.value


def test_what_is_harmless_counts_as_with_openssh(tmp_path: Path) -> None:
    text = f"""
    # what comes first counts
    Host shop-* !shop-9
      HostName=10.0.0.1
      PORT = 2222
      user "admin"
      IdentityFile "{tmp_path}/one"
      IdentityFile ~/two
      ProxyJump bastion,root@10.0.0.2:23\r
      HostKeyAlias shop
      AddressFamily inet
    Host *
    \tPort 1
    \tUser nobody
    """
    said = read_client_config(written(tmp_path, text)).of("shop-1")
    assert (said.host_name, said.port, said.user) == ("10.0.0.1", 2222, "admin")
    assert said.identities == (tmp_path / "one", Path("~/two").expanduser())
    assert said.jumps == "bastion,root@10.0.0.2:23"
    assert (said.host_key_alias, said.family) == ("shop", "inet")
    other = read_client_config(written(tmp_path, text)).of("shop-9")
    assert (other.host_name, other.port, other.user) == (None, 1, "nobody")


HARMFUL = [
    "ProxyCommand touch {canary}",
    "proxycommand=touch {canary}",
    "PROXYCOMMAND\ttouch {canary}",
    '"ProxyCommand" touch {canary}',
    "Proxy\\\nCommand touch {canary}",
    "ProxyCommand",
    'Match exec "touch {canary}"',
    "match  EXEC  touch\\ {canary}",
    'Match host * exec "touch {canary}"',
    "Match all",
    "Include {included}",
    "include={included}",
    "PKCS11Provider {canary}",
    "SecurityKeyProvider {canary}",
    "IdentityAgent {canary}",
    "IdentityAgent $SSH_AUTH_SOCK",
    "CertificateFile {canary}",
    "UserKnownHostsFile none",
    "GlobalKnownHostsFile /dev/zero",
    "KnownHostsCommand touch {canary}",
    "SendEnv AWS_*",
    "SetEnv A=1",
    "RemoteCommand id",
    "LocalCommand touch {canary}",
    "PermitLocalCommand yes",
    "ForwardAgent yes",
    "ForwardX11 yes",
    "StrictHostKeyChecking no",
    "Ciphers none",
    "XAuthLocation {canary}",
    "ControlPath {canary}",
    "RequestTTY yes",
    "Tag x",
    "CanonicalizeHostname yes",
    "HostName %h.evil",
    "HostName $(touch {canary})",
    "HostName `touch {canary}`",
    "HostName -oProxyCommand=x",
    "HostName 10.0.0.1 # a note",
    "HostName 'a b'",
    "HostName a\\ b",
    'HostName "a',
    'HostName ""',
    "HostName",
    "HostName a b",
    "User %u",
    "User $USER",
    "User ${{HOME}}",
    "User -l",
    "User a;touch",
    "User ümlaut",
    "User a\x00b",
    "User a\x1b[2J",
    "User a\u202eb",
    "Port 0",
    "Port 65536",
    "Port -1",
    "Port ٢٢",
    "Port 22 23",
    "ProxyJump -oProxyCommand=x",
    "ProxyJump a;b",
    "ProxyJump user@%h",
    "ProxyJump ,",
    "ProxyJump a,b,c,d,e,f,g,h,i",
    "HostKeyAlias a,b",
    "HostKeyAlias @revoked",
    "HostKeyAlias |1|x|y",
    "IdentityFile %d/.ssh/id",
    "IdentityFile ${{HOME}}/id",
    "IdentityFile ~root/.ssh/id_rsa",
    "IdentityFile ~nosuchuser/id",
    "IdentityFile id_rsa",
    "IdentityFile pkcs11:id",
    "AddressFamily unix",
    "Host [a-z]",
    "Host a$b",
    "Host",
    "=x",
    "{{}}",
    "\ufeffHost x",
]


@pytest.mark.parametrize("line", HARMFUL)
@pytest.mark.parametrize("before", ["", "Host other\n", "Host shop-1\n"])
def test_all_else_is_refused_with_its_line_and_never_done(
    tmp_path: Path, line: str, before: str
) -> None:
    canary, included = tmp_path / "canary", written(tmp_path, "")
    file = tmp_path / "named"
    text = f"\n{before}  {line.format(canary=canary, included=included)}\n"
    file.write_text(text, newline="")
    with pytest.raises(InputError) as caught:
        Routes(Ssh(config=file, known_hosts=tmp_path / "known_hosts")).to(HOST)
    assert [found.line for found in caught.value.findings][:1] == [2 + bool(before)]
    assert caught.value.exit_code == 2
    assert not canary.exists()


def test_every_wrong_line_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "Host *\nProxyCommand x\nPort 1\nMatch all\nPort many\n")
    found = refusal(file).findings
    assert [finding.line for finding in found] == [2, 4, 5]
    assert "proxycommand is not allowed here; Host, HostName, Port" in found[0].message


def test_a_file_that_is_no_configuration_is_not_shown(tmp_path: Path) -> None:
    secrets = ["hunter2", "user = %hunter2", "Port hunter2", "Host hunter2$", "hunter2 = x"]
    for text in secrets:
        said = str(refusal(written(tmp_path, f"[default]\n{text}\n")))
        assert "hunter2" not in said, text


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    assert "No such file" in str(refusal(tmp_path / "missing"))


def test_the_null_device_is_no_configuration() -> None:
    assert read_client_config(Path(os.devnull)).of("x").user is None


def test_a_device_a_pipe_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for file in (Path("/dev/zero"), Path("/dev/tty"), pipe, link, tmp_path):
        assert f"{file}: is" in str(refusal(file))


def test_a_large_file_is_refused_and_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert f"is larger than {LARGEST} bytes" in str(refusal(file))


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    assert "no text in UTF-8" in str(refusal(written(tmp_path, b"Host *\n  User \xff\n")))


@given(st.text() | st.lists(st.sampled_from(HARMFUL)).map("\n".join))
def test_any_text_is_a_configuration_or_refused(text: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode(errors="surrogatepass"))
        file.flush()
        with suppress(InputError):
            read_client_config(Path(file.name)).of("shop-1")


# A person's own, which is theirs


def own(home: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Routes:
    home.joinpath(".ssh").mkdir()
    home.joinpath(".ssh", "config").write_text(text)
    monkeypatch.setenv("HOME", str(home))
    return Routes(Ssh(known_hosts=home / "known_hosts"))


def test_the_own_configuration_may_say_all_that_openssh_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"Host shop-1\n  ProxyCommand {sys.executable} -c pass\n  User me\n  SendEnv LANG\n"
    hop = own(tmp_path, text, monkeypatch).to(HOST).last
    assert hop.user == "me"
    assert hop.arguments["config"] == [tmp_path / ".ssh" / "config"]


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_the_own_configuration_is_refused_if_others_may_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    routes = own(tmp_path, "User me\n", monkeypatch)
    tmp_path.joinpath(".ssh", "config").chmod(mode)
    with pytest.raises(InputError, match="alone to write"):
        routes.to(HOST)


def test_the_own_configuration_is_refused_if_it_is_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = own(tmp_path, "", monkeypatch)
    tmp_path.joinpath(".ssh", "config").unlink()
    os.mkfifo(tmp_path / ".ssh" / "config")
    with pytest.raises(InputError, match="no regular file"):
        routes.to(HOST)


def test_the_own_configuration_is_refused_if_it_is_huge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = own(tmp_path, "", monkeypatch)
    with (tmp_path / ".ssh" / "config").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(InputError, match="is larger than 1 MiB"):
        routes.to(HOST)
