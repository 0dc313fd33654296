"""What the release before left on hosts and on the machine that runs xOps goes on to work.

`release_before` was written by it: a cluster's file, what its hosts print when they are asked for
facts, its tokens (of nobody's cluster) and a file of pinned keys.
"""

import asyncio
import os
import shutil
from pathlib import Path

import asyncssh
import pytest

from tests.k3s_hosts import artifacts
from xops.core.plan.fingerprint import FingerprintKey
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.node import registries, snapshots
from xops.k3s.node.managed_file import SecretFiles
from xops.k3s.operations import tokens
from xops.k3s.operations.compare import Desired
from xops.k3s.operations.plan import plan_cluster
from xops.k3s.release.lock import Kind
from xops.k3s.ssh import known_hosts
from xops.k3s.ssh.host_keys import PinnedKeys
from xops.k3s.ssh.route import Routes
from xops.k3s.state import facts

BEFORE = Path(__file__).parent / "release_before"
CLUSTER = Cluster.load(BEFORE / "before.yaml", environ={})


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder with the tokens, with the modes that it had."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for name in (tokens.SERVER, tokens.AGENT):
        shutil.copyfile(BEFORE / name, folder / name)
        (folder / name).chmod(0o600)
    return folder


def test_an_installed_cluster_is_left_alone(secrets: Path) -> None:
    seen = {
        host.name: facts.parse(host.name, (BEFORE / f"facts-{host.name}.txt").read_text())
        for host in CLUSTER.hosts
    }
    wanted = Desired(
        FingerprintKey("k" * 32),
        artifacts(Kind.BINARY),
        secrets=SecretFiles(
            registries.file(CLUSTER.registries),
            snapshots.secret(CLUSTER.snapshots, CLUSTER.k3s.version),
        ),
        tokens=tokens.load(secrets),
    )

    assert [change.target for change in plan_cluster(CLUSTER, seen, wanted).plan.changes] == []


def test_the_tokens_are_those_of_the_cluster(secrets: Path) -> None:
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    found = asyncio.run(
        tokens.load_or_create_tokens(
            CLUSTER.model_copy(
                update={"secrets": CLUSTER.secrets.model_copy(update={"folder": secrets})}
            ),
            [],
            {},
        )
    )

    assert f"{found.server}\n" == before[tokens.SERVER]
    assert f"{found.agent}\n" == before[tokens.AGENT]
    assert {file.name: file.read_text() for file in secrets.iterdir()} == before


@pytest.mark.parametrize(
    ("address", "port", "kind"),
    [
        ("10.0.0.11", None, "ssh-ed25519"),
        ("10.0.0.12", 2222, "ssh-ed25519"),
        ("server-3.example.com", None, "ecdsa-sha2-nistp256"),
    ],
)
def test_pinned_keys_are_found(address: str, port: int | None, kind: str) -> None:
    host = Host(name="a", address=address, port=port, role="server")
    route = Routes(CLUSTER.ssh.model_copy(update={"config": Path(os.devnull)})).to(host)
    keys = PinnedKeys(BEFORE / "known_hosts", route.last)

    assert [key.get_algorithm() for key in keys.pinned] == [kind]
    assert keys.algorithms[0] == kind


def test_keys_are_pinned_beside_those_that_are(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    shutil.copyfile(BEFORE / "known_hosts", file)
    before = file.read_text()
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()
    known_hosts.pin(file, [f"10.0.0.14 {key[0]} {key[1]}"])

    assert file.read_text() == f"{before}10.0.0.14 {key[0]} {key[1]}\n"
