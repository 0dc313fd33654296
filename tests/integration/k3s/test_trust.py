"""`xops k3s trust` on real OpenSSH servers: what is new, what has changed, what is down."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.cli.shell import Ended, Shell
from tests.integration.k3s.conftest import MakeSshd
from tests.integration.k3s.sshd import OPERATOR, Sshd, new_key
from xops.core.errors import ExitCode
from xops.k3s.ssh.host_keys import fingerprint


class TrustedCluster:
    """A cluster file in a folder of its own, with `xops k3s trust` for it."""

    def __init__(self, folder: Path, shell: Shell) -> None:
        self.pins = folder / "known_hosts"
        self._file = folder / "lab.yaml"
        self._shell = shell

    def of(self, *servers: Sshd | int, **ssh: Any) -> None:
        """Its hosts: `server-1` and agents; a number is a port."""
        hosts = [
            {
                "name": f"agent-{number}" if number else "server-1",
                "address": "127.0.0.1",
                "private_address": f"10.0.0.{number + 1}",
                "port": server if isinstance(server, int) else server.port,
                "role": "agent" if number else "server",
            }
            for number, server in enumerate(servers)
        ]
        document = {
            "apiVersion": "xops/v1", "name": "lab", "k3s": {"version": "v1.34.1+k3s1"},
            "ssh": {"config": "/dev/null", "connect_timeout": 5, **ssh}, "hosts": hosts,
        }  # fmt: skip
        self._file.write_text(yaml.safe_dump(document))

    def trust(self, *words: str) -> Ended:
        return self._shell.run(["k3s", "trust", str(self._file), *words])

    def rows(self, *words: str) -> dict[str, Any]:
        """What `--json` says, by host."""
        return {row["host"]: row for row in json.loads(self.trust(*words, "--json").out)["hosts"]}


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> TrustedCluster:
    return TrustedCluster(tmp_path, Shell(capsys))


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Types something at the questions of the next command."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.fixture
def closed() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def other_key(folder: Path, kind: str = "ed25519") -> str:
    """A public key of somebody else: type and key."""
    public = new_key(folder / f"other-{kind}", kind).with_name(f"other-{kind}.pub")
    return " ".join(public.read_text().split()[:2])


def old_pin(server: Sshd, folder: Path, kind: str = "ed25519") -> str:
    return f"[127.0.0.1]:{server.port} {other_key(folder, kind)}\n"


# New keys


def test_a_new_key_is_shown_and_pinned_once_it_is_confirmed(
    sshd: Sshd, lab: TrustedCluster, answer: Callable[[str], None]
) -> None:
    lab.of(sshd)
    answer("n\n")
    assert f"server-1: {fingerprint(sshd.pins)}" in lab.trust().out
    assert not lab.pins.exists()
    answer("y\n")
    ended = lab.trust()
    assert (ended.code, lab.pins.read_text()) == (ExitCode.DONE, sshd.pins)


def test_what_is_pinned_is_said_to_be_and_nothing_is_asked(sshd: Sshd, lab: TrustedCluster) -> None:
    lab.of(sshd)
    lab.pins.write_text(sshd.pins)
    ended = lab.trust()
    assert (ended.code, lab.pins.read_text()) == (ExitCode.DONE, sshd.pins)
    assert "is pinned already" in ended.out


def test_with_json_nothing_is_asked_and_yes_pins(sshd: Sshd, lab: TrustedCluster) -> None:
    lab.of(sshd)
    shown = {"state": "new", "keys": [fingerprint(sshd.pins)], "before": [], "error": None}
    assert lab.rows()["server-1"] == {"host": "server-1", **shown, "pinned": False}
    assert not lab.pins.exists()
    assert lab.rows("--yes")["server-1"] == {"host": "server-1", **shown, "pinned": True}
    assert lab.pins.read_text() == sshd.pins


# Keys that have changed


@pytest.mark.parametrize("words", [(), ("--yes",), ("server-1", "--yes")], ids=" ".join)
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_changed_key_is_said_and_never_replaced_unless_told(
    sshd: Sshd, lab: TrustedCluster, tmp_path: Path, words: tuple[str, ...], kind: str
) -> None:
    lab.of(sshd)
    before = old_pin(sshd, tmp_path, kind)
    lab.pins.write_text(before)
    ended = lab.trust(*words)
    assert ended.code == ExitCode.FINDINGS
    said = f"server-1: CHANGED: pinned {fingerprint(before)}, shows {fingerprint(sshd.pins)}"
    assert said in ended.out
    assert "lab.yaml server-1 --replace" in ended.err
    assert lab.pins.read_text() == before


def test_a_changed_key_takes_the_place_of_the_old_one_when_told(
    sshd: Sshd, lab: TrustedCluster, tmp_path: Path, answer: Callable[[str], None]
) -> None:
    lab.of(sshd)
    others = f"# ours\n10.9.9.9,[127.0.0.1]:1 {other_key(tmp_path, 'rsa')}\n"
    lab.pins.write_text(others + old_pin(sshd, tmp_path))
    answer("n\n")
    assert lab.trust("server-1", "--replace").code == ExitCode.FINDINGS
    assert sshd.pins not in lab.pins.read_text()
    answer("y\n")
    ended = lab.trust("server-1", "--replace")
    assert (ended.code, lab.pins.read_text()) == (ExitCode.DONE, others + sshd.pins)
    assert "CHANGED" in ended.out
    assert "is pinned already" in lab.trust().out


def test_replacing_without_a_question_takes_both_words(
    sshd: Sshd, lab: TrustedCluster, tmp_path: Path
) -> None:
    lab.of(sshd)
    before = old_pin(sshd, tmp_path)
    lab.pins.write_text(before)
    row = lab.rows("--replace")["server-1"]
    assert (row["state"], row["pinned"], lab.pins.read_text()) == ("changed", False, before)
    row = lab.rows("--replace", "--yes")["server-1"]
    assert row == {
        "host": "server-1", "state": "changed", "keys": [fingerprint(sshd.pins)],
        "before": [fingerprint(before)], "pinned": True, "error": None,
    }  # fmt: skip
    assert lab.pins.read_text() == sshd.pins


def test_a_revoked_key_is_never_pinned(sshd: Sshd, lab: TrustedCluster) -> None:
    lab.of(sshd)
    lab.pins.write_text(f"@revoked {sshd.pins}")
    ended = lab.trust("--yes", "--replace")
    assert (ended.code, lab.pins.read_text()) == (ExitCode.FINDINGS, f"@revoked {sshd.pins}")
    assert f"server-1: REVOKED: shows {fingerprint(sshd.pins)}" in ended.out


def test_the_key_of_the_same_address_at_another_port_is_another_machine_s(
    sshd: Sshd, lab: TrustedCluster, tmp_path: Path
) -> None:
    """As with the ports of a router."""
    lab.of(sshd)
    router = f"127.0.0.1 {other_key(tmp_path)}\n"
    lab.pins.write_text(router)
    assert lab.rows("--yes")["server-1"]["state"] == "new"
    assert lab.pins.read_text() == router + sshd.pins


def test_what_an_authority_signs_needs_no_pin(
    make_sshd: MakeSshd, lab: TrustedCluster, tmp_path: Path
) -> None:
    authority = new_key(tmp_path / "authority")
    lab.of(make_sshd(authority=authority))
    pin = f"@cert-authority * {authority.with_name('authority.pub').read_text()}"
    lab.pins.write_text(pin)
    assert lab.rows("--yes")["server-1"]["state"] == "vouched for"
    assert lab.pins.read_text() == pin


# Hosts that are down, and how often the others are connected to


def test_a_host_that_is_down_does_not_keep_the_others_from_being_pinned(
    sshd: Sshd, lab: TrustedCluster, closed: int
) -> None:
    lab.of(closed, sshd)
    ended = lab.trust("--yes")
    assert (ended.code, lab.pins.read_text()) == (ExitCode.TEMPORARY, sshd.pins)
    assert f"connecting to server-1 (root@127.0.0.1:{closed})" in ended.err
    row = lab.rows()["server-1"]
    assert (row["state"], row["keys"], row["error"]["temporary"]) == (None, [], True)


def test_a_changed_key_counts_for_more_than_a_host_that_is_down(
    sshd: Sshd, lab: TrustedCluster, closed: int, tmp_path: Path
) -> None:
    lab.of(closed, sshd)
    lab.pins.write_text(old_pin(sshd, tmp_path))
    assert lab.trust("--yes").code == ExitCode.FINDINGS


def test_a_host_is_connected_to_once(make_sshd: MakeSshd, lab: TrustedCluster) -> None:
    server = make_sshd(host_keys=["rsa", "ecdsa", "ed25519"])
    lab.of(server)
    assert lab.trust("--yes").code == ExitCode.DONE
    assert server.log.count("Connection from") == 1


def test_an_unknown_host_is_told_before_anybody_is_connected_to(
    make_sshd: MakeSshd, lab: TrustedCluster
) -> None:
    server = make_sshd()
    lab.of(server)
    assert lab.trust("server-1", "server-9").code == ExitCode.BAD_INPUT
    assert "Connection from" not in server.log


# Bastions


def test_a_bastion_is_pinned_before_the_hosts_behind_it_and_asked_about_once(
    sshd: Sshd, make_sshd: MakeSshd, lab: TrustedCluster
) -> None:
    bastion, other = make_sshd(), make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    way = f"{OPERATOR}@127.0.0.1:{bastion.port}"
    lab.of(sshd, other, bastion=way, identity_file=str(sshd.key))
    rows = lab.rows()
    assert {name: row["state"] for name, row in rows.items()} == {
        f"bastion {way}": "new", "server-1": None, "agent-1": None,
    }  # fmt: skip
    before = bastion.log.count("Connection from")
    rows = lab.rows("--yes")
    assert all(row["pinned"] for row in rows.values())
    assert lab.pins.read_text() == bastion.pins + sshd.pins + other.pins
    assert (before, bastion.log.count("Connection from")) == (1, 3)


def test_a_bastion_whose_key_has_changed_is_replaced_only_when_told(
    sshd: Sshd, make_sshd: MakeSshd, lab: TrustedCluster, tmp_path: Path
) -> None:
    bastion = make_sshd()
    bastion.authorized.write_text(sshd.authorized.read_text())
    way = f"{OPERATOR}@127.0.0.1:{bastion.port}"
    lab.of(sshd, bastion=way, identity_file=str(sshd.key))
    lab.pins.write_text(old_pin(bastion, tmp_path))
    rows = lab.rows("--yes")
    assert (rows[f"bastion {way}"]["state"], rows["server-1"]["state"]) == ("changed", None)
    rows = lab.rows("--yes", "--replace")
    assert (rows[f"bastion {way}"]["pinned"], rows["server-1"]["pinned"]) == (True, True)
    assert lab.pins.read_text() == bastion.pins + sshd.pins
