"""Keys and pinned keys that a cluster file names: they may be any file of the machine."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError, XopsError
from xops.k3s.cluster_file.cluster import Host, Ssh
from xops.k3s.ssh import known_hosts
from xops.k3s.ssh.host_keys import LARGEST_KNOWN_HOSTS, PinnedKeys
from xops.k3s.ssh.route import LARGEST_KEY, Hop, Routes
from xops.k3s.ssh.transport_protocol import AuthenticationError

HOST = Host(name="web1", address="10.0.0.1", role="server")


def hop(**values: Any) -> Hop:
    return Routes(Ssh(config=Path(os.devnull), known_hosts=Path("none"), **values)).to(HOST).last


def hostile_files(folder: Path) -> list[Path]:
    """Files of which no byte must be read, or not all."""
    pipe, huge = folder / "pipe", folder / "huge"
    os.mkfifo(pipe)
    with huge.open("wb") as sparse:
        sparse.truncate(1 << 40)
    return [Path("/dev/zero"), Path("/dev/urandom"), pipe, huge, folder]


# Private keys


def test_a_key_that_is_no_small_regular_file_is_refused(tmp_path: Path) -> None:
    for file in hostile_files(tmp_path):
        with pytest.raises(AuthenticationError, match=r"not? .*file|is larger than") as caught:
            hop(identity_file=file)
        assert str(file) in str(caught.value)


def test_what_lies_beside_a_key_is_not_read_if_it_is_a_device(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    for beside in ("key.pub", "key-cert.pub"):
        tmp_path.joinpath(beside).symlink_to("/dev/zero")
    offered = hop(identity_file=key).arguments["client_keys"]
    assert offered == [(asyncssh.read_private_key(key), None)]


def test_a_key_that_was_put_in_place_of_another_is_offered(tmp_path: Path) -> None:
    file, offered = tmp_path / "key", []
    for _ in range(2):
        key = asyncssh.generate_private_key("ssh-ed25519")
        file.write_bytes(key.export_private_key())
        offered += hop(identity_file=file).arguments["client_keys"]
        assert offered[-1] == (key, None)
    assert offered[0] != offered[1]


def test_a_key_s_certificate_goes_with_it(tmp_path: Path) -> None:
    private = asyncssh.generate_private_key("ssh-ed25519")
    signed = private.generate_user_certificate(private, "someone")
    key = tmp_path / "key"
    key.write_bytes(private.export_private_key())
    tmp_path.joinpath("key-cert.pub").write_bytes(signed.export_certificate())
    (_, certificate), *_ = hop(identity_file=key).arguments["client_keys"]
    assert certificate.public_data == signed.public_data


def test_a_file_that_is_no_key_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    for text in ("password=hunter2\n", "-----BEGIN hunter2 PRIVATE KEY-----\nhunter2\n"):
        file.write_text(text)
        with pytest.raises(AuthenticationError) as caught:
            hop(identity_file=file)
        assert "hunter2" not in str(caught.value)


def _nested(depth: int) -> bytes:
    """DER within DER."""
    data = b""
    for _ in range(depth):
        size = len(data).to_bytes(3)
        data = b"\x30\x83" + size + data
    return data


KEY_LIKE = [
    b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n",
    b"-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----\n",
    b"-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n",
    b"ssh-ed25519 %s",
    b"ssh-rsa %s x",
    b"\x30\x80%s",
]


@given(
    st.binary() | st.builds(lambda form, data: form % data, st.sampled_from(KEY_LIKE), st.binary())
)
def test_any_bytes_are_a_key_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("key", "key.pub", "key-cert.pub"):
            Path(folder, name).write_bytes(content)
        with suppress(AuthenticationError):
            hop(identity_file=Path(folder, "key"))


def test_a_key_of_many_levels_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for depth in (500, 5000, LARGEST_KEY // 5):
        file.write_bytes(_nested(depth))
        with pytest.raises(AuthenticationError):
            hop(identity_file=file)


# Pinned keys


def test_pinned_keys_that_are_no_small_regular_file_are_refused(tmp_path: Path) -> None:
    to = hop()
    for file in hostile_files(tmp_path):
        for use in (
            lambda file=file: PinnedKeys(file, to),
            lambda file=file: known_hosts.pin(file, ["10.0.0.1 ssh-ed25519 AAAA"]),
        ):
            with pytest.raises(InputError, match=r"not? .*file|is larger than"):
                use()


def test_of_a_file_that_holds_no_pinned_keys_nothing_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    for text in ("db:5432:hunter2\n", "@hunter2 a b\n", "hunter2\n", "*,[ hunter2 x\n"):
        file.write_text(f"# a note\n{text}")
        with suppress(InputError):
            PinnedKeys(file, hop())
        file.write_bytes(text.encode() + b"\xff")
        with pytest.raises(InputError) as caught:
            PinnedKeys(file, hop())
        assert "hunter2" not in str(caught.value)


def test_a_line_that_is_no_pinned_key_is_told_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "pins"
    file.write_text("# a note\nhunter2\n")
    with pytest.raises(InputError) as caught:
        PinnedKeys(file, hop())
    assert [found.line for found in caught.value.findings] == [2]
    assert "hunter2" not in str(caught.value)


def test_what_is_revoked_between_two_connections_counts(tmp_path: Path) -> None:
    """What the file holds is understood once for all hosts, and looked at for each."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode()
    file = tmp_path / "pins"
    file.write_text(f"10.0.0.1 {key}")
    first, second = PinnedKeys(file, hop()), PinnedKeys(file, hop())
    file.write_text(f"@revoked 10.0.0.1 {key}")
    third = PinnedKeys(file, hop())

    assert first.pins is second.pins
    assert (len(first.accepted), len(first.revoked)) == (1, 0)
    assert (len(third.accepted), len(third.revoked)) == (0, 1)


