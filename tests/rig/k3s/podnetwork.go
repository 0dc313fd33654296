package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	flannelKey   = "flannel.alpha.coreos.com/"
	tunnelDevice = "flannel.1"
)

// networkSettings are of a network namespace each, so a host has its own.
var networkSettings = map[string]string{
	"net/ipv4/ip_forward":                "1",
	"net/bridge/bridge-nf-call-iptables": "1",
	"net/ipv4/conf/all/rp_filter":        "0", // answers come by another way than questions where a Service is behind them
}

func setNetworkSettings() error {
	for name, value := range networkSettings {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			return fmt.Errorf("%s cannot be set: %w", name, err)
		}
	}
	return nil
}

func (r *realNode) cniFolder() string { return r.paths.agent("etc", "cni", "net.d") }

// cniConfig is what flannel's plugin makes of its subnet: a bridge, addresses of the node's range, ports of the host.
func cniConfig(podRange, clusterRange string) ([]byte, error) {
	bridge := map[string]any{
		"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "forceAddress": true,
		"mtu": 1450, // what a tunnel leaves of a packet
		"ipam": map[string]any{
			"type":   "host-local",
			"ranges": [][]map[string]string{{{"subnet": podRange}}},
			"routes": []map[string]string{{"dst": clusterRange}},
		},
	}
	ports := map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}}
	return json.MarshalIndent(map[string]any{"name": "cbr0", "cniVersion": "0.4.0", "plugins": []any{bridge, ports}}, "", "  ")
}

// keepNetwork does what flannel does: addresses for this node's pods, and a way to those of the others.
func (r *realNode) keepNetwork(ctx context.Context) {
	ways := map[string]way{}
	done := false
	for ; ctx.Err() == nil; pauseQuietly(ctx, time.Second) {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		if !done {
			err := r.openNetwork(within)
			if done = err == nil; !done {
				debugf("the pod network waits: %v", err)
			}
		}
		if done {
			if err := r.reachOthers(within, ways); err != nil {
				warningf("the pods of other nodes are not reached: %v", err)
			}
		}
		cancel()
	}
}

// openNetwork tells containerd the addresses of this node's pods, which makes the node Ready.
func (r *realNode) openNetwork(ctx context.Context) error {
	node, err := r.client.CoreV1().Nodes().Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if node.Spec.PodCIDR == "" {
		return fmt.Errorf("node %q pod cidr not assigned", r.name)
	}
	if err := masquerade(r.cluster["cluster-cidr"]); err != nil {
		return err
	}
	tunnel, err := r.openTunnel(node.Spec.PodCIDR)
	if err != nil {
		return err
	}
	content, err := cniConfig(node.Spec.PodCIDR, r.cluster["cluster-cidr"])
	if err != nil {
		return err
	}
	if err := writeFile(r.cniFolder()+"/10-flannel.conflist", content, 0o600); err != nil {
		return err
	}
	return r.annotate(ctx, tunnel)
}

// masquerade gives packets that leave the cluster's network the host's address.
func masquerade(clusterRange string) error {
	rule := []string{"POSTROUTING", "--source", clusterRange, "!", "--destination", clusterRange, "--jump", "MASQUERADE",
		"--match", "comment", "--comment", "flanneld masq"}
	if exec.Command("iptables", append([]string{"--wait", "--table", "nat", "--check"}, rule...)...).Run() == nil {
		return nil
	}
	return tell("iptables", append([]string{"--wait", "--table", "nat", "--append"}, rule...)...)
}

