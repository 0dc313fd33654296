package main

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Pretended pods have no network. Of CoreDNS, which tools ask for to see that the network of pods works, as much is here as can be
// asked over TCP: its pod's address and that of its Service answer on the host of the pod, and other hosts' packets to them are sent
// to that host. A host that is cut off gets no answer, and where CoreDNS does not run nobody does. What is asked is not answered in DNS.
const (
	podNetworkKey = "rig.k3s/pod-network"
	tunnelKey     = "flannel.alpha.coreos.com/public-ip"
	dnsService    = "kube-dns"
	dnsPort       = "53"
	podChain      = "RIG-PODS" // of iptables: as a service's address leads to a pod, so does a pod's to its host
)

// podNetwork is published in an annotation of CoreDNS' Service, which every node may read: the nodes by CoreDNS' addresses.
type podNetwork map[string]podHost

type podHost struct {
	Node    string `json:"node"`
	Address string `json:"address"`
}

// pretendedNetwork is what of it is true on this host now.
type pretendedNetwork struct {
	node      *Node
	admin     kubernetes.Interface // of a server
	sent      podNetwork           // nil before the chain was filled first: an earlier process may have left one
	listeners map[string]net.Listener
	announced bool
}

// pretendNetwork keeps it up until ctx ends; what it gives waits until nothing of it is left on the host.
func (n *Node) pretendNetwork(ctx context.Context) func() {
	w := &pretendedNetwork{node: n, listeners: map[string]net.Listener{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; ctx.Err() == nil; pauseQuietly(ctx, time.Second) {
			w.step(ctx)
		}
		w.apply(podNetwork{})
	}()
	return func() { <-ended }
}

func (w *pretendedNetwork) step(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !w.announced {
		w.announced = w.announce(within) == nil
	}
	if w.node.server {
		if err := w.publish(within); err != nil {
			debugf("the network of pods cannot be published: %v", err)
		}
	}
	service, err := w.node.client.CoreV1().Services(metav1.NamespaceSystem).Get(within, dnsService, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		debugf("the network of pods cannot be read: %v", err)
		return
	}
	wanted := podNetwork{}
	if err == nil {
		if text := service.Annotations[podNetworkKey]; text != "" && json.Unmarshal([]byte(text), &wanted) != nil {
			return
		}
	}
	w.apply(wanted)
}

// announce writes the address that flannel would take: that of flannel-iface, else of the default route's interface.
func (w *pretendedNetwork) announce(ctx context.Context) error {
	address := interfaceAddress(firstOf(w.node.options.String("flannel-iface"), defaultInterface()))
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{tunnelKey: firstOf(address, w.node.ip)},
	}})
	if err != nil {
		return err
	}
	_, err = w.node.client.CoreV1().Nodes().Patch(ctx, w.node.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func interfaceAddress(name string) string {
	found, err := net.InterfaceByName(name)
	if err != nil {
		return ""
	}
	addresses, err := found.Addrs()
	if err != nil {
		return ""
	}
	for _, address := range addresses {
		if network, isNetwork := address.(*net.IPNet); isNetwork && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	return ""
}

func defaultInterface() string {
	file, err := os.Open("/proc/net/route")
	if err != nil {
		return ""
	}
	defer file.Close()
	name, best := "", -1
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 7 || fields[1] != "00000000" {
			continue
		}
		if metric, err := strconv.Atoi(fields[6]); err == nil && (best < 0 || metric < best) {
			name, best = fields[0], metric
		}
	}
	return name
}

// publish tells all nodes, once it has changed.
func (w *pretendedNetwork) publish(ctx context.Context) error {
	if w.admin == nil {
		config, err := clientcmd.BuildConfigFromFlags("", w.node.paths.etc+"/k3s/k3s.yaml")
		if err != nil {
			return err
		}
		if w.admin, err = kubernetes.NewForConfig(config); err != nil {
			return err
		}
	}
	service, err := w.admin.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, dnsService, metav1.GetOptions{})
	if err != nil {
		return err
	}
	network, err := w.look(ctx, service.Spec.ClusterIP)
	if err != nil {
		return err
	}
	text, err := json.Marshal(network)
	if err != nil || string(text) == service.Annotations[podNetworkKey] {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{podNetworkKey: string(text)}}})
	if err != nil {
		return err
	}
	_, err = w.admin.CoreV1().Services(metav1.NamespaceSystem).Patch(ctx, dnsService, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// look finds where CoreDNS is Ready; its Service leads to the first of its pods.
func (w *pretendedNetwork) look(ctx context.Context, serviceIP string) (podNetwork, error) {
	network := podNetwork{}
	nodes, err := w.admin.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	addresses := map[string]string{}
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				addresses[node.Name] = address.Address
			}
		}
	}
	pods, err := w.admin.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
		ResourceVersion: "0", LabelSelector: "k8s-app=kube-dns",
	})
	if err != nil {
		return nil, err
	}
	for index := range pods.Items {
		pod := &pods.Items[index]
		host := podHost{Node: pod.Spec.NodeName, Address: addresses[pod.Spec.NodeName]}
		if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" || !allReady(pod) || host.Address == "" {
			continue
		}
		network[pod.Status.PodIP] = host
		if _, leads := network[serviceIP]; !leads {
			network[serviceIP] = host
		}
	}
	return network, nil
}

