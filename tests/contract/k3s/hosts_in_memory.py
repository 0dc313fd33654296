"""Hosts that exist in memory only, behind the Protocol through which xOps reaches real ones.

They keep K3S's contract where an apply touches it: a server initialises the cluster or joins it as
its config.yaml says, joins one at a time and with the right token, an earlier life of it must be
forgotten first. All that is asked of them is noted, in the order in which it came, over all hosts.
"""

import asyncio
import hashlib
import json
import shlex
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml

from xops.core.errors import UnreachableError
from xops.k3s import paths, scripts
from xops.k3s.cluster_file.cluster import Cluster, Host
from xops.k3s.ssh.transport_protocol import (
    BytesHandler,
    LineHandler,
    LockedError,
    Ran,
    Transport,
    Upload,
)
from xops.k3s.state import facts

CA = b"the cluster's own CA"
CLUSTER_ID = hashlib.sha256(CA).hexdigest()

TEXTS = {
    name: resources.files(scripts).joinpath(f"{name}.sh").read_text()
    for name in (
        "diagnose", "discard", "effects", "facts", "forget", "label_nodes", "members",
        "nodes_ready", "peers", "prepare", "roll_back", "start", "stop", "wait_ready", "withdraw",
        "workloads",
    )
}  # fmt: skip
KNOWN = {text.partition("\n")[0]: name for name, text in TEXTS.items()}


class Killed(BaseException):
    """The process that applies ends here, as by SIGKILL; the hosts go on."""


@dataclass(frozen=True)
class Event:
    """One request. `what` is a script's name, or `put`; `about` its verb, node or path."""

    host: str
    what: str
    about: str = ""

    def __str__(self) -> str:
        return f"{self.host}: {self.what} {self.about}".rstrip()


@dataclass
class Machine:
    """One host: its files, its service, and what is wrong with it."""

    host: Host
    version: str
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    active: str | None = None
    read: dict[str, bytes] = field(default_factory=dict)
    """The files as K3S read them when it was started last."""
    starts: int = 0
    has_etcd: bool = False
    knows_ca: bool = False
    breaks: str | None = None
    """What its log says; K3S then never comes up."""
    kubelet_breaks: str | None = None
    """What its log says when its kubelet ends K3S: etcd has joined by then, and votes."""
    kubelet_hangs: bool = False
    """K3S runs, but its kubelet tells nobody: its node counts as Ready for a while still."""
    takes_down_at_start_of: str | None = None
    """A host; when K3S is started there, this one's power fails."""
    member: str = ""
    """The id of its etcd member, of its latest life."""
    cluster_id: str = CLUSTER_ID
    """Of the cluster that it knows, if it knows one."""
    log: str = ""
    forgets_file: str | None = None
    """A path at which nothing that is written stays."""
    images: dict[str, int] = field(default_factory=dict)
    holder: str | None = None
    runs: str | None = None
    """The version of the process, where it is not that of the program on its disk."""
    flannel_address: str | None = None
    """The address that flannel has taken; by default the host's own, "" for none."""
    hears_nothing_of: set[str] = field(default_factory=set)
    """Addresses of the cluster that give this host no answer."""
    cannot_ask: bool = False
    """Whether no program on it can ask an address for anything."""

    @property
    def pod_address(self) -> str:
        """Of the pod of CoreDNS on it, should it be there."""
        return f"10.42.{sum(map(int, self.host.internal_address.split('.'))) % 200}.2"

    @property
    def text(self) -> dict[str, Any]:
        """config.yaml as K3S would read it."""
        body, _ = self.files.get(paths.CONFIG, (b"", 0))
        return yaml.safe_load(body) or {}

    @property
    def votes(self) -> bool:
        """Whether its etcd runs, be it between two ends of its kubelet."""
        return self.has_etcd and (
            self.active == "active" or (self.active == "activating" and bool(self.kubelet_breaks))
        )

    @property
    def restarts(self) -> int:
        """How often K3S was told to start beyond the first time."""
        return max(0, self.starts - 1)

    def lose_disk(self) -> None:
        """All of it is gone; the host boots bare."""
        self.files.clear()
        self.read.clear()
        self.images.clear()
        self.active = None
        self.has_etcd = self.knows_ca = False