// annotate sets what K3S and flannel say of a node; tunnel is its end's hardware address, if it has one.
func (r *realNode) annotate(ctx context.Context, tunnel string) error {
	annotations := r.annotations()
	annotations[flannelKey+"backend-data"] = "null"
	annotations[flannelKey+"backend-type"] = "host-gw"
	if tunnel != "" {
		annotations[flannelKey+"backend-data"] = fmt.Sprintf(`{"VNI":1,"VtepMAC":%q}`, tunnel)
		annotations[flannelKey+"backend-type"] = "vxlan"
	}
	annotations[flannelKey+"kube-subnet-manager"] = "true"
	annotations[flannelKey+"public-ip"] = r.ip
	content, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = r.client.CoreV1().Nodes().Patch(ctx, r.name, types.MergePatchType, content, metav1.PatchOptions{})
	return err
}

// openTunnel makes this host's end of the tunnel that flannel's vxlan is, and gives its hardware address; nothing with
// host-gw, which needs none.
func (r *realNode) openTunnel(podRange string) (string, error) {
	if r.cluster["flannel-backend"] == "host-gw" {
		return "", nil
	}
	if !exists("/sys/class/net/" + tunnelDevice) {
		if err := tell("ip", "link", "add", tunnelDevice, "type", "vxlan", "id", "1", "local", r.ip, "dstport", "8472", "nolearning"); err != nil {
			return "", err
		}
	}
	if err := tell("ip", "address", "replace", gatewayOf(podRange)+"/32", "dev", tunnelDevice); err != nil {
		return "", err
	}
	return firstLine("/sys/class/net/" + tunnelDevice + "/address"), tell("ip", "link", "set", tunnelDevice, "up")
}

func gatewayOf(podRange string) string {
	address, _, _ := strings.Cut(podRange, "/")
	return address
}

// way leads to the pods of another node.
type way struct {
	host   string // the node's address
	tunnel string // the hardware address of its tunnel's end; none with host-gw
}

// reachOthers brings the host's routes to what the nodes are; known holds what was set so far.
func (r *realNode) reachOthers(ctx context.Context, known map[string]way) error {
	nodes, err := r.proxy.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	wanted := map[string]way{}
	for _, node := range nodes.Items {
		if host := node.Annotations[flannelKey+"public-ip"]; node.Name != r.name && node.Spec.PodCIDR != "" && host != "" {
			wanted[node.Spec.PodCIDR] = way{host, tunnelEnd(&node)}
		}
	}
	for podRange := range known {
		if _, still := wanted[podRange]; !still {
			delete(known, podRange)
			if err := tell("ip", "route", "del", podRange); err != nil {
				return err
			}
		}
	}
	for podRange, other := range wanted {
		if known[podRange] == other {
			continue
		}
		if err := other.open(podRange); err != nil {
			return err
		}
		known[podRange] = other
	}
	return nil
}

func tunnelEnd(node *corev1.Node) string {
	data := struct{ VtepMAC string }{}
	if err := json.Unmarshal([]byte(node.Annotations[flannelKey+"backend-data"]), &data); err != nil {
		return ""
	}
	return data.VtepMAC
}

func (w way) open(podRange string) error {
	if w.tunnel == "" {
		return tell("ip", "route", "replace", podRange, "via", w.host, "onlink", "dev", deviceOf(w.host))
	}
	gateway := gatewayOf(podRange)
	if err := tell("ip", "neighbour", "replace", gateway, "lladdr", w.tunnel, "dev", tunnelDevice, "nud", "permanent"); err != nil {
		return err
	}
	if err := tell("bridge", "fdb", "replace", w.tunnel, "dev", tunnelDevice, "dst", w.host); err != nil {
		return err
	}
	return tell("ip", "route", "replace", podRange, "via", gateway, "dev", tunnelDevice, "onlink")
}

// deviceOf is the interface over which an address is reached.
func deviceOf(address string) string {
	said, err := exec.Command("ip", "route", "get", address).Output()
	if err != nil {
		return ""
	}
	words := strings.Fields(string(said))
	if index := slices.Index(words, "dev"); index >= 0 && index+1 < len(words) {
		return words[index+1]
	}
	return ""
}

func tell(program string, arguments ...string) error {
	if said, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}
