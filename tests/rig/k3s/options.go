package main

// kind says how a flag takes its value.
type kind int

const (
	text kind = iota
	switchFlag
	list
)

// flagSpec describes one key of config.yaml, which is also a command line flag.
type flagSpec struct {
	name     string
	kind     kind
	initial  string
	variable string // environment variable, asked only when neither file nor command line say anything
	aliases  []string
}

var agentFlags = []flagSpec{
	{name: "config", aliases: []string{"c"}, variable: "K3S_CONFIG_FILE"},
	{name: "debug", kind: switchFlag, variable: "K3S_DEBUG"},
	{name: "v"}, {name: "vmodule"}, {name: "log", aliases: []string{"l"}}, {name: "alsologtostderr", kind: switchFlag},
	{name: "token", aliases: []string{"t"}, variable: "K3S_TOKEN"},
	{name: "token-file", variable: "K3S_TOKEN_FILE"},
	{name: "server", aliases: []string{"s"}, variable: "K3S_URL"},
	{name: "data-dir", aliases: []string{"d"}, initial: "/var/lib/rancher/k3s", variable: "K3S_DATA_DIR"},
	{name: "node-name", variable: "K3S_NODE_NAME"},
	{name: "with-node-id", kind: switchFlag},
	{name: "node-label", kind: list}, {name: "node-taint", kind: list},
	{name: "image-credential-provider-bin-dir"}, {name: "image-credential-provider-config"},
	{name: "selinux", kind: switchFlag, variable: "K3S_SELINUX"},
	{name: "lb-server-port", variable: "K3S_LB_SERVER_PORT"},
	{name: "protect-kernel-defaults", kind: switchFlag},
	{name: "container-runtime-endpoint"}, {name: "default-runtime"}, {name: "image-service-endpoint"},
	{name: "pause-image"}, {name: "snapshotter"},
	{name: "private-registry", initial: "/etc/rancher/k3s/registries.yaml"},
	{name: "disable-default-registry-endpoint", kind: switchFlag},
	{name: "nonroot-devices", kind: switchFlag},
	{name: "airgap-extra-registry", kind: list},
	{name: "node-ip", kind: list, aliases: []string{"i"}},
	{name: "bind-address"},
	{name: "node-external-ip", kind: list}, {name: "node-internal-dns", kind: list}, {name: "node-external-dns", kind: list},
	{name: "resolv-conf", variable: "K3S_RESOLV_CONF"},
	{name: "flannel-iface"}, {name: "flannel-conf"}, {name: "flannel-cni-conf"},
	{name: "vpn-auth", variable: "K3S_VPN_AUTH"}, {name: "vpn-auth-file", variable: "K3S_VPN_AUTH_FILE"},
	{name: "kubelet-arg", kind: list}, {name: "kube-proxy-arg", kind: list},
	{name: "enable-pprof", kind: switchFlag}, {name: "rootless", kind: switchFlag},
	{name: "prefer-bundled-bin", kind: switchFlag}, {name: "docker", kind: switchFlag},
	{name: "disable-apiserver-lb", kind: switchFlag},
}

var snapshotFlags = []flagSpec{
	{name: "etcd-snapshot-name", initial: "etcd-snapshot"},
	{name: "etcd-snapshot-schedule-cron", initial: "0 */12 * * *"},
	{name: "etcd-snapshot-reconcile-interval", initial: "10m0s"},
	{name: "etcd-snapshot-retention", initial: "5", aliases: []string{"snapshot-retention"}},
	{name: "etcd-snapshot-dir", aliases: []string{"dir"}},
	{name: "etcd-snapshot-compress", kind: switchFlag, aliases: []string{"snapshot-compress"}},
	{name: "etcd-s3", kind: switchFlag, aliases: []string{"s3"}},
	{name: "etcd-s3-endpoint", initial: "s3.amazonaws.com", aliases: []string{"s3-endpoint"}},
	{name: "etcd-s3-endpoint-ca", aliases: []string{"s3-endpoint-ca"}},
	{name: "etcd-s3-skip-ssl-verify", kind: switchFlag, aliases: []string{"s3-skip-ssl-verify"}},
	{name: "etcd-s3-access-key", variable: "AWS_ACCESS_KEY_ID", aliases: []string{"s3-access-key"}},
	{name: "etcd-s3-secret-key", variable: "AWS_SECRET_ACCESS_KEY", aliases: []string{"s3-secret-key"}},
	{name: "etcd-s3-session-token", variable: "AWS_SESSION_TOKEN", aliases: []string{"s3-session-token"}},
	{name: "etcd-s3-bucket", aliases: []string{"s3-bucket"}},
	{name: "etcd-s3-bucket-lookup-type"},
	{name: "etcd-s3-region", initial: "us-east-1", aliases: []string{"s3-region"}},
	{name: "etcd-s3-folder", aliases: []string{"s3-folder"}},
	{name: "etcd-s3-proxy", aliases: []string{"s3-proxy"}},
	{name: "etcd-s3-config-secret"},
	{name: "etcd-s3-insecure", kind: switchFlag, aliases: []string{"s3-insecure"}},
	{name: "etcd-s3-timeout", initial: "5m0s", aliases: []string{"s3-timeout"}},
	{name: "etcd-s3-retention", initial: "5"},
}