// apply brings the host to what is wanted.
func (w *pretendedNetwork) apply(wanted podNetwork) {
	if w.sent == nil || !maps.Equal(w.sent, wanted) {
		w.send(wanted)
	}
	own := map[string]bool{}
	for address, host := range wanted {
		if host.Node == w.node.name {
			own[address], own[w.node.ip] = true, true
		}
	}
	for address, listener := range w.listeners {
		if !own[address] {
			listener.Close()
			w.drop(address)
			delete(w.listeners, address)
		}
	}
	for address := range own {
		if w.listeners[address] == nil {
			w.listen(address)
		}
	}
}

// send leads this host's packets to the hosts of the pods. They leave with the address of the interface that leads there: that of the
// default route, which may lead nowhere, was chosen for the pod's.
func (w *pretendedNetwork) send(wanted podNetwork) {
	nat := func(arguments ...string) bool {
		return runTool("iptables", append([]string{"-w", "5", "-t", "nat"}, arguments...)...)
	}
	for hook, chain := range map[string]string{"OUTPUT": podChain, "POSTROUTING": podChain + "-SOURCE"} {
		if !nat("-F", chain) && !nat("-N", chain) {
			return
		}
		if !nat("-C", hook, "-j", chain) && !nat("-I", hook, "-j", chain) {
			return
		}
	}
	for address, host := range wanted {
		if host.Node == w.node.name {
			continue
		}
		to := net.JoinHostPort(host.Address, dnsPort)
		if !nat("-A", podChain, "-p", "tcp", "-d", address, "--dport", dnsPort, "-j", "DNAT", "--to-destination", to) ||
			!nat("-A", podChain+"-SOURCE", "-p", "tcp", "-d", host.Address, "--dport", dnsPort, "-j", "MASQUERADE") {
			return
		}
	}
	w.sent = maps.Clone(wanted)
}

// listen takes the address. Of the host's own it is none: what tools list are those of a wider scope.
func (w *pretendedNetwork) listen(address string) {
	if address != w.node.ip {
		runTool("ip", "address", "replace", address+"/32", "dev", "lo", "scope", "host")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, dnsPort))
	if err != nil {
		warningf("nobody answers for CoreDNS at %s: %v", address, err)
		return
	}
	w.listeners[address] = listener
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go hangUp(connection)
		}
	}()
}

func (w *pretendedNetwork) drop(address string) {
	if address != w.node.ip {
		runTool("ip", "address", "delete", address+"/32", "dev", "lo")
	}
}

// hangUp lets in and closes when nothing sensible was said for a while, as a server of DNS does.
func hangUp(connection net.Conn) {
	defer connection.Close()
	if connection.SetDeadline(time.Now().Add(2*time.Second)) != nil {
		return
	}
	buffer := make([]byte, 512)
	for {
		if _, err := connection.Read(buffer); err != nil {
			return
		}
	}
}

// runTool runs one of the host's own programs for its network.
func runTool(program string, arguments ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput()
	if err != nil {
		debugf("%s %s: %v: %s", program, strings.Join(arguments, " "), err, strings.TrimSpace(string(said)))
	}
	return err == nil
}