@dataclass
class World:
    """All hosts of a cluster, and what its API knows."""

    cluster: Cluster
    machines: dict[str, Machine] = field(default_factory=dict)
    nodes: dict[str, bool] = field(default_factory=dict)
    """Ready or not, by name."""
    annotations: dict[str, dict[str, str]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    taints: dict[str, dict[str, str]] = field(default_factory=dict)
    """By node and `key:Effect`."""
    etcd: dict[str, str] = field(default_factory=dict)
    """Etcd's members: the names of their hosts by id. Those in `joining` are learners."""
    most_members: int = 0
    node_is_late: set[str] = field(default_factory=set)
    """Hosts that are down, and nobody has noticed yet: their nodes count as Ready."""
    unreachable: set[str] = field(default_factory=set)
    """Hosts that answer nobody."""
    refuses_labels: bool = False
    """Whether the API changes no node's labels and taints."""
    refuses_removal: bool = False
    """Whether etcd's members stay whatever is asked."""
    initialised: int = 0
    events: list[Event] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    uploads: list[tuple[str, Upload]] = field(default_factory=list)
    agent_tokens: list[str] = field(default_factory=list)
    joining: set[str] = field(default_factory=set)
    """Servers that were told to join and are no voters yet."""
    most_joining: int = 0
    transports: list["InMemory"] = field(default_factory=list)
    kubeconfig: str = ""
    kill_at: int | None = None
    """The number of the request at which the applying process ends."""
    dns_node: str | None = None
    """Where CoreDNS' pod runs; by default on the first server that is a node."""
    dns_trouble: tuple[str, str] | None = None
    """Why CoreDNS' pod waits: reason and message."""
    dns_deployed: bool = True
    """Whether K3S has made the Deployment."""
    vip_trouble: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Why kube-vip's pod waits, by server."""
    withdrawn: list[str] = field(default_factory=list)
    """Files of manifests whose objects were deleted, in order, over all servers."""
    pods_cut_off: bool = False
    """Whether the answer about pods loses its end on the way."""
    on_event: Callable[[Event], None] = lambda _: None
    """Called with each request before it is answered."""

    def __post_init__(self) -> None:
        for host in self.cluster.hosts:
            self.machines[host.name] = Machine(host, self.cluster.k3s.version)

    async def connect(self, host: Host) -> Transport:
        if host.name in self.unreachable:
            raise UnreachableError(f"connecting to {host.name}", "no answer", "See that it is up.")
        transport = InMemory(self, self.machines[host.name])
        self.transports.append(transport)
        return transport

    def note(self, event: Event) -> None:
        if self.kill_at is not None and len(self.events) >= self.kill_at:
            raise Killed
        self.events.append(event)
        self.on_event(event)

    def ssh_requests(self) -> dict[str, int]:
        """Requests by host, over all connections."""
        found = dict.fromkeys(self.machines, 0)
        for transport in self.transports:
            found[transport.host] += transport.ssh_requests
        return found

    @property
    def listed(self) -> set[str]:
        """Hosts that the file names now."""
        return {host.name for host in self.cluster.hosts}

    def forget_events(self) -> None:
        """Begin to count anew."""
        for kept in (self.events, self.scripts, self.uploads, self.transports):
            kept.clear()

    def seen(self, *what: str) -> list[str]:
        """Requests of these kinds as lines, in order."""
        return [str(event) for event in self.events if event.what in what]

    @property
    def members(self) -> list[str]:
        """Hosts whose vote counts, up or down; a learner's does not yet."""
        return [host for host in self.etcd.values() if host not in self.joining]

    @property
    def voters(self) -> list[str]:
        """Members that are up."""
        machines = self.machines
        return [
            host
            for id_, host in self.etcd.items()
            if host not in self.joining and machines[host].votes and machines[host].member == id_
        ]

    @property
    def has_quorum(self) -> bool:
        return 2 * len(self.voters) > len(self.members)

    def add_member(self, machine: Machine) -> None:
        """Etcd counts the machine's new life from now on."""
        machine.member = str(10**18 + self.most_members)
        self.most_members += 1
        self.etcd[machine.member] = machine.host.name
        machine.has_etcd = True

    def member_name(self, id_: str) -> str:
        """As K3S names members: the node, and something of this life."""
        return f"{self.etcd[id_]}-{int(id_) % 10**8:08x}"

    def start_again(self, name: str) -> None:
        """The init system starts a service that has ended once more."""
        _come_up(self, self.machines[name])

    def answers(self, machine: Machine) -> bool:
        """Whether the API of this host is up."""
        return machine.host.is_server and machine.active == "active" and self.has_quorum


class InMemory:
    """One connection, as `xops.k3s.ssh.transport_protocol.Transport` describes it."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world = world
        self._machine = machine
        self.ssh_requests = 0

    @property
    def host(self) -> str:
        return self._machine.host.name

    async def run(
        self,
        script: str,
        *,
        stdin: bytes = b"",
        deadline: float,
        on_line: LineHandler | None = None,
    ) -> Ran:
        self.ssh_requests += 1
        first = script.partition("\n")[0]
        name = KNOWN.get(first, first.removeprefix("# "))
        values = _values(script, name)
        about = values.get("VERB", values.get("NODE", ""))
        self._world.note(Event(self.host, name, about))
        self._world.scripts.append(script)
        await asyncio.sleep(0)
        lines: list[str] = []
        code = 0
        for answer in _ANSWERS[name](self._world, self._machine, values):
            if isinstance(answer, int):
                code = answer
            else:
                lines.append(answer)
                if on_line:
                    for line in answer.splitlines():
                        on_line(line)
        return Ran(code, "\n".join(lines) + "\n", "", 0.0)

    async def put(self, upload: Upload, on_progress: BytesHandler | None = None) -> bool:
        self.ssh_requests += 1
        self._world.note(Event(self.host, "put", upload.path))
        self._world.uploads.append((self.host, upload))
        await asyncio.sleep(0)
        body = upload.source if isinstance(upload.source, bytes) else upload.source.read_bytes()
        files = self._machine.files
        if files.get(upload.path) == (body, upload.mode):
            return False
        if upload.path != self._machine.forgets_file:
            files[upload.path] = (body, upload.mode)
        if paths.IMAGES in upload.path and not upload.path.endswith(paths.IMAGE_CACHE):
            self._machine.images[upload.path] = len(body)
        return True

    @asynccontextmanager
    async def lock(self, path: str, holder: str) -> AsyncIterator[None]:
        if self._machine.holder:
            found = f"held by {self._machine.holder}"
            raise LockedError(f"locking {self.host}", found, "Wait for it.", retry_after=30.0)
        self._machine.holder = holder
        try:
            yield
        finally:
            self._machine.holder = None

    async def close(self) -> None:
        pass


def _values(script: str, name: str) -> dict[str, str]:
    """The variables that were set in a script of ours."""
    if name not in TEXTS:
        return {}
    first, _, rest = TEXTS[name].partition("\n")
    assigned = script.removeprefix(first).removesuffix(rest)
    pairs = (word.partition("=") for word in shlex.split(assigned))
    return {key: value for key, _, value in pairs}


# Answers of the scripts: lines of their output, and the exit code if it is not 0.

Answer = Iterator[str | int]


def _facts(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    host = machine.host
    inner = host.internal_address
    installed = paths.BINARY in machine.files
    service = f"LoadState={'loaded' if machine.active else 'not-found'}"
    service += f"\nActiveState={machine.active}\nUnitFileState=enabled\nNRestarts=0"
    answers = {
        "clock": str(time.time()),
        "arch": "x86_64" if host.arch == "amd64" else "aarch64",
        "os": "debian 13",
        "init": "systemd",
        "hostname": host.name,
        "machine_id": hashlib.sha256(host.name.encode()).hexdigest()[:32],
        "cpus": "4",
        "memory": "MemTotal: 8000000 kB\nSwapTotal: 0 kB",
        "disk": "/dev/vda 99999999 1 99999999 1% /",
        "addresses": f"{inner}/24",
        "routes": "default via 10.0.0.1",
        "cgroups": "memory",
        "modules": "",
        "iptables": "iptables v1.8",
        "sockets": "",
        "sysctls": "\n".join(f"{key}={value}" for key, value in facts.SYSCTLS.items()),
        "version": f"k3s version {machine.version} (0123)" if installed else "",
        "service": service,
        "files": "\n".join(_file_rows(world, machine, values["WATCHED"])),
        "images": "\n".join(f"{size} {path}" for path, size in machine.images.items()),
        "config": machine.files.get(paths.CONFIG, (b"", 0))[0].decode(),
        "cluster_id": machine.cluster_id if machine.knows_ca else "",
        "etcd": "member" if machine.has_etcd else "",
        "nodes": _nodes(world, machine),
        "members": _members_json(world) if world.answers(machine) else "",
        "fsync": "",
        "end": "",
    }
    yield from (f"\n@@{name}\n{text}" for name, text in answers.items())


def _file_rows(world: World, machine: Machine, watched: str) -> Iterator[str]:
    manifests = f"{world.cluster.k3s.data_dir}/{paths.MANIFESTS}/xops-"
    for path, (body, mode) in machine.files.items():
        if path in watched.split() or path.startswith(manifests):
            digest = hashlib.sha256(body).hexdigest()
            yield f"{digest} {mode:o} root:root {len(body)} {path}"


def _nodes(world: World, machine: Machine) -> str:
    if not world.answers(machine):
        return ""
    return json.dumps({"items": [_node(world, name) for name in world.nodes]})


def _members_json(world: World) -> str:
    rows = []
    for id_, host in world.etcd.items():
        address = world.machines[host].host.internal_address
        row: dict[str, Any] = {"ID": int(id_), "name": world.member_name(id_)}
        row |= {"peerURLs": [f"https://{address}:2380"], "isLearner": host in world.joining}
        rows.append(row)
    return json.dumps({"members": rows}, separators=(",", ":"))


def _members(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    if not world.answers(machine):
        yield 21
        return
    yield f"@@members\n{_members_json(world)}\n@@nodes\n{_nodes(world, machine)}"


def _node(world: World, name: str) -> dict[str, Any]:
    machine = world.machines[name]
    roles = ("control-plane", "etcd") if machine.host.is_server else ()
    # Of a host that the file does not name nobody can see more than its node: it is told in time.
    is_late = name in world.node_is_late & world.listed
    is_ready = is_late or (world.nodes[name] and machine.active == "active")
    conditions = {"Ready": str(is_ready)}
    if roles:
        # K3S says of each voter that does not answer that it is none (pkg/etcd/etcd.go).
        conditions["EtcdIsVoter"] = str(is_late or (name not in world.joining and machine.votes))
    return {
        "metadata": {
            "name": name,
            "labels": {
                **{f"node-role.kubernetes.io/{role}": "true" for role in roles},
                **world.labels.get(name, {}),
            },
            "annotations": world.annotations.get(name, {}),
        },
        "spec": {
            "taints": [
                {"key": key.split(":")[0], "effect": key.split(":")[1], "value": value}
                for key, value in world.taints.get(name, {}).items()
            ]
        },
        "status": {
            "conditions": [{"type": kind, "status": value} for kind, value in conditions.items()],
            "addresses": [{"type": "InternalIP", "address": machine.host.internal_address}],
            "nodeInfo": {"kubeletVersion": machine.runs or machine.version},
        },
    }


def _peers(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    for pair in values["PAIRS"].splitlines():  # an address that moves is nobody's yet
        yield f"{pair} {'silent' if pair.split()[0] == world.cluster.vip else 'refused'}"


def _workloads(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    """As K3S at work: CoreDNS on one node, kube-vip on each that it shall run on."""
    if not world.answers(machine):
        yield 21
        return
    said = "@@dns\n" + "\n".join(_dns_rows(world) if values["DNS"] else ())
    said += "\n@@vip\n" + "\n".join(
        _pod_row(f"kube-vip-{name}", name, _address(world, name), world.vip_trouble.get(name))
        for name in values["VIP"].split()
    )
    said += "\n@@tunnels\n" + "\n".join(
        f"{name}\t{_flannel_address(world.machines[name])}" for name in world.nodes
    )
    yield said if world.pods_cut_off else f"{said}\n@@end"


def _address(world: World, name: str) -> str:
    return world.machines[name].host.internal_address


def _flannel_address(machine: Machine) -> str:
    taken = machine.flannel_address
    return machine.host.internal_address if taken is None else taken


def _dns_rows(world: World) -> Iterator[str]:
    if not world.dns_deployed:
        return
    up = "0" if world.dns_trouble else "1"
    yield "\t".join(["Deployment", "coredns", "", "", "1", "1", "1", "1", "1", up, *[""] * 5])
    node = world.dns_node or next(iter(world.nodes))
    yield _pod_row("coredns-0", node, world.machines[node].pod_address, world.dns_trouble)


def _pod_row(name: str, node: str, address: str, trouble: tuple[str, str] | None) -> str:
    waiting = {"waiting": dict(zip(("reason", "message"), trouble, strict=True))} if trouble else {}
    state = json.dumps([{"name": "it", "state": waiting}])
    ready = "False" if trouble else "True"
    shown = "" if trouble else address
    return "\t".join(["Pod", name, node, shown, *[""] * 6, ready, "", state, "", ""])


def _withdraw(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    if not world.answers(machine):
        yield 1
        return
    for path in values["MANIFESTS"].splitlines():
        if machine.files.pop(path, None):
            world.withdrawn.append(path)


def _effects(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    """What the host is answered; a version that its API has is that of its process."""
    yield "@@version"
    if values["BINARY"]:
        yield json.dumps({"major": "1", "gitVersion": machine.runs or machine.version})
    yield "@@answers"
    for pair in values["PAIRS"].splitlines():
        silent = pair.split()[0] in machine.hears_nothing_of
        yield f"{pair} {'unknown' if machine.cannot_ask else 'silent' if silent else 'open'}"
    yield "@@end"


def _prepare(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    yield from ()


def _start(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    for path in values["REMOVED"].split():
        machine.files.pop(path, None)
    if staged := values["STAGED"]:
        machine.files[paths.BINARY] = machine.files.pop(staged)
        machine.version = world.cluster.k3s.version
    if values["VERB"] == "keep":
        return
    machine.files.pop(values["UNREAD"], None)
    if values["VERB"] == "start" and machine.active in ("active", "activating"):
        return
    machine.starts += 1
    for other in world.machines.values():
        if other.takes_down_at_start_of == machine.host.name:
            other.active = "failed"
    machine.read = {path: body for path, (body, _) in machine.files.items()}
    _come_up(world, machine)
    yield from ()


def _come_up(world: World, machine: Machine) -> None:
    machine.active = "activating"
    if machine.breaks is None:
        machine.log = (_server if machine.host.is_server else _agent)(world, machine)
    else:
        machine.log = machine.breaks
    if machine.log:
        return
    machine.knows_ca = True
    if machine.kubelet_breaks:
        world.joining.discard(machine.host.name)
        machine.log = machine.kubelet_breaks
        return
    machine.active = "active"
    _register(world, machine)
    if machine.host.is_server:
        name = world.member_name(machine.member)
        world.annotations[machine.host.name] = {facts.MEMBER_NAME: name}


def _register(world: World, machine: Machine) -> None:
    """As K3S: a new node gets labels and taints; one that is there more labels, and none is taken.

    Source: k3s-io/k3s, pkg/agent/run.go, updateMutableLabels.
    """
    name, config = machine.host.name, machine.text
    if name not in world.nodes:
        world.labels[name] = {}
        pairs = (text.rpartition(":") for text in config.get("node-taint", []))
        split = ((body.partition("="), effect) for body, _, effect in pairs)
        world.taints[name] = {f"{key}:{effect}": value for (key, _, value), effect in split}
    world.labels[name] |= dict(text.split("=", 1) for text in config.get("node-label", []))
    world.nodes[name] = True


def _server(world: World, machine: Machine) -> str:
    """Initialise or join as the configuration says; what the log says where it fails."""
    config, name = machine.text, machine.host.name
    if machine.has_etcd and machine.member not in world.etcd:
        return '{"level":"error","msg":"the member has been permanently removed from the cluster"}'
    if machine.has_etcd:
        return ""
    if config.get("cluster-init"):
        world.initialised += 1
        world.add_member(machine)
        return ""
    token = machine.files[paths.TOKEN][0].decode().strip()
    if not token.startswith(f"K10{CLUSTER_ID}::server:"):
        return 'level=fatal msg="failed to validate token: token CA hash does not match"'
    if name in world.etcd.values():
        return f'level=fatal msg="etcd cluster join failed: duplicate node name found: {name}"'
    world.joining.add(name)
    world.most_joining = max(world.most_joining, len(world.joining))
    world.add_member(machine)
    return ""


def _agent(world: World, machine: Machine) -> str:
    token = machine.files[paths.TOKEN][0].decode().strip()
    if not machine.knows_ca and token not in world.agent_tokens:
        return 'level=error msg="token CA hash does not match the Cluster CA certificate hash"'
    if not machine.knows_ca and machine.host.name in world.nodes:
        return 'level=error msg="Node password rejected, duplicate hostname"'
    return ""


def _wait_ready(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    if machine.active != "active":
        yield 20 if machine.kubelet_breaks else 21
        return
    yield "@@active"
    if values["ROLE"] == "agent":
        yield f"@@at={time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
        return
    world.joining.discard(machine.host.name)  # etcd makes a voter of a learner that caught up
    if len(world.voters) < int(values["MEMBERS"]):
        yield 21
        return
    yield from ("@@readyz", "@@node", f"@@cluster={CLUSTER_ID}")


def _nodes_ready(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    asked = [each.partition("=") for each in values["NODES"].split()]
    ready = [
        name
        for name, _, since in asked
        if world.nodes.get(name) and not (since and world.machines[name].kubelet_hangs)
    ]
    yield from (f"@@{name}" for name in ready)
    if len(ready) < len(asked):
        yield 21


def _label_nodes(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    if world.refuses_labels or not world.answers(machine):
        yield 1
        return
    for line in values["CHANGES"].splitlines():
        verb, nodes, *words = line.split()
        for node in nodes.split(","):
            if node in world.nodes:
                _set(world, verb, node, words)
            else:
                yield f'Error from server (NotFound): nodes "{node}" not found'
                yield 1


def _set(world: World, verb: str, node: str, words: list[str]) -> None:
    for word in words:
        if verb == "untaint":
            world.taints[node].pop(word, None)
        elif verb == "taint":
            body, _, effect = word.rpartition(":")
            key, _, value = body.partition("=")
            world.taints[node][f"{key}:{effect}"] = value
        elif word.endswith("-"):
            world.labels[node].pop(word.removesuffix("-"), None)
        else:
            key, _, value = word.partition("=")
            world.labels[node][key] = value


def _forget(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    if not world.has_quorum or world.refuses_removal:
        yield "Error from server (Timeout)"
        yield 21
        return
    node = values["NODE"]
    world.nodes.pop(node, None)
    named = world.annotations.pop(node, {}).get(facts.MEMBER_NAME)
    gone = [line.split()[0] for line in values["MEMBERS"].splitlines()]
    gone += [id_ for id_ in world.etcd if world.member_name(id_) == named]
    for id_ in gone:
        if host := world.etcd.pop(id_, None):
            world.joining.discard(host)


def _roll_back(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    folder, data = values["FOLDER"], values["DATA"]
    gone = {f"{folder}/{name}" for name in ("config.yaml", "token", "agent-token", "k3s.yaml")}
    gone |= {values["UNIT"], values["UNREAD"]}
    for path in list(machine.files):
        if path in gone or path.startswith(f"{data}/server/"):
            del machine.files[path]
    machine.active = None
    machine.has_etcd = machine.knows_ca = False
    yield from ()


def _discard(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    machine.has_etcd = False
    yield from ()


def _stop(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    machine.active = "inactive"
    yield from ()


def _diagnose(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    yield machine.log


def _agent_token(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    token = f"K10{CLUSTER_ID}::agent{len(world.agent_tokens)}.canary"
    world.agent_tokens.append(token)
    yield token


def _kept_tokens(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    for path in (paths.TOKEN, paths.AGENT_TOKEN):
        yield machine.files[path][0].decode().strip()


def _kubeconfig(world: World, machine: Machine, values: dict[str, str]) -> Answer:
    yield world.kubeconfig


_ANSWERS = {
    "diagnose": _diagnose,
    "discard": _discard,
    "effects": _effects,
    "facts": _facts,
    "forget": _forget,
    "label_nodes": _label_nodes,
    "members": _members,
    "stop": _stop,
    "wait_ready": _wait_ready,
    "withdraw": _withdraw,
    "workloads": _workloads,
    "nodes_ready": _nodes_ready,
    "peers": _peers,
    "prepare": _prepare,
    "start": _start,
    "roll_back": _roll_back,
    "token for agents": _agent_token,
    "tokens of the cluster": _kept_tokens,
    "kubeconfig": _kubeconfig,
}