var serverOnlyFlags = []flagSpec{
	{name: "agent-token", variable: "K3S_AGENT_TOKEN"}, {name: "agent-token-file", variable: "K3S_AGENT_TOKEN_FILE"},
	{name: "cluster-init", kind: switchFlag, variable: "K3S_CLUSTER_INIT"},
	{name: "cluster-reset", kind: switchFlag, variable: "K3S_CLUSTER_RESET"},
	{name: "cluster-reset-restore-path"},
	{name: "write-kubeconfig", initial: "/etc/rancher/k3s/k3s.yaml", aliases: []string{"o"}, variable: "K3S_KUBECONFIG_OUTPUT"},
	{name: "write-kubeconfig-mode", variable: "K3S_KUBECONFIG_MODE"},
	{name: "write-kubeconfig-group", variable: "K3S_KUBECONFIG_GROUP"},
	{name: "https-listen-port", initial: "6443"},
	{name: "advertise-address"}, {name: "advertise-port"},
	{name: "tls-san", kind: list}, {name: "tls-san-security", kind: switchFlag, initial: "true"},
	{name: "secrets-encryption", kind: switchFlag}, {name: "secrets-encryption-provider", initial: "aescbc"},
	{name: "cluster-cidr", kind: list, initial: "10.42.0.0/16"},
	{name: "service-cidr", kind: list, initial: "10.43.0.0/16"},
	{name: "service-node-port-range", initial: "30000-32767"},
	{name: "cluster-dns", kind: list}, {name: "cluster-domain", initial: "cluster.local"},
	{name: "flannel-backend", initial: "vxlan"},
	{name: "flannel-ipv6-masq", kind: switchFlag}, {name: "flannel-external-ip", kind: switchFlag},
	{name: "servicelb-namespace", initial: "kube-system"},
	{name: "egress-selector-mode", initial: "agent"},
	{name: "default-local-storage-path"},
	{name: "disable", kind: list},
	{name: "disable-scheduler", kind: switchFlag}, {name: "disable-cloud-controller", kind: switchFlag},
	{name: "disable-kube-proxy", kind: switchFlag}, {name: "disable-network-policy", kind: switchFlag},
	{name: "disable-helm-controller", kind: switchFlag}, {name: "disable-agent", kind: switchFlag},
	{name: "disable-apiserver", kind: switchFlag}, {name: "disable-controller-manager", kind: switchFlag},
	{name: "disable-etcd", kind: switchFlag},
	{name: "embedded-registry", kind: switchFlag}, {name: "supervisor-metrics", kind: switchFlag},
	{name: "helm-job-image"}, {name: "helm-controller-arg", kind: list},
	{name: "system-default-registry", variable: "K3S_SYSTEM_DEFAULT_REGISTRY"},
	{name: "enable-servicelb", kind: switchFlag},
	{name: "kube-apiserver-arg", kind: list}, {name: "kube-controller-manager-arg", kind: list},
	{name: "kube-scheduler-arg", kind: list}, {name: "kube-cloud-controller-manager-arg", kind: list},
	{name: "etcd-arg", kind: list},
	{name: "etcd-expose-metrics", kind: switchFlag}, {name: "etcd-disable-snapshots", kind: switchFlag},
	{name: "datastore-endpoint", variable: "K3S_DATASTORE_ENDPOINT"},
	{name: "datastore-cafile"}, {name: "datastore-certfile"}, {name: "datastore-keyfile"},
	{name: "kine-tls", kind: switchFlag},
}

func joinFlags(groups ...[]flagSpec) []flagSpec {
	var all []flagSpec
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}

// flagsOf gives the flags a subcommand knows.
func flagsOf(command string) []flagSpec {
	switch command {
	case "server":
		return joinFlags(agentFlags, serverOnlyFlags, snapshotFlags)
	case "agent":
		return agentFlags
	case "etcd-snapshot":
		return joinFlags(snapshotFlags, commandFlags)
	default:
		return commandFlags
	}
}

// commandFlags are those of the short commands (token, certificate, secrets-encrypt).
var commandFlags = []flagSpec{
	{name: "config", aliases: []string{"c"}, variable: "K3S_CONFIG_FILE"},
	{name: "debug", kind: switchFlag, variable: "K3S_DEBUG"},
	{name: "data-dir", aliases: []string{"d"}, initial: "/var/lib/rancher/k3s", variable: "K3S_DATA_DIR"},
	{name: "token", aliases: []string{"t"}, variable: "K3S_TOKEN"}, {name: "token-file", variable: "K3S_TOKEN_FILE"},
	{name: "server", aliases: []string{"s"}}, {name: "etcd-server"}, {name: "etcd-token"},
	{name: "new-token"}, {name: "name", initial: "on-demand"},
	{name: "kubeconfig", variable: "KUBECONFIG"}, {name: "node-name", variable: "K3S_NODE_NAME"},
	{name: "ttl", initial: "24h0m0s"}, {name: "description"}, {name: "groups", kind: list}, {name: "usages", kind: list},
	{name: "output"}, {name: "service", kind: list}, {name: "force", kind: switchFlag}, {name: "path"},
	{name: "write-kubeconfig", initial: "/etc/rancher/k3s/k3s.yaml"},
	{name: "https-listen-port", initial: "6443"},
	{name: "skip", kind: switchFlag},
}
