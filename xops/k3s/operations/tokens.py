"""The cluster's tokens: made once, kept on this machine in files of their owner alone.

Nothing else remembers them but the servers themselves, so they are written to the disk before a
cluster is initialised with them. All that is known about token files is here: which of a host's
differ, what they hold, and the short-lived token that lets agents in.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.files.private_file import write_private
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.process import redact
from xops.k3s import paths
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.ssh.transport_protocol import Transport, Upload, shorten
from xops.k3s.state import topology
from xops.k3s.state.facts import HostFacts
from xops.k3s.state.preflight import Observation, PreflightFinding
from xops.k3s.state.topology import Topology

SERVER = "server-token"
AGENT = "agent-token"
CLUSTER_ID = "cluster-id"
"""The file beside them that tells whose they are; of folders of before it is missing."""

AGENT_TOKEN_TTL = "1h"  # noqa: S105 - a duration

_BYTES = 32
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
_LARGEST = 4096
_FROM_BACKUP = "Put it back from your backup."
_DEADLINE = 30.0
_CREATE_DEADLINE = 120.0


@dataclass(frozen=True, repr=False)
class Tokens:
    """What lets servers and agents in. Two, so that an agent's host cannot become a server."""

    server: str
    agent: str

    def of_server(self, cluster_id: str | None) -> str:
        """As a joining server needs it: with the CA's hash, which is checked, once it is known."""
        return f"K10{cluster_id}::server:{self.server}" if cluster_id else self.server

    def server_hashes(self, cluster_id: str | None) -> set[str]:
        """SHA-256 of the contents that a server's token file may have."""
        forms = {self.server, self.of_server(cluster_id)}
        return {_hash(form) for form in forms}

    def agent_hashes(self) -> set[str]:
        """SHA-256 of the contents that a server's file with the agents' token may have."""
        return {_hash(self.agent)}


def _hash(token: str) -> str:
    return hashlib.sha256(f"{token}\n".encode()).hexdigest()


def secret_of(token: str) -> str:
    """The secret part of a token in either form, `K10<hash>::server:<secret>` or plain."""
    text = token.strip()
    is_full = text.startswith("K10") and "::" in text
    return text.split("::", 1)[1].split(":", 1)[-1] if is_full else text


# Kept on this machine


def load(folder: Path) -> Tokens | None:
    """The tokens kept in a folder, None if there are none yet.

    Raises:
        PermanentError: only one of them is there, or others may read them.
    """
    files = [folder / SERVER, folder / AGENT]
    present = [file for file in files if file.exists()]
    if not present:
        return None
    return Tokens(*(secret_of(_read_token(file)) for file in files))


def _read_token(file: Path) -> str:
    attempted = f"reading the token in {file}"
    if not file.exists():
        remedy = (
            "Put it back from your backup: a server has both in server/token, server/agent-token."
        )
        raise PermanentError(attempted, "it is missing, the other one is there", remedy)
    if file.stat().st_mode & 0o077:
        raise PermanentError(attempted, "others may read it", f"chmod 600 {file}")
    try:
        text = read_text(file, _LARGEST)
    except UnusableTextError as error:
        raise PermanentError(attempted, f"it {error.problem}", _FROM_BACKUP) from None
    if not text.strip():
        raise PermanentError(attempted, "it is empty", _FROM_BACKUP)
    return text


def create() -> Tokens:
    """New ones, of 256 bits each."""
    return Tokens(secrets.token_hex(_BYTES), secrets.token_hex(_BYTES))


