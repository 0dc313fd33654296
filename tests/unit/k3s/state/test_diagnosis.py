"""Known log lines, as K3S, etcd, kubelet, containerd and systemd print them."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.k3s.state.diagnosis import PATTERNS, Pattern, diagnose

K3S = 'Nov 24 06:19:01 s2 k3s[412]: time="2026-11-24T06:19:01Z" '
FATAL = K3S + "level=fatal msg="

# code, a line that says so, and words that the remedy must have
KNOWN = [
    (
        "too-many-learners",
        FATAL + '"starting kubernetes: preparing server: start managed database: joining etcd'
        ' cluster: etcdserver: too many learner members in cluster"',
        "one at a time",
    ),
    (
        "duplicate-node",
        K3S + 'level=error msg="Shutdown request received: \\"etcd cluster join failed: duplicate'
        ' node name found, please use a unique name for this node\\""',
        "an apply removes it after an approval",
    ),
    (
        "configuration-mismatch",
        K3S + 'level=warning msg="critical configuration mismatched: secrets-encryption"',
        "agree in secrets-encryption",
    ),
    (
        "configuration-mismatch",
        FATAL + '"starting kubernetes: preparing server: failed to validate server configuration:'
        ' critical configuration value mismatch"',
        "agree in SETTING",
    ),
    (
        "node-password-rejected",
        K3S + 'level=info msg="Waiting to retrieve agent configuration; server is not ready: Node'
        " password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may"
        " not match server node-passwd entry, try enabling a unique node name with the"
        ' --with-node-id flag"',
        "address of the node of that name",
    ),
    (
        "certificate-name",
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate is"
        " valid for s1, kubernetes, kubernetes.default, localhost, not api.example.com",
        "api.example.com must be in tls-san",
    ),
    (
        "certificate-name",
        K3S + 'level=error msg="Failed to validate connection to cluster at https://10.0.0.1:6443:'
        ' CA cert validation failed: Get \\"https://10.0.0.1:6443/cacerts\\": tls: failed to verify'
        " certificate: x509: cannot validate certificate for 10.0.0.1 because it doesn't contain"
        ' any IP SANs"',
        "10.0.0.1 must be in tls-san",
    ),
    (
        "token-ca-mismatch",
        FATAL + '"starting kubernetes: preparing server: token CA hash does not match the Cluster'
        f' CA certificate hash: {"a" * 64} != {"b" * 64}"',
        "secrets folder",
    ),
    (
        "server-refuses",
        FATAL + '"starting kubernetes: preparing server: failed to get CA certs: Get'
        ' \\"https://10.0.0.1:6443/cacerts\\": dial tcp 10.0.0.1:6443: connect: connection'
        ' refused"',
        "does not run on 10.0.0.1",
    ),
    (
        "no-default-route",
        FATAL + '"no default routes found in \\"/proc/net/route\\" or \\"/proc/net/ipv6_route\\""',
        "ip route add default",
    ),
    (
        "no-default-route",
        'k3s[412]: level=fatal msg="unable to select an IP from default routes."',
        "ip route add default",
    ),
    (
        "memory-cgroup",
        FATAL + '"failed to find memory cgroup (v2)"',
        "cgroup_memory=1 cgroup_enable=memory",
    ),
    (
        "slow-disk",
        '{"level":"warn","caller":"wal/wal.go:805","msg":"slow fdatasync","took":"1.8s"}',
        "SSD",
    ),
    (
        "slow-disk",
        '{"level":"warn","caller":"etcdserver/raft.go:416","msg":"leader failed to send out'
        ' heartbeat on time; took too long, leader is overloaded likely from slow disk"}',
        "SSD",
    ),
    (
        "token-rejected",
        FATAL + '"starting kubernetes: preparing server: bootstrap data already found and encrypted'
        ' with different token"',
        "server/token",
    ),
    (
        "token-rejected",
        K3S + 'level=error msg="https://127.0.0.1:6444/v1-k3s/serving-kubelet.crt: 401'
        ' Unauthorized"',
        "server/token",
    ),
    ("token-rejected", FATAL + '"invalid token format"', "server/token"),
    (
        "learner-stuck",
        K3S + 'level=warning msg="Learner s3-5f1c2a7b stalled at RaftAppliedIndex=4711 for 45s"',
        "s3-5f1c2a7b",
    ),
    (
        "not-a-voter-yet",
        K3S + 'level=info msg="Failed to test etcd connection: this server has not yet been'
        ' promoted from learner to voting member"',
        "first minute",
    ),
    (
        "images-missing",
        'Nov 24 k3s[1]: E1124 06:19:01 1 pod_workers.go:1301] "Error syncing pod, skipping"'
        ' err="failed to \\"StartContainer\\" for \\"coredns\\" with ImagePullBackOff:'
        ' \\"Back-off pulling image \\\\\\"rancher/mirrored-coredns-coredns:1.12.3\\\\\\"\\""',
        "bundle must have rancher/mirrored-coredns-coredns:1.12.3",
    ),
    ("images-missing", "coredns-64fd4b4794-x  0/1  ErrImagePull  0  20s", "bundle must have IMAGE"),
    (
        "disk-full",
        FATAL + '"failed to write /var/lib/rancher/k3s/agent/x: no space left on device"',
        "df -h",
    ),
    (
        "etcd-quota",
        "rpc error: code = ResourceExhausted desc = etcdserver: mvcc: database space exceeded",
        "one server at a time",
    ),
    (
        "port-in-use",
        FATAL + '"starting kubernetes: preparing server: init cluster datastore and https: listen'
        ' tcp 0.0.0.0:6443: bind: address already in use"',
        "sport = :6443",
    ),
    (
        "kernel-defaults",
        'E1124 06:19:01 kubelet.go:1688] "Failed to start ContainerManager" err="[invalid kernel'
        " flag: vm/overcommit_memory, expected value: 1, actual value: 0, invalid kernel flag:"
        ' kernel/panic, expected value: 10, actual value: 0]"',
        "vm/overcommit_memory must be 1",
    ),
    (
        "wrong-architecture",
        "s2 (k3s)[512]: k3s.service: Failed at step EXEC spawning /usr/local/bin/k3s: Exec format"
        " error",
        "uname -m",
    ),
    (
        "cluster-id-mismatch",
        '{"level":"warn","caller":"rafthttp/stream.go:653","msg":"request sent was ignored by'
        ' remote peer due to cluster ID mismatch","remote-peer-id":"12ff5a891fde60fb",'
        '"error":"cluster ID mismatch"}',
        "Do not merge",
    ),
    (
        "member-removed",
        '{"level":"error","msg":"the member has been permanently removed from the cluster"}',
        "joins as a new member",
    ),
    (
        "member-removed",
        K3S + 'level=info msg="This node has been removed from the cluster - please restart k3s to'
        ' rejoin the cluster"',
        "Restart k3s",
    ),
    (
        "clock-skew",
        FATAL + '"CA cert validation failed: tls: failed to verify certificate: x509: certificate'
        " has expired or is not yet valid: current time 2026-11-24T04:00:00Z is before"
        ' 2026-11-24T06:10:12Z"',
        "says 2026-11-24T04:00:00Z, the certificate 2026-11-24T06:10:12Z",
    ),
    (
        "encryption-rejected",
        "Error: error while parsing file: error decoding encryption provider configuration file"
        ' "/var/lib/rancher/k3s/server/cred/encryption-config.json": unknown field',
        "secrets-encrypt status",
    ),
    (
        "encryption-rejected",
        'Internal error occurred: unable to transform key "/registry/secrets/kube-system/x": no'
        " matching prefix found",
        "secrets-encrypt status",
    ),
    (
        "files-newer-than-datastore",
        FATAL + '"/var/lib/rancher/k3s/server/cred/passwd newer than datastore and could cause a'
        " cluster outage. Remove the file(s) from disk and restart to be recreated from"
        ' datastore."',
        "cp -a /var/lib/rancher/k3s/server",
    ),
    (
        "label-refused",
        "Error: unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels:"
        " [node-role.kubernetes.io/worker]",
        "Remove node-role.kubernetes.io/worker",
    ),
    (
        "unknown-setting",
        FATAL + '"flag provided but not defined: -flanel-backend"',
        "Remove -flanel-backend",
    ),
    ("unknown-setting", "Error: unknown flag: --audit-log-maxsice", "--audit-log-maxsice"),
    (
        "unknown-setting",
        K3S + 'level=warning msg="Unknown flag --tls-sans found in config.yaml, skipping\\n"',
        "Remove --tls-sans",
    ),
    (
        "wireguard-missing",
        K3S + 'level=error msg="flannel exited: failed to register flannel network: could not'
        ' create wireguard interface: operation not supported"',
        "modprobe wireguard",
    ),
    (
        "member-removed",
        K3S + 'level=info msg="Failed to test etcd connection: this server is not a member of the'
        ' etcd cluster. Found [], expect: s2-1a2b3c4d=10.0.0.2"',
        "Restart k3s",
    ),
    (
        "member-address",
        K3S + 'level=info msg="Failed to test etcd connection: this server is not a member of the'
        " etcd cluster. Found [s1-00000001=https://10.0.0.1:2380 s2-1a2b3c4d=https://10.0.0.2:2380],"
        ' expect: s2-1a2b3c4d=https://10.0.0.9:2380"',
        "knows it by https://10.0.0.2:2380, and it has https://10.0.0.9:2380",
    ),
    (
        "member-removed",
        K3S + 'level=info msg="Failed to test etcd connection: this server is a not a member of the'
        ' etcd cluster. Found [s1-00000001=https://10.0.0.1:2380], expect: s2-1a2b3c4d=10.0.0.2"',
        "Restart k3s",
    ),
    ("cgroup-controller", FATAL + '"failed to find cpuset cgroup (v2)"', "Let cpuset be among"),
    (
        "cgroup-v1",
        K3S + 'level=error msg="kubelet exited: failed to validate kubelet configuration, error:'
        " kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in"
        ' maintenance mode"',
        "cgroup v2",
    ),
    (
        "no-programs",
        FATAL + '"fork/exec /var/lib/rancher/k3s/data/current/bin/containerd: permission denied"',
        "findmnt -T /var/lib/rancher/k3s/data/current/bin/containerd",
    ),
    (
        "snapshotter",
        FATAL + '"\\"overlayfs\\" snapshotter cannot be enabled for /srv/k3s/agent/containerd, try'
        ' using \\"fuse-overlayfs\\" or \\"native\\""',
        "snapshotter: native",
    ),
    (
        "inotify",
        K3S + 'level=error msg="failed to create fsnotify watcher: too many open files"',
        "fs.inotify.max_user_instances",
    ),
    (
        "ip-family",
        FATAL + '"cluster-cidr: [10.42.0.0/16] and node-ip: [fd00::1], must share the same IP'
        ' version (IPv4, IPv6 or dual-stack)"',
        "cluster-cidr and node-ip must both be IPv4",
    ),
    (
        "networks-changed",
        'E1128 10:00:00.000000 12 cidr_set.go:189] "err" cidr 10.42.0.0/24 is out the range of'
        ' cluster cidr 10.52.0.0/16"',
        "what holds 10.42.0.0/24",
    ),
    (
        "no-default-route",
        K3S + 'level=error msg="Shutdown requested: failed to find the interface: failed to get'
        ' default interface: Unable to find default route"',
        "ip link add dummy0",
    ),
    (
        "etcd-peers-silent",
        '{"level":"warn","msg":"prober detected unhealthy status","remote-peer-id":"a"}',
        "2379-2380",
    ),
    (
        "component-ended",  # of releases that quote the error
        K3S + 'level=error msg="Shutdown request received: \\"kubelet exited: open /dev/kmsg:'
        ' operation not permitted\\""',
        "is the cause: kubelet exited: open /dev/kmsg: operation not permitted.",
    ),
    (
        "component-ended",
        K3S + 'level=error msg="Shutdown request received: kubelet exited: open /dev/kmsg:'
        ' operation not permitted"',
        "is the cause: kubelet exited: open /dev/kmsg: operation not permitted.",
    ),
    (
        "etcd-peers-silent",
        K3S + 'level=info msg="Failed to test etcd connection: context deadline exceeded"',
        "2379-2380",
    ),
    (
        "etcd-peers-silent",
        'time="2026-11-24T07:12:07Z" level=info msg="Waiting for etcd server to become available"',
        "2379-2380",
    ),
    (
        "host-unreachable",
        '{"level":"warn","msg":"prober detected unhealthy status","error":"dial tcp 10.0.0.2:2380:'
        ' i/o timeout"}',
        "/dev/tcp/10.0.0.2/2380",
    ),
    (
        "host-unreachable",
        FATAL + '"failed to get CA certs: Get \\"https://10.0.0.1:6443/cacerts\\": context deadline'
        ' exceeded (Client.Timeout exceeded while awaiting headers)"',
        "/dev/tcp/10.0.0.1/6443",
    ),
    (
        "name-unknown",
        FATAL + '"failed to get CA certs: Get \\"https://api.example.com:6443/cacerts\\": dial tcp:'
        ' lookup api.example.com on 10.0.0.53:53: no such host"',
        "getent hosts api.example.com",
    ),
    (
        "no-quorum",
        '{"error":"rpc error: code = Unavailable desc = etcdserver: no leader"}',
        "three",
    ),
    (
        "out-of-memory",
        "systemd[1]: k3s.service: A process of this unit has been killed by the OOM killer.",
        "more memory",
    ),
    (
        "token-without-ca-hash",
        K3S + 'level=warning msg="Cluster CA certificate is not trusted by the host CA bundle, but'
        " the token does not include a CA hash. Use the full token from the server's node-token"
        ' file to enable Cluster CA validation."',
        "full token",
    ),
]


@pytest.mark.parametrize(("code", "line", "words"), KNOWN, ids=[row[0] for row in KNOWN])
def test_the_line_tells_its_cause(code: str, line: str, words: str) -> None:
    [cause] = diagnose(f"Starting k3s\n{line}\nstopped")

    assert cause.code == code
    assert cause.found == line
    assert words in cause.remedy
    assert cause.source.startswith("https://")


def test_every_pattern_has_a_line_here() -> None:
    codes = [pattern.code for pattern in PATTERNS]

    assert sorted(codes) == sorted({row[0] for row in KNOWN})


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.code)
def test_remedies_name_groups_that_an_expression_has(pattern: Pattern) -> None:
    named = {name for _, name, _, _ in string.Formatter().parse(pattern.remedy) if name}
    known = {g for text in pattern.expressions for g in re.compile(text).groupindex}

    assert named <= known


@pytest.mark.parametrize(
    "line",
    [
        K3S + 'level=info msg="Starting k3s v1.34.1+k3s1 (5fb370e5)"',
        K3S + 'level=info msg="Managed etcd cluster initializing"',
        'I1124 06:19:01 kube.go:146] "Node controller sync successful"',
        "systemd[1]: Started k3s.service - Lightweight Kubernetes.",
        "",
    ],
)
def test_an_unknown_line_has_no_cause(line: str) -> None:
    assert diagnose(line) == ()


def test_causes_come_before_what_follows_from_them() -> None:
    refused = "dial tcp 10.0.0.1:6443: connect: connection refused"
    log = f"{refused}\nslow fdatasync\nno space left on device\n{refused}"

    assert [cause.code for cause in diagnose(log)] == ["disk-full", "server-refuses", "slow-disk"]


def test_each_cause_is_told_once_by_its_last_line() -> None:
    log = "\n".join(f"{n} no space left on device" for n in range(5))

    [cause] = diagnose(log)

    assert cause.found == "4 no space left on device"


def test_a_line_that_says_more_is_preferred() -> None:
    log = (
        "critical configuration mismatched: service-cidr\n"
        "critical configuration value mismatch between servers"
    )

    [cause] = diagnose(log)

    assert "service-cidr" in cause.remedy


def test_another_host_is_named_rather_than_this_one() -> None:
    other = "dial tcp 10.0.0.1:6443: connect: connection refused"
    log = f"{other}\ndial tcp 127.0.0.1:6443: connect: connection refused"

    [cause] = diagnose(log)

    assert cause.found == other


def test_a_token_in_the_log_goes_no_further() -> None:
    [cause] = diagnose(f"token K10{'a' * 64}::server:s3cret! is bad: invalid token format")

    assert cause.found == "token *** is bad: invalid token format"


def test_colours_and_control_characters_are_left_out() -> None:
    [cause] = diagnose("\x1b[31mno space left\x1b[0m on device\x07\r\n")

    assert cause.found == "no space left on device"


def test_long_lines_are_shortened() -> None:
    [cause] = diagnose("no space left on device " + "x" * 5000)

    assert len(cause.found) == 400


@given(st.text())
def test_any_text_can_be_diagnosed(text: str) -> None:
    for cause in diagnose(text):
        assert "{" not in cause.remedy


# A log that means harm


@examples(50)
@given(st.text())
def test_any_log_is_read(text: str) -> None:
    diagnose(text)
    for _, line, _ in KNOWN:
        diagnose(f"{line} {text}")


ATTACKS = [
    "labels specified" * 20_000,
    "unknown 'kubernetes.io' or 'k8s.io' labels specified: [" * 5000,
    "certificate is valid for " * 20_000,
    "cannot validate certificate for " * 10_000,
    "Back-off pulling image " + "\\" * 300_000,
    'Failed to pull and unpack image "' * 10_000,
    "listen tcp " + "a" * 300_000,
    "Out of memory: Killed process " * 10_000,
    "K10" + "0" * 64 + "::" + "x" * 300_000,
    "/v1-k3s" * 50_000,
    "\x1b[" * 100_000,
]


@pytest.mark.parametrize("line", ATTACKS, ids=lambda line: line[:20])
@pytest.mark.timeout(30)
def test_a_line_that_takes_long_to_compare_is_cut(line: str) -> None:
    """Compared whole, each would take minutes."""
    diagnose(f"{line}\n" * 3)


def test_a_token_is_hidden_wherever_a_line_is_cut() -> None:
    token = f"K10{'0' * 64}::server:canary"
    for before in range(3900, 4200, 7):
        for cause in diagnose(f"no space left on device {'x' * before} {token}"):
            assert "canary" not in repr(cause)
    assert "canary" not in repr(diagnose(f"no space left on device {token}"))


@pytest.mark.parametrize("image", ["$(reboot)", "`reboot`", "a;reboot", "a|sh", "x" * 500])
def test_what_a_log_says_becomes_no_command(image: str) -> None:
    (cause,) = diagnose(f'Back-off pulling image "{image}"')
    assert image not in cause.remedy
    assert "k3s crictl pull IMAGE" in cause.remedy