@given(st.text() | st.builds(lambda a, b: f"{a} ssh-ed25519 {b}", st.text(), st.text()))
def test_any_text_is_a_file_of_pinned_keys_or_refused(text: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode(errors="surrogatepass"))
        file.flush()
        with suppress(InputError):
            PinnedKeys(Path(file.name), hop())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("authorized_keys", ""),
        ("authorized_keys2", ""),
        ("keys", "ssh-ed25519 AAAA me@home\n"),
        ("keys", "ecdsa-sha2-nistp256 AAAA me\n"),
        ("bashrc", "PATH=/opt/bin\n"),
        ("link", ""),
    ],
)
def test_keys_are_pinned_in_no_other_kind_of_file(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    if name == "link":
        file.symlink_to(tmp_path / "authorized_keys")
    else:
        file.write_text(content)
    with pytest.raises(InputError, match=r"ssh\.known_hosts"):
        # A host called like an option of authorized_keys would be let in by this line.
        known_hosts.pin(file, ["restrict ssh-ed25519 AAAA"])
    assert not file.exists() or file.read_text() == content


def test_keys_are_added_to_those_that_are_pinned(tmp_path: Path) -> None:
    file = tmp_path / "new" / "pins"
    for line in ("10.0.0.1 ssh-ed25519 AAAA", "[10.0.0.2]:23 ssh-ed25519 AAAA"):
        known_hosts.pin(file, [line])
    assert file.read_text().splitlines() == [
        "10.0.0.1 ssh-ed25519 AAAA",
        "[10.0.0.2]:23 ssh-ed25519 AAAA",
    ]
    assert file.stat().st_size < LARGEST_KNOWN_HOSTS


# What is written in the file itself


@pytest.mark.parametrize(
    "user", ["-oProxyCommand=x", "a;b", "a b", "a'b", "$(x)", "%h", "", "a\nb"]
)
def test_a_login_is_one_word_and_no_option(user: str) -> None:
    with pytest.raises(ValueError, match="user"):
        Ssh(user=user)
    with pytest.raises(ValueError, match="user"):
        Host(name="web1", address="10.0.0.1", role="server", user=user)


@pytest.mark.parametrize("jump", ["-oProxyCommand=x", "-a@b", "a@-b", "a b", "a;b", "a,b", "%h"])
def test_a_bastion_is_one_word_and_no_option(jump: str) -> None:
    with pytest.raises(ValueError, match="bastion"):
        Ssh(bastion=jump)


def test_errors_are_all_of_xops(tmp_path: Path) -> None:
    for values in ({"identity_file": tmp_path / "none"}, {"identity_file": Path("/proc/self/mem")}):
        with pytest.raises(XopsError):
            hop(**values)
