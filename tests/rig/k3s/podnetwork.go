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
		"ipam": map[string]any{
			"type":   "host-local",
			"ranges": [][]map[string]string{{{"subnet": podRange}}},
			"routes": []map[string]string{{"dst": clusterRange}},
		},
	}
	ports := map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}}
	return json.MarshalIndent(map[string]any{"name": "cbr0", "cniVersion": "0.4.0", "plugins": []any{bridge, ports}}, "", "  ")
}

// keepNetwork does what flannel does with host-gw: addresses for this node's pods, routes to those of the others.
func (r *realNode) keepNetwork(ctx context.Context) {
	routes := map[string]string{}
	done := false
	for ; ctx.Err() == nil; pauseQuietly(ctx, time.Second) {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		if !done {
			err := r.openNetwork(within)
			if done = err == nil; !done {
				debugf("the pod network waits: %v", err)
			}
		}
		if err := r.routeToOthers(within, routes); err != nil {
			warningf("routes to the pods of other nodes: %v", err)
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
	content, err := cniConfig(node.Spec.PodCIDR, r.cluster["cluster-cidr"])
	if err != nil {
		return err
	}
	if err := writeFile(r.cniFolder()+"/10-flannel.conflist", content, 0o600); err != nil {
		return err
	}
	return r.annotate(ctx)
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

// annotate sets what K3S and flannel say of a node.
func (r *realNode) annotate(ctx context.Context) error {
	annotations := r.annotations()
	annotations["flannel.alpha.coreos.com/backend-data"] = "null"
	annotations["flannel.alpha.coreos.com/backend-type"] = "host-gw"
	annotations["flannel.alpha.coreos.com/kube-subnet-manager"] = "true"
	annotations["flannel.alpha.coreos.com/public-ip"] = r.ip
	content, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = r.client.CoreV1().Nodes().Patch(ctx, r.name, types.MergePatchType, content, metav1.PatchOptions{})
	return err
}

// routeToOthers brings the host's routes to what the nodes are; routes holds what was set so far.
func (r *realNode) routeToOthers(ctx context.Context, routes map[string]string) error {
	nodes, err := r.proxy.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	wanted := map[string]string{}
	for _, node := range nodes.Items {
		if address := tunnelAddress(&node); node.Name != r.name && node.Spec.PodCIDR != "" && address != "" {
			wanted[node.Spec.PodCIDR] = address
		}
	}
	for podRange := range routes {
		if wanted[podRange] == "" {
			delete(routes, podRange)
			if err := tell("ip", "route", "del", podRange); err != nil {
				return err
			}
		}
	}
	for podRange, address := range wanted {
		if routes[podRange] == address {
			continue
		}
		if err := tell("ip", "route", "replace", podRange, "via", address, "onlink", "dev", deviceOf(address)); err != nil {
			return err
		}
		routes[podRange] = address
	}
	return nil
}

func tunnelAddress(node *corev1.Node) string {
	return firstOf(node.Annotations["flannel.alpha.coreos.com/public-ip"], internalAddress(node))
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
