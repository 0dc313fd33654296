"""Known lines of K3S, etcd, kubelet and systemd, each with its cause and what to do about it.

A line tells what K3S met, not whether what lies there counts: a remedy here looks, compares and
saves, and removes nothing. What has to go is named by a plan, from the facts of all hosts, and goes
after an approval; the runbooks have the rest.

What K3S itself prints is held against the source of the locked releases
(`xops.k3s.release.source_facts`), so that a text that K3S has changed is noticed.
"""

from __future__ import annotations

from xops.k3s.k3s_keys import HOW_TO_LEAVE
from xops.k3s.state.log_pattern import Pattern

_DOCS = "https://docs.k3s.io"
_ISSUES = "https://github.com/k3s-io/k3s/issues"
_ETCD = "https://etcd.io/docs/v3.6"
_RUNBOOKS = "docs/runbooks"

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "wrong-architecture",
        "the k3s binary is for another architecture",
        (r"[Ee]xec format error",),
        "Compare `uname -m` on the host with arch in the cluster file (x86_64 is amd64, aarch64"
        " is arm64), correct the file and run it again.",
        f"{_DOCS}/installation/requirements",
    ),
    Pattern(
        "unknown-setting",
        "a component does not know one of its settings",
        (
            r"flag provided but not defined: (?P<flag>-\S+)",
            r"unknown flag: (?P<flag>--[\w-]+)",
            r"Unknown flag (?P<flag>-\S+) found in config\.yaml",
        ),
        "Remove {flag} from k3s.config in the cluster file, or correct its spelling: `k3s server"
        " --help` on the host lists what this release knows.",
        f"{_DOCS}/installation/configuration",
    ),
    Pattern(
        "label-refused",
        "a node's label is one that a kubelet may not give itself",
        (r"unknown 'kubernetes\.io' or 'k8s\.io' labels specified.*?: \[(?P<labels>[^\]]+)\]",),
        "Remove {labels} from the labels of the host and its site. With kubectl an administrator"
        " may set it: `k3s kubectl label node NAME LABEL=VALUE`.",
        "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction",
    ),
    Pattern(
        "disk-full",
        "a disk of the host is full",
        (r"no space left on device",),
        "Make room: `df -h /var/lib/rancher /var/log /tmp` tells which disk it is, `du -xhd3 / |"
        " sort -h | tail -n 30` what is large. Then run it again.",
        f"{_DOCS}/installation/requirements#disks",
    ),
    Pattern(
        "etcd-quota",
        "etcd's database has reached its size limit and takes no more writes",
        (r"mvcc: database space exceeded",),
        "Restart k3s on one server at a time: it compacts at start and clears the alarm. If it"
        " comes back, look for what writes so much: `k3s kubectl get events -A`.",
        f"{_ETCD}/op-guide/maintenance/#space-quota",
    ),
    Pattern(
        "out-of-memory",
        "the host ran out of memory",
        (r"(killed by the OOM killer|Out of memory: Killed process .*k3s)",),
        "Give the host more memory (a server needs 2 GB), or set low_memory for its site.",
        f"{_DOCS}/installation/requirements#hardware",
    ),
    Pattern(
        "memory-cgroup",
        "the kernel's memory cgroup is switched off",
        (r"failed to find memory cgroup",),
        "Append `cgroup_memory=1 cgroup_enable=memory` to the one line of"
        " /boot/firmware/cmdline.txt (older images: /boot/cmdline.txt) and reboot the host.",
        f"{_DOCS}/installation/requirements",
    ),
    Pattern(
        "cgroup-controller",
        "a cgroup controller that K3S needs is not there",
        (r"failed to find (?P<controller>cpu|cpuset) cgroup",),
        "Let {controller} be among /sys/fs/cgroup/cgroup.controllers: `cgroup_disable` on the"
        " kernel's command line takes it away; on OpenRC set rc_cgroup_mode=unified in"
        " /etc/rc.conf. Then reboot.",
        f"{_DOCS}/installation/requirements",
    ),
    Pattern(
        "cgroup-v1",
        "the kubelet of this release does not run on cgroup v1",
        (r"kubelet is configured to not run on a host using cgroup v1",),
        "Boot the host with cgroup v2 (`systemd.unified_cgroup_hierarchy=1` on the kernel's command"
        " line), update its system, or stay with K3S v1.34.",
        "https://github.com/kubernetes/kubernetes/pull/134298",
    ),
    Pattern(
        "no-programs",
        "the host may not run programs below K3S's data folder",
        (r"fork/exec (?P<program>/\S+): permission denied",),
        "Look how its disk is mounted (`findmnt -T {program}`): noexec must go, or choose another"
        " k3s.data_dir. With SELinux: is the package k3s-selinux installed?",
        f"{_ISSUES}/7372",
    ),
    Pattern(
        "snapshotter",
        "the file system below K3S's data folder cannot hold containers",
        (r"snapshotter cannot be enabled for (?P<folder>[^\s,]+)",),
        "On ZFS and network file systems put k3s.data_dir on ext4 or XFS, or set snapshotter:"
        " native in k3s.config.",
        f"{_DOCS}/advanced",
    ),
    Pattern(
        "inotify",
        "the host has no watches on files left",
        (
            r"failed to create fsnotify watcher: too many open files",
            r"inotify\S{0,40} ?\S{0,90}: (too many open files|no space left on device)",
        ),
        "`sysctl fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288`, and in a"
        " file below /etc/sysctl.d so that it lasts.",
        f"{_ISSUES}/1913",
    ),
    Pattern(
        "ip-family",
        "networks and addresses are not of one IP family",
        (
            r"(?P<first>[\w-]{1,40}): \S{1,90} and (?P<second>[\w-]{1,40}): \S{1,90}, must share"
            r" the same IP version",
        ),
        "{first} and {second} must both be IPv4: set private_address to an IPv4 address.",
        f"{_DOCS}/networking/basic-network-options",
    ),
    Pattern(
        "networks-changed",
        "a node has its pods' addresses from another network than the file says",
        (r"cidr (?P<node>\S+) is out the range of cluster cidr (?P<now>[^\s\"]+)",),
        "A cluster keeps the networks it was born with: put networks.cluster back to what holds"
        " {node}.",
        f"{_ISSUES}/3967",
    ),
    Pattern(
        "kernel-defaults",
        "the kernel's settings are not those that the hardened kubelet asks for",
        (r"[Ii]nvalid kernel flag: (?P<flag>[\w/]+), expected value: (?P<value>-?\d+)",),
        "Run it again: the CIS profile writes /etc/sysctl.d/90-xops-k3s.conf. If it was there, a"
        " later file undoes it (`sysctl --system` prints the order); {flag} must be {value}.",
        f"{_DOCS}/security/hardening-guide",
    ),
    Pattern(
        "wireguard-missing",
        "the kernel has no WireGuard",
        (r"could not create wireguard interface", r"Module wireguard not found"),
        "Install the kernel's WireGuard module (`modprobe wireguard` must succeed), or take"
        " another networks.backend if all hosts are at one site.",
        f"{_ISSUES}/11166",
    ),
    Pattern(
        "no-default-route",
        "the host has no default route, so K3S finds no address of its own",
        (
            r"no default routes found",
            r"unable to select an IP from default routes",
            # With node-ip, which xOps sets, the server becomes ready first; then flannel ends it.
            r"[Uu]nable to find default (v6 )?route",
        ),
        "Give it one; without internet access a dummy will do: `ip link add dummy0 type dummy; ip"
        " link set dummy0 up; ip addr add 203.0.113.254/31 dev dummy0; ip route add default via"
        " 203.0.113.255 dev dummy0 metric 1000`, made to last in the network's configuration.",
        f"{_DOCS}/installation/airgap#default-network-route",
    ),
    Pattern(
        "port-in-use",
        "a port is taken by another process",
        (r"listen (tcp|udp) \S*:(?P<port>\d+): bind: address already in use",),
        "See who listens (`ss -lntup 'sport = :{port}'`) and stop it. An earlier k3s that was"
        " killed is ended by `systemctl kill -s KILL k3s`.",
        f"{_DOCS}/installation/requirements#networking",
    ),
    Pattern(
        "clock-skew",
        "a certificate is not valid at this host's time: its clock is wrong, or it has expired",
        (
            r"certificate has expired or is not yet valid: current time (?P<now>\S+)"
            r" is (before|after) (?P<limit>[^\s\"\\]+)",
        ),
        "Compare `date -u` on the hosts; the log says {now}, the certificate {limit}. Set the"
        " clock (`timedatectl set-ntp true`). If it is right, restart k3s on this host, which"
        " renews certificates that expire within 120 days.",
        f"{_DOCS}/cli/certificate",
    ),
    Pattern(
        "token-ca-mismatch",
        "the token belongs to a cluster with another certificate authority",
        (r"token CA hash does not match the Cluster CA certificate hash",),
        "Compare the token in the cluster's secrets folder with /var/lib/rancher/k3s/server/token"
        " of a running server, and see that server in /etc/rancher/k3s/config.yaml here leads to"
        " that cluster. Whether the host was part of another one tells `xops k3s preflight`: what"
        f" it holds of it may count ({_RUNBOOKS}/k3s-two-clusters.md).",
        f"{_DOCS}/cli/token",
    ),
    Pattern(
        "token-rejected",
        "the token is not this cluster's",
        (
            r"bootstrap data already found and encrypted with different token",
            r"invalid token (format|CA hash length)",
            r"token must not be empty",
            r"/(v1-k3s|cacerts|ping)\S*: 401 Unauthorized",
        ),
        "Put the token of a running server (/var/lib/rancher/k3s/server/token) into the cluster's"
        " secrets folder; after a restore it is the one of the snapshot's time. Then run it"
        " again.",
        f"{_DOCS}/cli/token",
    ),
    Pattern(
        "configuration-mismatch",
        "a setting that all servers must share differs on this one",
        (
            r"critical configuration mismatched: (?P<setting>[\w-]+)",
            r"critical configuration value mismatch",
        ),
        "All servers must agree in {setting} (networks, flannel, disable, encryption): compare"
        " /etc/rancher/k3s/config.yaml and config.yaml.d with those of a running server. The plan"
        " shows what differs.",
        f"{_DOCS}/cli/server",
    ),
    Pattern(
        "encryption-rejected",
        "the API server cannot use the encryption configuration, or cannot decrypt with it",
        (
            r"(reading|decoding) encryption provider configuration file",
            r"encryption provider configuration file \S+ is empty",
            r"error while (parsing file|building transformers)",
            r"unable to transform key",
            r"no matching prefix found",
        ),
        "The keys are in /var/lib/rancher/k3s/server/cred/encryption-config.json and must be those"
        " of the other servers. What was written with a key is read with that key alone: keep a"
        " copy of the file of every server first (`cp -a`). `k3s secrets-encrypt status` and"
        " `sha256sum` of the file show which server differs; if it is this one alone, give it the"
        " file of another and restart k3s.",
        f"{_DOCS}/cli/secrets-encrypt",
    ),
    Pattern(
        "files-newer-than-datastore",
        "certificates of an earlier cluster are left on this host",
        (r"newer than datastore and could cause a cluster outage",),
        "If the host was a member already, its data counts: take back what was changed last in the"
        " cluster file (encryption of Secrets above all). Else another k3s ran here: save what it"
        " left (`cp -a /var/lib/rancher/k3s/server /var/lib/rancher/k3s-server.saved`) and run it"
        " again: a host that was only joining is rolled back, and joins with the cluster's own.",
        f"{_DOCS}/cli/certificate",
    ),
    Pattern(
        "cluster-id-mismatch",
        "this host's etcd belongs to another cluster",
        (r"cluster ID mismatch",),
        "It was initialised as a cluster of its own, or its peers were. Do not merge them: `xops"
        " k3s preflight` tells which host is of which cluster, `k3s kubectl get nodes` on each what"
        f" it has. Which one stays, and how hosts change over: {_RUNBOOKS}/k3s-two-clusters.md.",
        f"{_DOCS}/datastore/ha-embedded",
    ),
    Pattern(
        "duplicate-node",
        "etcd still has a member by this host's name",
        (r"duplicate node name found",),
        "If the host was installed anew under its old name, run it again: the plan names the"
        " earlier member, with its node or without, and an apply removes it after an approval. If"
        " another machine is that member (`k3s kubectl get nodes -o wide` on a server tells its"
        " address), rename this host.",
        f"{_ISSUES}/10408",
    ),
    Pattern(
        "node-password-rejected",
        "the cluster remembers another password for a node of this name",
        (r"[Nn]ode password rejected",),
        "`k3s kubectl get nodes -o wide` on a server tells the address of the node of that name. If"
        " it is another machine's, rename one of the two. If this host was installed anew, run it"
        " again: its earlier node and password are forgotten with it. A host that stays rejected:"
        f" {_RUNBOOKS}/k3s-host-not-ready.md.",
        f"{_DOCS}/architecture#how-agent-node-registration-works",
    ),
    Pattern(
        "member-address",
        "this host's address is another one than that by which etcd knows it",
        (
            r"not a member of the etcd cluster\.? Found \[.{0,600}?"
            r"(?P<member>[\w.-]{1,63}-[0-9a-f]{8})="
            r"(?P<before>[^\s,\]]{1,200}).{0,600}?expect: (?P=member)=(?P<now>[^\s\"\\]{1,200})",
        ),
        "Give the host its earlier address back: etcd knows it by {before}, and it has {now}. A"
        " server's address stays as it was when it joined; to have another, it leaves the cluster"
        f" while the others are up, and joins anew ({HOW_TO_LEAVE}).",
        f"{_ISSUES}/5991",
    ),
    Pattern(
        "member-removed",
        "this host was removed from the etcd cluster",
        (
            r"the member has been permanently removed from the cluster",
            r"[Tt]his node has been removed from the cluster",
            # Unless it is one by another address.
            r"this server is (a )?not a member of the etcd cluster"
            r"(?!\.? Found \[.{0,600}?([\w.-]{1,63}-[0-9a-f]{8})=.{0,800}?expect: \2=)",
        ),
        "Restart k3s here: with the mark of its removal it sets its old data aside and joins as a"
        " new member. If it does not, stop k3s here and run it again while the other servers are"
        " up: the plan names the data of a member that was removed, and an apply sets it aside"
        " after an approval.",
        f"{_DOCS}/datastore/ha-embedded",
    ),
    Pattern(
        "too-many-learners",
        "another server is still joining etcd",
        (r"too many learner members in cluster",),
        "Wait until `k3s kubectl get nodes` shows that one Ready, then run it again: servers join"
        " one at a time. One that makes no progress is evicted by K3S after five minutes; one that"
        f" is gone for good is replaced: {_RUNBOOKS}/k3s-lost-disk.md.",
        f"{_ISSUES}/4335",
    ),
    Pattern(
        "learner-stuck",
        "a joining server does not catch up with etcd's leader",
        (r"Learner (?P<name>\S+) stalled at RaftAppliedIndex",),
        "Etcd evicts it after five minutes without progress. Look on its host ({name}) for a full"
        " or slow disk and whether the servers reach each other on ports 2379 and 2380, then run"
        " it again.",
        f"{_DOCS}/installation/requirements#networking",
    ),
    Pattern(
        "certificate-name",
        "the server's certificate is not valid for the address it was called by",
        (
            r"certificate is valid for .+?, not (?P<wanted>[^\s\"'\\]+)",
            r"cannot validate certificate for (?P<wanted>\S+) because it doesn't contain any IP",
        ),
        "{wanted} must be in tls-san: make it the endpoint, or a server's address, in the cluster"
        " file and run it again; then on one server at a time `systemctl stop k3s; k3s certificate"
        " rotate; systemctl start k3s`.",
        f"{_ISSUES}/7511",
    ),
    Pattern(
        "images-missing",
        "an image is neither on the host nor to be had from a registry",
        (
            r"Back-off pulling image \\*\"(?P<image>[^\"\\]+)",
            r"[Ff]ailed to pull (and unpack )?image \\*\"(?P<image>[^\"\\]+)",
            r"ErrImagePull|ImagePullBackOff",
        ),
        "With internet access: does the host reach the registry (`k3s crictl pull {image}`)? In an"
        " air gap the bundle must have {image}, in its archive in"
        " /var/lib/rancher/k3s/agent/images (`k3s ctr images ls` shows what was imported).",
        f"{_DOCS}/installation/airgap",
    ),
    Pattern(
        "etcd-peers-silent",
        "etcd on this host does not hear the other members",
        (
            r"Failed to test etcd connection: (?!this server)",
            r"Waiting for etcd server to become available",
            r"prober detected unhealthy status(?!.*(i/o timeout|no route to host))",
        ),
        "Let the servers reach each other's 2379-2380 by tcp, in both directions: from each other"
        " server, `timeout 3 bash -c '</dev/tcp/ADDRESS/2380' && echo open`.",
        f"{_DOCS}/installation/requirements#networking",
        is_symptom=True,
    ),
    Pattern(
        "host-unreachable",
        "another host cannot be reached: a firewall, a wrong address, or it is down",
        (
            r"dial (tcp|udp) (?P<address>(?!127\.|\[::1\])\S+?):(?P<port>\d+):"
            r" (connect: )?(no route to host|i/o timeout|connection timed out)",
            r"Get \\*\"https://(?P<address>(?!127\.)[^:/\"]+):(?P<port>\d+)/\S*: context deadline"
            r" exceeded",
        ),
        "Try it from this host: `timeout 3 bash -c '</dev/tcp/{address}/{port}' && echo open`."
        " K3S needs 6443, 2379-2380 and 10250 by tcp, and 8472 (vxlan) or 51820 (WireGuard) by"
        " udp between the hosts.",
        f"{_DOCS}/installation/requirements#networking",
        is_symptom=True,
    ),
    Pattern(
        "name-unknown",
        "a name cannot be resolved on the host",
        (
            r"dial tcp: lookup (?P<name>[^\s:]+)( on \S+)?: (no such host|[Tt]ry again"
            r"|device or resource busy|server misbehaving|i/o timeout)",
        ),
        "Try `getent hosts {name}` on the host: fix /etc/resolv.conf, or name the endpoint and"
        " the servers by address. K3S asks DNS itself and knows no mDNS (.local) names.",
        f"{_DOCS}/installation/requirements#networking",
        is_symptom=True,
    ),
    Pattern(
        "server-refuses",
        "nothing listens where the API of a server should be",
        (
            r"dial tcp (?P<address>(?!127\.|\[::1\])\S+?):6443: (connect: )?connection refused",
            r"dial tcp (?P<address>\S+?):6443: (connect: )?connection refused",
        ),
        "Look why k3s does not run on {address}: `systemctl status k3s; journalctl -u k3s -n 80`"
        " there.",
        f"{_DOCS}/installation/requirements#networking",
        is_symptom=True,
    ),
    Pattern(
        "no-quorum",
        "etcd has no leader: fewer than half of its members are up",
        (r"etcdserver: no leader",),
        "Bring the other servers back, one of them is enough in a cluster of three. Only if they"
        " are lost for good, restore a snapshot.",
        f"{_DOCS}/datastore/ha-embedded",
        is_symptom=True,
    ),
    Pattern(
        "component-ended",
        "a component has ended, and K3S with it",
        (r'Shutdown request received: [\\"]*(?P<cause>[\w-]+ exited: [^"\\]+)',),
        "What it says itself is the cause: {cause}. If that is not enough, its own lines stand"
        " before it in the journal: `journalctl -u k3s --since -15min`.",
        f"{_DOCS}/advanced",
        is_symptom=True,
    ),
    Pattern(
        "slow-disk",
        "the disk is too slow for etcd",
        (
            r"leader failed to send out heartbeat on time; took too long",
            r"slow fdatasync",
        ),
        "Etcd wants a 99th percentile of fsync below 10 ms for /var/lib/rancher/k3s/server/db: an"
        " SSD, or another host as the server. One such line under load means little.",
        f"{_ETCD}/tuning/#disk",
        is_symptom=True,
    ),
    Pattern(
        "not-a-voter-yet",
        "the server has joined etcd and is not promoted yet",
        (
            r"has not yet been promoted from learner to voting member",
            r"can only promote a learner member which is in sync with leader",
        ),
        "Usual in the first minute. If it stays, look for a stalled learner in the leader's log.",
        f"{_ETCD}/learning/design-learner/",
        is_symptom=True,
    ),
    Pattern(
        "token-without-ca-hash",
        "the host joined without checking whom it joined",
        (r"token does not include a CA hash",),
        "Use the full token, K10...::server:..., of /var/lib/rancher/k3s/server/token for joining:"
        " the short one trusts whoever answers.",
        f"{_DOCS}/cli/token",
        is_symptom=True,
    ),
)
"""The known lines, the more telling ones first."""
