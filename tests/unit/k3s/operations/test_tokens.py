"""Tokens: made once, kept where nobody else reads them, known by their hashes."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.k3s_hosts import CLUSTER_ID, all_bare, cluster, desired, file_facts, installed
from tests.soak import examples
from xops.core.errors import PermanentError
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.operations import tokens
from xops.k3s.operations.tokens import AGENT, SERVER, Tokens
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.preflight import Observation

ID = "a" * 64
PAIR = Tokens("server secret", "agent secret")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_joining_server_checks_the_ca() -> None:
    assert PAIR.of_server(ID) == f"K10{ID}::server:server secret"
    assert PAIR.of_server(None) == "server secret"


def test_both_forms_are_right_on_a_host_and_no_other_is() -> None:
    full = f"K10{ID}::server:server secret\n"

    assert PAIR.server_hashes(ID) == {sha256("server secret\n"), sha256(full)}
    assert PAIR.server_hashes(None) == {sha256("server secret\n")}
    assert PAIR.agent_hashes() == {sha256("agent secret\n")}


def test_the_values_are_in_no_representation() -> None:
    assert "secret" not in repr(PAIR)
    assert "secret" not in f"{PAIR}"


@pytest.mark.parametrize(
    ("token", "secret"),
    [
        ("plain\n", "plain"),
        (f"K10{ID}::server:secret\n", "secret"),
        (f"K10{ID}::node:secret", "secret"),
        (f"K10{ID}::secret", "secret"),
        (f"K10{ID}::server:a::b:c", "a::b:c"),
        ("a::b", "a::b"),
        ("K10 is how my own token begins", "K10 is how my own token begins"),
    ],
)
def test_the_secret_part(token: str, secret: str) -> None:
    assert tokens.secret_of(token) == secret


@examples(30)
@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40))
def test_any_secret_survives_the_long_form(secret: str) -> None:
    assert tokens.secret_of(Tokens(secret, "").of_server(ID)) == secret


# Kept


def test_they_are_made_anew_each_time_and_are_long() -> None:
    first, second = tokens.create(), tokens.create()

    assert len({first.server, first.agent, second.server, second.agent}) == 4
    assert len(first.server) == len(first.agent) == 64


def test_what_is_kept_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "clusters" / "unit"
    assert tokens.load(folder) is None
    tokens.keep(folder, PAIR)

    assert tokens.load(folder) == PAIR
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        SERVER: 0o600,
        AGENT: 0o600,
    }
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_a_person_copied_from_a_server_is_understood(tmp_path: Path) -> None:
    tokens.keep(tmp_path, Tokens(f"K10{ID}::server:s", f"K10{ID}::node:a"))

    assert tokens.load(tmp_path) == Tokens("s", "a")


@pytest.mark.parametrize("missing", [SERVER, AGENT])
def test_one_of_two_is_an_error_and_no_reason_for_new_ones(tmp_path: Path, missing: str) -> None:
    tokens.keep(tmp_path, PAIR)
    (tmp_path / missing).unlink()

    with pytest.raises(PermanentError, match=f"{missing}: it is missing, the other one is there"):
        tokens.load(tmp_path)


@pytest.mark.parametrize(("mode", "text", "says"), [(0o644, "x", "chmod 600"), (0o600, "\n", "")])
def test_a_file_that_is_of_no_use_is_refused(
    tmp_path: Path, mode: int, text: str, says: str
) -> None:
    tokens.keep(tmp_path, PAIR)
    (tmp_path / AGENT).write_text(text)
    (tmp_path / AGENT).chmod(mode)

    with pytest.raises(PermanentError) as caught:
        tokens.load(tmp_path)
    assert says in caught.value.remedy


# Held against the cluster's

OF = cluster(3)
SEEN = installed(OF, desired(tokens=PAIR))
OWN = f"{OF.k3s.data_dir}/{paths.OWN_TOKEN}"


@pytest.fixture
def kept(tmp_path: Path) -> Cluster:
    """The cluster, whose tokens are kept in a folder."""
    tokens.keep(tmp_path, PAIR)
    return OF.model_copy(update={"secrets": OF.secrets.model_copy(update={"folder": tmp_path})})


def findings(kept: Cluster, seen: Mapping[str, HostFacts]) -> list[str]:
    rows = tokens.findings(kept, Observation(seen, {}, {}))
    return [f"{row.host}: {row.check}: {row.found}" for row in rows]


def holding(*servers: str, **files: str | None) -> dict[str, HostFacts]:
    """The cluster; on these servers token files hold something else, or are not there."""
    names = {"own": OWN, "token": paths.TOKEN, "agent": paths.AGENT_TOKEN}
    seen = dict(SEEN)
    for server in servers:
        held = dict(seen[server].files)
        for name, content in files.items():
            held.pop(names[name], None)
            if content is not None:
                held[names[name]] = file_facts(f"{content}\n")
        seen[server] = replace(seen[server], files=held)
    return seen


ALL = ("server-1", "server-2", "server-3")


@pytest.mark.parametrize(
    "seen",
    [
        SEEN,
        all_bare(OF),
        holding("server-2", token="by hand", agent="by hand"),
        holding(*ALL, token=None, agent=None),
        holding(*ALL, token="by hand", own=PAIR.of_server(CLUSTER_ID)),
        holding(*ALL, token=None, own=PAIR.of_server(CLUSTER_ID)),
        holding("server-1", token="server secret"),
    ],
)
def test_tokens_of_the_cluster_are_found_right(kept: Cluster, seen: dict[str, HostFacts]) -> None:
    assert findings(kept, seen) == []


@pytest.mark.parametrize(
    "seen",
    [
        holding(*ALL, token="other"),
        holding(*ALL, token="other", own=f"K10{CLUSTER_ID}::server:other"),
        holding(*ALL, token=None, own=f"K10{CLUSTER_ID}::server:other"),
        holding(*ALL, agent="other"),
    ],
)
def test_tokens_that_no_member_has_are_another_cluster_s(
    kept: Cluster, seen: dict[str, HostFacts]
) -> None:
    (found,) = findings(kept, seen)

    assert found.startswith("server-1: tokens: server-1, server-2, server-3 run with other tokens")
    assert "of cluster" not in found


def test_the_folder_of_another_cluster_is_known_by_its_pin(kept: Cluster) -> None:
    tokens.pin_cluster(kept.secrets_folder, "f" * 64)

    (found,) = findings(kept, holding(*ALL, token=None, agent=None))
    assert "which are of cluster ffffffffffff" in found


def test_another_cluster_with_the_same_tokens_is_not_taken_for_the_pinned_one(
    kept: Cluster,
) -> None:
    tokens.pin_cluster(kept.secrets_folder, CLUSTER_ID)
    assert findings(kept, SEEN) == []

    tokens.pin_cluster(kept.secrets_folder, "f" * 64)
    (found,) = findings(kept, SEEN)
    assert found.startswith("server-1: pinned cluster: server-1, server-2, server-3 are of cluster")
    assert "is of ffffffffffff" in found


def test_bare_hosts_do_not_become_a_second_cluster_of_that_name(kept: Cluster) -> None:
    """Addresses may be wrong, or another machine may answer there, and the first cluster live."""
    assert findings(kept, all_bare(OF)) == []

    tokens.pin_cluster(kept.secrets_folder, "f" * 64)
    (found,) = findings(kept, all_bare(OF))
    assert found.startswith("server-1: pinned cluster: no server here has data")


def test_servers_that_have_lost_their_disks_join_the_pinned_cluster(kept: Cluster) -> None:
    tokens.pin_cluster(kept.secrets_folder, CLUSTER_ID)

    assert findings(kept, SEEN | {"server-1": all_bare(OF)["server-1"]}) == []


def test_a_folder_without_tokens_or_with_one_of_two(kept: Cluster) -> None:
    (kept.secrets_folder / AGENT).unlink()
    (found,) = findings(kept, SEEN)
    assert found == "this machine: tokens: it is missing, the other one is there"

    (kept.secrets_folder / SERVER).unlink()
    assert findings(kept, SEEN) == []


def test_a_pin_is_private_and_written_once(tmp_path: Path) -> None:
    assert tokens.pinned_cluster(tmp_path) is None
    tokens.pin_cluster(tmp_path, ID)
    file = tmp_path / tokens.CLUSTER_ID
    before = file.stat()
    tokens.pin_cluster(tmp_path, ID)

    assert tokens.pinned_cluster(tmp_path) == ID
    assert (before.st_mode & 0o777, file.stat().st_mtime_ns) == (0o600, before.st_mtime_ns)