def keep(folder: Path, tokens: Tokens) -> None:
    """Write them down, so that they survive a crash right after."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, value in ((AGENT, tokens.agent), (SERVER, tokens.server)):
        write_private(folder / name, f"{value}\n")


def pin_cluster(folder: Path, cluster_id: str) -> None:
    """Write down which cluster the tokens in the folder are of."""
    if pinned_cluster(folder) != cluster_id:
        write_private(folder / CLUSTER_ID, f"{cluster_id}\n")


def pinned_cluster(folder: Path) -> str | None:
    """The id of the cluster that the folder's tokens were seen to be of, None if of none.

    Raises:
        PermanentError: it cannot be read.
    """
    file = folder / CLUSTER_ID
    if not file.exists():
        return None
    try:
        return read_text(file, _LARGEST).strip()
    except UnusableTextError as error:
        raise PermanentError(
            f"reading {file}",
            f"it {error.problem}",
            "Move it aside once `xops k3s status` shows the cluster that it is kept for: the next"
            " apply writes it anew.",
        ) from None


def findings(cluster: Cluster, observed: Observation) -> Iterator[PreflightFinding]:
    """Tokens kept here that are unusable, or that are not those of the cluster on the hosts.

    What runs is right: K3S does not start with another token than the one of its datastore.
    """
    folder = cluster.secrets_folder
    try:
        kept = load(folder)
    except PermanentError as error:
        yield PreflightFinding("this machine", "tokens", error.found, error.remedy)
        return
    formation = topology.read(cluster, observed.facts)
    pinned = pinned_cluster(folder)
    if formation.initialising_server is not None and pinned is not None:
        yield _would_found_another(cluster, formation.initialising_server, pinned)
    if kept is None or not formation.members or formation.cluster_id is None:
        return
    seen = [observed.facts[host.name] for host in formation.members]
    servers = {f"{cluster.k3s.data_dir}/{paths.OWN_TOKEN}", paths.TOKEN}
    told = _shown(seen, servers, kept.server_hashes(formation.cluster_id))
    is_other = pinned not in (None, formation.cluster_id)
    if (
        told is False
        or _shown(seen, {paths.AGENT_TOKEN}, kept.agent_hashes()) is False
        or (told is None and is_other)
    ):
        yield _foreign(cluster, formation, pinned)
    elif is_other:
        yield _other_authority(cluster, formation, str(pinned))


def _shown(
    members: Iterable[HostFacts], token_files: Iterable[str], right: Set[str]
) -> bool | None:
    """Whether a token that is kept here is in a file of some member; None if none has any.

    One is enough: a file of another member that differs was changed there by hand.
    """
    found = {
        seen.files[path].sha256 for seen in members for path in token_files if path in seen.files
    }
    return bool(found & right) if found else None


def _foreign(cluster: Cluster, formation: Topology, pinned: str | None) -> PreflightFinding:
    names = ", ".join(host.name for host in formation.members)
    whose = f", which are of cluster {pinned[:12]}" if pinned else ""
    folder = cluster.secrets_folder
    return PreflightFinding(
        formation.members[0].name,
        "tokens",
        f"{names} run with other tokens than those in {folder}{whose}; K3S would not start again"
        " with these",
        f"Move {SERVER}, {AGENT} and {CLUSTER_ID} out of {folder}: the next apply takes the"
        " tokens of the cluster over. To change a token, rotate it there: `k3s token rotate`.",
    )


def _would_found_another(cluster: Cluster, first: Host, pinned: str) -> PreflightFinding:
    folder = cluster.secrets_folder
    return PreflightFinding(
        first.name,
        "pinned cluster",
        f"no server here has data, and {folder} is of cluster {pinned[:12]}: {first.name} would"
        " found another one under its name",
        "See that the addresses in the file are those of its servers. If they have lost their data,"
        f" restore a snapshot. Only for a new cluster: move {CLUSTER_ID} out of {folder}.",
    )


def _other_authority(cluster: Cluster, formation: Topology, pinned: str) -> PreflightFinding:
    names = ", ".join(host.name for host in formation.members)
    folder = cluster.secrets_folder
    return PreflightFinding(
        formation.members[0].name,
        "pinned cluster",
        f"{names} are of cluster {(formation.cluster_id or '')[:12]}, and {folder} is of"
        f" {pinned[:12]}, which had the same tokens",
        "See that the addresses in the file are those of its servers. If its certificate authority"
        f" was rotated, or it was made anew with these tokens: move {CLUSTER_ID} out of {folder},"
        " and the next apply writes it anew.",
    )


async def load_or_create_tokens(
    cluster: Cluster, members: Sequence[Host], transports: Mapping[str, Transport]
) -> Tokens:
    """Those kept here; else those of the members; else new ones, kept before they are used.

    Raises:
        PermanentError: those kept here cannot be used, or a member's cannot be read.
    """
    folder = cluster.secrets_folder
    if kept := load(folder):
        return kept
    if members:
        found = await _adopt_tokens(cluster, members[0], transports[members[0].name])
    else:
        found = create()
    keep(folder, found)
    return found


async def _adopt_tokens(cluster: Cluster, member: Host, transport: Transport) -> Tokens:
    """The tokens of a cluster that was initialised from another machine."""
    script = f"# tokens of the cluster\ncat {paths.TOKEN} && cat {paths.AGENT_TOKEN}"
    ran = await transport.run(script, deadline=_DEADLINE)
    lines = ran.stdout.split()
    if ran.exit_code or len(lines) != 2 or not all(map(_TOKEN.fullmatch, lines)):
        raise PermanentError(
            f"taking over the tokens of {cluster.name} from {member.name}",
            f"{paths.TOKEN} and {paths.AGENT_TOKEN} do not hold one each",
            f"Put them into {cluster.secrets_folder} as server-token and agent-token.",
        )
    return Tokens(secret_of(lines[0]), secret_of(lines[1]))


# On the hosts


def differing_files(
    host: Host, seen: HostFacts, cluster_id: str | None, tokens: Tokens | None
) -> Iterator[str]:
    """Token files that are missing or differ. An agent that has joined needs its token no more.

    One that has not may hold a token from an earlier apply, which is over after an hour.
    """
    wanted = [paths.TOKEN, paths.AGENT_TOKEN] if host.is_server else [paths.TOKEN]
    for path in wanted:
        found = seen.files.get(path)
        if found is None or found.mode != "600" or topology.is_new_agent(host, seen):
            yield path
        elif host.is_server and tokens is not None:
            is_join_token = path == paths.TOKEN
            right = tokens.server_hashes(cluster_id) if is_join_token else tokens.agent_hashes()
            if found.sha256 not in right:
                yield path


def server_upload(path: str, tokens: Tokens, cluster_id: str | None) -> Upload:
    """One of a server's token files, with what it holds."""
    contents = {paths.AGENT_TOKEN: tokens.agent, paths.TOKEN: tokens.of_server(cluster_id)}
    return token_upload(path, contents[path])


def token_upload(path: str, token: str) -> Upload:
    """A token's file, which root alone reads."""
    return Upload(f"{token}\n".encode(), path, 0o600)


async def create_agent_token(server: Transport, tokens: Tokens) -> str:
    """A token that lets agents in for an hour, so that none of them keeps one that lasts.

    Raises:
        PermanentError: the server made none.
    """
    script = f"# token for agents\n{paths.BINARY} token create --ttl {AGENT_TOKEN_TTL}"
    ran = await server.run(script, deadline=_CREATE_DEADLINE)
    lines = ran.stdout.split()
    if ran.exit_code or not lines or not _TOKEN.fullmatch(lines[-1]):
        raise PermanentError(
            f"making a token for agents on {server.host}",
            shorten(redact(ran.stderr.strip() or "K3S printed none", [tokens.server])),
            "Look at the server: `k3s token list`.",
        )
    return lines[-1]
